import Node
import Registry
import Testing

/// `/v1/txn` (consul-api.md 6).
struct TransactionTests {
  let harness = APIHarness()

  private func txn(_ body: String) -> Reply { harness.put("/v1/txn", body) }

  @Test func writesShareAnIndex() {
    let reply = txn(
      "[{\"KV\":{\"verb\":\"set\",\"KEY\":\"a\",\"Value\":\"MQ==\",\"Flags\":7}},"
        + "{\"KV\":{\"Verb\":\"set\",\"Key\":\"b\",\"Value\":null}},"
        + "{\"KV\":{\"Verb\":\"delete\",\"Key\":\"c\"}},{}]")
    let index = harness.backend.registry.lastIndex
    func entry(_ key: String, _ flags: Int) -> String {
      "{\"KV\":{\"LockIndex\":0,\"Key\":\"\(key)\",\"Flags\":\(flags),\"Value\":null,"
        + "\"CreateIndex\":\(index),\"ModifyIndex\":\(index)}}"
    }
    #expect(
      reply.line == "200 {\"Results\":[\(entry("a", 7)),\(entry("b", 0))],\"Errors\":null}")
    #expect(reply.headers["X-Consul-Knownleader"] == nil)
    #expect(harness.get("/v1/kv/a?raw").text == "1")
  }

  @Test func readsAreNotProposed() {
    harness.put("/v1/kv/a", "1")
    let before = harness.backend.commands.count
    let reply = txn(
      "[{\"KV\":{\"Verb\":\"get\",\"Key\":\"a\"}},{\"KV\":{\"Verb\":\"get\",\"Key\":\"b\"}}]")
    #expect(reply.status == 409)
    #expect(
      reply.text.hasPrefix(
        "{\"Results\":null,\"Errors\":[{\"OpIndex\":1,\"What\":\"key \\\"b\\\" doesn't exist\"}],"
          + "\"Index\":1,\"LastContact\":0,\"KnownLeader\":true"))
    #expect(reply.headers["X-Consul-Knownleader"] == "true")
    #expect(reply.headers["X-Consul-Index"] == nil)
    #expect(reply.headers["Content-Type"] == "application/json")
    #expect(txn("null").text.hasPrefix("{\"Results\":[],\"Errors\":null,\"Index\":1"))
    #expect(harness.backend.commands.count == before)
  }

  @Test func failuresAreAllListed() {
    harness.put("/v1/kv/b", "1")
    let reply = txn(
      "[{\"KV\":{\"Verb\":\"set\",\"Key\":\"a\"}},{\"KV\":{\"Verb\":\"check-not-exists\",\"Key\":\"b\"}},"
        + "{\"KV\":{\"Verb\":\"delete-cas\",\"Key\":\"b\",\"Index\":1}}]")
    #expect(
      reply.line
        == "409 {\"Results\":null,\"Errors\":[{\"OpIndex\":1,\"What\":\"key \\\"b\\\" exists\"},"
        + "{\"OpIndex\":2,\"What\":\"failed to delete key \\\"b\\\", index is stale\"}]}")
    #expect(harness.get("/v1/kv/a").status == 404)
  }

  @Test(arguments: [
    ("{\"KV\":{\"Verb\":\"bogus\",\"Key\":\"a\"}}", "unknown KV verb \\\"bogus\\\""),
    ("{\"KV\":{\"Verb\":\"set\",\"Key\":\"\"}}", "Must provide key"),
    ("{\"KV\":{\"Verb\":\"lock\",\"Key\":\"a\"}}", "missing session"),
    (
      "{\"KV\":{\"Verb\":\"lock\",\"Key\":\"a\",\"Session\":\"x\"}}",
      "failed session lookup: index error: UUID must be 36 characters"
    ),
    (
      "{\"KV\":{\"Verb\":\"unlock\",\"Key\":\"a\",\"Session\":\"x\"}}",
      "failed to unlock key \\\"a\\\", lock isn't held, or is held by another session"
    ),
    ("{\"Node\":{\"Verb\":\"set\",\"Node\":{}}}", "Must provide node"),
    ("{\"Node\":{\"Verb\":\"x\",\"Node\":{\"Node\":\"n\"}}}", "unknown Node verb \\\"x\\\""),
    (
      "{\"Service\":{\"Verb\":\"delete\",\"Node\":\"n\",\"Service\":{\"ID\":\"i\"}}}",
      "Must provide service name with ID"
    ),
    (
      "{\"Service\":{\"Verb\":\"set\",\"Node\":\"no\",\"Service\":{\"Service\":\"s\"}}}",
      "Missing node registration"
    ),
    (
      "{\"Check\":{\"Verb\":\"get\",\"Check\":{\"Node\":\"no\",\"CheckID\":\"c\"}}}",
      "check \\\"c\\\" on node \\\"no\\\" doesn't exist"
    ),
    (
      "{\"Check\":{\"Verb\":\"x\",\"Check\":{\"Node\":\"n\",\"Name\":\"c\"}}}",
      "unknown Check verb \\\"x\\\""
    ),
  ])
  func operationsFail(_ row: (operation: String, what: String)) {
    let reply = txn("[\(row.operation)]")
    #expect(reply.status == 409)
    #expect(reply.text.contains("{\"OpIndex\":0,\"What\":\"\(row.what)\"}"), "\(reply.text)")
  }

  @Test func catalogInOrder() {
    let reply = txn(
      "[{\"Node\":{\"Verb\":\"set\",\"Node\":{\"Node\":\"t\",\"Address\":\"10.1.1.1\",\"Datacenter\":\"dc1\"}}},"
        + "{\"Service\":{\"Verb\":\"set\",\"Node\":\"t\",\"Service\":{\"ID\":\"s1\",\"Service\":\"svc\",\"Port\":80}}},"
        + "{\"Check\":{\"Verb\":\"set\",\"Check\":{\"Node\":\"t\",\"CheckID\":\"c1\",\"Name\":\"c\","
        + "\"ServiceID\":\"s1\",\"Status\":\"passing\"}}}]")
    #expect(reply.status == 200)
    #expect(reply.text.contains("{\"Node\":{\"ID\":\"\",\"Node\":\"t\""))
    #expect(reply.text.contains("{\"Service\":{\"ID\":\"s1\",\"Service\":\"svc\""))
    #expect(reply.text.contains("\"ServiceName\":\"svc\""))
  }

  @Test(arguments: [
    ("", "Failed to parse body: EOF"), ("not", "Failed to parse body: "),
    ("{}", "Failed to parse body: "),
    ("[{\"KV\":{\"Bogus\":1}}]", "Failed to parse body: json: unknown field \"Bogus\""),
    ("[{\"KV\":{\"Verb\":\"set\",\"Key\":\"a\",\"Value\":\"!\"}}]", "Failed to parse body: "),
  ])
  func bodiesAreChecked(_ row: (body: String, prefix: String)) {
    let reply = txn(row.body)
    #expect(reply.status == 400 && reply.text.hasPrefix(row.prefix), "\(reply.text)")
  }

  @Test func limits() {
    func sets(_ count: Int) -> String {
      let one = "{\"KV\":{\"Verb\":\"set\",\"Key\":\"a\"}}"
      return "[" + Array(repeating: one, count: count).joined(separator: ",") + "]"
    }
    harness.backend.configuration.transactionOperationsMax = 64
    #expect(txn(sets(64)).status == 200)
    #expect(txn(sets(65)).line == "413 Transaction contains too many operations (65 > 64)")
    harness.backend.configuration.kvMaxValueBytes = 100
    #expect(txn(sets(4)).text.hasSuffix("#txn_max_req_len."))
  }
}
