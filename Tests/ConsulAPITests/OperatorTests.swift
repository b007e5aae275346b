import Node
import Raft
import Testing

@testable import ConsulAPI

/// `/v1/operator` (consul-api.md 13).
struct OperatorTests {
  let harness = APIHarness()
  private let id = MemoryBackend.uuid(of: NodeID(1))

  @Test func raftConfiguration() {
    #expect(
      harness.get("/v1/operator/raft/configuration").text.hasPrefix(
        "{\"Servers\":[{\"ID\":\"\(id)\",\"Node\":\"n1\",\"Address\":\"127.0.0.1:8300\","
          + "\"Leader\":true,\"ProtocolVersion\":\"3\",\"Voter\":true"))
  }

  @Test(arguments: [
    (
      "",
      "400 Bad request: Must specify either ?id with the server's ID or ?address with IP:port "
        + "of peer to remove"
    ),
    ("?id=a&address=b", "400 Bad request: Must specify only one of ?id or ?address"),
    ("?id=x", "500 id \"x\" was not found in the Raft configuration"),
    ("?address=a", "500 address \"a\" was not found in the Raft configuration"),
    ("?address=127.0.0.1:8300", "200 "),
  ])
  func peersAreRemoved(_ row: (query: String, line: String)) {
    #expect(harness.ask("DELETE", "/v1/operator/raft/peer" + row.query).line == row.line)
    #expect(harness.backend.removed.isEmpty == (row.line != "200 "))
  }

  @Test func peersAreAdded() {
    let path = "/v1/operator/raft/peer"
    #expect(harness.put(path).line.hasPrefix("400 Must specify ?name"))
    #expect(harness.put(path + "?name=n2&address=x").line.hasPrefix("400 Must specify ?address"))
    #expect(harness.put(path + "?name=n2&address=127.0.0.1:8301").line == "200 ")
    #expect(harness.backend.added == ["n2 127.0.0.1:8301"])
  }

  @Test func ownStatusNeedsNoLeader() {
    harness.backend.failure = .noLeader
    let reply = harness.get("/v1/roost/status")
    #expect(reply.status == 200 && reply.json != nil)
    #expect(reply.text.hasPrefix("{\"Node\":\"n1\",\"ID\":\"\(id)\",\"Role\":\"follower\""))
  }

  @Test func leadershipIsTransferred() {
    let path = "/v1/operator/raft/transfer-leader"
    #expect(harness.ask("POST", path).line == "200 {\"Success\":true}")
    #expect(harness.backend.transferredTo == .some(nil))
    #expect(harness.put(path + "?id=" + id).status == 200)
    #expect(harness.backend.transferredTo == .some(NodeID(1)))
    #expect(harness.put(path + "?id=x").status == 500)
  }

  @Test func autopilot() {
    let path = "/v1/operator/autopilot/configuration"
    #expect(harness.get(path).text.contains("\"LastContactThreshold\":\"200ms\""))
    #expect(
      harness.put(path, "bad").text.hasPrefix("Bad request: Error parsing autopilot config: "))
    #expect(
      harness.put(path + "?cas=x", "{}").text.hasPrefix("Bad request: Error parsing cas value: "))
    #expect(harness.put(path, "{\"MinQuorum\":3}").line == "200 true")
    let healthy = harness.get("/v1/operator/autopilot/health")
    #expect(healthy.status == 200)
    #expect(healthy.text.hasPrefix("{\"Healthy\":true,\"FailureTolerance\":0,\"Servers\":[{"))
    var lost = harness.backend.members[0]
    lost.id = NodeID(2)
    lost.isReachable = false
    harness.backend.members.append(lost)
    let unwell = harness.get("/v1/operator/autopilot/health")
    #expect(unwell.status == 429 && unwell.text.contains("\"SerfStatus\":\"failed\""))
    #expect(harness.get("/v1/operator/autopilot/state").text.contains("\"Leader\":\"\(id)\""))
  }

  @Test func others() {
    #expect(harness.get("/v1/status/leader").line == "200 \"127.0.0.1:8300\"")
    #expect(harness.get("/v1/operator/keyring").text.contains("encryption not enabled"))
    #expect(harness.get("/v1/operator/usage").text.contains("\"Nodes\":1"))
    #expect(harness.put("/v1/config", "{\"Kind\":\"bogus\"}").text.hasSuffix("kind: bogus"))
    #expect(harness.get("/v1/config/mesh").line == "200 []")
  }
}
