import Testing

@testable import Node

struct ConfigurationTests {
  static let minimal = """
    { "node_name": "a", "data_dir": "/tmp/a", "members": [ { "name": "a", "peer": "127.0.0.1:8300" } ] }
    """

  private func parse(_ text: String, _ overrides: [(String, String)] = [])
    -> NodeConfiguration.ParseResult
  {
    NodeConfiguration.parse(
      Array(text.utf8), overrides: overrides.map { (path: $0.0, value: $0.1) })
  }

  private func valid(_ text: String, _ overrides: [(String, String)] = []) throws
    -> NodeConfiguration
  {
    switch parse(text, overrides) {
    case .valid(let configuration): return configuration
    case .invalid(let problems):
      Issue.record("\(problems.map(\.description))")
      throw CancellationError()
    }
  }

  private func problems(_ text: String, _ overrides: [(String, String)] = []) -> [String] {
    guard case .invalid(let problems) = parse(text, overrides) else { return [] }
    return problems.map(\.description)
  }

  @Test func minimalFileHasDefaults() throws {
    let configuration = try valid(Self.minimal)
    #expect(configuration.nodeName == "a")
    #expect(configuration.ports.http == 8500)
    #expect(configuration.raft.heartbeatMilliseconds == 40)
    #expect(configuration.members == [.init(name: "a", peer: "127.0.0.1:8300")])
  }

  @Test func commentsAreAllowedEverywhereButInTexts() throws {
    let configuration = try valid(
      """
      // first
      { /* a
           b */ "node_name": "a", // c
        "cluster": "x//y/*z*/", "data_dir": "/d",
        "members": [ { "name": "a", "peer": "127.0.0.1:1" } ] }
      """)
    #expect(configuration.cluster == "x//y/*z*/")
  }

  @Test func flagsWinOverTheFile() throws {
    let configuration = try valid(
      Self.minimal,
      [
        ("ports.http", "9500"), ("log_level", "debug"), ("cluster", "7"), ("log_json", "true"),
        ("io_threads", "2"),
      ])
    #expect(configuration.ioThreads == 2)
    #expect(configuration.ports.http == 9500)
    #expect(configuration.logLevel == .debug)
    #expect(configuration.cluster == "7")
    #expect(configuration.logJSON)
  }

  @Test func everyProblemIsReportedWithItsPlace() {
    let found = problems(
      """
      {
        "node_name": "a",
        "data_dir": "/d",
        "nodename": "b",
        "raft": { "heartbeat_ms": "fast", "election": 3 },
        "ports": { "http": 99999 },
        "io_threads": 65,
        "members": [ { "name": "a", "peer": "127.0.0.1:8300" } ]
      }
      """)
    #expect(found.count == 5)
    #expect(found[0].hasPrefix("nodename (line 4): unknown key"))
    #expect(found[1] == #"raft.heartbeat_ms (line 5): must be a whole number, not the text "fast""#)
    #expect(found[2].hasPrefix("raft.election (line 5): unknown key; known here: heartbeat_ms"))
    #expect(found[3].hasPrefix("ports.http (line 6): 99999 is out of range"))
    #expect(found[4] == "io_threads (line 7): 65 is out of range: 0 to 64")
  }

  @Test(arguments: [
    (#"{ "node_name": "a", }"#, "line 1, column"), ("", "line 1, column 1: EOF"),
    ("[1]", "line 1: must be one JSON object"), ("{\n\"node_name\" 1}", "line 2, column"),
  ])
  func badJSONHasAPlace(_ text: String, _ start: String) {
    #expect(problems(text).first?.hasPrefix(start) == true, "\(problems(text))")
  }

  @Test(arguments: [
    (#"{ "data_dir": "/d" }"#, "node_name: is missing"),
    (#"{ "node_name": "a", "members": [{"name":"a","peer":"h:1"}] }"#, "data_dir: is missing"),
    (
      #"{ "node_name": "a", "data_dir": "/d", "members": [{"name":"b","peer":"h:1"}] }"#,
      #"members: does not list this node ("a")"#
    ),
    (
      #"{ "node_name": "a", "data_dir": "/d", "members": [{"name":"a","peer":"h"}] }"#,
      #"members: "h" of a is not "host:port""#
    ),
    (
      #"{ "node_name": "a", "data_dir": "/d", "bind_addr": "0.0.0.0", "join": ["h:1"] }"#,
      "bind_addr: 0.0.0.0 is reachable from other machines"
    ),
    (
      #"{ "node_name": "a", "data_dir": "/d", "raft": {"heartbeat_ms": 100}, "join": ["h:1"] }"#,
      "raft.election_timeout_ms: must be at least three times"
    ),
    (#"{ "node_name": "a", "data_dir": "/d" }"#, "members: is missing"),
    (
      #"{ "node_name": "a", "data_dir": "/d", "join": ["h:1"], "members": [{"name":"a","peer":"h:1"}] }"#,
      "join: cannot go with members"
    ),
  ])
  func whatMustHoldTogether(_ text: String, _ start: String) {
    #expect(problems(text).contains { $0.hasPrefix(start) }, "\(problems(text))")
  }

  @Test func unknownFlagIsNamed() {
    let found = problems(Self.minimal, [("ports.htp", "1")])
    #expect(found.first?.hasPrefix("flag --ports.htp: unknown key; known here: http") == true)
  }

  @Test func developmentNeedsNothing() {
    guard case .valid(let configuration) = NodeConfiguration.development() else {
      Issue.record("refused")
      return
    }
    #expect(configuration.dataDirectory == nil)
    #expect(configuration.isDevelopment)
  }

  /// Whatever the bytes, parsing ends with a result.
  @Test func mangledFilesNeverTrap() {
    var state: UInt64 = 7
    for _ in 0..<2_000 {
      var bytes = Array(Self.minimal.utf8)
      for _ in 0..<3 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        bytes[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 25)
      }
      _ = NodeConfiguration.parse(bytes)
    }
  }
}

struct MetricsTests {
  @Test func quantilesAreWithinAQuarterOfAPowerOfTwo() {
    var histogram = Histogram()
    for value in 1...10_000 { histogram.record(UInt64(value)) }
    #expect(histogram.count == 10_000)
    for (fraction, exact) in [(0.5, 5_000.0), (0.9, 9_000.0), (0.99, 9_900.0)] {
      let found = Double(histogram.quantile(fraction))
      #expect(found >= exact && found <= exact * 1.26, "\(fraction): \(found)")
    }
    #expect(histogram.quantile(1) == 10_000)
    #expect(histogram.max == 10_000)
  }

  @Test func smallAndHugeValuesHaveABucket() {
    var histogram = Histogram()
    for value in [0, 1, 2, 3, 4, UInt64.max] { histogram.record(value) }
    #expect(histogram.count == 6)
    #expect(histogram.quantile(0) == 0)
    #expect(histogram.cumulative().map(\.count).last == 6)
    #expect(
      zip(histogram.cumulative(), histogram.cumulative().dropFirst()).allSatisfy {
        $0.upperEdge < $1.upperEdge
      })
  }
}
