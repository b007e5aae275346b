package import EventLoop

/// HTTP/1.1 on the event loop (RFC 9110, 9112).
///
/// Owns the connections, what they share (buffers for the request being parsed, the `Date` line, the
/// sweep that finds those that took too long) and the limits on their number. Lives until `close`
/// or the end of `drain`.
package final class HTTPServer {
  package struct Counters: Sendable {
    package var requests: UInt64 = 0
    package var connectionsOpen = 0
    package var connectionsTotal: UInt64 = 0
    package var refused: UInt64 = 0
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0
    package init() {}
  }
  package var counters: Counters { live }
  /// Written at every request: private, so that the compiler can prove what it would otherwise have
  /// checked each time.
  private var live = Counters()
  package let localAddress: SocketAddress

  let loop: EventLoop
  let limits: HTTPLimits
  let bodyLimit: (HTTPRequest) -> HTTPResponse?
  private let handler: (HTTPRequest, HTTPResponder) -> Void
  private var listener: TCPListener?
  private var connections: [HTTPConnection] = []
  private let quota: ConnectionQuota
  private(set) var isDraining = false
  private var drained: (() -> Void)?
  private var sweepTimer: TimerID?
  private var spare = RequestBuffers()
  private var date: (second: UInt64, line: [UInt8]) = (.max, [])

  /// Larger buffers of unusual requests are not kept.
  private static let spareBytesMax = 2048
  /// Unread bytes of one connection; bodies are taken out as they arrive.
  private static let inputBytesMax = 256 << 10

  /// - Parameters:
  ///   - bodyLimit: asked when the head is there, before the body is read: nil lets
  ///     `limits.bodyBytesMax` rule; a response refuses the request at once with it.
  ///   - handler: called when the request is whole.
  package convenience init(
    address: SocketAddress, loop: EventLoop, limits: HTTPLimits,
    bodyLimit: @escaping (_ head: HTTPRequest) -> HTTPResponse?,
    handler: @escaping (HTTPRequest, HTTPResponder) -> Void
  ) throws(SystemError) {
    // The listener needs a closure over this server, which needs the listener's address.
    let box = Box()
    let listener = try TCPListener(address: address, loop: loop, options: Self.options(limits)) {
      connection in box.server?.accept(connection)
    }
    self.init(
      servingFor: listener.localAddress, loop: loop, limits: limits, quota: ConnectionQuota(),
      bodyLimit: bodyLimit, handler: handler)
    self.listener = listener
    box.server = self
  }

  /// One of several servers of one port, each on a loop of its own: another loop listens, and hands
  /// its connections to `accept`. `quota` is the one of all of them.
  package init(
    servingFor address: SocketAddress, loop: EventLoop, limits: HTTPLimits,
    quota: ConnectionQuota, bodyLimit: @escaping (_ head: HTTPRequest) -> HTTPResponse?,
    handler: @escaping (HTTPRequest, HTTPResponder) -> Void
  ) {
    self.loop = loop
    self.limits = limits
    self.quota = quota
    self.bodyLimit = bodyLimit
    self.handler = handler
    localAddress = address
  }

  private static func options(_ limits: HTTPLimits) -> TCPConnection.Options {
    var options = TCPConnection.Options()
    options.inputBytesMax = inputBytesMax
    options.outputHighWater = limits.outputHighWater
    options.outputLowWater = limits.outputHighWater / 4
    return options
  }

  private final class Box {
    weak var server: HTTPServer?
  }

  /// Stops accepting, answers what is under way with `Connection: close`, then calls `done`
  /// (at the latest after `graceNanoseconds`).
  package func drain(graceNanoseconds: UInt64, done: @escaping () -> Void) {
    guard !isDraining else { return }
    isDraining = true
    listener?.close()
    listener = nil
    drained = done
    for connection in connections where connection.isIdle { connection.tcp.closeAfterFlush() }
    guard !connections.isEmpty else {
      finishDraining()
      return
    }
    loop.schedule(after: graceNanoseconds) { self.close() }
  }

  package func close() {
    listener?.close()
    listener = nil
    for connection in connections { connection.tcp.close() }
    if let sweepTimer { loop.cancel(sweepTimer) }
    sweepTimer = nil
    finishDraining()
  }

  private func finishDraining() {
    let done = drained
    drained = nil
    done?()
  }

  // MARK: Connections

  /// A connection that another loop accepted; dropped when this server drains.
  package func accept(_ socket: AcceptedSocket) {
    guard !isDraining else { return }
    accept(TCPConnection(socket, loop: loop, options: Self.options(limits)))
  }

  private func accept(_ tcp: TCPConnection) {
    live.connectionsTotal += 1
    switch quota.take(ClientKey.of(tcp.remoteAddress), limits) {
    case .granted: break
    case .tooMany: return refuse(tcp, .text(503, "too many connections"))
    case .tooManyOfClient:
      return refuse(tcp, .text(429, "too many connections from this address"))
    }
    let connection = HTTPConnection(tcp: tcp, server: self)
    connection.position = connections.count
    connections.append(connection)
    live.connectionsOpen = connections.count
    tcp.hold(delegate: connection)
    scheduleSweep()
  }

  private func refuse(_ tcp: TCPConnection, _ response: HTTPResponse) {
    live.refused += 1
    let date = dateLine
    tcp.output.append(addingCapacity: ResponseWriter.headBytesMax(response, date)) { output in
      ResponseWriter.writeHead(
        response, framing: .length(response.body.count), closes: true, date: date,
        into: &output)
    }
    tcp.output.append(response.body)
    tcp.closeAfterFlush()
  }

  func remove(_ connection: HTTPConnection) {
    let position = connection.position
    guard position < connections.count, connections[position] === connection else { return }
    connections.swapAt(position, connections.count - 1)
    connections.removeLast()
    if position < connections.count { connections[position].position = position }
    live.connectionsOpen = connections.count
    quota.giveBack(ClientKey.of(connection.tcp.remoteAddress))
    if isDraining && connections.isEmpty { finishDraining() }
  }

  /// One timer for all connections, and only while there are some.
  private func scheduleSweep() {
    guard sweepTimer == nil else { return }
    sweepTimer = loop.schedule(after: 1_000_000_000) { [weak self] in self?.sweep() }
  }

  private func sweep() {
    sweepTimer = nil
    let now = loop.now
    for connection in connections { connection.sweep(now, limits) }
    if !connections.isEmpty { scheduleSweep() }
  }

  // MARK: Requests

  func handle(_ request: consuming HTTPRequest, _ connection: HTTPConnection, _ sequence: UInt64) {
    live.requests += 1
    let buffer = request.bytes
    let fields = request.fields
    handler(request, HTTPResponder(connection: connection, sequence: sequence))
    if buffer.capacity <= Self.spareBytesMax {
      spare = RequestBuffers(bytes: buffer, fields: fields)
    }
  }

  /// Gives the parser the buffers of the last request. One that is still held by its handler is
  /// replaced by a new one of the same size, as it is when there is none.
  func lendBuffers(to parser: inout RequestParser) {
    parser.adopt(&spare)
  }

  func takeBuffers(from parser: inout RequestParser) {
    parser.release(to: &spare)
  }

  func count(bytesIn: Int) { live.bytesIn += UInt64(bytesIn) }
  func count(bytesOut: Int) { live.bytesOut += UInt64(bytesOut) }
  func countRefused() { live.refused += 1 }

  /// The `Date` header, made once a second.
  var dateLine: [UInt8] {
    let second = loop.wallClock / 1_000_000_000
    if second != date.second {
      var line: [UInt8] = []
      line.append("Date: ")
      HTTPDate.append(secondsSince1970: second, to: &line)
      line.append("\r\n")
      date = (second, line)
    }
    return date.line
  }
}
