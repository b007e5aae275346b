import EventLoop
import HTTP
import Node
import Testing

@testable import ConsulAPI

/// The API on threads of its own, over real sockets; clients and core share the test's thread.
@Suite(.serialized) struct HTTPThreadsTests {
  private typealias Response = HTTPClient.Response

  private final class Setup {
    let loop: EventLoop
    let node: Node
    let duties: Duties
    let threads: HTTPThreads

    init(_ count: Int, limits: HTTPLimits = HTTPLimits()) throws {
      loop = try EventLoop()
      var configuration = NodeConfiguration(nodeName: "io")
      configuration.isDevelopment = true
      configuration.ports.peer = 0
      configuration.ports.http = 0
      configuration.logLevel = .error
      node = try Node(configuration: configuration, loop: loop)
      duties = Duties(node: node)
      threads = try HTTPThreads(
        node: node, address: SocketAddress(ip: [127, 0, 0, 1], port: 0), count: count,
        limits: limits)
      node.start()
      let node = node
      #expect(loop.run(forAtMost: 60_000_000_000) { node.isEstablishedLeader })
    }

    /// On a connection of its own, hence on the next thread.
    func send(
      _ method: String, _ target: String, _ body: String = "",
      done: @escaping (Result<Response, HTTPClient.Failure>) -> Void
    ) {
      _ = HTTPClient.send(
        HTTPClient.Request(
          method: method, address: threads.localAddress, host: "io", target: target,
          body: Array(body.utf8)),
        loop: loop, timeoutNanoseconds: 60_000_000_000, bodyBytesMax: 1 << 20, done: done)
    }

    func exchange(_ method: String, _ target: String, _ body: String = "") throws -> Response {
      var result: Result<Response, HTTPClient.Failure>?
      send(method, target, body) { result = $0 }
      #expect(loop.run(forAtMost: 60_000_000_000) { result != nil })
      return try #require(result).get()
    }

    func stop() {
      var left = 2
      threads.drain(
        graceNanoseconds: 1_000_000_000,
        begun: { [self] in node.stop { left -= 1 } }, done: { left -= 1 })
      #expect(loop.run(forAtMost: 60_000_000_000) { left == 0 })
      duties.stop()
      threads.end()
    }
  }

  private func text(_ response: Response) -> String {
    String(decoding: response.body, as: UTF8.self)
  }

  @Test func everyThreadShowsWhatAnyWrote() throws {
    let setup = try Setup(3)
    for round in 0..<20 {
      #expect(try text(setup.exchange("PUT", "/v1/kv/k", "\(round)")) == "true")
      #expect(try text(setup.exchange("GET", "/v1/kv/k?raw")) == "\(round)")
      // A write's answer comes with its version, for all threads: no barrier is needed to see it.
      let stale = try setup.exchange("GET", "/v1/kv/k?raw&stale")
      #expect(text(stale) == "\(round)")
      #expect(stale.header("X-Consul-KnownLeader") == "true")
    }
    setup.stop()
  }

  @Test func aBlockingQueryIsWokenThroughAnotherThread() throws {
    let setup = try Setup(2)
    _ = try setup.exchange("PUT", "/v1/kv/k", "a")
    var answers: [String] = []
    let index = try setup.exchange("GET", "/v1/kv/k").header("X-Consul-Index") ?? "0"
    for _ in 0..<4 {
      setup.send("GET", "/v1/kv/k?raw&wait=50s&index=\(index)") { result in
        if case .success(let response) = result {
          answers.append(String(decoding: response.body, as: UTF8.self))
        }
      }
    }
    #expect(!setup.loop.run(forAtMost: 100_000_000) { !answers.isEmpty })
    _ = try setup.exchange("PUT", "/v1/kv/k", "b")
    #expect(setup.loop.run(forAtMost: 20_000_000_000) { answers.count == 4 })
    #expect(answers == ["b", "b", "b", "b"])
    let metrics = try text(setup.exchange("GET", "/v1/agent/metrics?format=prometheus"))
    #expect(metrics.contains("roost_blocking_queries_wakes"))
    setup.stop()
  }

  /// What was read before the drain is answered; nobody is let in afterwards.
  @Test func drainingAnswersWhatIsUnderWay() throws {
    let setup = try Setup(2)
    var results: [Result<Response, HTTPClient.Failure>] = []
    for number in 0..<40 {
      setup.send("PUT", "/v1/kv/d\(number)", "x") { results.append($0) }
    }
    // All of them connected, some of them served.
    #expect(setup.loop.run(forAtMost: 60_000_000_000) { !results.isEmpty })
    setup.stop()
    #expect(setup.loop.run(forAtMost: 60_000_000_000) { results.count == 40 })
    for result in results {
      // A connection that had sent nothing yet when the drain began is closed without an answer.
      guard case .success(let response) = result else { continue }
      #expect(response.status == 200)
    }
  }

  @Test func leaveAndReloadReachTheCore() throws {
    let setup = try Setup(2)
    var calls: [String] = []
    setup.threads.onLeave = { calls.append("leave") }
    setup.threads.onReload = { calls.append("reload") }
    #expect(try setup.exchange("PUT", "/v1/agent/reload").status == 200)
    #expect(try setup.exchange("PUT", "/v1/agent/leave").status == 200)
    #expect(setup.loop.run(forAtMost: 20_000_000_000) { calls == ["reload", "leave"] })
    setup.stop()
  }

  /// The limits on connections hold for all threads together.
  @Test func theLimitsAreThoseOfThePort() throws {
    var limits = HTTPLimits()
    limits.connectionsPerClientMax = 3
    let setup = try Setup(2, limits: limits)
    let index = try setup.exchange("GET", "/v1/catalog/nodes").header("X-Consul-Index") ?? "0"
    var isOver = false
    // Asked again when it is refused itself: the connection of an exchange may still count.
    func park() {
      setup.send("GET", "/v1/kv/none?index=\(index)&wait=50s") { _ in if !isOver { park() } }
    }
    for _ in 0..<3 { park() }
    var status = 0
    #expect(
      setup.loop.run(forAtMost: 60_000_000_000) {
        status = (try? setup.exchange("GET", "/v1/status/leader"))?.status ?? 0
        return status == 429
      })
    isOver = true
    setup.stop()
  }
}
