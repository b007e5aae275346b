import Registry

@testable import DNS

/// What is right, and words of each grammar, for the fuzzer to take apart.
enum Samples {
  private static func bytes(_ texts: [String]) -> [[UInt8]] { texts.map { Array($0.utf8) } }

  static let requests = bytes([
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /v1/kv/a?flags=1 HTTP/1.1\r\nHost: a\r\nX-T: \t t \r\nContent-Length: 5\r\n\r\nhello",
    "POST /c HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n3;e=\"1\"\r\nabc\r\n0A\r\n"
      + "0123456789\r\n0\r\nTrailer: x\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
    "GET http://b.example:80?x HTTP/1.1\r\nhost: b\r\nConnection: close, x\r\n\r\n",
    "PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
  ])
  static let responses = bytes([
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nrest",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.0 302 Found\r\nLocation: http://a/\r\n\r\n",
  ])
  static let httpWords = [
    "\r\n", "\n", "\r", ":", " ", "\t", "Content-Length: ", "Transfer-Encoding: chunked", "0",
    "18446744073709551616", "-1", "+5", "chunked, chunked", "HTTP/1.1", "\u{0}", "Host: a\r\n",
    ";", "ffffffffffffffff", "Connection: keep-alive\r\n", "\r\n\r\n",
  ]

  static let targets = bytes([
    "/v1/kv/a/b", "/v1/kv/sp%20ace%2Fx", "/a/../b/./c//d/", "index=5&wait=10s&filter=a%3D%3Db",
    "/%E2%82%AC", "a=1&a=2&b&=c",
  ])
  static let targetWords = [
    "%", "%00", "%2e", "..", "/", "//", "&", "=", "+", "%C3", "\u{E9}", "?",
  ]

  static let json = bytes([
    #"{"Name":"web","Checks":[{"HTTP":"http://127.0.0.1:1/","Interval":"10s"}],"Weights":{"Passing":2},"Meta":{"a":"b"},"Tags":["x"],"Port":80}"#,
    #"[{"KV":{"Verb":"set","Key":"a","Value":"dg==","Flags":18446744073709551615}},{"Check":{"Verb":"get","Check":{"Node":"n"}}}]"#,
    #"{"a":[1,2.5e-3,-0,true,false,null,"\u00e9\ud83d\ude00\n"],"b":{"c":{}}}"#,
    #"{"Node":"x","Service":{"Service":"w","TaggedAddresses":{"lan":{"Address":"a","Port":1}}},"Definition":{"TTL":15000000000}}"#,
    #"{"Kind":"service-defaults","Name":"a","Template":{"Type":"name_prefix_match","Regexp":"(.*)"},"Service":{"Service":"${match(1)}","Near":"_agent"}}"#,
    #"{"CheckID":"c","TTL":"15s","Header":{"a":["b"]},"DeregisterCriticalServiceAfter":"1m","Args":["a"]}"#,
  ])
  static let jsonWords = [
    "{", "}", "[", "]", ",", ":", "\"", "\\u", "\\ud800", "null", "true", "1e999", "-", "0.", "\\",
    "\u{0}", "\u{202E}", "[[[[[[[[", "{\"a\":", "99999999999999999999", "\"10s\"", "é",
  ]

  static let durations = bytes(["10s", "1h30m", "500ms", "1.5s", "-2us", "0", "106751d", "1ns"])

  static let filters = bytes([
    #"Service.Tags contains "a" and not (Node.Meta.env == prod or "x" in Checks.Output)"#,
    #"Node.Meta["n-1"] != `x` and Checks.Status matches "pass.*""#,
    "Service.Port == 80 or Service.Tags is not empty", "Status in Output", "a not in ServiceTags",
    #"Status not matches "^(a|b)+$" and CreateIndex == 1"#,
  ])
  static let filterWords = [
    "(", ")", " and ", " or ", "not ", "==", "!=", " is empty", " in ", " contains ", "\"", "`",
    ".", "[", "]", "Service", "Node", "Meta", "\\", "((((((((", "é", "-1", "matches \"(((\"",
  ]

  static let patterns = bytes([
    "^(a+)+$", "(?i)web-[0-9]{1,3}", "a|b|(?:c|d)*?", "[^a-z\\d]\\bx\\.", "(?P<n>.*)-(.+)$",
    "\\pL{2,}", "[[:alpha:]]+?",
  ])
  static let patternWords = [
    "(", ")", "[", "]", "*", "+", "?", "{1,1000}", "{,}", "|", "\\", "^", "$", ".", "(?", "[^",
    "\\x{10FFFF}", "[z-a]", "(?:", "\\Q", "é", "{999999}",
  ]

  static let questions: [[UInt8]] = [
    ("web.service.consul", DNSType.srv, nil), ("n1.node.dc1.consul", DNSType.any, 1232),
    ("q.query.consul", DNSType.a, 4096), ("0a000001.addr.consul", DNSType.a, nil),
    ("_web._tcp.service.consul", DNSType.srv, 512), ("1.0.0.10.in-addr.arpa", DNSType.ptr, nil),
    ("consul", DNSType.soa, nil), ("example.org", DNSType.txt, nil),
  ].map { (name: String, type: UInt16, edns: UInt16?) in
    var writer = DNSWriter()
    writer.begin(id: 7, flags: DNSFlags.recursionDesired)
    if let name = DNSName(name) { writer.question(DNSQuestion(name: name, type: type)) }
    if let edns { writer.options(payloadBytes: edns, code: .noError) }
    writer.finish()
    return writer.bytes
  }
  static let dnsWords = [
    "\u{3}web", "\u{7}service", "\u{6}consul\u{0}", "\u{0}", "\u{4}node", "\u{0}\u{1}", "\u{3F}",
    "\u{0}\u{29}",
  ]

  static let commands: [[UInt8]] = {
    var node = NodeRecord(name: "n1", address: "10.0.0.1")
    node.meta = StringMap([StringPair("a", "b")])
    var service = ServiceRecord(node: "n1", id: "web-1", name: "web")
    (service.tags, service.port) = (["x"], 80)
    var check = CheckRecord(node: "n1", id: "c", name: "c")
    (check.serviceID, check.status) = ("web-1", "passing")
    var registration = Registration(node: node)
    (registration.service, registration.checks) = (service, [check])
    let session = SessionRecord(id: UniqueID(high: 1, low: 2), node: "n1")
    var query = PreparedQuery(id: UniqueID(high: 3, low: 4))
    (query.name, query.service) = ("q", "web")
    func set(_ key: String, _ mode: KVSet.Mode) -> Command {
      .kvSet(KVSet(key: Key(key), value: [1, 2, 3], flags: 7, mode: mode))
    }
    let all: [Command] = [
      .hostJoin(HostRegistration(node: node, port: 8300)), .register(registration),
      set("a/b", .plain), set("a/c", .cas(0)), .sessionCreate(session),
      set("lock", .acquire(session.id)), set("lock", .release(session.id)),
      .agentRegister(
        AgentRegistration(
          host: "n1", service: service, checks: [check], replaceExistingChecks: true)),
      .agentCheckRegister(check, host: "n1"),
      .checkUpdate(
        CheckUpdate(
          checkID: "c", fromHost: nil, node: "n1", status: "critical", output: "o")),
      .maintenance(host: "n1", serviceID: "web-1", enable: true, reason: "r"),
      .transaction([
        .kv(KVOperation(verb: .set, key: Key("t"))), .kv(KVOperation(verb: .getTree, key: Key(""))),
        .node(verb: .get, node), .service(verb: .set, node: "n1", service),
        .check(verb: .deleteCAS, check),
      ]),
      .configSet(ConfigEntry(kind: "mesh", name: "mesh", fieldsJSON: []), cas: nil),
      .eventFire(UserEvent(id: UniqueID(high: 5, low: 6), name: "e", payload: [1])),
      .querySet(query, isNew: true), .autopilotSet(AutopilotSettings(), cas: nil),
      .hostDown(host: "n1", liveHosts: ["n1", "n2"]), .kvDelete(key: Key("a/b"), cas: 3),
      .kvDeleteTree(prefix: Key("a")), .sessionDestroy(session.id),
      .deregister(node: "n1", serviceID: "web-1", checkID: ""), .reapTombstones(through: 9),
    ]
    return all.enumerated().map { index, command in
      let id = index.isMultiple(of: 3) ? UniqueID(high: 9, low: UInt64(index)) : nil
      return CommandEnvelope(time: UInt64(index), requestID: id, command: command).encoded()
    }
  }()
}

/// Facts for answers: two instances of `web`, one node.
final class FewFacts: DNSDataSource {
  var age: DNSAge { .milliseconds(0) }
  private let two = [
    DNSInstance(node: "n1", address: .ip([10, 0, 0, 1]), port: 1, foldedTags: ["primary"]),
    DNSInstance(node: "n2", address: .name("h.example.org"), port: 2),
  ]
  func instances(ofService name: String) -> [DNSInstance] { name == "web" ? two : [] }
  func node(named name: String) -> DNSNode? {
    name == "n1" ? DNSNode(name: name, address: .ip([10, 0, 0, 1]), meta: [("k", "v")]) : nil
  }
  func owner(ofAddress ip: [UInt8]) -> DNSOwner? { ip.count == 4 ? .node("n1") : nil }
  func preparedQuery(_ name: String) -> DNSPreparedQuery? {
    DNSPreparedQuery(service: "web", instances: two, nearCount: 1, ttl: 9)
  }
  var mayLackAnsweredWrites: Bool { false }
  func catchUp(_ done: @escaping () -> Void) { done() }
  func confirm(_ done: @escaping (Bool) -> Void) { done(true) }
}
