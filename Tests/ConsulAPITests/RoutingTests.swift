import HTTP
import Node
import Registry
import Testing

@testable import ConsulAPI

/// Paths, methods, headers and parameters that every endpoint shares (consul-api.md 1 to 3).
struct RoutingTests {
  let harness = APIHarness()

  @Test(arguments: [
    ("GET", "/v1/nosuch", "404 "), ("GET", "/foo", "404 "), ("GET", "/", "200 Consul Agent"),
    ("POST", "/v1/kv/a", "405 method POST not allowed"),
    ("HEAD", "/v1/kv/a", "405 "),
    ("TRACE", "/v1/status/leader", "405 method TRACE not allowed"),
    ("OPTIONS", "/v1/kv/a", "200 "),
    ("GET", "/v1/kv/a%01", "400 "), ("GET", "/v1/kv/%zz", "400 "),
    ("GET", "/v1/kv/a?a=%zz", "400 "),
    ("GET", "/v1/kv/a?dc=other", "500 No path to datacenter"),
    ("GET", "/v1/status/leader?dc=other", "500 No path to datacenter"),
    ("GET", "/v1/agent/reload", "405 method GET not allowed"),
    (
      "GET", "/v1/kv/a?ns=x",
      "400 Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature"
    ),
    (
      "GET", "/v1/kv/a?partition=x",
      "400 Bad request: Invalid query parameter: \"partition\" - "
        + "Partitions are a Consul Enterprise feature"
    ),
    (
      "GET", "/v1/kv/a?stale&consistent",
      "400 Cannot specify ?stale with ?consistent, conflicting semantics."
    ),
    (
      "GET", "/v1/kv/a?max_stale=1s&consistent",
      "400 Cannot specify ?stale with ?consistent, conflicting semantics."
    ),
    (
      "GET", "/v1/kv/a?cached&consistent",
      "400 Cannot specify ?cached with ?consistent, conflicting semantics."
    ),
    ("GET", "/v1/kv/a?max_stale=zz", "400 Invalid max_stale value \"zz\""),
    ("GET", "/v1/kv/a?index=-1", "400 Invalid index"),
    ("GET", "/v1/kv/a?index=1&wait=10", "400 Invalid wait time"),
    ("GET", "/v1/kv/a?wait=abc", "400 Invalid wait time"),
    ("GET", "/v1/acl/tokens", "401 ACL support disabled"),
    ("PUT", "/v1/agent/token/default", "401 ACL support disabled"),
    ("GET", "/v1/config/bogus", "500 invalid config entry kind: bogus"),
    ("GET", "/v1/config/mesh/x", "404 Config entry not found for \"mesh\" / \"x\""),
  ])
  func answers(_ row: (method: String, target: String, line: String)) {
    #expect(harness.ask(row.method, row.target).line == row.line)
  }

  @Test func allowListsEveryMethod() {
    #expect(harness.ask("POST", "/v1/kv/a").headers["Allow"] == "OPTIONS,GET,PUT,DELETE")
    #expect(harness.ask("OPTIONS", "/v1/txn").headers["Allow"] == "OPTIONS,PUT")
  }

  @Test(arguments: [
    ("/v1/kv", "/v1/kv/"), ("/v1/kv//lead", "/v1/kv/lead"), ("/v1/kv/%2Flead", "/v1/kv/lead"),
    ("/v1/kv/a/../b?raw", "/v1/kv/b?raw"), ("/v1/catalog/node?x=1", "/v1/catalog/node/?x=1"),
  ])
  func uncleanPathsAreRedirected(_ row: (target: String, location: String)) {
    let get = harness.get(row.target)
    #expect(get.status == 301)
    #expect(get.headers["Location"] == row.location)
    #expect(get.text.contains("Moved Permanently"))
    #expect(get.headers["X-Consul-Default-Acl-Policy"] == nil)
    #expect(harness.put(row.target).line == "301 ")
  }

  @Test func commonHeadersAreOnErrorsToo() {
    let reply = harness.get("/v1/kv/?raw")
    #expect(reply.line == "400 Missing key name")
    #expect(reply.headers["Vary"] == "Accept-Encoding")
    #expect(reply.headers["X-Consul-Default-Acl-Policy"] == "allow")
    #expect(reply.headers["Content-Type"] == "text/plain; charset=utf-8")
    #expect(harness.get("/v1/nosuch").headers.isEmpty)
  }

  @Test func modesAreNamedWhereConsulNamesThem() {
    func mode(_ target: String) -> String? {
      harness.get(target).headers["X-Consul-Effective-Consistency"]
    }
    #expect(mode("/v1/catalog/nodes") == "leader")
    #expect(mode("/v1/catalog/nodes?consistent") == "consistent")
    #expect(mode("/v1/health/state/any?stale") == "stale")
    #expect(mode("/v1/kv/a") == nil)
    #expect(mode("/v1/session/list") == nil)
  }

  @Test func staleReadsNeedNoBarrier() {
    harness.backend.answersBarriers = false
    harness.backend.lastContactMilliseconds = 7
    let reply = harness.get("/v1/kv/a?stale")
    #expect(reply.line == "404 ")
    #expect(reply.headers["X-Consul-Lastcontact"] == "7")
    #expect(harness.send("GET", "/v1/kv/a").response == nil)
    // Within its limit a stale read is answered here, beyond it by the leader.
    #expect(harness.get("/v1/kv/a?max_stale=10ms").status == 404)
    #expect(harness.send("GET", "/v1/kv/a?max_stale=5ms").response == nil)
  }

  @Test func cachedReadsSayThatTheyAreFresh() {
    #expect(harness.get("/v1/catalog/nodes?cached").headers["X-Cache"] == "MISS")
    let header = [("Cache-Control", "max-age=x")]
    let reply = harness.ask("GET", "/v1/catalog/nodes?cached", headers: header)
    #expect(reply.line == "400 Invalid Cache-Control header.")
  }

  @Test func tokensAreTakenInTheirOrder() {
    let all = [("X-Consul-Token", "h"), ("Authorization", "bEARER  b")]
    _ = harness.ask("GET", "/v1/kv/a?token=q", headers: all)
    _ = harness.ask("GET", "/v1/kv/a?token=", headers: all)
    _ = harness.ask("GET", "/v1/kv/a", headers: [all[1]])
    _ = harness.ask("GET", "/v1/kv/a", headers: [("Authorization", "Basic x")])
    #expect(harness.backend.contexts.map(\.token) == ["q", "h", "b", ""])
  }

  @Test func requestIDsReachTheProposal() {
    let id = "01234567-89ab-cdef-0123-456789abcdef"
    _ = harness.ask("PUT", "/v1/kv/a", headers: [("X-Roost-Request-Id", id)])
    #expect(harness.backend.contexts.last?.requestID?.description == id)
    let bad = harness.ask("PUT", "/v1/kv/a", headers: [("X-Roost-Request-Id", "7")])
    #expect(bad.status == 400)
  }

  @Test func namespaceHeaderIsRefused() {
    let reply = harness.ask("GET", "/v1/kv/a", headers: [("X-Consul-Namespace", "x")])
    #expect(
      reply.line == "400 Bad request: Invalid header: \"X-Consul-Namespace\" - "
        + "Namespaces are a Consul Enterprise feature")
  }

  @Test func prettyIsIndentedByFour() {
    #expect(
      harness.get("/v1/catalog/datacenters?pretty").text == "[\n    \"dc1\"\n]\n")
    #expect(harness.get("/v1/catalog/datacenters").text == "[\"dc1\"]")
  }

  @Test func longBodiesAreRefusedByTheirHead() throws {
    func limit(_ target: String, _ length: Int) -> HTTPResponse? {
      harness.api.bodyLimit(
        HTTPRequest(
          method: .put, target: target, headers: [("content-length", String(length))]))
    }
    #expect(limit("/v1/kv/a", 524_288) == nil)
    let refused = try #require(limit("/v1/kv/a", 524_289))
    #expect(refused.closes)
    #expect(
      Reply(refused).line == "413 Request body(524289 bytes) too large, max size: 524288 bytes. "
        + "See https://www.consul.io/docs/agent/options.html#kv_max_value_size.")
    #expect(try Reply(#require(limit("/v1/txn", 533_390))).text.hasSuffix("#txn_max_req_len."))
    #expect(limit("/v1/catalog/register", 3 << 20)?.status == 413)
    #expect(limit("/v1/catalog/register", 600_000) == nil)
  }

  /// The table is whole: every path once, and nothing below `/v1/agent` looks at `dc`.
  @Test func tableIsSound() {
    let routes = harness.api.routes
    #expect(Set(routes.map(\.path)).count == routes.count)
    for route in routes {
      #expect(!route.endpoints.isEmpty)
      for endpoint in route.endpoints {
        let isAgent = route.path.hasPrefix("/v1/agent/")
        #expect(endpoint.consistency.checksDatacenter != isAgent, "\(route.path)")
        if endpoint.method != .get { #expect(!endpoint.consistency.hasIndex) }
      }
    }
  }
}

/// What a cluster that cannot answer looks like.
struct FailureTests {
  let harness = APIHarness()

  @Test func withoutALeaderNothingIsAnsweredButStaleAndLocal() {
    harness.put("/v1/agent/service/register", "{\"Name\":\"web\"}")
    harness.backend.failure = .noLeader
    for (method, target) in [
      ("GET", "/v1/kv/a"), ("PUT", "/v1/kv/a"), ("GET", "/v1/catalog/nodes"),
      ("GET", "/v1/health/service/web?index=5"), ("PUT", "/v1/session/create"),
      ("GET", "/v1/operator/raft/configuration"), ("GET", "/v1/operator/autopilot/health"),
      ("PUT", "/v1/agent/service/deregister/web"),
    ] {
      #expect(harness.ask(method, target).line == "500 No cluster leader", "\(target)")
    }
    #expect(harness.ask("PUT", "/v1/txn", body: "[]").line == "500 No cluster leader")
    #expect(harness.ask("PUT", "/v1/txn?stale", body: "[]").status == 200)
    let stale = harness.get("/v1/kv/a?stale")
    #expect(stale.status == 404)
    #expect(stale.headers["X-Consul-Knownleader"] == "false")
    #expect(harness.get("/v1/status/leader").line == "200 \"\"")
    #expect(harness.get("/v1/status/peers").line == "200 [\"127.0.0.1:8300\"]")
    for target in [
      "/v1/agent/self", "/v1/agent/members", "/v1/agent/services", "/v1/agent/checks",
      "/v1/catalog/datacenters", "/v1/operator/raft/configuration?stale",
    ] {
      #expect(harness.get(target).status == 200, "\(target)")
    }
    #expect(harness.get("/v1/agent/services").text.contains("\"web\""))
  }

  @Test func agentReadsFallBackWhenTheBarrierFails() {
    harness.backend.failure = .overloaded("reads")
    #expect(harness.get("/v1/agent/services").line == "200 {}")
    #expect(harness.backend.contexts.last?.deadline == harness.backend.now + 1_000_000_000)
  }

  @Test func everyFailureHasItsStatus() {
    func put(_ failure: RequestFailureRow) -> Reply {
      harness.backend.failure = failure.failure
      return harness.put("/v1/kv/a", "x")
    }
    for row in RequestFailureRow.all {
      let reply = put(row)
      #expect(reply.status == row.status)
      #expect(reply.text.contains(row.text), "\(reply.text)")
    }
  }
}
