import HTTP
import Registry
import Testing

/// `/v1/kv` (consul-api.md 5).
struct KVTests {
  let harness = APIHarness()

  @Test func entryIsShownAsConsulShowsIt() {
    #expect(harness.put("/v1/kv/a/b?flags=42", "hello").line == "200 true")
    let index = harness.backend.registry.lastIndex
    let reply = harness.get("/v1/kv/a/b")
    #expect(
      reply.line == "200 [{\"LockIndex\":0,\"Key\":\"a/b\",\"Flags\":42,\"Value\":\"aGVsbG8=\","
        + "\"CreateIndex\":\(index),\"ModifyIndex\":\(index)}]")
    #expect(reply.index == index)
    #expect(reply.headers["Content-Type"] == "application/json")
    #expect(reply.headers["X-Consul-Knownleader"] == "true")
    #expect(reply.headers["X-Consul-Lastcontact"] == "0")
  }

  @Test func emptyValueIsNull() {
    harness.put("/v1/kv/a")
    #expect(harness.get("/v1/kv/a").text.contains("\"Value\":null"))
    let raw = harness.get("/v1/kv/a?raw")
    #expect(raw.line == "200 ")
    #expect(raw.headers["Content-Type"] == "text/plain")
  }

  @Test func rawIsTheValueAsItIs() {
    harness.put("/v1/kv/a", "<b>")
    let raw = harness.get("/v1/kv/a?raw")
    #expect(raw.text == "<b>")
    #expect(raw.headers["X-Content-Type-Options"] == "nosniff")
    #expect(raw.headers["Content-Security-Policy"] == "sandbox")
  }

  @Test func missingKeysHaveAnIndex() {
    harness.put("/v1/kv/other", "x")
    let reply = harness.get("/v1/kv/none")
    #expect(reply.line == "404 ")
    #expect(reply.index > 0)
    #expect(reply.headers["Content-Type"] == nil)
    #expect(harness.get("/v1/kv/none?recurse").line == "404 ")
    #expect(harness.get("/v1/kv/none?keys").line == "404 ")
  }

  @Test func emptyStoreHasNoKeysButAnEmptyList() {
    #expect(harness.get("/v1/kv/?keys").line == "200 []")
    #expect(harness.get("/v1/kv/?recurse").line == "404 ")
    #expect(harness.get("/v1/kv/?raw").line == "400 Missing key name")
  }

  @Test func keysAreCutAfterTheSeparator() {
    for key in ["a/1", "a/2/3", "a+b", "b", "foo"] { harness.put("/v1/kv/\(key)", "x") }
    #expect(harness.get("/v1/kv/?keys").text == "[\"a+b\",\"a/1\",\"a/2/3\",\"b\",\"foo\"]")
    #expect(harness.get("/v1/kv/?keys&separator=/").text == "[\"a+b\",\"a/\",\"b\",\"foo\"]")
    #expect(harness.get("/v1/kv/a?keys&seperator=/").text == "[\"a+b\",\"a/\"]")
    #expect(harness.get("/v1/kv/a/?keys&separator=/").text == "[\"a/1\",\"a/2/\"]")
    #expect(harness.get("/v1/kv/a?keys&separator=/2/").text == "[\"a+b\",\"a/1\",\"a/2/\"]")
    #expect(harness.get("/v1/kv/a?keys&separator=").text == "[\"a+b\",\"a/1\",\"a/2/3\"]")
    // `keys` wins over `recurse` and `raw`.
    #expect(harness.get("/v1/kv/f?recurse&raw&keys").text == "[\"foo\"]")
  }

  @Test func keysAreBytes() {
    harness.put("/v1/kv/sp%20ace%2Fx+y", "1")
    #expect(harness.backend.registry.kv(Key("sp ace/x+y")) != nil)
    harness.put("/v1/kv/%C3%A9", "1")
    #expect(harness.get("/v1/kv/%C3%A9").text.contains("\"Key\":\"\u{E9}\""))
  }

  @Test(arguments: [
    ("PUT", "/v1/kv/", "400 Missing key name"), ("DELETE", "/v1/kv/", "400 Missing key name"),
    ("PUT", "/v1/kv/a?flags=abc", "500 strconv.ParseUint: parsing \"abc\": invalid syntax"),
    ("PUT", "/v1/kv/a?cas=", "500 strconv.ParseUint: parsing \"\": invalid syntax"),
    ("PUT", "/v1/kv/a?cas=+5", "500 strconv.ParseUint: parsing \" 5\": invalid syntax"),
    (
      "PUT", "/v1/kv/a?cas=99999999999999999999",
      "500 strconv.ParseUint: parsing \"99999999999999999999\": value out of range"
    ),
    ("DELETE", "/v1/kv/a?cas=x", "500 strconv.ParseUint: parsing \"x\": invalid syntax"),
    ("PUT", "/v1/kv/a?cas=0&acquire=foo", "400 Conflicting flags: acquire=foo&cas=0"),
    ("DELETE", "/v1/kv/a?recurse&cas=1", "400 Conflicting flags: cas=1&recurse="),
    ("PUT", "/v1/kv/a?acquire=", "500 raft apply failed: missing session"),
    ("PUT", "/v1/kv/a?release=", "500 raft apply failed: missing session"),
    (
      "PUT", "/v1/kv/a?acquire=x",
      "500 raft apply failed: failed session lookup: index error: UUID must be 36 characters"
    ),
    (
      "PUT", "/v1/kv/a?acquire=adf4238a-882b-9ddc-4a9d-5b6758e4159e",
      "500 raft apply failed: invalid session \"adf4238a-882b-9ddc-4a9d-5b6758e4159e\""
    ),
    ("PUT", "/v1/kv/a?release=x", "200 false"),
    ("DELETE", "/v1/kv/none", "200 true"), ("DELETE", "/v1/kv/none?cas=7", "200 true"),
    ("DELETE", "/v1/kv/none?recurse", "200 true"),
  ])
  func writesAnswer(_ row: (method: String, target: String, line: String)) {
    #expect(harness.ask(row.method, row.target, body: "v").line == row.line)
  }

  @Test func casDecides() {
    #expect(harness.put("/v1/kv/a?cas=0", "1").line == "200 true")
    #expect(harness.put("/v1/kv/a?cas=0", "2").line == "200 false")
    let index = harness.get("/v1/kv/a").index
    #expect(harness.ask("DELETE", "/v1/kv/a?cas=1").line == "200 false")
    #expect(harness.ask("DELETE", "/v1/kv/a?cas=\(index)").line == "200 true")
  }

  @Test func chunkedBodiesAreMeasuredToo() {
    let request = String(repeating: "x", count: 524_289)
    #expect(harness.put("/v1/kv/a", request).status == 413)
    #expect(harness.put("/v1/kv/a", String(request.dropLast())).line == "200 true")
  }

  /// A large listing comes in pieces, one per turn, and is one state.
  @Test func longListingsAreStreamed() throws {
    let value = String(repeating: "v", count: 30_000)
    for index in 100..<150 { harness.put("/v1/kv/big/\(index)", value) }
    let exchange = harness.send("GET", "/v1/kv/big/?recurse")
    #expect(exchange.response == nil, "not all in one turn")
    harness.put("/v1/kv/big/149", "changed meanwhile")
    var turns = 0
    while exchange.response == nil, turns < 100 {
      harness.backend.advance(milliseconds: 1)
      turns += 1
    }
    let reply = Reply(try #require(exchange.response))
    guard case .array(let entries)? = reply.json else {
      Issue.record("no array")
      return
    }
    #expect(entries.count == 50 && turns > 3)
    #expect(reply.index > 0 && reply.headers["Content-Type"] == "application/json")
    #expect(!reply.text.contains("Y2hhbmdlZCBtZWFud2hpbGU="))
    #expect(harness.get("/v1/kv/big/?keys&separator=/").json != nil)
  }

  @Test func locksAreShownWhileHeld() {
    let id = harness.put("/v1/session/create", "{\"LockDelay\":\"0s\"}").text.split(
      separator: "\"")[3]
    #expect(harness.put("/v1/kv/l?acquire=\(id)", "v").line == "200 true")
    let held = harness.get("/v1/kv/l").text
    #expect(held.contains("\"LockIndex\":1") && held.contains("\"Session\":\"\(id)\""))
    #expect(harness.put("/v1/kv/l?release=\(id)", "w").line == "200 true")
    #expect(!harness.get("/v1/kv/l").text.contains("Session"))
  }
}
