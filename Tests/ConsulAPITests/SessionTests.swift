import Node
import Registry
import Testing

/// `/v1/session` (consul-api.md 10).
struct SessionTests {
  let harness = APIHarness()
  private let unknown = "adf4238a-882b-9ddc-4a9d-5b6758e4159e"

  private func create(_ body: String = "") -> String {
    String(harness.put("/v1/session/create", body).text.split(separator: "\"")[3])
  }

  @Test func defaults() {
    let id = create()
    let index = harness.backend.registry.lastIndex
    let shown = """
      [{"ID":"\(id)","Name":"","Node":"n1","LockDelay":15000000000,"Behavior":"release","TTL":"",\
      "NodeChecks":["serfHealth"],"ServiceChecks":null,"CreateIndex":\(index),\
      "ModifyIndex":\(index)}]
      """
    #expect(harness.get("/v1/session/info/\(id)").text == shown)
    #expect(harness.get("/v1/session/list").text == shown)
    #expect(harness.get("/v1/session/node/N1").text == shown)
    #expect(harness.put("/v1/session/renew/\(id)").text == shown)
    #expect(harness.put("/v1/session/destroy/\(id)").line == "200 true")
    #expect(harness.get("/v1/session/info/\(id)").line == "200 []")
  }

  @Test func idsAreVersionFourUUIDs() {
    let id = Array(create())
    #expect(id.count == 36 && id[14] == "4" && "89ab".contains(id[19]))
  }

  @Test(arguments: [
    ("{\"LockDelay\":5}", "\"LockDelay\":5000000000"),
    ("{\"LockDelay\":2000000000}", "\"LockDelay\":2000000000"),
    ("{\"LockDelay\":\"0s\"}", "\"LockDelay\":0"),
    ("{\"TTL\":\"86400s\",\"Unknown\":1,\"ID\":\"x\"}", "\"TTL\":\"86400s\""),
    ("{\"Behavior\":\"delete\"}", "\"Behavior\":\"delete\""),
    ("{\"Checks\":[]}", "\"NodeChecks\":[]"),
  ])
  func fieldsAreKept(_ row: (body: String, shown: String)) {
    let id = create(row.body)
    #expect(harness.get("/v1/session/info/\(id)").text.contains(row.shown))
  }

  @Test(arguments: [
    ("{\"TTL\":\"9s\"}", "500 Invalid Session TTL '9000000000', must be between [10s=24h0m0s]"),
    (
      "{\"TTL\":\"86401s\"}",
      "500 Invalid Session TTL '86401000000000', must be between [10s=24h0m0s]"
    ),
    ("{\"TTL\":\"abc\"}", "500 Session TTL 'abc' invalid: time: invalid duration \"abc\""),
    ("{\"Behavior\":\"bogus\"}", "500 Invalid Behavior setting 'bogus'"),
    (
      "{\"LockDelay\":\"10\"}",
      "400 Request decode failed: time: missing unit in duration \"10\""
    ),
    ("{\"Node\":\"no\"}", "500 apply failed: Missing node registration"),
    ("{\"NodeChecks\":[\"no\"]}", "500 apply failed: Missing check 'no' registration"),
  ])
  func creationsAreChecked(_ row: (body: String, line: String)) {
    #expect(harness.put("/v1/session/create", row.body).line == row.line)
  }

  @Test func ttlMustBeText() {
    let reply = harness.put("/v1/session/create", "{\"TTL\":10}")
    #expect(reply.status == 400 && reply.text.hasPrefix("Request decode failed: "))
  }

  @Test func idsAreChecked() {
    let lookup = "failed session lookup: index error: UUID must be 36 characters"
    #expect(harness.get("/v1/session/info/x").line == "500 \(lookup)")
    #expect(harness.put("/v1/session/renew/x").line == "500 \(lookup)")
    #expect(harness.put("/v1/session/destroy/x").line == "500 apply failed: \(lookup)")
    #expect(harness.get("/v1/session/info/").line == "400 Missing session")
    #expect(harness.put("/v1/session/renew/").line == "400 Missing session")
    #expect(harness.put("/v1/session/destroy/").line == "400 Missing session")
    #expect(harness.get("/v1/session/node/").line == "400 Missing node name")
    #expect(harness.get("/v1/session/info/\(unknown)").line == "200 []")
    #expect(harness.put("/v1/session/destroy/\(unknown)").line == "200 true")
    #expect(
      harness.put("/v1/session/renew/\(unknown)").line == "404 Session id '\(unknown)' not found")
  }

  @Test func theConfigurationMayLowerTheShortestTTL() {
    let body = #"{"TTL":"2s"}"#
    let refused = "500 Invalid Session TTL '2000000000', must be between [10s=24h0m0s]"
    #expect(harness.put("/v1/session/create", body).line == refused)
    harness.backend.configuration.sessionTTLMillisecondsMin = 2000
    #expect(harness.put("/v1/session/create", body).status == 200)
    let line = harness.put("/v1/session/create", #"{"TTL":"1999ms"}"#).line
    #expect(line == "500 Invalid Session TTL '1999000000', must be between [2s=24h0m0s]")
  }

  /// Consul reads ids as bytes in hexadecimal digits: what is no UUID may be nobody's id.
  @Test(
    arguments: [
      ("zz", "UUID must be 36 characters"),
      (
        "adf4238a-882b-9ddc-4a9d-5b6758e4159z",
        "Invalid UUID: encoding/hex: invalid byte: U+007A 'z'"
      ),
      ("a-d-4-3-a-882b9ddc4a9d5b6758e4159e00", #"UUID should have maximum of 4 "-"; got 5"#),
      ("adf4238a-882b9ddc4a9d5b6758e4159e000", "Input (without hyphens) must be even length"),
      (String(repeating: "1", count: 36), nil),
    ] as [(String, String?)])
  func idsThatAreNone(_ row: (id: String, fault: String?)) {
    let failure = row.fault.map { "500 failed session lookup: index error: \($0)" }
    #expect(harness.get("/v1/session/info/\(row.id)").line == failure ?? "200 []")
    #expect(
      harness.put("/v1/session/renew/\(row.id)").line
        == failure ?? "404 Session id '\(row.id)' not found")
    let destroyed = harness.put("/v1/session/destroy/\(row.id)").line
    let acquired = harness.put("/v1/kv/a?acquire=\(row.id)").line
    guard let fault = row.fault else {
      #expect(destroyed == "200 true")
      #expect(acquired == "500 raft apply failed: invalid session \"\(row.id)\"")
      return
    }
    #expect(destroyed == "500 apply failed: failed session lookup: index error: \(fault)")
    #expect(acquired == "500 raft apply failed: failed session lookup: index error: \(fault)")
  }
}
