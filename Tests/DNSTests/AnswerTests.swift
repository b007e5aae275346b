import Testing

@testable import DNS

struct AnswerTests {
  @Test func goldenBytesOfOneAddress() throws {
    var responder = Responder()
    let reply = try responder.ask("primary.web.service.consul")
    #expect(reply.addresses == [[10, 0, 0, 1]])
    let question = question("primary.web.service.consul").dropFirst(12)
    let expected: [UInt8] =
      [0x12, 0x34, 0x85, 0x00, 0, 1, 0, 1, 0, 0, 0, 0] + question
      + [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 0, 0, 1]
    #expect(responder.answers.message == expected)
  }

  @Test func goldenBytesOfAService() throws {
    var responder = Responder()
    _ = try responder.ask("primary.web.service.consul", DNSType.srv)
    let question = question("primary.web.service.consul", DNSType.srv).dropFirst(12)
    // n1.node.dc1 and a pointer to "consul" in the question, at 32; the target stands at 61.
    let target: [UInt8] =
      [2, 0x6E, 0x31, 4, 0x6E, 0x6F, 0x64, 0x65, 3, 0x64, 0x63, 0x31, 0xC0, 32]
    let expected: [UInt8] =
      [0x12, 0x34, 0x85, 0x00, 0, 1, 0, 1, 0, 0, 0, 1] + question
      + [0xC0, 12, 0, 33, 0, 1, 0, 0, 0, 0, 0, 20, 0, 1, 0, 5, 0x1F, 0x41] + target
      + [0xC0, 62, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 0, 0, 1]
    #expect(responder.answers.message == expected)
  }

  struct Row: CustomTestStringConvertible, Sendable {
    let name: String
    let type: UInt16
    let code: DNSCode
    let answers: Int
    let authority: [UInt16]
    var testDescription: String { "\(name) type \(type)" }
    init(_ name: String, _ type: UInt16, _ code: DNSCode, _ answers: Int, _ authority: [UInt16]) {
      (self.name, self.type, self.code) = (name, type, code)
      (self.answers, self.authority) = (answers, authority)
    }
  }

  @Test(arguments: [
    Row("web.service.consul", DNSType.a, .noError, 2, []),
    Row("WEB.Service.Consul", DNSType.a, .noError, 2, []),
    Row("web.service.dc1.consul", DNSType.a, .noError, 2, []),
    Row("web.service.DC1.consul", DNSType.srv, .noError, 2, []),
    Row("web.service.dc2.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("web.service.a.b.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("V2.web.service.consul", DNSType.a, .noError, 1, []),
    Row("none.web.service.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("a.b.web.service.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("_web._tcp.service.consul", DNSType.srv, .noError, 2, []),
    Row("_web._v2.service.consul", DNSType.srv, .noError, 1, []),
    Row("_web._v2.service.consul", DNSType.a, .noError, 1, []),
    Row("_web._tcp.consul", DNSType.srv, .noError, 2, []),
    Row("_web._tcp.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("web.service.consul", DNSType.aaaa, .noError, 0, [DNSType.soa]),
    Row("web.service.consul", DNSType.txt, .noError, 0, [DNSType.soa]),
    Row("web.service.consul", DNSType.any, .noError, 2, []),
    Row("nosuch.service.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("service.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("web.connect.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("web.ingress.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("web.virtual.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("web.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("consul", DNSType.soa, .noError, 1, [DNSType.ns]),
    Row("nosuch.consul", DNSType.soa, .noError, 1, [DNSType.ns]),
    Row("consul", DNSType.ns, .noError, 1, []),
    Row("consul", DNSType.axfr, .notImplemented, 0, []),
    Row("n1.node.consul", DNSType.a, .noError, 1, []),
    Row("N1.node.dc1.consul", DNSType.a, .noError, 1, []),
    Row("n1.node.consul", DNSType.aaaa, .noError, 0, []),
    Row("n1.node.consul", DNSType.txt, .noError, 2, []),
    Row("n1.node.consul", DNSType.any, .noError, 3, []),
    Row("n9.node.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("node.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("0a000001.addr.consul", DNSType.a, .noError, 1, []),
    Row("0A000001.addr.dc1.consul", DNSType.a, .noError, 1, []),
    Row("0a000001.addr.consul", DNSType.aaaa, .noError, 0, []),
    Row("zz000001.addr.consul", DNSType.a, .noError, 0, []),
    Row("0a0001.addr.consul", DNSType.a, .noError, 0, []),
    Row("fd000000000000000000000000000006.addr.consul", DNSType.aaaa, .noError, 1, []),
    Row("nosuch.query.consul", DNSType.a, .nameError, 0, [DNSType.soa]),
    Row("1.0.0.10.in-addr.arpa", DNSType.ptr, .noError, 1, []),
    Row("7.0.0.10.in-addr.arpa", DNSType.ptr, .serverFailure, 0, []),
    Row("example.com", DNSType.a, .refused, 0, []),
    Row("notconsul", DNSType.a, .refused, 0, []),
  ])
  func rules(_ row: Row) throws {
    var responder = Responder()
    let reply = try responder.ask(row.name, row.type)
    #expect(reply.code == row.code.rawValue)
    #expect(reply.answers.count == row.answers)
    #expect(reply.authorities.map(\.type) == row.authority)
    #expect(reply.question?.name.description == row.name + ".")
    #expect(reply.has(DNSFlags.response) && reply.has(DNSFlags.recursionDesired))
    #expect(!reply.has(DNSFlags.recursionAvailable) && !reply.has(DNSFlags.truncated))
    let isOurs = ![.refused, .serverFailure, .notImplemented].contains(row.code)
    #expect(reply.has(DNSFlags.authoritative) == isOurs)
  }

  @Test func servicesHaveWeightsTargetsAndAddresses() throws {
    var responder = Responder()
    let reply = try responder.ask("web.service.consul", DNSType.srv)
    let byPort = reply.answers.sorted { $0.port < $1.port }
    #expect(byPort.map(\.port) == [8001, 8002])
    #expect(byPort.map(\.target) == ["n1.node.dc1.consul.", "0a000066.addr.dc1.consul."])
    #expect(byPort.map { Array($0.data.prefix(4)) } == [[0, 1, 0, 5], [0, 1, 0, 2]])
    #expect(Set(reply.additionals.map(\.name)) == Set(byPort.compactMap(\.target)))
    #expect(Set(reply.additionals.map(\.data)) == [[10, 0, 0, 1], [10, 0, 0, 102]])
  }

  @Test func theSameEndpointIsGivenOnce() throws {
    let source = FakeSource()
    let one = DNSInstance(node: "n", address: .ip([10, 0, 0, 1]), port: 1)
    var otherPort = one
    otherPort.port = 2
    source.services["web"] = [one, one, otherPort]
    var responder = Responder(source)
    #expect(try responder.ask("web.service.consul").addresses == [[10, 0, 0, 1]])
    let reply = try responder.ask("web.service.consul", DNSType.srv)
    #expect(reply.answers.map(\.port).sorted() == [1, 2])
    // One for each answer, though both have the same target.
    #expect(reply.additionals.map(\.data) == [[10, 0, 0, 1], [10, 0, 0, 1]])
  }

  @Test func hostNamesAreAliasesOnlyWithoutAddresses() throws {
    let source = FakeSource()
    source.services["cn"] = [DNSInstance(node: "n", address: .name("a.example.org"), port: 1)]
    var responder = Responder(source)
    let alias = try responder.ask("cn.service.consul")
    #expect(alias.answers.map(\.type) == [DNSType.cname])
    #expect(alias.answers.map(\.target) == ["a.example.org."])
    let reply = try responder.ask("cn.service.consul", DNSType.srv)
    #expect(reply.answers.map(\.target) == ["a.example.org."])
    #expect(reply.additionals.isEmpty)
    source.services["cn"]?.append(DNSInstance(node: "m", address: .ip([10, 0, 0, 5]), port: 1))
    #expect(try responder.ask("cn.service.consul").answers.map(\.type) == [DNSType.a])
  }

  @Test func unwritableNodeNamesDoNotHideAnInstance() throws {
    let source = FakeSource()
    let name = String(repeating: "x", count: 64)
    source.services["web"] = [DNSInstance(node: name, address: .ip([10, 0, 0, 1]), port: 1)]
    var responder = Responder(source)
    let reply = try responder.ask("web.service.consul", DNSType.srv)
    #expect(reply.answers.map(\.target) == ["0a000001.addr.dc1.consul."])
  }

  @Test func startOfAuthority() throws {
    var responder = Responder()
    let soa = try #require(try responder.ask("nosuch.service.consul").authorities.first)
    #expect(soa.name == "consul.")
    #expect(soa.target == "ns.consul.")
    let numbers = [1_700_000_000, 3600, 600, 86_400, 0].flatMap { (value: UInt32) in
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }
    #expect(Array(soa.data.suffix(20)) == numbers)
  }

  @Test func nameServersAreUpToThreeServersWithAddresses() throws {
    let source = FakeSource()
    source.addMany(5, service: "consul")
    var responder = Responder(source)
    let reply = try responder.ask("consul", DNSType.ns)
    #expect(reply.answers.count == 3)
    #expect(reply.additionals.map(\.name) == reply.answers.compactMap(\.target))
  }

  @Test func textsOfANode() throws {
    let source = FakeSource.small()
    let long = String(repeating: "y", count: 300)
    source.nodes["n1"]?.meta.append(("long", long))
    var responder = Responder(source)
    let reply = try responder.ask("n1.node.consul", DNSType.txt)
    #expect(
      reply.answers.prefix(2).map(\.data) == [Array("\u{3}k=v".utf8), Array("\u{5}plain".utf8)])
    let text = Array("long=\(long)".utf8)
    #expect(reply.answers[2].data == [255] + text.prefix(255) + [50] + text.dropFirst(255))
  }

  @Test func pointersNameANodeOrAService() throws {
    var responder = Responder()
    let node = try responder.ask("1.0.0.10.in-addr.arpa", DNSType.ptr)
    #expect(node.answers.map(\.target) == ["n1.node.dc1.consul."])
    let service = try responder.ask("102.0.0.10.IN-ADDR.arpa", DNSType.ptr)
    #expect(service.answers.map(\.target) == ["web.service.dc1.consul."])
  }

  @Test func nearInstancesComeFirst() throws {
    let source = FakeSource()
    source.addMany(20)
    let instances = source.services["many"] ?? []
    source.queries["q"] = DNSPreparedQuery(service: "many", instances: instances, nearCount: 2)
    var responder = Responder(source)
    var orders: Set<[[UInt8]]> = []
    let near = Set(instances[..<2].map { $0.address })
    for _ in 0..<20 {
      let found = try responder.ask("q.query.consul").addresses
      #expect(Set(found[..<2].map { DNSAddress.ip($0) }) == near)
      orders.insert(found)
    }
    #expect(orders.count > 1)
  }

  @Test func preparedQueriesHaveTheirOwnLifetime() throws {
    let source = FakeSource.small()
    let instances = source.services["web"] ?? []
    source.queries["geo.q"] = DNSPreparedQuery(service: "Web", instances: instances, ttl: 7)
    source.queries["plain"] = DNSPreparedQuery(service: "Web", instances: instances)
    source.queries["empty"] = DNSPreparedQuery(service: "Web", instances: [])
    var responder = Responder(source) { $0.serviceTTL = [("web", 3)] }
    #expect(try responder.ask("geo.q.query.consul").answers.map(\.ttl) == [7, 7])
    #expect(try responder.ask("plain.query.consul", DNSType.srv).answers.map(\.ttl) == [3, 3])
    #expect(try responder.ask("empty.query.consul").code == DNSCode.nameError.rawValue)
    #expect(try responder.ask("geo.q.query.consul", DNSType.aaaa).authorities.count == 1)
  }

  @Test func lifetimesByNameAndPrefix() {
    var options = DNSOptions(domain: DNSName("consul")!)
    #expect(options.ttl(ofService: "web") == 0)
    options.serviceTTL = [("*", 1), ("web*", 2), ("web-api*", 3), ("web-db", 4)]
    #expect(options.ttl(ofService: "other") == 1)
    #expect(options.ttl(ofService: "web-x") == 2)
    #expect(options.ttl(ofService: "web-api-1") == 3)
    #expect(options.ttl(ofService: "web-db") == 4)
  }

  @Test func optionsOfTheOperator() throws {
    var responder = Responder {
      $0.isOnlyPassing = true
      $0.nodeTTL = 9
      $0.datacenter = "East"
      $0.alternativeDomain = DNSName("alt.example")
    }
    #expect(try responder.ask("web.service.consul").addresses == [[10, 0, 0, 1]])
    #expect(try responder.ask("n1.node.east.consul").answers.map(\.ttl) == [9])
    let reply = try responder.ask("web.service.alt.example", DNSType.srv)
    #expect(reply.answers.map(\.target) == ["n1.node.east.alt.example."])
    let negative = try responder.ask("nosuch.service.ALT.example")
    #expect(negative.authorities.map(\.name) == ["alt.example."])
  }

  @Test func ageIsBounded() throws {
    let source = FakeSource.small()
    var responder = Responder(source) { $0.staleMillisecondsMax = 1000 }
    source.age = .milliseconds(1000)
    #expect(try responder.ask("web.service.consul").answers.count == 2)
    for age in [DNSAge.milliseconds(1001), .unknown] {
      source.age = age
      for (name, type) in [("web.service.consul", DNSType.a), ("1.0.0.10.in-addr.arpa", 12)] {
        let reply = try responder.ask(name, type)
        #expect(reply.code == DNSCode.serverFailure.rawValue)
        #expect(!reply.has(DNSFlags.authoritative))
      }
    }
  }

  @Test func otherClassesAndVersionsAreRefused() throws {
    var responder = Responder()
    var chaos = question("web.service.consul")
    chaos[chaos.count - 1] = 3
    _ = responder.answers.respond(
      to: try DNSQuery(parsing: chaos), over: .udp, from: responder.source, time: 0)
    #expect(try Reply(responder.answers.message).code == DNSCode.refused.rawValue)
    // The version is the second byte of the OPT record's TTL.
    var newer = question("web.service.consul", edns: 1232)
    newer[newer.count - 5] = 1
    _ = responder.answers.respond(
      to: try DNSQuery(parsing: newer), over: .udp, from: responder.source, time: 0)
    let reply = try Reply(responder.answers.message)
    #expect(reply.code == 0)
    #expect(reply.additionals.map(\.ttl) == [1 << 24])
    #expect(reply.answers.isEmpty)
  }

  @Test func recursorsAreAskedAboutTheRest() throws {
    let source = FakeSource.small()
    source.services["cn"] = [DNSInstance(node: "n", address: .name("a.example.org"), port: 1)]
    var responder = Responder(source) {
      $0.recursors = [anyPort]
      $0.serviceTTL = [("cn", 5)]
    }
    #expect(try responder.ask("web.service.consul").has(DNSFlags.recursionAvailable))
    #expect(responder.disposition == .answered)
    _ = try responder.ask("example.com")
    #expect(responder.disposition == .forward)
    _ = try responder.ask("7.0.0.10.in-addr.arpa", DNSType.ptr)
    #expect(responder.disposition == .forward)
    _ = try responder.ask("cn.service.consul")
    #expect(responder.disposition == .chase(DNSName("a.example.org")!, ttl: 5))
  }
}
