import EventLoop
import Wire

/// All relays of one `LinkProxies`; lives on its thread.
final class RelayBoard {
  let loop: EventLoop
  let fault: (LinkDirection) -> LinkFault
  private var listeners: [TCPListener] = []
  private var relays: [Relay] = []
  private var isTicking = false
  private static let tickNanoseconds: UInt64 = 2_000_000

  init(loop: EventLoop, fault: @escaping (LinkDirection) -> LinkFault) {
    self.loop = loop
    self.fault = fault
  }

  func listen(_ targets: [LinkProxies.Target]) throws(SystemError) -> [UInt16] {
    var ports: [UInt16] = []
    for target in targets {
      let listener = try TCPListener(
        address: SocketAddress(ip: [127, 0, 0, 1], port: 0), loop: loop,
        options: TCPConnection.Options()
      ) { [unowned self] connection in
        relays.append(Relay(accepted: connection, target: target, board: self))
      }
      listeners.append(listener)
      ports.append(listener.localAddress.port)
    }
    return ports
  }

  func obey(_ order: LinkProxies.Order) {
    switch order {
    case .faultsChanged: for relay in relays { relay.pump() }
    case .reset(let a, let b):
      for relay in relays where relay.isBetween(a, b) { relay.reset() }
    case .corrupt(let direction): for relay in relays { relay.corruptNext(direction) }
    case .stop:
      for listener in listeners { listener.close() }
      for relay in relays { relay.reset() }
      loop.stop()
    }
  }

  func remove(_ relay: Relay) { relays.removeAll { $0 === relay } }

  /// Something waits for its time.
  func tickSoon() {
    guard !isTicking else { return }
    isTicking = true
    loop.schedule(after: Self.tickNanoseconds) { [unowned self] in
      isTicking = false
      for relay in relays { relay.pump() }
    }
  }
}

/// One connection of a node with another, in two halves.
final class Relay {
  /// One direction of the bytes.
  private struct Pipe {
    var pieces: [(due: UInt64, bytes: [UInt8])] = []
    var waitingBytes = 0
    /// The sending side is closed: so is the other, when all has arrived.
    var hasEnded = false
    var corruptsNext = false
    /// Of a throttled link: nothing before this time.
    var freeAt: UInt64 = 0
  }

  private let target: LinkProxies.Target
  private unowned let board: RelayBoard
  private let client: TCPConnection
  private var server: TCPConnection?
  /// Nil until the handshake said it.
  private var source: String?
  /// The start of the handshake, kept back until it says who dials.
  private var greeting: [UInt8] = []
  private static let greetingBytesMax = 4 << 10
  private var up = Pipe()
  private var down = Pipe()
  private var isClosed = false
  /// The sender is held back above this.
  private static let waitingBytesMax = 4 << 20

  init(accepted: TCPConnection, target: LinkProxies.Target, board: RelayBoard) {
    client = accepted
    self.target = target
    self.board = board
    client.delegate = self
    server = TCPConnection(
      connectingTo: SocketAddress(ip: [127, 0, 0, 1], port: target.port), loop: board.loop,
      options: TCPConnection.Options(), delegate: self)
  }

  func isBetween(_ a: String, _ b: String) -> Bool {
    source.map { ($0 == a && target.name == b) || ($0 == b && target.name == a) } ?? false
  }

  func corruptNext(_ direction: LinkDirection) {
    if direction.from == source, direction.to == target.name { up.corruptsNext = true }
    if direction.to == source, direction.from == target.name { down.corruptsNext = true }
  }

  func reset() {
    guard !isClosed else { return }
    isClosed = true
    client.delegate = nil
    server?.delegate = nil
    client.reset()
    server?.reset()
    board.remove(self)
  }

  // MARK: Bytes

  private func take(_ connection: TCPConnection) {
    let range = connection.input.readableRange
    guard !range.isEmpty else { return }
    var bytes = Array(connection.input.storage[range])
    connection.input.consume(bytes.count)
    let isUp = connection === client
    if isUp, source == nil, greeting.count < Self.greetingBytesMax {
      greeting += bytes
      source = Self.dialer(in: greeting)
      guard source != nil || greeting.count >= Self.greetingBytesMax else { return }
      bytes = greeting
    }
    func corrupt(_ pipe: inout Pipe) {
      guard pipe.corruptsNext, bytes.count > 12 else { return }
      pipe.corruptsNext = false
      bytes[bytes.count / 2] ^= 0x10
    }
    if isUp { corrupt(&up) } else { corrupt(&down) }
    let due = board.loop.now + fault(isUp: isUp).delayMilliseconds * 1_000_000
    func add(_ pipe: inout Pipe) {
      pipe.pieces.append((max(due, pipe.pieces.last?.due ?? 0), bytes))
      pipe.waitingBytes += bytes.count
      if pipe.waitingBytes > Self.waitingBytesMax { connection.pauseReading() }
    }
    if isUp { add(&up) } else { add(&down) }
    pump()
  }

  private func fault(isUp: Bool) -> LinkFault {
    guard let source else { return LinkFault() }
    return board.fault(
      isUp
        ? LinkDirection(from: source, to: target.name)
        : LinkDirection(from: target.name, to: source))
  }

  /// Passes on what is due.
  func pump() {
    guard !isClosed, let server else { return }
    let isUpDone = pump(&up, from: client, to: server, fault(isUp: true))
    let isDownDone = pump(&down, from: server, to: client, fault(isUp: false))
    if isUpDone || isDownDone { finish() }
  }

  /// True when the sender has closed and all of it has arrived.
  private func pump(
    _ pipe: inout Pipe, from sender: TCPConnection, to receiver: TCPConnection, _ fault: LinkFault
  ) -> Bool {
    guard !fault.isCut else { return false }
    let now = board.loop.now
    var sent = 0
    while sent < pipe.pieces.count, pipe.pieces[sent].due <= now, pipe.freeAt <= now {
      let bytes = pipe.pieces[sent].bytes
      if fault.bytesPerSecond > 0 {
        let nanoseconds = UInt64(bytes.count) * 1_000_000_000 / fault.bytesPerSecond
        pipe.freeAt = max(now, pipe.freeAt) + nanoseconds
      }
      receiver.output.append(bytes)
      pipe.waitingBytes -= bytes.count
      sent += 1
    }
    if sent > 0 {
      pipe.pieces.removeFirst(sent)
      receiver.flushAtTurnEnd()
      if pipe.waitingBytes <= Self.waitingBytesMax, !pipe.hasEnded { sender.resumeReading() }
    }
    if !pipe.pieces.isEmpty { board.tickSoon() }
    return pipe.hasEnded && pipe.pieces.isEmpty
  }

  private func finish() {
    isClosed = true
    client.delegate = nil
    server?.delegate = nil
    client.closeAfterFlush()
    server?.closeAfterFlush()
    board.remove(self)
  }

  /// The node's name in the preamble and hello at the start of a connection; nil: not there yet.
  private static func dialer(in bytes: [UInt8]) -> String? {
    // Preamble (9 bytes), frame header (9), purpose, cluster name, cluster id, node id, node name.
    var reader = Reader(bytes)
    do {
      _ = try reader.raw(18)
      _ = try reader.u8()
      _ = try reader.text()
      if try reader.flag() { _ = try reader.raw(16) }
      _ = try reader.u64()
      return try reader.text()
    } catch { return nil }
  }
}

extension Relay: TCPConnectionDelegate {
  func connectionDidConnect(_ connection: TCPConnection) { pump() }
  func connectionDidRead(_ connection: TCPConnection) { take(connection) }
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidReachEOF(_ connection: TCPConnection) { ended(connection) }
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) { ended(connection) }

  /// The end travels like the bytes: a cut holds it back.
  private func ended(_ connection: TCPConnection) {
    if connection === client { up.hasEnded = true } else { down.hasEnded = true }
    pump()
  }
}
