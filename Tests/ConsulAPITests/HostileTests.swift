import Basics
import HTTP
import Node
import Registry
import Testing

@testable import ConsulAPI

/// Requests that no client should send, to every route there is (generated from the table): each
/// gets a clear answer, and the node serves on.
struct HostileTests {
  /// Wait for as long as the client stays.
  private static let endless = ["/v1/stream", "/v1/agent/monitor"]

  private static let names = [
    "", "a", "%00", "%0A", "..", "../..", "a/../b", "%2e%2e%2f", "a//b", "%FF%FE", "%zz", "%",
    "\u{202E}x", "%C0%AF", "x%7Fy", String(repeating: "n", count: 9000), "-1", "'\"<>",
    "adf4238a-882b-9ddc-4a9d-5b6758e4159e", "a/execute", "a/explain", "/execute",
  ]
  private static let queries = [
    "", "?", "?=", "?&&&", "?a=%zz", "?index=-1", "?index=18446744073709551616", "?wait=1e9s",
    "?filter=%28%28%28", "?filter=a==",
    "?filter=" + String(repeating: "not+", count: 3000) + "a==b",
    "?cas=x", "?flags=-1", "?dc=%00", "?limit=-9", "?limit=99999999999999999999", "?near=%FF",
    "?stale&consistent", "?ns=x", "?token=%00%01", "?passing=maybe", "?tag=%FF&tag=",
    "?node-meta=:", "?node-meta=" + String(repeating: "a", count: 5000), "?acquire=x&release=y",
    "?hash=zz&wait=1s", "?pretty=%FF", "?max_stale=-1s", "?name=%FF&service=%28", "?loglevel=x",
    "?" + String(repeating: "a=b&", count: 400), "?" + String(repeating: "q", count: 200_000),
  ]
  private static let bodies = [
    "", "{", "null", "[]", "0", "\"\"", "{\"a\":}", "{}{}", "\u{0}", "{\"Name\":null}",
    "{\"Name\":[{\"Name\":1}]}", String(repeating: "[", count: 5000),
    String(repeating: "{\"a\":", count: 5000), "{\"\u{202E}\":\"\u{0}\"}", "1e999999",
    "{\"Node\":1,\"Service\":\"x\",\"Checks\":{},\"TTL\":-1}", "[{\"KV\":{\"Verb\":\"bogus\"}}]",
  ]

  /// Answered, in time, and what is refused as the server's fault says why.
  private func isClear(_ exchange: APIHarness.Exchange, _ harness: APIHarness) -> Bool {
    // Parked: its time runs out.
    if exchange.response == nil { harness.backend.advance(milliseconds: 700_000) }
    guard let response = exchange.response else { return false }
    return (200..<500).contains(response.status)
      || (500..<600).contains(response.status) && !response.body.isEmpty
  }

  private var targets: [String] {
    APIHarness().api.routes.map(\.path).filter { !Self.endless.contains($0) }
  }

  @Test func everyMethodOfEveryRoute() {
    let harness = APIHarness()
    for target in targets {
      for method in ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "XYZ"] {
        let exchange = harness.send(method, target)
        #expect(isClear(exchange, harness), "\(method) \(target)")
      }
    }
    #expect(harness.get("/v1/status/leader").status == 200)
  }

  @Test func oddNamesAndQueries() {
    let harness = APIHarness()
    for target in targets {
      for method in ["GET", "PUT", "DELETE"] {
        for name in Self.names where target.hasSuffix("/") {
          #expect(
            isClear(harness.send(method, target + name), harness), "\(method) \(target)\(name)")
        }
        for query in Self.queries {
          let exchange = harness.send(method, target + query)
          #expect(isClear(exchange, harness), "\(method) \(target)\(query.prefix(60))")
        }
      }
    }
    #expect(harness.get("/v1/status/leader").status == 200)
  }

  @Test func oddBodies() {
    let harness = APIHarness()
    for target in targets {
      for method in ["PUT", "POST"] {
        for body in Self.bodies {
          let exchange = harness.send(
            method, target + (target.hasSuffix("/") ? "x" : ""), body: body)
          #expect(isClear(exchange, harness), "\(method) \(target) \(body.prefix(60))")
        }
      }
    }
    #expect(harness.get("/v1/status/leader").status == 200)
  }

  /// Bodies that were right once, with bytes changed, doubled and lost.
  @Test func damagedBodies() {
    let samples = [
      (
        "/v1/catalog/register",
        #"{"Node":"x","Address":"a","Service":{"Service":"w","Port":80,"Tags":["a"]},"Check":{"Name":"c","Status":"passing"}}"#
      ),
      (
        "/v1/agent/service/register",
        #"{"Name":"web","Checks":[{"HTTP":"http://127.0.0.1:1/","Interval":"10s"}],"Weights":{"Passing":2}}"#
      ),
      (
        "/v1/agent/check/register",
        #"{"Name":"c","TTL":"15s","DeregisterCriticalServiceAfter":"1m"}"#
      ),
      (
        "/v1/session/create",
        #"{"TTL":"15.0s","LockDelay":"0.001s","Behavior":"delete","Checks":["serfHealth"]}"#
      ),
      (
        "/v1/txn",
        #"[{"KV":{"Verb":"set","Key":"a","Value":"dg==","Flags":18446744073709551615}},{"Node":{"Verb":"get","Node":{"Node":"n1"}}}]"#
      ),
      (
        "/v1/config",
        #"{"Kind":"service-defaults","Name":"a","Protocol":"http","X":[1,{"y":null}]}"#
      ),
      (
        "/v1/query",
        #"{"Name":"q","Template":{"Type":"name_prefix_match","Regexp":"^(.*)$"},"Service":{"Service":"${match(1)}","Tags":["!a"]}}"#
      ),
      (
        "/v1/operator/autopilot/configuration",
        #"{"LastContactThreshold":"200ms","MaxTrailingLogs":250}"#
      ),
      ("/v1/coordinate/update", #"{"Node":"n","Coord":{"Vec":[0,1e5],"Error":1.5}}"#),
    ]
    let harness = APIHarness()
    var random = SplitMix(seed: 77)
    for (target, sample) in samples {
      for _ in 0..<250 {
        var body = Array(sample.utf8)
        for _ in 0...random.below(4) {
          let at = Int(random.below(UInt64(body.count)))
          switch random.below(4) {
          case 0: body[at] = UInt8(truncatingIfNeeded: random.next())
          case 1: body.remove(at: at)
          case 2: body.insert(Array(#"{}[]",:0-e."#.utf8)[Int(random.below(11))], at: at)
          default: body += body[at...].prefix(20)
          }
          if body.isEmpty { body = [0x7B] }
        }
        let method = target == "/v1/query" ? "POST" : "PUT"
        #expect(isClear(harness.send(method, target, bytes: body), harness), "\(target)")
      }
    }
    #expect(harness.get("/v1/status/leader").status == 200)
  }

  @Test func randomFilters() {
    let words = [
      "Node", "Service", ".", "Meta", "==", "!=", "in", "not", "and", "or", "(", ")", "is", "empty",
      "matches", "contains", "\"a\"", "`b`", "\"", "a.b", "[", "]", "Tags", " ", "0", "\\", "é",
    ]
    let harness = APIHarness()
    var random = SplitMix(seed: 5)
    for _ in 0..<1500 {
      let count = random.below(12)
      let text = (0..<count).map { _ in words[Int(random.below(UInt64(words.count)))] }
        .joined(separator: random.chance(1, in: 2) ? " " : "")
      var encoded: [UInt8] = []
      PercentCoding.encodePath(Array(text.utf8)[...], into: &encoded)
      let query = String(decoding: encoded, as: UTF8.self)
        .filter { $0 != "&" && $0 != "+" }
      let target = "/v1/catalog/nodes?filter=" + query
      #expect(isClear(harness.send("GET", target), harness), "\(text)")
    }
  }
}
