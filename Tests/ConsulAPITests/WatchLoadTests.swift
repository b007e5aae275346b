import EventLoop
import HTTP
import Node
import Registry
import Testing

@testable import ConsulAPI

/// Blocking queries on a real node under writes: whoever waits for one key sleeps until that key is
/// written, and is woken by nothing else.
struct WatchLoadTests {
  /// One node in memory with its API, asked in process; the test turns its loop.
  final class Fixture {
    let loop: EventLoop
    let node: Node
    let duties: Duties
    let api: ConsulAPI<Node>

    init() throws {
      loop = try EventLoop()
      let overrides = [
        (path: "ports.http", value: "-1"), (path: "ports.peer", value: "0"),
        (path: "ports.dns", value: "-1"),
      ]
      let parsed = NodeConfiguration.development(overrides: overrides)
      guard case .valid(let configuration) = parsed else { throw Failure() }
      node = try Node(configuration: configuration, loop: loop)
      duties = Duties(node: node)
      api = ConsulAPI.make(node: node)
      node.start()
      let node = node
      guard run(until: { node.isEstablishedLeader }) else { throw Failure() }
    }

    struct Failure: Error {}

    func run(until isDone: () -> Bool) -> Bool {
      loop.run(forAtMost: 60_000_000_000, until: isDone)
    }

    func send(
      _ method: HTTPMethod, _ target: String, _ body: String = "",
      _ done: @escaping (HTTPResponse) -> Void
    ) {
      let request = HTTPRequest(method: method, target: target, body: Array(body.utf8))
      api.handle(request, HTTPResponder { done($0) })
    }

    /// `count` writes, so many at a time as a busy node has.
    func write(_ count: Int, _ value: String = "", _ key: (Int) -> String) -> Bool {
      var answered = 0
      var sent = 0
      while sent < count {
        while sent < count, sent - answered < 256 {
          send(.put, "/v1/kv/\(key(sent))", "\(value)\(sent)") { _ in answered += 1 }
          sent += 1
        }
        guard run(until: { answered > sent - 128 }) else { return false }
      }
      return run(until: { answered == count })
    }

    var wakes: UInt64 {
      node.metrics.counters().first { $0.name == "roost.blocking_queries.wakes" }?.value ?? 0
    }

    func stop() {
      duties.stop()
      var isStopped = false
      node.stop { isStopped = true }
      _ = run(until: { isStopped })
    }
  }

  @Test(.timeLimit(.minutes(3))) func onlyItsOwnKeyWakesAWatcher() throws {
    let fixture = try Fixture()
    #expect(fixture.write(200) { "load/\($0)" })
    var answers: [Int: String] = [:]
    let watched = [0, 77, 199]
    for number in watched {
      fixture.send(.get, "/v1/kv/load/\(number)?raw&index=1000000&wait=600s") { response in
        answers[number] = String(decoding: response.body, as: UTF8.self)
      }
    }
    fixture.send(.get, "/v1/kv/load/never?index=1000000&wait=600s") { _ in answers[-1] = "" }
    #expect(fixture.run(until: { fixture.api.parkedCount == 4 }))
    // Keys beside, below and above the watched ones.
    #expect(
      fixture.write(4000) { number in
        switch number % 4 {
        case 0: "load/77/\(number)"
        case 1: "load/\(number + 1000)"
        case 2: "load"
        default: "load/7"
        }
      })
    #expect(fixture.wakes == 0 && answers.isEmpty)
    #expect(fixture.api.parkedCount == 4)
    fixture.stop()
  }

  @Test(.timeLimit(.minutes(3))) func everyWatcherIsWokenOnceByItsKey() throws {
    let fixture = try Fixture()
    #expect(fixture.write(300) { "k/\($0)" })
    var indexes: [UInt64] = []
    fixture.send(.get, "/v1/kv/k/?recurse") { response in
      for case ("X-Consul-Index", let index) in response.allHeaders {
        indexes += [UInt64(index)].compactMap(\.self)
      }
    }
    #expect(fixture.run(until: { indexes.count == 1 }))
    var answers: [Int: String] = [:]
    for number in 0..<300 {
      fixture.send(.get, "/v1/kv/k/\(number)?raw&index=\(indexes[0])&wait=600s") { response in
        answers[number] = String(decoding: response.body, as: UTF8.self)
      }
    }
    #expect(fixture.run(until: { fixture.api.parkedCount == 300 }))
    #expect(fixture.write(150, "new") { "k/\(2 * $0)" })
    #expect(fixture.run(until: { answers.count == 150 }))
    #expect(fixture.wakes == 150 && fixture.api.parkedCount == 150)
    for number in 0..<150 { #expect(answers[2 * number] == "new\(number)") }
    fixture.stop()
  }
}
