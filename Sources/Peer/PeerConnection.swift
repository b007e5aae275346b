internal import EventLoop
internal import Raft
internal import Wire

/// Why a connection has ended.
enum PeerEnd {
  /// The handshake or a frame was at fault, on either side.
  case rejected(PeerRejection)
  /// The connection was lost, `error` as the system tells it; nil: closed by the other side.
  case lost(SystemError?)
}

/// Who owns connections: `PeerTransport`.
protocol PeerConnectionOwner: AnyObject {
  func connectionOwnHello(purpose: PeerPurpose, target: NodeID?) -> Handshake.Hello
  /// Why a node of this cluster must not be spoken to; nil when it may.
  func connectionDoubts(_ other: PeerIdentity) -> PeerDoubt?
  func connectionDidOpen(_ connection: PeerConnection, _ hello: PeerHello)
  func connection(_ connection: PeerConnection, didReceive message: Message)
  func connection(_ connection: PeerConnection, didReceiveFrame kind: UInt8, _ payload: [UInt8])
  func connection(_ connection: PeerConnection, didReceiveBytes count: Int)
  func connectionDidEnd(_ connection: PeerConnection, _ end: PeerEnd, wasOpen: Bool)
}

/// One connection of the peer protocol, dialed or accepted: handshake, frames, keep-alive.
///
/// Happy path: preamble and hello out, preamble and hello in, `connectionDidOpen`, frames. Anything
/// malformed ends it with a refusal that tells the other side why; then `connectionDidEnd` is the
/// last that the owner hears.
final class PeerConnection: TCPConnectionDelegate {
  private enum Phase {
    case preamble
    case hello
    case open
    case ended
  }

  let isDialer: Bool
  /// For the accepting side known when the hello has arrived.
  private(set) var purpose: PeerPurpose?
  /// Whom this side wants to reach.
  let target: NodeID?
  private(set) var remote: PeerHello?
  /// Set by the owner on probes.
  var probe: ProbeID?

  private weak var owner: (any PeerConnectionOwner)?
  private let limits: PeerLimits
  private let address: String
  private let loop: EventLoop
  private var tcp: TCPConnection?
  private var phase = Phase.preamble
  private var version: UInt16 = 0
  private let createdAt: UInt64
  private var lastHeard: UInt64
  private var lastPing: UInt64
  private var lastQueueBytes = 0

  /// Input kept while no longer frame is being received.
  private static let inputBytes = 1 << 20

  private static func options() -> TCPConnection.Options {
    var options = TCPConnection.Options()
    options.inputBytesMax = inputBytes
    options.flushNanosecondsMax = 1_000_000_000
    options.lingerNanoseconds = 500_000_000
    return options
  }

  static var acceptOptions: TCPConnection.Options { options() }

  private init(
    isDialer: Bool, purpose: PeerPurpose?, target: NodeID?, address: SocketAddress,
    loop: EventLoop, limits: PeerLimits, owner: any PeerConnectionOwner
  ) {
    self.isDialer = isDialer
    self.purpose = purpose
    self.target = target
    self.address = address.description
    self.loop = loop
    self.limits = limits
    self.owner = owner
    createdAt = loop.now
    lastHeard = createdAt
    lastPing = createdAt
  }

  static func dial(
    _ address: SocketAddress, purpose: PeerPurpose, target: NodeID?, loop: EventLoop,
    limits: PeerLimits, owner: any PeerConnectionOwner
  ) -> PeerConnection {
    let connection = PeerConnection(
      isDialer: true, purpose: purpose, target: target, address: address, loop: loop,
      limits: limits, owner: owner)
    connection.tcp = TCPConnection(
      connectingTo: address, loop: loop, options: options(), delegate: connection)
    return connection
  }

  static func accept(
    _ tcp: TCPConnection, loop: EventLoop, limits: PeerLimits, owner: any PeerConnectionOwner
  ) -> PeerConnection {
    let connection = PeerConnection(
      isDialer: false, purpose: nil, target: nil, address: tcp.remoteAddress, loop: loop,
      limits: limits, owner: owner)
    connection.tcp = tcp
    tcp.delegate = connection
    return connection
  }

  var isOpen: Bool { phase == .open }
  /// Bytes that wait to be written.
  var queueBytes: Int { tcp?.output.count ?? 0 }

  // MARK: Sending

  /// Bytes of the frame, nil when it is too long or the connection not open.
  func send(_ message: Message) -> Int? {
    isOpen ? sendFrame(.message) { MessageCodec.encode(message, into: &$0) } : nil
  }

  func send(kind: UInt8, payload: [UInt8]) -> Int? {
    guard isOpen else { return nil }
    return sendFrame(.node) { writer in
      writer.u8(kind)
      writer.raw(payload)
    }
  }

  /// A whole frame; false when the connection is not open.
  func send(_ frame: [UInt8]) -> Bool {
    guard isOpen, let tcp else { return false }
    tcp.output.withStorage { bytes in bytes.append(contentsOf: frame) }
    tcp.flushAtTurnEnd()
    return true
  }

  private func sendFrame(_ kind: Frame.Kind, _ body: (inout Writer) -> Void) -> Int? {
    guard let tcp else { return nil }
    let sent = tcp.output.withStorage { bytes in
      Frame.append(kind, to: &bytes, bytesMax: limits.frameBytesMax, body)
    }
    if sent != nil { tcp.flushAtTurnEnd() }
    return sent
  }

  private func sendHello() {
    guard let owner, let purpose, let tcp else { return }
    let hello = owner.connectionOwnHello(purpose: purpose, target: target ?? remoteID)
    tcp.output.withStorage { Handshake.appendPreamble(to: &$0) }
    _ = sendFrame(.hello) { Handshake.encode(hello, into: &$0) }
  }

  private var remoteID: NodeID? { remote?.identity.nodeID }

  // MARK: The end

  /// Closes without a word to the owner.
  func close() {
    guard phase != .ended else { return }
    phase = .ended
    tcp?.delegate = nil
    tcp?.close()
    tcp = nil
  }

  /// Tells the other side why, then closes.
  func refuse(_ reason: PeerRejection.Reason, _ text: String, heldIndex: UInt64 = 0) {
    guard phase != .ended, let tcp else { return }
    let fault = Handshake.Fault(reason: reason, text: text, heldIndex: heldIndex)
    if !isDialer, phase == .preamble || phase == .hello {
      tcp.output.withStorage { Handshake.appendPreamble(to: &$0) }
    }
    _ = sendFrame(.refusal) { Handshake.encode(fault, into: &$0) }
    let wasOpen = isOpen
    phase = .ended
    tcp.delegate = nil
    tcp.closeAfterFlush()
    self.tcp = nil
    let rejection = PeerRejection(
      reason: reason, address: address, nodeID: remoteID, text: text, isOurs: true)
    owner?.connectionDidEnd(self, .rejected(rejection), wasOpen: wasOpen)
  }

  private func end(_ end: PeerEnd) {
    guard phase != .ended else { return }
    let wasOpen = isOpen
    close()
    owner?.connectionDidEnd(self, end, wasOpen: wasOpen)
  }

  // MARK: Time

  /// Called a few times per ping interval.
  func tick(_ now: UInt64) {
    switch phase {
    case .ended: return
    case .preamble, .hello:
      if now > createdAt, now - createdAt > limits.handshakeNanoseconds {
        refuse(.handshakeTimeout, "the handshake took too long")
      }
    case .open:
      let queued = queueBytes
      // What the other side takes from a long queue is a sign of life as well.
      if queued < lastQueueBytes { lastHeard = now }
      lastQueueBytes = queued
      if now > lastHeard, now - lastHeard > limits.deadNanoseconds {
        return end(.lost(nil))
      }
      if isDialer, now >= lastPing, now - lastPing >= limits.pingNanoseconds {
        lastPing = now
        _ = sendFrame(.ping) { _ in }
      }
    }
  }

  // MARK: Receiving

  func connectionDidConnect(_ connection: TCPConnection) { sendHello() }
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidReachEOF(_ connection: TCPConnection) { end(.lost(nil)) }

  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) { end(.lost(error)) }

  func connectionDidRead(_ connection: TCPConnection) {
    lastHeard = loop.now
    // The owner may let go of this connection in any callback.
    withExtendedLifetime(self) {
      if phase == .preamble { readPreamble(connection) }
      while phase == .hello || phase == .open, readFrame(connection) {}
    }
  }

  private func readPreamble(_ connection: TCPConnection) {
    let input = connection.input
    do throws(Handshake.Fault) {
      let bytes = input.storage[input.readableRange].prefix(Handshake.preambleBytes)
      guard let common = try Handshake.parsePreamble(bytes) else { return }
      version = common
    } catch { return refuse(error.reason, error.text) }
    connection.input.consume(Handshake.preambleBytes)
    phase = .hello
  }

  /// False: no whole frame is there.
  private func readFrame(_ connection: TCPConnection) -> Bool {
    let bytes = connection.input.storage
    let isOpen = phase == .open
    let bytesMax = isOpen ? limits.frameBytesMax : limits.handshakeBytesMax
    let parsed = Frame.parse(bytes, connection.input.readableRange, payloadBytesMax: bytesMax)
    switch parsed {
    case .incomplete(let total):
      makeRoom(for: total ?? 0, connection)
      return false
    case .frame(let kind, let payload):
      let size = payload.count + Frame.headerBytes
      connection.input.consume(size)
      owner?.connection(self, didReceiveBytes: size)
      var reader = Reader(bytes, in: payload)
      handle(kind, &reader)
    case .unknownKind(let kind):
      refuse(.malformedFrame, "unknown frame type \(kind)")
    case .tooLong(let length):
      refuse(.frameTooLong, "a frame of \(length) bytes, \(bytesMax) are allowed")
    case .badChecksum:
      refuse(.checksum, "a frame's checksum does not match: bytes were changed on the way")
    }
    return phase != .ended
  }

  private func makeRoom(for frameBytes: Int, _ connection: TCPConnection) {
    let wanted = max(PeerConnection.inputBytes, frameBytes)
    guard connection.inputBytesMax != wanted else { return }
    connection.inputBytesMax = wanted
    connection.resumeReading()
  }

  private func handle(_ kind: Frame.Kind, _ reader: inout Reader) {
    do throws(WireError) {
      switch kind {
      case .hello where phase == .hello: helloArrived(try Handshake.decode(&reader))
      case .refusal: refusalArrived(try Handshake.decodeRefusal(&reader))
      case .ping where phase == .open && !isDialer:
        try reader.finish()
        _ = sendFrame(.pong) { _ in }
      case .pong where phase == .open && isDialer: try reader.finish()
      case .message where phase == .open && !isDialer && purpose != .probe:
        owner?.connection(self, didReceive: try MessageCodec.decode(&reader))
      case .node where phase == .open && (purpose == .probe || !isDialer):
        let kind = try reader.u8()
        owner?.connection(self, didReceiveFrame: kind, try reader.raw(reader.remaining))
      default: refuse(.malformedFrame, "a frame of type \(kind.rawValue) is out of place")
      }
    } catch { refuse(.malformedFrame, "a frame of type \(kind.rawValue): \(error)") }
  }

  private func helloArrived(_ hello: Handshake.Hello) {
    guard let owner else { return }
    if isDialer, hello.purpose != purpose {
      return refuse(.malformedFrame, "the answer is for another purpose")
    }
    purpose = hello.purpose
    let peerHello = PeerHello(
      identity: hello.identity, protocolVersion: version, advertisedHost: hello.advertisedHost,
      advertisedPort: hello.advertisedPort)
    remote = peerHello
    let own = owner.connectionOwnHello(purpose: hello.purpose, target: nil).identity
    if let fault = Handshake.fault(in: hello, own: own, expected: target) {
      return refuse(fault.reason, fault.text)
    }
    if let doubt = owner.connectionDoubts(hello.identity) {
      return refuse(.oldCopy, doubt.text, heldIndex: doubt.heldIndex)
    }
    if !isDialer { sendHello() }
    phase = .open
    owner.connectionDidOpen(self, peerHello)
  }

  private func refusalArrived(_ fault: Handshake.Fault) {
    var rejection = PeerRejection(
      reason: fault.reason, address: address, nodeID: target ?? remoteID, text: fault.text,
      isOurs: false)
    rejection.heldIndex = fault.heldIndex
    end(.rejected(rejection))
  }
}
