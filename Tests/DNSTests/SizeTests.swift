import Testing

@testable import DNS

/// How much of a long answer a client gets (consul-api.md 21.13, fault scenario O5).
struct SizeTests {
  static func responder(
    _ count: Int, seed: UInt64 = 1, _ set: (inout DNSOptions) -> Void = { _ in }
  ) -> Responder {
    let source = FakeSource()
    source.addMany(count)
    return Responder(source, seed: seed, set)
  }

  @Test func threeWithoutExtension() throws {
    var responder = Self.responder(15)
    for edns in [nil, 100, 512] as [UInt16?] {
      let reply = try responder.ask("many.service.consul", edns: edns)
      #expect(reply.answers.count == 3)
      #expect(!reply.has(DNSFlags.truncated))
    }
    let reply = try responder.ask("many.service.consul", DNSType.srv)
    #expect(reply.answers.count == 3)
    #expect(reply.additionals.map(\.name) == reply.answers.compactMap(\.target))
  }

  @Test(arguments: [(1, 1), (5, 5), (8, 8), (20, 8)])
  func theLimitIsConfigurableUpToEight(_ limit: Int, _ expected: Int) throws {
    var responder = Self.responder(15) { $0.udpAnswerLimit = limit }
    #expect(try responder.ask("many.service.consul").answers.count == expected)
  }

  @Test(arguments: [512, 600, 1232, 4096, 65_535] as [UInt16], [DNSType.a, DNSType.srv])
  func asManyAsFit(_ edns: UInt16, _ type: UInt16) throws {
    var responder = Self.responder(5000)
    let reply = try responder.ask("many.service.consul", type, edns: edns)
    let size = responder.answers.message.count
    #expect(size <= Int(edns))
    if edns > 512 { #expect(size > min(Int(edns), 65_507) - 80, "\(size) of \(edns)") }
    #expect(reply.additionals.last?.type == DNSType.opt)
    #expect(reply.additionals.last?.recordClass == edns)
    if type == DNSType.srv {
      #expect(reply.additionals.dropLast().map(\.name) == reply.answers.compactMap(\.target))
    }
    #expect(!reply.has(DNSFlags.truncated))
  }

  @Test(arguments: [DNSType.a, DNSType.srv], [false, true])
  func fiveThousandOverTCP(_ type: UInt16, _ truncates: Bool) throws {
    var responder = Self.responder(5000) { $0.isTruncationEnabled = truncates }
    let reply = try responder.ask("many.service.consul", type, over: .tcp)
    let size = responder.answers.message.count
    #expect(size <= 65_535 && size > 65_400)
    #expect(Set(reply.answers.map(\.data)).count == reply.answers.count)
    #expect(reply.answers.count > 900)
    #expect(reply.has(DNSFlags.truncated) == truncates)
    if type == DNSType.srv {
      #expect(reply.additionals.map(\.name) == reply.answers.compactMap(\.target))
    }
  }

  @Test func truncationIsShownByOption() throws {
    var responder = Self.responder(4) { $0.isTruncationEnabled = true }
    #expect(try responder.ask("many.service.consul").has(DNSFlags.truncated))
    #expect(try !responder.ask("many.service.consul", edns: 1232).has(DNSFlags.truncated))
    #expect(try !responder.ask("many.service.consul", over: .tcp).has(DNSFlags.truncated))
    var exact = Self.responder(3) { $0.isTruncationEnabled = true }
    #expect(try !exact.ask("many.service.consul").has(DNSFlags.truncated))
  }

  /// A healthy service never looks empty: what does not fit at all is worth asking TCP.
  @Test func whatDoesNotFitAtAllIsTruncated() throws {
    let big = FakeSource()
    let text = String(repeating: "v", count: 600)
    big.nodes["n"] = DNSNode(name: "n", address: .ip([10, 0, 0, 1]), meta: [("k", text)])
    var texts = Responder(big)
    let reply = try texts.ask("n.node.consul", DNSType.txt)
    #expect(reply.answers.isEmpty && reply.has(DNSFlags.truncated))
    #expect(try texts.ask("n.node.consul", DNSType.txt, over: .tcp).answers.count == 1)
  }

  @Test func theOrderIsDrawnFromTheSeed() throws {
    func orders(_ seed: UInt64) throws -> [[[UInt8]]] {
      var responder = Self.responder(15, seed: seed)
      return try (0..<12).map { _ in
        try responder.ask("many.service.consul", edns: 4096).addresses
      }
    }
    let first = try orders(5)
    #expect(try orders(5) == first)
    #expect(Set(first).count == 12)
    #expect(first.allSatisfy { Set($0).count == 15 })
    // Over many questions, each instance is among the first three about equally often.
    var responder = Self.responder(15, seed: 9)
    var counts: [[UInt8]: Int] = [:]
    for _ in 0..<3000 {
      for ip in try responder.ask("many.service.consul").addresses { counts[ip, default: 0] += 1 }
    }
    #expect(counts.count == 15)
    #expect(counts.values.allSatisfy { (480...720).contains($0) }, "\(counts.values.sorted())")
  }
}
