import HTTP
import Node
import Registry
import Testing

@testable import ConsulAPI

/// A snapshot of a loaded cluster, restored into a fresh one with a history of its own: every GET
/// endpoint there is (taken from the table of routes) answers as the old cluster did.
struct RestoredAnswersTests {
  /// What is asked of each route: what follows its path. A route without a line here fails.
  private static let questions: [String: [String]] = [
    "/v1/kv/": [
      "?recurse", "?keys", "?keys&separator=/", "a/7", "a/7?raw", "gone", "?recurse&pretty",
      "d/?recurse", "locked", "big", "empty",
    ],
    "/v1/catalog/datacenters": [""],
    "/v1/catalog/nodes": ["", "?node-meta=env:prod", "?near=x2", "?filter=Meta.env==prod"],
    "/v1/catalog/services": ["", "?node-meta=env:prod"],
    "/v1/catalog/service/": ["web", "web?tag=a", "api", "consul", "gone"],
    "/v1/catalog/connect/": ["web"], "/v1/catalog/gateway-services/": ["web"],
    "/v1/catalog/node/": ["n1", "x1", "x2", "gone", "adf4238a"],
    "/v1/catalog/node-services/": ["n1", "x1", "gone"],
    "/v1/health/node/": ["n1", "x1"], "/v1/health/checks/": ["web", "api"],
    "/v1/health/state/": ["any", "passing", "warning", "critical"],
    "/v1/health/service/": ["web", "web?passing", "api", "api?passing", "gone"],
    "/v1/health/connect/": ["web"], "/v1/health/ingress/": ["web"],
    "/v1/agent/services": [""], "/v1/agent/checks": [""],
    "/v1/agent/service/": ["web-1", "api", "gone"],
    "/v1/agent/health/service/id/": ["web-1", "api?format=text", "gone"],
    "/v1/agent/health/service/name/": ["web", "api", "gone"],
    "/v1/agent/members": [""], "/v1/agent/version": [""],
    "/v1/session/info/": [], "/v1/session/list": [""], "/v1/session/node/": ["n1", "x1"],
    "/v1/status/leader": [""], "/v1/status/peers": [""],
    "/v1/operator/raft/configuration": [], "/v1/operator/autopilot/configuration": [""],
    "/v1/operator/autopilot/health": [], "/v1/operator/autopilot/state": [],
    "/v1/operator/keyring": [""],
    "/v1/event/list": ["", "?name=deploy"],
    "/v1/query": [""],
    "/v1/query/": ["nearby/explain", "web-7/explain", "only/execute?near=x1", "gone/execute"],
    "/v1/coordinate/datacenters": [""], "/v1/coordinate/nodes": [""],
    "/v1/coordinate/node/": ["n1", "gone"],
    "/v1/internal/ui/services": [""], "/v1/internal/ui/nodes": [""],
    "/v1/internal/ui/node/": ["x1", "n1"],
    "/v1/config/": ["service-defaults", "service-defaults/web", "mesh", "proxy-defaults/gone"],
    "/v1/acl/": ["tokens"],
  ]
  /// About the process, its log position or its clock, and not about the state.
  private static let ofTheProcess: Set = [
    "/v1/agent/self", "/v1/agent/metrics", "/v1/agent/host", "/v1/agent/monitor",
    "/v1/operator/usage", "/v1/roost/status", "/v1/snapshot", "/v1/stream",
  ]

  private func load(_ harness: APIHarness) -> [String] {
    for i in 0..<40 { harness.put("/v1/kv/a/\(i)?flags=\(i)", "value \(i)") }
    harness.put("/v1/kv/d/x", "1")
    harness.put("/v1/kv/d/y", "1")
    _ = harness.ask("DELETE", "/v1/kv/d/?recurse")
    harness.put("/v1/kv/big", String(repeating: "b", count: 90_000))
    harness.put("/v1/kv/empty")
    for (node, rest) in [
      ("x1", #""ID":"adf4238a-882b-9ddc-4a9d-5b6758e4159e","NodeMeta":{"env":"prod"}"#),
      ("x2", #""TaggedAddresses":{"lan":"10.0.0.2"}"#),
    ] {
      harness.put(
        "/v1/catalog/register",
        #"{"Node":"\#(node)","Address":"10.0.0.9",\#(rest),"Service":{"ID":"web-\#(node)","Service":"web","Tags":["a","\#(node)"],"Port":80,"Meta":{"m":"1"},"Weights":{"Passing":3,"Warning":1}},"Checks":[{"Name":"up","Status":"passing","ServiceID":"web-\#(node)","Definition":{"TCP":"a:1","Interval":"5s"}},{"Name":"disk","Status":"warning"}]}"#
      )
    }
    harness.put(
      "/v1/agent/service/register",
      #"{"ID":"web-1","Name":"web","Address":"10.1.1.1","Port":8080,"Check":{"TTL":"30s"}}"#)
    harness.put("/v1/agent/check/warn/service:web-1?note=so+so")
    harness.put("/v1/agent/service/register", #"{"Name":"api","EnableTagOverride":true}"#)
    harness.put("/v1/agent/service/maintenance/api?enable=true&reason=why")
    harness.put("/v1/agent/check/register", #"{"Name":"alone","TTL":"10m","Notes":"n"}"#)
    let body = #"{"Name":"holder","TTL":"60s","Behavior":"delete","LockDelay":"3s"}"#
    let session = String(harness.put("/v1/session/create", body).text.dropFirst(7).dropLast(2))
    harness.put("/v1/kv/locked?acquire=\(session)", "mine")
    harness.put("/v1/session/create", #"{"Node":"x1","Checks":[],"Name":"other"}"#)
    harness.put("/v1/event/fire/deploy?service=web", "payload")
    harness.put("/v1/event/fire/other", "")
    for query in [
      #"{"Name":"nearby","Service":{"Service":"web","Near":"_agent","Tags":["a"]},"DNS":{"TTL":"9s"}}"#,
      #"{"Name":"web-","Template":{"Type":"name_prefix_match"},"Service":{"Service":"web${name.suffix}"}}"#,
      #"{"Name":"only","Service":{"Service":"web","NodeMeta":{"env":"prod"}}}"#,
    ] { _ = harness.ask("POST", "/v1/query", body: query) }
    harness.put("/v1/config", #"{"Kind":"service-defaults","Name":"web","Protocol":"http"}"#)
    harness.put("/v1/config", #"{"Kind":"mesh"}"#)
    harness.put("/v1/operator/autopilot/configuration", #"{"MaxTrailingLogs":77}"#)
    return [session]
  }

  private func targets(_ harness: APIHarness, _ sessions: [String]) throws -> [String] {
    var targets = sessions.map { "/v1/session/info/\($0)" }
    for route in harness.api.routes where route.endpoint(for: .get) != nil {
      if Self.ofTheProcess.contains(route.path) { continue }
      let rests = try #require(Self.questions[route.path], "nothing is asked of \(route.path)")
      targets += rests.map { route.path + $0 }
    }
    return targets
  }

  @Test func everyEndpointAnswersAsBefore() throws {
    let old = APIHarness()
    let sessions = load(old)
    let archive = try #require(old.send("GET", "/v1/snapshot").response).body
    let fresh = APIHarness()
    for i in 0..<7 { fresh.put("/v1/kv/fresh/\(i)", "x") }
    fresh.put("/v1/agent/service/register", #"{"Name":"fresh"}"#)
    let restored = fresh.send("PUT", "/v1/snapshot", bytes: archive)
    #expect(restored.response?.status == 200)
    let targets = try targets(old, sessions)
    #expect(targets.count > 80)
    for target in targets {
      let (before, after) = (old.get(target), fresh.get(target))
      #expect(before.line == after.line, "\(target)")
      #expect(before.headers == after.headers, "\(target)")
    }
    // It goes on where the old one stopped.
    #expect(fresh.put("/v1/kv/locked?release=\(sessions[0])", "free").text == "true")
  }
}
