internal import EventLoop

/// One run of load from an event loop of its own: closed loop (every client sends its next request
/// when the last one is answered) or open loop at a fixed rate.
///
/// In the open loop a request's latency counts from the time at which it was due, also when no
/// client was free then: a server that stalls is charged for everything that waited (no coordinated
/// omission). Time starts when every connection is up. **Failures**: whatever happens to the
/// server, the run ends; what was under way then counts as an error.
final class LoadRun {
  struct Options {
    /// Connections are spread over them.
    var addresses: [SocketAddress]
    var work = LoadWork()
    var connections = 64
    /// Requests under way per connection.
    var depth = 1
    var seconds = 5.0
    var requestsMax: UInt64?
    /// Requests per second of the open loop; nil: closed loop.
    var rate: Double?
    var showsProgress = false
  }

  struct Result {
    /// Nanoseconds.
    var latencies = LatencyHistogram()
    var errors: UInt64 = 0
    var firstError = ""
    var nanoseconds: UInt64 = 0
    var bytesReceived: UInt64 = 0

    var perSecond: Double {
      nanoseconds == 0 ? 0 : Double(latencies.count) * 1e9 / Double(nanoseconds)
    }
    var failureText: String { "\(errors) requests failed; the first: \(firstError)" }
  }

  private let options: Options
  private let loop: EventLoop
  private var clients: [LoadConnection] = []
  private var result = Result()
  private var ready = 0
  private var open = 0
  private var sent: UInt64 = 0
  private var begin: UInt64 = 0
  private var deadline: UInt64 = 0
  private var lastAnswer: UInt64 = 0
  private var isRunning = false
  /// Where the search for a free client goes on.
  private var nextClient = 0

  private static let connectNanosecondsMax: UInt64 = 10_000_000_000
  private static let graceNanoseconds: UInt64 = 10_000_000_000
  private static let progressNanoseconds: UInt64 = 1_000_000_000

  init(_ options: Options) throws(SystemError) {
    self.options = options
    loop = try EventLoop()
  }

  func run() -> Result {
    open = options.connections
    for number in 0..<options.connections {
      let address = options.addresses[number % options.addresses.count]
      clients.append(
        LoadConnection(
          run: self, work: options.work, depth: options.depth, loop: loop, address: address))
    }
    loop.schedule(after: Self.connectNanosecondsMax) { [unowned self] in
      guard !isRunning else { return }
      failed("only \(ready) of \(options.connections) connections could be made")
      loop.stop()
    }
    loop.run()
    result.nanoseconds = max(1, lastAnswer - min(begin, lastAnswer))
    return result
  }

  private func start() {
    isRunning = true
    begin = loop.now
    lastAnswer = begin
    deadline = begin + UInt64(options.seconds * 1e9)
    for client in clients { client.fill() }
    // There were fewer requests than clients.
    if isOver { closeIdle() }
    if options.rate != nil { scheduleTick() }
    loop.schedule(after: UInt64(options.seconds * 1e9)) { [unowned self] in closeIdle() }
    loop.schedule(after: UInt64(options.seconds * 1e9) + Self.graceNanoseconds) {
      [unowned self] in
      for client in clients { client.close() }
      loop.stop()
    }
    if options.showsProgress { scheduleProgress() }
  }

  private func closeIdle() {
    for client in clients where client.isIdle { client.close() }
  }

  private var isOver: Bool {
    loop.now >= deadline || sent >= options.requestsMax ?? .max
  }

  /// The next request and the time its latency counts from; nil when none is due.
  func takeRequest() -> (number: UInt64, startedAt: UInt64)? {
    guard isRunning, !isOver else { return nil }
    var startedAt = loop.now
    if let rate = options.rate {
      startedAt = begin + UInt64(Double(sent) * 1e9 / rate)
      guard startedAt <= loop.now else { return nil }
    }
    sent += 1
    return (sent - 1, startedAt)
  }

  /// Hands what is due to the clients that are free.
  private func scheduleTick() {
    loop.schedule(after: 500_000) { [unowned self] in
      guard !isOver else { return closeIdle() }
      for _ in clients.indices {
        let due = begin + UInt64(Double(sent) * 1e9 / (options.rate ?? 1))
        guard due <= loop.now else { break }
        clients[nextClient].fill()
        nextClient = (nextClient + 1) % clients.count
      }
      scheduleTick()
    }
  }

  private func scheduleProgress() {
    loop.schedule(after: Self.progressNanoseconds) { [unowned self] in
      guard !isOver else { return }
      let seconds = Double(loop.now - begin) / 1e9
      let rate = Int(Double(result.latencies.count) / seconds)
      Progress.show("\(Int(seconds)) s: \(rate) per second, \(result.errors) errors")
      scheduleProgress()
    }
  }

  // MARK: What the clients tell

  func connectionIsReady(_ client: LoadConnection) {
    ready += 1
    if ready == options.connections { start() }
  }

  func connectionIsFree(_ client: LoadConnection) {
    client.fill()
    if isOver, client.isIdle { client.close() }
  }

  func succeeded(startedAt: UInt64) {
    lastAnswer = loop.now
    result.latencies.record(loop.now - min(startedAt, loop.now))
  }

  func failed(_ reason: String, count: Int = 1) {
    lastAnswer = loop.now
    result.errors += UInt64(count)
    if result.firstError.isEmpty { result.firstError = reason }
  }

  func count(received bytes: Int) { result.bytesReceived += UInt64(bytes) }

  func connectionEnded(_ client: LoadConnection, lost: Int, _ reason: String) {
    if lost > 0 { failed(reason, count: lost) }
    if !isRunning, result.firstError.isEmpty { failed(reason) }
    open -= 1
    if open == 0 { loop.stop() }
  }
}

/// One line on the terminal that is written over; nothing when there is no terminal.
enum Progress {
  static func show(_ text: String) {
    if Console.isTerminal { Console.write("\r\u{1B}[K\(text)") }
  }
  static func clear() {
    if Console.isTerminal { Console.write("\r\u{1B}[K") }
  }
}
