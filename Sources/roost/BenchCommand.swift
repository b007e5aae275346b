internal import EventLoop
internal import Node

extension Command {
  private static let benchFlags = [
    Flag("http-addr", "HOST:PORT", "the node to load (127.0.0.1:8500)"),
    Flag("connections", "N", "clients, each with one request under way (64)"),
    Flag("seconds", "N", "how long (5)"),
    Flag("value-bytes", "N", "size of the values (128)"),
    Flag("keys", "N", "how many different keys (10000)"),
    Flag("stale", "get: read the node's local state"),
  ]

  static let bench = Command(
    name: "bench", summary: "load a node and print throughput and latencies",
    usage: "put|get [--connections N] [--seconds N]", flags: benchFlags,
    details: """
      Closed loop: every client sends its next request when the last one is answered. `get` first
      writes the keys that it reads.
      """
  ) { input in
    let arguments = try Arguments(input, flags: benchFlags)
    try arguments.expect("put or get")
    guard let kind = BenchRun.Kind(rawValue: arguments.words[0]) else {
      throw UsageError("\"\(arguments.words[0])\" is neither put nor get")
    }
    let text = arguments.value("http-addr") ?? "127.0.0.1:8500"
    guard let address = SocketAddress(parsing: text) else {
      throw UsageError("--http-addr takes IP:PORT, not \"\(text)\"")
    }
    func number(_ name: String, _ fallback: UInt64, _ range: ClosedRange<UInt64>)
      throws(UsageError) -> Int
    {
      let value = try arguments.number(name) ?? fallback
      guard range.contains(value) else {
        throw UsageError("--\(name) takes \(range.lowerBound) to \(range.upperBound)")
      }
      return Int(value)
    }
    var options = BenchRun.Options(kind: kind, address: address)
    options.connections = try number("connections", 64, 1...10_000)
    options.seconds = try number("seconds", 5, 1...3600)
    options.valueBytes = try number("value-bytes", 128, 0...(512 << 10))
    options.keys = try number("keys", 10_000, 1...10_000_000)
    options.isStale = arguments.has("stale")
    if kind == .get {
      var fill = options
      fill.kind = .put
      fill.requestsMax = options.keys
      let filled = try BenchRun(fill).run()
      guard filled.errors == 0 else { throw CommandFailure(filled.failureText) }
    }
    let result = try BenchRun(options).run()
    Console.write(result.render(options))
    return result.errors == 0 && result.latencies.count > 0 ? 0 : 1
  }
}

/// One closed-loop run on an event loop of its own.
final class BenchRun {
  enum Kind: String {
    case put
    case get
  }

  struct Options {
    var kind: Kind
    var address: SocketAddress
    var connections = 64
    var seconds = 5
    var valueBytes = 128
    var keys = 10_000
    var isStale = false
    /// Ends the run early, after so many requests.
    var requestsMax: Int?

    init(kind: Kind, address: SocketAddress) {
      self.kind = kind
      self.address = address
    }
  }

  struct Result {
    /// Microseconds.
    var latencies = Histogram()
    var errors = 0
    var firstError = ""
    var nanoseconds: UInt64 = 0

    var failureText: String { "\(errors) requests failed; the first: \(firstError)" }

    func render(_ options: Options) -> String {
      let perSecond = nanoseconds == 0 ? 0 : latencies.count * 1_000_000_000 / nanoseconds
      var text =
        "\(options.kind.rawValue) at \(options.address), \(options.connections) connections\n"
      text +=
        "  \(latencies.count) requests in \(nanoseconds / 1_000_000) ms: \(perSecond) per second\n"
      let points: [(String, Double)] = [
        ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1),
      ]
      text += "  latency in µs: "
      text += points.map { "\($0.0) \(latencies.quantile($0.1))" }.joined(separator: ", ")
      return text + "\n" + (errors > 0 ? "  \(failureText)\n" : "")
    }
  }

  private let options: Options
  private let loop: EventLoop
  private var clients: [BenchClient] = []
  private var result = Result()
  private var sent = 0
  private var open = 0
  private var deadline: UInt64 = 0

  init(_ options: Options) throws(SystemError) {
    self.options = options
    loop = try EventLoop()
  }

  func run() throws(SystemError) -> Result {
    let begin = loop.now
    deadline = begin + UInt64(options.seconds) * 1_000_000_000
    open = options.connections
    for _ in 0..<options.connections {
      clients.append(BenchClient(run: self, loop: loop, address: options.address))
    }
    // Whatever happens to the node, the run ends.
    loop.schedule(after: UInt64(options.seconds + 10) * 1_000_000_000) { [loop] in loop.stop() }
    loop.run()
    result.nanoseconds = loop.now - begin
    return result
  }

  /// The bytes of the next request; nil when the run is over.
  func nextRequest() -> [UInt8]? {
    guard loop.now < deadline, sent < options.requestsMax ?? .max else { return nil }
    let key = sent % options.keys
    sent += 1
    switch options.kind {
    case .put:
      let head =
        "PUT /v1/kv/bench/\(key) HTTP/1.1\r\nHost: bench\r\nContent-Length: \(options.valueBytes)\r\n\r\n"
      return Array(head.utf8) + [UInt8](repeating: UInt8(ascii: "x"), count: options.valueBytes)
    case .get:
      let mode = options.isStale ? "?stale" : ""
      return Array("GET /v1/kv/bench/\(key)\(mode) HTTP/1.1\r\nHost: bench\r\n\r\n".utf8)
    }
  }

  func finished(status: Int, startedAt: UInt64, body: @autoclosure () -> String) {
    guard status == 200 else {
      failed("status \(status): \(body())")
      return
    }
    result.latencies.record((loop.now - startedAt) / 1000)
  }

  func failed(_ reason: String) {
    result.errors += 1
    if result.firstError.isEmpty { result.firstError = reason }
  }

  func clientEnded() {
    open -= 1
    if open == 0 { loop.stop() }
  }
}

/// One connection with one request under way.
private final class BenchClient: TCPConnectionDelegate {
  private unowned let run: BenchRun
  private let loop: EventLoop
  private var connection: TCPConnection?
  private var startedAt: UInt64 = 0

  init(run: BenchRun, loop: EventLoop, address: SocketAddress) {
    self.run = run
    self.loop = loop
    connection = TCPConnection(
      connectingTo: address, loop: loop, options: TCPConnection.Options(), delegate: self)
  }

  private func sendNext(_ connection: TCPConnection) {
    guard let request = run.nextRequest() else {
      connection.close()
      return
    }
    startedAt = loop.now
    connection.output.append(request)
    connection.flushAtTurnEnd()
  }

  func connectionDidConnect(_ connection: TCPConnection) { sendNext(connection) }

  func connectionDidRead(_ connection: TCPConnection) {
    let bytes = Array(connection.input.storage[connection.input.readableRange])
    guard let (status, head, body) = Self.measure(bytes), bytes.count >= head + body else { return }
    connection.input.consume(head + body)
    run.finished(
      status: status, startedAt: startedAt,
      body: String(decoding: bytes[head..<head + body], as: UTF8.self))
    sendNext(connection)
  }

  func connectionDidReachEOF(_ connection: TCPConnection) {
    run.failed("the node closed the connection")
    connection.close()
  }

  func connectionDidDrain(_ connection: TCPConnection) {}

  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    if let error { run.failed(error.description) }
    self.connection = nil
    run.clientEnded()
  }

  /// Status, bytes of the head, bytes of the body; nil while the head is not whole.
  private static func measure(_ bytes: [UInt8]) -> (status: Int, head: Int, body: Int)? {
    guard bytes.count > 12 else { return nil }
    var status = 0
    for byte in bytes[9..<12] { status = status * 10 + Int(byte &- 0x30) }
    var length = 0
    var i = 12
    while i + 3 < bytes.count {
      if bytes[i] == 13, bytes[i + 1] == 10 {
        if bytes[i + 2] == 13 { return (status, i + 4, length) }
        if let found = contentLength(bytes, at: i + 2) { length = found }
      }
      i += 1
    }
    return nil
  }

  private static let name = Array("content-length:".utf8)

  private static func contentLength(_ bytes: [UInt8], at start: Int) -> Int? {
    guard start + name.count < bytes.count else { return nil }
    for (offset, byte) in name.enumerated() where bytes[start + offset] | 0x20 != byte | 0x20 {
      return nil
    }
    var value = 0
    for byte in bytes[(start + name.count)...] {
      if byte == 0x20 { continue }
      guard byte >= 0x30, byte <= 0x39 else { break }
      value = value * 10 + Int(byte - 0x30)
    }
    return value
  }
}
