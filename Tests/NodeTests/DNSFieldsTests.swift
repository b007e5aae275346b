import EventLoop
import Testing

@testable import Node

struct DNSFieldsTests {
  private func parse(_ text: String, _ overrides: [(String, String)] = [])
    -> NodeConfiguration.ParseResult
  {
    let minimal =
      #"{ "node_name": "a", "data_dir": "/x", "members": [ { "name": "a", "peer": "[::1]:1" } ]"#
    return NodeConfiguration.parse(
      Array((minimal + text + "}").utf8), overrides: overrides.map { (path: $0.0, value: $0.1) })
  }

  @Test func everyKeyIsRead() throws {
    let result = parse(
      #"""
      , "domain": "roost.", "alt_domain": "b.example", "recursors": ["10.0.0.2", "[::1]:5353"],
      "dns_config": { "node_ttl": "90s", "service_ttl": { "Web": "2m", "*": "500ms" },
        "only_passing": true, "udp_answer_limit": 5, "enable_truncate": true,
        "max_stale": "1h30m", "allow_stale": false, "recursor_timeout": "750ms" }
      """#)
    guard case .valid(let c) = result else {
      Issue.record("\(result)")
      return
    }
    #expect(c.domain == "roost." && c.alternativeDomain == "b.example")
    #expect(
      c.recursors == [
        SocketAddress(ip: [10, 0, 0, 2], port: 53), SocketAddress(parsing: "[::1]:5353"),
      ])
    #expect(c.dns.nodeTTL == 90)
    #expect(
      c.dns.serviceTTL == [.init(service: "web", seconds: 120), .init(service: "*", seconds: 0)])
    #expect(c.dns.isOnlyPassing && c.dns.isTruncationEnabled && !c.dns.isStaleAllowed)
    #expect(c.dns.udpAnswerLimit == 5)
    #expect(c.dns.staleMillisecondsMax == 5_400_000)
    #expect(c.dns.recursorTimeoutMilliseconds == 750)
  }

  @Test func flagsTakeTextsToo() {
    let result = parse(
      "",
      [
        ("dns_config.node_ttl", "10s"), ("recursors", "10.0.0.2,10.0.0.3:54"),
        ("dns_config.service_ttl", #"{ "web": "1s" }"#),
      ])
    guard case .valid(let c) = result else {
      Issue.record("\(result)")
      return
    }
    #expect(c.dns.nodeTTL == 10)
    #expect(c.recursors.map(\.port) == [53, 54])
    #expect(c.dns.serviceTTL == [.init(service: "web", seconds: 1)])
  }

  @Test(arguments: [
    #", "domain": "a..b""#, #", "domain": "a b""#, #", "alt_domain": ".a""#,
    #", "recursors": ["dns.example.org"]"#, #", "recursors": ["10.0.0.1:0"]"#,
    #", "dns_config": { "node_ttl": 10 }"#, #", "dns_config": { "node_ttl": "10" }"#,
    #", "dns_config": { "max_stale": "-1s" }"#, #", "dns_config": { "udp_answer_limit": 0 }"#,
    #", "dns_config": { "service_ttl": { "web": 3 } }"#, #", "dns_config": { "ttl": "3s" }"#,
  ])
  func badValuesAreReported(_ text: String) {
    guard case .invalid(let problems) = parse(text) else {
      Issue.record("accepted")
      return
    }
    #expect(problems.count == 1)
  }

  @Test(
    arguments: [
      ("0", 0), ("10s", 10_000), ("1h30m", 5_400_000), ("87600h", 315_360_000_000), ("5ms", 5),
      ("", nil), ("s", nil), ("10", nil), ("+1s", nil), ("1.5s", nil), ("1 s", nil), ("1d", nil),
      ("999999999999h", nil), ("٣s", nil),
    ] as [(String, UInt64?)])
  func durations(_ row: (text: String, milliseconds: UInt64?)) {
    #expect(NodeConfiguration.milliseconds(row.text) == row.milliseconds)
  }
}
