import HTTP
import Registry
import Testing

@testable import ConsulAPI

/// `/v1/query` (consul-api.md 16).
struct QueryTests {
  let harness = APIHarness()

  private func create(_ body: String) -> Reply { harness.ask("POST", "/v1/query", body: body) }
  private func id(_ reply: Reply) -> String { String(reply.text.split(separator: "\"")[3]) }

  @Test func createReadUpdateDelete() {
    let id = id(create(#"{"Name":"q1","Service":{"Service":"web"}}"#))
    let index = harness.backend.registry.lastIndex
    let shown = """
      {"ID":"\(id)","Name":"q1","Session":"","Token":"","Template":{"Type":"","Regexp":"",\
      "RemoveEmptyTags":false},"Service":{"Service":"web","Failover":{"NearestN":0,\
      "Datacenters":null},"OnlyPassing":false,"IgnoreCheckIDs":null,"Near":"","Tags":null,\
      "NodeMeta":null,"ServiceMeta":null,"Connect":false},"DNS":{"TTL":""},\
      "CreateIndex":\(index),"ModifyIndex":\(index)}
      """
    #expect(harness.get("/v1/query").text == "[\(shown)]")
    #expect(harness.get("/v1/query/\(id)").text == "[\(shown)]")
    #expect(harness.get("/v1/query/\(id)/explain").text == "{\"Query\":\(shown)}")
    #expect(harness.get("/v1/query/\(id)").headers["X-Consul-Effective-Consistency"] == "leader")
    let changed = #"{"Name":"q2","Service":{"Service":"db","Tags":["a"]},"DNS":{"TTL":"10s"}}"#
    #expect(harness.put("/v1/query/\(id)", changed).line == "200 ")
    #expect(harness.get("/v1/query/\(id)").text.contains(#""Service":"db""#))
    #expect(harness.ask("DELETE", "/v1/query/\(id)").line == "200 ")
    #expect(harness.get("/v1/query/\(id)").line == "404 Query not found")
    #expect(harness.get("/v1/query").line == "200 []")
  }

  @Test(arguments: [
    ("{\"Name\":\"q\"}", "500 Invalid prepared query: Must provide a Service name to query"),
    ("{\"Service\":{\"Service\":\"w\"}}", "500 Invalid prepared query: Must be bound to a session"),
    (
      "{\"Name\":\"q\",\"Service\":{\"Service\":\"w\"},\"DNS\":{\"TTL\":\"zz\"}}",
      "500 Invalid prepared query: Bad DNS TTL 'zz': time: invalid duration \"zz\""
    ),
    ("{\"Name\":\"q\",\"Bogus\":1}", "400 Request decode failed: json: unknown field \"Bogus\""),
    ("", "400 Request decode failed: EOF"),
    (
      "{\"Name\":\"q\",\"Template\":{\"Type\":\"x\"},\"Service\":{\"Service\":\"w\"}}",
      "500 raft apply failed: Bad Template.Type 'x'"
    ),
  ])
  func badQueriesAreRefused(_ row: (body: String, line: String)) {
    #expect(create(row.body).line == row.line)
  }

  @Test func namesAndIDsAreChecked() {
    _ = create(#"{"Name":"q1","Service":{"Service":"web"}}"#)
    #expect(
      create(#"{"Name":"q1","Service":{"Service":"web"}}"#).line
        == "500 raft apply failed: name 'q1' aliases an existing query name")
    let lookup = "failed prepared query lookup: index error: UUID must be 36 characters"
    #expect(harness.get("/v1/query/x").line == "500 \(lookup)")
    #expect(harness.get("/v1/query/no/execute").line == "404 Query not found")
    #expect(harness.get("/v1/query/no/explain").line == "404 Query not found")
    let other = harness.ask("POST", "/v1/query/x")
    #expect(other.line == "405 method POST not allowed")
    #expect(other.headers["Allow"] == "GET,PUT,DELETE")
  }

  private func register(_ number: Int, _ status: String, tags: String = "[]") {
    harness.put(
      "/v1/catalog/register",
      """
      {"Node":"x\(number)","Address":"10.0.0.\(number)","NodeMeta":{"rack":"r\(number)"},
      "Service":{"Service":"web","Tags":\(tags),"Meta":{"m":"\(number)"}},
      "Check":{"CheckID":"c\(number)","Name":"c","Status":"\(status)","ServiceID":"web"}}
      """)
  }

  private func nodes(_ service: String, _ suffix: String = "") -> [String] {
    _ = create(#"{"Name":"run","Service":\#(service)}"#)
    let reply = harness.get("/v1/query/run/execute\(suffix)")
    let id = harness.backend.registry.query(idOrName: "run")?.id.description ?? ""
    _ = harness.ask("DELETE", "/v1/query/\(id)")
    return (1...9).map { "x\($0)" }.filter {
      reply.text.contains("\"Node\":{\"ID\":\"\",\"Node\":\"\($0)\"")
    }
  }

  @Test func chooses() {
    register(1, "passing", tags: "[\"A\",\"b\"]")
    register(2, "warning", tags: "[\"a\"]")
    register(3, "critical", tags: "[\"a\"]")
    #expect(nodes(#"{"Service":"WEB"}"#) == ["x1", "x2"])
    #expect(nodes(#"{"Service":"web","OnlyPassing":true}"#) == ["x1"])
    #expect(nodes(#"{"Service":"web","IgnoreCheckIDs":["c3"]}"#) == ["x1", "x2", "x3"])
    #expect(nodes(#"{"Service":"web","Tags":["a","!b"]}"#) == ["x2"])
    #expect(nodes(#"{"Service":"web","NodeMeta":{"rack":"r2"}}"#) == ["x2"])
    #expect(nodes(#"{"Service":"web","ServiceMeta":{"m":"1"}}"#) == ["x1"])
    #expect(nodes(#"{"Service":"web"}"#, "?limit=1").count == 1)
    #expect(nodes(#"{"Service":"web"}"#, "?limit=1&near=x2") == ["x2"])
    #expect(nodes(#"{"Service":"web","Near":"x1"}"#, "?limit=1") == ["x1"])
    #expect(nodes(#"{"Service":"web"}"#, "?connect") == [])
  }

  @Test func theAnswerIsWhatConsulsIs() {
    _ = create(#"{"Name":"q","Service":{"Service":"none"},"DNS":{"TTL":"10s"}}"#)
    #expect(
      harness.get("/v1/query/q/execute?index=999&wait=1m").text == """
        {"Service":"none","Nodes":[],"DNS":{"TTL":"10s"},"Datacenter":"dc1","Failovers":0}
        """)
  }

  @Test func templatesAreFilledIn() {
    let service = """
      {"Service":"${match(1)}-${name.suffix}","Tags":["${match(2)}","${agent.segment}"],
      "Near":"${name.full}","NodeMeta":{"p":"${name.prefix}"}}
      """
    let body =
      #"{"Name":"geo-","Template":{"Type":"name_prefix_match","Regexp":"^geo-(.*)-([^-]+)$","#
      + "\"RemoveEmptyTags\":true},\"Service\":\(service)}"
    #expect(create(body).status == 200)
    let explained = harness.get("/v1/query/geo-db-master/explain").text
    #expect(explained.contains(#""Service":"db-db-master""#))
    #expect(explained.contains(#""Tags":["master"]"#))
    #expect(explained.contains(#""Near":"geo-db-master""#))
    #expect(explained.contains(#""NodeMeta":{"p":"geo-"}"#))
    let bad = #"{"Name":"t","Template":{"Type":"name_prefix_match"},"Service":{"Service":"${x}"}}"#
    #expect(create(bad).status == 500)
  }

  @Test(arguments: [
    ("^geo-(.*)-([^-]+)$", "geo-a-b-c", ["geo-a-b-c", "a-b", "c"]),
    ("(a+)(b*)", "xaab", ["aab", "aa", "b"]),
    ("(a+?)(a*)", "aaa", ["aaa", "a", "aa"]),
    ("(?:a|b)(c)?", "b", ["b", ""]), ("(?P<n>x)|(y)", "y", ["y", "", "y"]),
    ("a|ab", "ab", ["a"]), ("(a|b)*", "abab", ["abab", "b"]), ("", "x", [""]),
  ])
  func groupsAreThoseOfABacktrackingEngine(_ row: (String, String, [String])) throws {
    #expect(try Pattern(parsing: row.0).captures(in: row.1) == row.2)
    #expect(try Pattern(parsing: "^zz").captures(in: row.1) == nil)
  }
}
