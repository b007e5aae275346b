import HTTP
import Node
import Registry
import Testing

@testable import ConsulAPI

/// `/v1/stream`.
struct StreamTests {
  private func limits(entries: Int = 1000) -> APILimits {
    var limits = APILimits()
    limits.changeLogEntriesMax = entries
    return limits
  }

  /// What a stream has written so far, as lines.
  private func lines(_ harness: APIHarness, _ responder: HTTPResponder) -> [String] {
    for _ in 0..<20 { harness.backend.advance(milliseconds: 0) }
    return String(decoding: responder.streamedSoFar, as: UTF8.self)
      .split(separator: "\n").map(String.init)
  }

  private func open(_ harness: APIHarness, _ query: String) -> HTTPResponder {
    let responder = HTTPResponder { _ in Issue.record("the stream ended") }
    harness.api.handle(
      HTTPRequest(method: .get, target: "/v1/stream?\(query)"), responder)
    harness.backend.run()
    return responder
  }

  @Test func changesFollowTheIndex() {
    let harness = APIHarness(limits: limits())
    harness.put("/v1/kv/a/1", "x")
    let index = harness.backend.registry.stateIndex
    harness.put("/v1/kv/a/2", "y")
    let stream = open(harness, "prefix=a/&index=\(index)")
    harness.put("/v1/kv/b", "outside")
    harness.put("/v1/kv/a/2", "z")
    _ = harness.ask("DELETE", "/v1/kv/a/1")
    _ = harness.ask("DELETE", "/v1/kv/a?recurse")
    #expect(
      lines(harness, stream) == [
        #"{"Type":"kv","OldIndex":0,"Index":\#(index + 1),"Key":"a/2","Flags":0,"Value":"eQ=="}"#,
        #"{"Type":"kv","OldIndex":\#(index + 1),"Index":\#(index + 3),"Key":"a/2","Flags":0,"Value":"eg=="}"#,
        #"{"Type":"kv-delete","OldIndex":\#(index),"Index":\#(index + 4),"Key":"a/1"}"#,
        #"{"Type":"kv-delete-tree","OldIndex":0,"Index":\#(index + 5),"Key":"a"}"#,
      ])
    harness.backend.advance(milliseconds: 5000)
    #expect(lines(harness, stream).last == #"{"Type":"heartbeat","Index":\#(index + 5)}"#)
    stream.disconnect()
    #expect(harness.api.streams.isEmpty)
  }

  @Test func historyThatIsGoneIsSaidAndTheStateFollows() {
    let harness = APIHarness(limits: limits(entries: 3))
    for i in 0..<10 { harness.put("/v1/kv/k\(i)", "v") }
    let index = harness.backend.registry.stateIndex
    let stream = open(harness, "prefix=&index=\(index - 5)")
    let shown = lines(harness, stream)
    #expect(shown.count == 12)
    #expect(shown.first == #"{"Type":"resync","Index":\#(index)}"#)
    #expect(shown.last == #"{"Type":"synced","Index":\#(index)}"#)
    #expect(shown[1].contains(#""Key":"k0""#) && shown[10].contains(#""Key":"k9""#))
    harness.put("/v1/kv/k1", "w")
    #expect(lines(harness, stream).count == 13)
    // What is still there is told without.
    let near = open(harness, "prefix=&index=\(index - 1)")
    #expect(lines(harness, near).count == 2)
    let far = open(harness, "prefix=&index=\(index + 100)")
    #expect(lines(harness, far).first?.hasPrefix(#"{"Type":"resync""#) == true)
  }

  @Test func instancesAreShownWholeAndTheirEndToo() {
    let harness = APIHarness(limits: limits())
    let index = harness.backend.registry.stateIndex
    let stream = open(harness, "service=WEB&index=\(index)")
    harness.put("/v1/agent/service/register", #"{"Name":"web","ID":"w1","Check":{"TTL":"10s"}}"#)
    harness.put("/v1/agent/service/register", #"{"Name":"db"}"#)
    harness.put("/v1/agent/check/pass/service:w1")
    harness.put("/v1/agent/service/deregister/w1")
    let shown = lines(harness, stream)
    #expect(shown.count == 3)
    #expect(shown[0].hasPrefix(#"{"Type":"service","OldIndex":"#))
    #expect(shown[0].contains(#""ID":"w1","Instance":{"Node":{"#))
    #expect(shown[0].contains(#""Status":"critical""#) && !shown[0].contains("More"))
    #expect(!shown[1].contains(#""Status":"critical""#))
    #expect(shown[2].hasPrefix(#"{"Type":"service-delete","#))
  }

  @Test func linesOfOneIndexAreMarked() {
    let harness = APIHarness(limits: limits())
    let stream = open(harness, "prefix=&index=\(harness.backend.registry.stateIndex)")
    harness.put(
      "/v1/txn",
      #"[{"KV":{"Verb":"set","Key":"a","Value":""}},{"KV":{"Verb":"set","Key":"b","Value":""}}]"#)
    let shown = lines(harness, stream)
    #expect(shown.count == 2)
    #expect(shown.map { $0.contains(#""More":true"#) } == [true, false])
  }

  @Test func aRestoreIsAResync() {
    let harness = APIHarness(limits: limits())
    harness.put("/v1/kv/a", "x")
    guard let archive = harness.send("GET", "/v1/snapshot").response?.body else {
      Issue.record("no archive")
      return
    }
    let stream = open(harness, "prefix=&index=\(harness.backend.registry.stateIndex)")
    #expect(lines(harness, stream).isEmpty)
    #expect(harness.send("PUT", "/v1/snapshot", bytes: archive).response?.status == 200)
    let shown = lines(harness, stream)
    #expect(shown.first?.hasPrefix(#"{"Type":"resync""#) == true)
    #expect(shown.last?.hasPrefix(#"{"Type":"synced""#) == true && shown.count == 3)
  }

  @Test func streamsAreCounted() {
    var limits = APILimits()
    limits.streamsMax = 1
    let harness = APIHarness(limits: limits)
    let stream = open(harness, "")
    #expect(harness.get("/v1/stream").status == 503)
    #expect(harness.get("/v1/stream?index=x").line == "400 Invalid index")
    stream.disconnect()
  }

  @Test func theLogCanBeFollowed() {
    let harness = APIHarness()
    let responder = HTTPResponder { _ in }
    harness.api.handle(
      HTTPRequest(method: .get, target: "/v1/agent/monitor?loglevel=debug"), responder)
    harness.backend.logger.log(.debug, "test", "hello")
    harness.backend.run()
    #expect(String(decoding: responder.streamedSoFar, as: UTF8.self).hasSuffix("test: hello\n"))
    responder.disconnect()
    #expect(!harness.backend.logger.isEnabled(.debug) && harness.api.monitors == 0)
    #expect(
      harness.get("/v1/agent/monitor?loglevel=x").line == "400 Bad request: Unknown log level: x")
  }
}
