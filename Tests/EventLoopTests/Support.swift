import EventLoop
import Testing

let second: UInt64 = 1_000_000_000
let millisecond: UInt64 = 1_000_000

/// Any port of the loopback interface.
let anyPort = SocketAddress(ip: [127, 0, 0, 1], port: 0)

/// Hears everything one or more connections say, in order.
final class Recorder: TCPConnectionDelegate {
  enum Event: Equatable {
    case connected
    case read
    case eof
    case drained
    case closed(Int32?)
  }

  var events: [Event] = []
  /// Everything read, when `consumes`.
  var bytes: [UInt8] = []
  var consumes = true
  var onRead: ((TCPConnection) -> Void)?
  var onEOF: ((TCPConnection) -> Void)?
  var onConnect: ((TCPConnection) -> Void)?
  var onDrain: ((TCPConnection) -> Void)?
  var onClose: ((TCPConnection) -> Void)?

  var isClosed: Bool { events.contains { if case .closed = $0 { true } else { false } } }

  func connectionDidConnect(_ connection: TCPConnection) {
    events.append(.connected)
    onConnect?(connection)
  }

  func connectionDidRead(_ connection: TCPConnection) {
    if events.last != .read { events.append(.read) }
    if consumes {
      bytes += connection.input.storage[connection.input.readableRange]
      connection.input.consume(connection.input.count)
    }
    onRead?(connection)
  }

  func connectionDidReachEOF(_ connection: TCPConnection) {
    events.append(.eof)
    onEOF?(connection)
  }

  func connectionDidDrain(_ connection: TCPConnection) {
    events.append(.drained)
    onDrain?(connection)
  }

  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    events.append(.closed(error?.code))
    onClose?(connection)
  }
}

/// One loop with a listener and a connection through it.
final class Pair {
  let loop: EventLoop
  let listener: TCPListener
  let client: TCPConnection
  var server: TCPConnection
  let clientSide = Recorder()
  let serverSide = Recorder()

  init(
    client clientOptions: TCPConnection.Options = .init(),
    server serverOptions: TCPConnection.Options = .init()
  ) throws {
    let loop = try EventLoop()
    let (clientSide, serverSide) = (clientSide, serverSide)
    self.loop = loop
    var accepted: TCPConnection?
    listener = try TCPListener(address: anyPort, loop: loop, options: serverOptions) {
      $0.delegate = serverSide
      accepted = $0
    }
    client = TCPConnection(
      connectingTo: listener.localAddress, loop: loop, options: clientOptions,
      delegate: clientSide)
    _ = loop.run(forAtMost: 60 * second) { accepted != nil && !clientSide.events.isEmpty }
    server = try #require(accepted)
  }

  func run(until condition: () -> Bool) -> Bool {
    loop.run(forAtMost: 60 * second, until: condition)
  }
}
