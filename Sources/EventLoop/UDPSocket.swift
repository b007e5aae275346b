internal import CRoost
internal import Glibc

/// One datagram, and where an answer to it goes.
package struct UDPEnvelope: Sendable {
  /// Who sent it.
  package let remote: SocketAddress
  /// Which of this host's addresses it was sent to; the answer leaves from there (RFC 2181 4.1).
  let local: SocketAddress?

  package init(remote: SocketAddress) {
    self.remote = remote
    local = nil
  }

  init(remote: SocketAddress, local: SocketAddress?) {
    self.remote = remote
    self.local = local
  }
}

/// A UDP socket: bound, for a server, or connected to one address, for a client.
///
/// Datagrams are handed out as they arrive, a bounded number per turn. What cannot be sent at once
/// is dropped and counted: whoever speaks UDP repeats. A connected socket hears of nobody listening
/// there through `failed`. The owner holds the socket; without one it closes.
package final class UDPSocket: PollHandler {
  package let localAddress: SocketAddress
  /// Datagrams that the kernel did not take.
  package private(set) var dropped: UInt64 = 0
  /// Of a connected socket: its peer does not listen, or cannot be reached.
  package var failed: ((SystemError) -> Void)?

  private let loop: EventLoop
  private let remoteAddress: SocketAddress?
  private var receive: ((ArraySlice<UInt8>, UDPEnvelope) -> Void)?
  private var fd: Int32
  private var buffer: [UInt8]

  /// Handed out per turn, and for how long at most, so that a flood does not starve the others.
  private static let datagramsPerTurnMax = 128
  private static let turnNanosecondsMax: UInt64 = 2_000_000
  /// What the kernel keeps for a server that is busy; it may grant less.
  private static let kernelBufferBytes: Int32 = 1 << 20

  /// Bound to `address`. Longer datagrams than `datagramBytesMax` arrive cut off there.
  package init(
    address: SocketAddress, loop: EventLoop, datagramBytesMax: Int,
    receive: @escaping (ArraySlice<UInt8>, UDPEnvelope) -> Void
  ) throws(SystemError) {
    var raw = address.raw
    // Sound: the pointer lives for the call.
    fd = unsafe croost_udp_bind(&raw)
    guard fd >= 0 else {
      throw SystemError(operation: "bind UDP", subject: "\(address)", code: -fd)
    }
    // Sound: as above.
    _ = unsafe croost_local_address(fd, &raw)
    _ = croost_set_buffers(fd, UDPSocket.kernelBufferBytes, UDPSocket.kernelBufferBytes)
    localAddress = SocketAddress(raw)
    remoteAddress = nil
    self.loop = loop
    self.receive = receive
    buffer = [UInt8](repeating: 0, count: datagramBytesMax)
    super.init()
    try watch("\(address)")
  }

  /// Connected to `address`, from a port that the kernel chooses: only its datagrams arrive.
  package init(
    connectingTo address: SocketAddress, loop: EventLoop, datagramBytesMax: Int,
    receive: @escaping (ArraySlice<UInt8>, UDPEnvelope) -> Void
  ) throws(SystemError) {
    var raw = address.raw
    // Sound: the pointer lives for the call.
    fd = unsafe croost_udp_connect(&raw)
    guard fd >= 0 else {
      throw SystemError(operation: "connect UDP to", subject: "\(address)", code: -fd)
    }
    // Sound: as above.
    _ = unsafe croost_local_address(fd, &raw)
    localAddress = SocketAddress(raw)
    remoteAddress = address
    self.loop = loop
    self.receive = receive
    buffer = [UInt8](repeating: 0, count: datagramBytesMax)
    super.init()
    try watch("\(address)")
  }

  deinit { close() }

  private func watch(_ subject: String) throws(SystemError) {
    let code = loop.watch(fd, CROOST_READABLE, self)
    // The initializer is complete: `deinit` closes the descriptor.
    guard code == 0 else { throw SystemError(operation: "watch", subject: subject, code: code) }
  }

  package func close() {
    guard fd >= 0 else { return }
    loop.unwatch(fd)
    _ = croost_close(fd)
    fd = -1
    receive = nil
    failed = nil
  }

  /// To the peer of a connected socket.
  package func send(_ bytes: [UInt8]) {
    guard fd >= 0 else { return }
    let sent = unsafe bytes.withUnsafeBytes { pointer in
      // Sound: the kernel reads `count` bytes during the call.
      unsafe croost_send(fd, pointer.baseAddress, pointer.count)
    }
    if sent < 0 { dropped &+= 1 }
  }

  /// Answers a datagram that arrived at a bound socket.
  package func send(_ bytes: [UInt8], to envelope: UDPEnvelope) {
    guard fd >= 0 else { return }
    var remote = envelope.remote.raw
    var local = envelope.local?.raw ?? croost_address()
    let sent = unsafe bytes.withUnsafeBytes { pointer in
      // Sound: the kernel reads `count` bytes and two addresses during the call.
      unsafe croost_udp_send(fd, pointer.baseAddress, pointer.count, &remote, &local)
    }
    if sent < 0 { dropped &+= 1 }
  }

  override func pollReady(_ events: UInt32) {
    let end = croost_monotonic() + UDPSocket.turnNanosecondsMax
    for _ in 0..<UDPSocket.datagramsPerTurnMax {
      guard fd >= 0, let receive, receiveOne(receive), croost_monotonic() < end else { return }
    }
  }

  /// False: nothing more for now.
  private func receiveOne(_ receive: (ArraySlice<UInt8>, UDPEnvelope) -> Void) -> Bool {
    var remote = croost_address()
    var local = croost_address()
    let count = unsafe buffer.withUnsafeMutableBytes { room in
      // Sound: C writes at most `count` bytes and the two addresses.
      unsafe croost_udp_receive(fd, room.baseAddress, room.count, &remote, &local)
    }
    if count >= 0 {
      let envelope = UDPEnvelope(
        remote: remoteAddress ?? SocketAddress(remote),
        local: local.ip_length == 0 ? nil : SocketAddress(local))
      receive(buffer[0..<Int(count)], envelope)
      return true
    }
    guard count != -Int64(EAGAIN) else { return false }
    // An ICMP error of something sent before. A bound socket goes on: it was one of its clients.
    guard let remoteAddress else { return true }
    failed?(
      SystemError(
        operation: "reach", subject: "\(remoteAddress)", code: Int32(truncatingIfNeeded: -count)))
    return false
  }
}
