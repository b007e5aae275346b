import Node
import Testing

@testable import ConsulAPI

/// `/v1/agent` (consul-api.md 8).
struct AgentTests {
  let harness = APIHarness()

  @discardableResult
  private func register(_ body: String, query: String = "") -> Reply {
    harness.put("/v1/agent/service/register" + query, body)
  }

  @Test func serviceIsShownAsTheAgentShowsIt() {
    #expect(register("{\"Name\":\"web\",\"Address\":\"10.7.0.1\",\"Port\":80}").line == "200 ")
    let addresses = """
      {"lan_ipv4":{"Address":"10.7.0.1","Port":80},"wan_ipv4":{"Address":"10.7.0.1","Port":80}}
      """
    #expect(
      harness.get("/v1/agent/services").text == """
        {"web":{"ID":"web","Service":"web","Tags":[],"Meta":{},"Port":80,"Address":"10.7.0.1",\
        "TaggedAddresses":\(addresses),"Weights":{"Passing":1,"Warning":1},\
        "EnableTagOverride":false,"Datacenter":"dc1"}}
        """)
    #expect(harness.get("/v1/agent/service/web").text.contains("\"ContentHash\":\""))
    #expect(harness.get("/v1/agent/service/no").line == "404 unknown service ID: no")
    register("{\"Name\":\"v6\",\"Address\":\"fd00::1\"}")
    #expect(harness.get("/v1/agent/service/v6").text.contains("wan_ipv6"))
    register("{\"Name\":\"name\",\"Address\":\"example.org\"}")
    #expect(!harness.get("/v1/agent/service/name").text.contains("TaggedAddresses"))
  }

  static let refused: [(String, String)] = [
    ("", "Request decode failed: EOF"), ("{}", "Missing service name"),
    ("{\"Name\":\"s\",\"Bogus\":1}", "Request decode failed: json: unknown field \"Bogus\""),
    (
      "{\"Name\":\"s\",\"Check\":{\"Script\":\"x\"}}",
      "Request decode failed: json: unknown field \"Script\""
    ),
    (
      "{\"Name\":\"s\",\"alias_service\":\"x\"}",
      "Request decode failed: json: unknown field \"alias_service\""
    ),
    (
      "{\"Name\":\"s\",\"Check\":{\"TTL\":\"abc\"}}",
      "Request decode failed: time: invalid duration \"abc\""
    ),
    (
      "{\"Name\":\"s\",\"Check\":{\"TTL\":\"10\"}}",
      "Request decode failed: time: missing unit in duration \"10\""
    ),
    ("{\"Name\":\"s\",\"Address\":\"0.0.0.0\"}", "Invalid service address"),
    (
      "{\"Name\":\"s\",\"Weights\":{\"Passing\":0,\"Warning\":1}}",
      "Invalid Weights: Passing must be greater than 0"
    ),
    (
      "{\"Name\":\"s\",\"Weights\":{\"Passing\":70000,\"Warning\":1}}",
      "Invalid Weights: DNS Weight must be between 0 and 65535"
    ),
    (
      "{\"Name\":\"s\",\"Meta\":{\"\":\"x\"}}",
      "Invalid Service Meta: Couldn't load metadata pair ('', 'x'): Key cannot be blank"
    ),
    (
      "{\"Name\":\"s\",\"Meta\":{\"a b\":\"x\"}}",
      "Invalid Service Meta: Couldn't load metadata pair ('a b', 'x'): "
        + "Key contains invalid characters"
    ),
    (
      "{\"Name\":\"s\",\"Meta\":{\"consul-x\":\"x\"}}",
      "Invalid Service Meta: Couldn't load metadata pair ('consul-x', 'x'): "
        + "Key prefix 'consul-' is reserved for internal use"
    ),
    (
      "{\"Name\":\"s\",\"Check\":{\"HTTP\":\"http://x\"}}",
      "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, or TCP checks"
    ),
    (
      "{\"Name\":\"s\",\"Check\":{\"TTL\":\"10s\",\"Interval\":\"10s\"}}",
      "Invalid check: Interval and TTL cannot both be specified"
    ),
    (
      "{\"Name\":\"s\",\"Check\":{\"AliasService\":\"x\",\"Interval\":\"1s\"}}",
      "Invalid check: Interval cannot be set for Alias checks"
    ),
    (
      "{\"Name\":\"s\",\"Check\":{\"AliasService\":\"x\",\"TTL\":\"1s\"}}",
      "Invalid check: TTL must be not be set for Alias checks"
    ),
    ("{\"Name\":\"s\",\"Checks\":[{}]}", "Invalid check: TTL must be > 0 for TTL checks"),
    (
      "{\"Name\":\"s\",\"Check\":{\"TTL\":\"1s\",\"OutputMaxSize\":-1}}",
      "Invalid check: MaxOutputMaxSize must be positive"
    ),
    (
      "{\"Name\":\"s\",\"Check\":{\"TTL\":\"10s\",\"Status\":\"bogus\"}}",
      "Status for checks must 'passing', 'warning', 'critical'"
    ),
  ]

  @Test(arguments: refused)
  func registrationsAreChecked(_ row: (body: String, text: String)) {
    #expect(register(row.body).line == "400 " + row.text)
    #expect(harness.get("/v1/agent/services").text == "{}")
  }

  @Test func longMetaIsRefused() {
    func meta(_ pair: String) -> String { register("{\"Name\":\"s\",\"Meta\":{\(pair)}}").text }
    let key = String(repeating: "k", count: 129)
    #expect(meta("\"\(key)\":\"x\"").hasSuffix("Key is too long (limit: 128 characters)"))
    let value = String(repeating: "v", count: 513)
    #expect(meta("\"k\":\"\(value)\"").hasSuffix("Value is too long (limit: 512 characters)"))
    let many = (0...64).map { "\"k\($0)\":\"v\"" }.joined(separator: ",")
    #expect(
      meta(many)
        == "Invalid Service Meta: Node metadata cannot contain more than 64 key/value pairs")
  }

  @Test func scriptsAreDisabled() {
    let reply = register("{\"Name\":\"s\",\"Check\":{\"args\":[\"x\"],\"Interval\":\"1s\"}}")
    #expect(reply.status == 500 && reply.text.hasPrefix("Scripts are disabled on this agent"))
  }

  @Test func checkIDsAndNames() {
    register("{\"Name\":\"one\",\"Check\":{\"TTL\":\"1s\"}}")
    register(
      "{\"Name\":\"many\",\"Check\":{\"TTL\":\"1s\"},\"Checks\":[{\"TTL\":\"1s\"},"
        + "{\"TTL\":\"1s\",\"CheckID\":\"own\",\"Name\":\"mine\",\"Status\":\"passing\"}]}")
    let text = harness.get("/v1/agent/checks").text
    for part in [
      "\"service:one\":{\"Node\":\"n1\",\"CheckID\":\"service:one\",\"Name\":\"Service 'one' check\"",
      "\"service:many:1\":", "\"service:many:2\":",
      "\"own\":{\"Node\":\"n1\",\"CheckID\":\"own\",\"Name\":\"mine\",\"Status\":\"passing\"",
      "\"Type\":\"ttl\",\"Interval\":\"\",\"Timeout\":\"\",\"ExposedPort\":0,\"Definition\":{},"
        + "\"CreateIndex\":0,\"ModifyIndex\":0}",
    ] {
      #expect(text.contains(part), "\(part)")
    }
  }

  @Test func checksStayUnlessReplaced() {
    register("{\"Name\":\"s\",\"Check\":{\"TTL\":\"1s\"}}")
    register("{\"Name\":\"s\"}")
    #expect(harness.get("/v1/agent/checks").text.contains("service:s"))
    register("{\"Name\":\"s\"}", query: "?replace-existing-checks")
    #expect(harness.get("/v1/agent/checks").text == "{}")
  }

  @Test(arguments: [
    ("/v1/agent/service/deregister/none", "200 "),
    ("/v1/agent/service/deregister/", "500 ServiceID missing"),
    ("/v1/agent/check/deregister/none", "200 "),
    ("/v1/agent/check/deregister/", "500 CheckID missing"),
    ("/v1/agent/service/maintenance/", "400 Missing service ID"),
    ("/v1/agent/service/maintenance/s", "400 Missing value for enable"),
    ("/v1/agent/service/maintenance/s?enable=", "400 Invalid value for enable: \"\""),
    ("/v1/agent/service/maintenance/s?enable=zz", "400 Invalid value for enable: \"zz\""),
    (
      "/v1/agent/service/maintenance/s?enable=true",
      "404 No service registered with ID \"s\""
    ),
    ("/v1/agent/maintenance", "400 Missing value for enable"),
    ("/v1/agent/check/pass/none", "500 CheckID \"none\" does not have associated TTL"),
    ("/v1/agent/reload", "200 "),
    ("/v1/agent/force-leave/none", "500 agent: No node found with name 'none'"),
    ("/v1/agent/join/127.0.0.1:8300", "200 "),
    ("/v1/agent/leave", "500 This node cannot be stopped through the API"),
  ])
  func actionsAnswer(_ row: (target: String, line: String)) {
    #expect(harness.put(row.target).line == row.line)
  }

  @Test(arguments: [
    ("", "400 Request decode failed: EOF"), ("{\"TTL\":\"1s\"}", "400 Missing check name"),
    ("{\"Name\":\"c\",\"TTL\":\"1s\",\"Status\":\"zz\"}", "400 Bad check status"),
    ("{\"Name\":\"c\"}", "400 Invalid check: TTL must be > 0 for TTL checks"),
    (
      "{\"Name\":\"c\",\"TTL\":\"1s\",\"ServiceID\":\"no\"}",
      "500 ServiceID \"no\" does not exist"
    ),
    ("{\"Name\":\"c\",\"ttl\":\"1s\",\"tls_skip_verify\":true,\"Notes\":null}", "200 "),
  ])
  func checkRegistrationsAreChecked(_ row: (body: String, line: String)) {
    #expect(harness.put("/v1/agent/check/register", row.body).line == row.line)
  }

  @Test func ttlUpdates() {
    register("{\"Name\":\"s\",\"Check\":{\"TTL\":\"60s\"}}")
    func check() -> String { harness.get("/v1/health/checks/s").text }
    harness.put("/v1/agent/check/warn/service:s?note=so+so")
    #expect(check().contains("\"Status\":\"warning\",\"Notes\":\"\",\"Output\":\"so so\""))
    harness.put("/v1/agent/check/pass/service:s")
    #expect(check().contains("\"Status\":\"passing\",\"Notes\":\"\",\"Output\":\"\""))
    let update = "/v1/agent/check/update/service:s"
    #expect(
      harness.put(update, "{\"Status\":\"bogus\"}").line == "400 Invalid check status: 'bogus'")
    #expect(harness.put(update, "{}").line == "400 Invalid check status: ''")
    #expect(harness.put(update).line == "400 Request decode failed: EOF")
    let long = String(repeating: "x", count: 5000)
    harness.put(update, "{\"Status\":\"critical\",\"Output\":\"\(long)\"}")
    #expect(check().contains("xxx ... (captured 4096 of 5000 bytes)\""))
  }

  @Test func maintenanceOfServiceAndNode() {
    register("{\"Name\":\"s\"}")
    harness.put("/v1/agent/service/maintenance/s?enable=1&reason=why+not")
    #expect(harness.get("/v1/agent/checks").text.contains("\"Notes\":\"why not\""))
    #expect(harness.get("/v1/health/service/s?passing").text == "[]")
    let health = harness.get("/v1/agent/health/service/id/s?format=text")
    #expect(health.line == "503 maintenance")
    #expect(health.headers["X-Consul-Reason"] == "maintenance")
    harness.put("/v1/agent/service/maintenance/s?enable=f")
    harness.put("/v1/agent/maintenance?enable=true")
    #expect(harness.get("/v1/agent/health/service/name/s").status == 503)
    harness.put("/v1/agent/maintenance?enable=false")
    #expect(harness.get("/v1/agent/health/service/name/s").status == 200)
  }

  @Test func healthAnswersWithItsStatus() {
    register("{\"Name\":\"s\",\"Check\":{\"TTL\":\"60s\"}}")
    #expect(harness.get("/v1/agent/health/service/id/s").status == 503)
    harness.put("/v1/agent/check/warn/service:s")
    let warned = harness.get("/v1/agent/health/service/name/s")
    #expect(warned.status == 429)
    #expect(warned.text.hasPrefix("[{\"AggregatedStatus\":\"warning\",\"Service\":{\"ID\":\"s\""))
    let text = harness.ask(
      "GET", "/v1/agent/health/service/id/s", headers: [("Accept", "text/plain")])
    #expect(text.line == "429 warning" && text.headers["Content-Type"] == "text/plain")
  }

  @Test func unknownHealth() {
    let byID = harness.get("/v1/agent/health/service/id/no")
    #expect(byID.line == "404 {\"AggregatedStatus\":\"critical\",\"Service\":null,\"Checks\":null}")
    #expect(byID.headers["X-Consul-Reason"] == "ServiceId no not found")
    let text = harness.get("/v1/agent/health/service/id/no?format=text")
    #expect(text.line == "404 \"ServiceId no not found\"")
    #expect(text.headers["Content-Type"] == "application/json")
    let byName = harness.get("/v1/agent/health/service/name/no")
    #expect(byName.line == "404 []")
    #expect(byName.headers["X-Consul-Reason"] == "ServiceName no Not Found")
    #expect(
      harness.get("/v1/agent/health/service/name/no?format=text").line
        == "404 ServiceName no Not Found")
    #expect(harness.get("/v1/agent/health/service/id/").text == "Bad request: Missing serviceID")
  }

  @Test func selfAndMembers() {
    let text = harness.get("/v1/agent/self").text
    #expect(text.contains("\"Config\":{\"Datacenter\":\"dc1\""))
    #expect(text.contains("\"NodeName\":\"n1\"") && text.contains("\"leader\":\"true\""))
    #expect(harness.get("/v1/agent/members?wan=1").text.contains("\"Name\":\"n1.dc1\""))
    #expect(
      harness.get("/v1/agent/members?wan=1&segment=x").line
        == "400 Cannot provide a segment with wan=true")
    #expect(ConsulAPI<MemoryBackend>.split("[::1]:80") == ("::1", 80))
  }

  @Test func metricsInBothForms() {
    let counter = harness.backend.metrics.counter("consul.raft.apply", labels: [("a", "b")])
    harness.backend.metrics.increment(counter, by: 3)
    harness.backend.metrics.gauge("roost.keys") { 2 }
    let json = harness.get("/v1/agent/metrics")
    #expect(json.json != nil)
    #expect(json.text.contains("{\"Name\":\"consul.raft.apply\",\"Count\":3"))
    let text = harness.get("/v1/agent/metrics?format=prometheus").text
    #expect(text.contains("# TYPE roost_keys gauge\nroost_keys 2.0\n"))
    #expect(text.contains("consul_raft_apply{a=\"b\"} 3\n"))
  }

  @Test func hostAndVersion() {
    #expect(harness.get("/v1/agent/host").json != nil)
    #expect(harness.get("/v1/agent/version").text.contains("HumanVersion"))
  }
}
