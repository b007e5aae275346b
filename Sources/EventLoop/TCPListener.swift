internal import CRoost
internal import Glibc

/// Listens and hands out accepted connections; stops accepting (not listening) when out of
/// descriptors and tries again later.
///
/// One descriptor is kept in reserve: with none left for connections it is given up for a moment,
/// so that a waiting client can be accepted and closed, which it sees, instead of being left to
/// hang.
package final class TCPListener: PollHandler {
  package let localAddress: SocketAddress
  /// Connections closed at once for want of descriptors.
  package private(set) var refused: UInt64 = 0

  private let loop: EventLoop
  /// Takes over the descriptor.
  private var accept: ((_ descriptor: Int32, _ address: SocketAddress) -> Void)?
  private var fd: Int32
  private var spare: Int32
  private var isPaused = false
  private var retry: TimerID?

  /// Connections that wait in the kernel.
  private static let backlog: Int32 = 1024
  /// Accepted per turn, so that a flood of them does not starve the others.
  private static let acceptsPerTurnMax = 64
  private static let retryNanoseconds: UInt64 = 50_000_000

  package convenience init(
    address: SocketAddress, loop: EventLoop, options: TCPConnection.Options,
    accept: @escaping (TCPConnection) -> Void
  ) throws(SystemError) {
    try self.init(address, loop) { descriptor, remote in
      accept(TCPConnection(accepted: descriptor, from: remote, loop: loop, options: options))
    }
  }

  /// For connections that other loops serve.
  package convenience init(
    address: SocketAddress, loop: EventLoop, handOver: @escaping (AcceptedSocket) -> Void
  ) throws(SystemError) {
    try self.init(address, loop) { descriptor, remote in
      handOver(AcceptedSocket(descriptor, from: remote))
    }
  }

  private init(
    _ address: SocketAddress, _ loop: EventLoop,
    accept: @escaping (_ descriptor: Int32, _ address: SocketAddress) -> Void
  ) throws(SystemError) {
    var raw = address.raw
    // Sound: the pointer lives for the call.
    let fd = unsafe croost_listen(&raw, TCPListener.backlog)
    guard fd >= 0 else {
      throw SystemError(operation: "listen on", subject: "\(address)", code: -fd)
    }
    // Sound: as above.
    _ = unsafe croost_local_address(fd, &raw)
    localAddress = SocketAddress(raw)
    self.loop = loop
    self.accept = accept
    self.fd = fd
    spare = croost_spare_descriptor()
    super.init()
    let code = loop.watch(fd, CROOST_READABLE, self)
    guard code == 0 else {
      // The initializer is complete: `deinit` closes the descriptors.
      throw SystemError(operation: "watch", subject: "\(address)", code: code)
    }
  }

  deinit { close() }

  package func close() {
    guard fd >= 0 else { return }
    if let retry { loop.cancel(retry) }
    retry = nil
    loop.unwatch(fd)
    _ = croost_close(fd)
    fd = -1
    if spare >= 0 { _ = croost_close(spare) }
    spare = -1
    accept = nil
  }

  /// Clients wait in the kernel's queue meanwhile.
  package func pauseAccepting() {
    isPaused = true
    updateInterest()
  }

  package func resumeAccepting() {
    isPaused = false
    updateInterest()
  }

  private func updateInterest() {
    guard fd >= 0 else { return }
    loop.changeInterest(fd, isPaused || retry != nil ? 0 : CROOST_READABLE)
  }

  override func pollReady(_ events: UInt32) {
    for _ in 0..<TCPListener.acceptsPerTurnMax {
      guard fd >= 0, !isPaused, acceptOne() else { return }
    }
  }

  /// False: nothing more to accept for now.
  private func acceptOne() -> Bool {
    var raw = croost_address()
    // Sound: the pointer lives for the call.
    let accepted = unsafe croost_accept(fd, &raw)
    if accepted >= 0 {
      accept?(accepted, SocketAddress(raw))
      return true
    }
    switch -accepted {
    case EAGAIN: return false
    case EMFILE, ENFILE: return refuseOne()
    case ENOBUFS, ENOMEM:
      waitBeforeRetry()
      return false
    default:
      // accept(2): network errors of the new connection are reported here; go on with the next.
      return true
    }
  }

  private func refuseOne() -> Bool {
    if spare >= 0 { _ = croost_close(spare) }
    var raw = croost_address()
    // Sound: the pointer lives for the call.
    let accepted = unsafe croost_accept(fd, &raw)
    if accepted >= 0 {
      _ = croost_close(accepted)
      refused += 1
    }
    spare = croost_spare_descriptor()
    if accepted == -EAGAIN { return false }
    waitBeforeRetry()
    return false
  }

  private func waitBeforeRetry() {
    guard retry == nil else { return }
    retry = loop.schedule(after: TCPListener.retryNanoseconds) { [weak self] in
      self?.retry = nil
      self?.updateInterest()
    }
    updateInterest()
  }
}
