import HTTP
import Testing

@testable import ConsulAPI

/// Blocking queries (consul-api.md 4).
struct BlockingTests {
  let harness = APIHarness()

  private func park(_ target: String) -> APIHarness.Exchange { harness.send("GET", target) }

  @Test func aChangeWakesIt() throws {
    harness.put("/v1/kv/a", "1")
    let index = harness.get("/v1/kv/a").index
    let waiting = park("/v1/kv/a?index=\(index)&wait=10s")
    #expect(waiting.response == nil)
    #expect(harness.api.parkedCount == 1)
    harness.put("/v1/kv/b", "1")
    harness.put("/v1/kv/a", "1")
    #expect(waiting.response == nil, "neither another key nor the same value wakes")
    harness.put("/v1/kv/a", "2")
    let reply = Reply(try #require(waiting.response))
    #expect(reply.text.contains("\"Value\":\"Mg==\""))
    #expect(reply.index > index)
    #expect(harness.api.parkedCount == 0)
    #expect(harness.backend.timerCount == 0 && harness.backend.watchCount == 0)
  }

  @Test func itTimesOutWithDataWithinASixteenthMore() throws {
    harness.put("/v1/kv/a", "1")
    let waiting = park("/v1/kv/a?index=999999&wait=1600ms")
    harness.backend.advance(milliseconds: 1599)
    #expect(waiting.response == nil)
    harness.backend.advance(milliseconds: 101)
    let reply = Reply(try #require(waiting.response))
    #expect(reply.status == 200)
    #expect(reply.index < 999_999, "the current index, though it is lower")
    #expect(harness.backend.timerCount == 0 && harness.backend.watchCount == 0)
  }

  @Test func oldAndZeroIndexesDoNotWait() {
    harness.put("/v1/kv/a", "1")
    #expect(harness.get("/v1/kv/a?index=0&wait=5s").status == 200)
    #expect(harness.get("/v1/kv/a?index=1&wait=5s").status == 200)
    #expect(harness.get("/v1/kv/a?wait=5s").status == 200)
  }

  @Test func missingKeysWakeWhenTheyAreMade() throws {
    let index = harness.get("/v1/kv/a").index
    let waiting = park("/v1/kv/a?index=\(index)")
    harness.put("/v1/kv/a", "1")
    #expect(try #require(waiting.response).status == 200)
  }

  @Test func deletingTheTreeWakesPrefixes() throws {
    harness.put("/v1/kv/p/a", "1")
    let index = harness.get("/v1/kv/p/?keys").index
    let waiting = park("/v1/kv/p/?recurse&index=\(index)")
    harness.put("/v1/kv/q", "1")
    #expect(waiting.response == nil)
    _ = harness.ask("DELETE", "/v1/kv/?recurse")
    #expect(try #require(waiting.response).status == 404)
  }

  @Test func waitsAreCut() {
    _ = park("/v1/kv/a?index=99&wait=100h")
    harness.backend.advance(milliseconds: 637_500)
    #expect(harness.api.parkedCount == 0, "ten minutes and a sixteenth at most")
    _ = park("/v1/kv/a?index=99")
    harness.backend.advance(milliseconds: 299_999)
    #expect(harness.api.parkedCount == 1, "five minutes unless given")
  }

  @Test func anUnknownServiceWakesWithItsFirstInstance() throws {
    let index = harness.get("/v1/health/service/web").index
    let waiting = park("/v1/health/service/web?index=\(index)&passing")
    register("other")
    #expect(waiting.response == nil)
    register("web")
    let reply = Reply(try #require(waiting.response))
    #expect(reply.text.contains("\"Service\":\"web\""))
    #expect(reply.headers["X-Consul-Knownleader"] == "false", "as Consul's streaming answers")
  }

  private func register(_ service: String) {
    harness.put(
      "/v1/catalog/register",
      "{\"Node\":\"x\",\"Address\":\"10.0.0.1\",\"Service\":{\"Service\":\"\(service)\"}}")
  }

  @Test func unknownNodesAndListsWake() throws {
    let node = park("/v1/catalog/node/x?index=1")
    let nodes = park("/v1/catalog/nodes?index=\(harness.get("/v1/catalog/nodes").index)")
    let services = park("/v1/catalog/services?index=\(harness.get("/v1/catalog/services").index)")
    #expect(node.response == nil && nodes.response == nil && services.response == nil)
    register("web")
    #expect(node.response != nil && nodes.response != nil && services.response != nil)
  }

  @Test func sessionsWake() {
    let waiting = park("/v1/session/list?index=\(harness.get("/v1/session/list").index)")
    harness.put("/v1/session/create")
    #expect(waiting.response != nil)
  }

  @Test func agentServicesBlockOnTheirHash() throws {
    harness.put("/v1/agent/service/register", "{\"Name\":\"web\"}")
    let first = harness.get("/v1/agent/service/web")
    let hash = try #require(first.headers["X-Consul-Contenthash"])
    #expect(first.text.contains("\"ContentHash\":\"\(hash)\""))
    #expect(harness.get("/v1/agent/service/web?hash=0&wait=10s").status == 200)
    let waiting = park("/v1/agent/service/web?hash=\(hash)&wait=10s")
    #expect(waiting.response == nil)
    harness.put("/v1/agent/service/register", "{\"Name\":\"web\",\"Port\":1}")
    let reply = Reply(try #require(waiting.response))
    #expect(reply.headers["X-Consul-Contenthash"] != hash)
  }

  @Test func tooManyAreAnsweredAtOnce() {
    var limits = APILimits()
    limits.parkedMax = 1
    let small = APIHarness(limits: limits)
    let first = small.send("GET", "/v1/kv/a?index=9")
    #expect(first.response == nil)
    #expect(small.send("GET", "/v1/kv/a?index=9").response?.status == 404)
  }

  @Test func clientsThatLeaveLeaveNothingBehind() {
    let waiting = park("/v1/kv/a?index=9")
    #expect(harness.api.parkedCount == 1)
    waiting.responder?.disconnect()
    #expect(harness.api.parkedCount == 0)
    #expect(harness.backend.timerCount == 0 && harness.backend.watchCount == 0)
    harness.put("/v1/kv/a", "1")
    #expect(waiting.response == nil)
  }

  @Test func blockedReadsBarrierOnce() {
    let waiting = park("/v1/kv/a?index=9")
    harness.put("/v1/kv/a", "1")
    harness.put("/v1/kv/a", "2")
    #expect(harness.backend.barriers == 1)
    #expect(waiting.response == nil, "the index is still below")
  }
}
