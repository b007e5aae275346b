import Basics
import Testing

@testable import DNS

struct MessageTests {
  /// RFC 1035 4.1: what `dig +noedns web.service.consul` sends.
  static let golden: [UInt8] =
    [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]
    + [3, 0x77, 0x65, 0x62, 7, 0x73, 0x65, 0x72, 0x76, 0x69, 0x63, 0x65]
    + [6, 0x63, 0x6F, 0x6E, 0x73, 0x75, 0x6C, 0, 0, 1, 0, 1]

  @Test func aQuestionIsRead() throws {
    let query = try DNSQuery(parsing: Self.golden)
    #expect(query.id == 0x1234)
    #expect(query.flags == DNSFlags.recursionDesired)
    #expect(query.question == DNSQuestion(name: DNSName("web.service.consul")!, type: DNSType.a))
    #expect(query.edns == nil)
    #expect(question("web.service.consul") == Self.golden)
  }

  @Test func theOptRecordIsRead() throws {
    let query = try DNSQuery(parsing: question("a.consul", edns: 4096))
    #expect(query.edns == DNSQuery.Extension(payloadBytes: 4096, version: 0))
  }

  @Test func everyTruncationIsRefused() {
    let whole = question("web.service.consul", edns: 1232)
    for count in 0..<whole.count {
      let expected: DNSQuery.Refusal =
        count < 12 ? .silent : .answer(.formatError, id: 0x1234, flags: 0x0100)
      #expect(throws: expected) { _ = try DNSQuery(parsing: Array(whole.prefix(count))) }
    }
    #expect(throws: DNSQuery.Refusal.answer(.formatError, id: 0x1234, flags: 0x0100)) {
      _ = try DNSQuery(parsing: whole + [0])
    }
  }

  struct Bad: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let bytes: [UInt8]
  }

  @Test(arguments: [
    Bad(testDescription: "no question", bytes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    Bad(
      testDescription: "two questions",
      bytes: [0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1]),
    Bad(
      testDescription: "a pointer to itself", bytes: [0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1]),
    Bad(
      testDescription: "a pointer forwards",
      bytes: [0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 14, 0, 0, 1, 0, 1]),
    Bad(
      testDescription: "a pointer into the header",
      bytes: [0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 2, 0, 1, 0, 1]),
    Bad(
      testDescription: "a pointer back into its own name",
      bytes: [0, 1, 0, 0, 0, 0, 0, 0, 1, 0x61, 0xC0, 12, 0, 1, 0, 1]),
    Bad(
      testDescription: "a label type of 0x40",
      bytes: [0, 1, 0, 0, 0, 0, 0, 0, 0x41, 0, 0, 0, 1, 0, 1]),
    Bad(testDescription: "counts that lie", bytes: [0, 1, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 1, 0, 1]),
    Bad(testDescription: "OPT as an answer", bytes: [0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1] + opt),
    Bad(testDescription: "two OPT", bytes: [0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 1, 0, 1] + opt + opt),
    Bad(
      testDescription: "OPT of a name",
      bytes: [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0x61] + opt),
    Bad(
      testDescription: "data beyond the end",
      bytes: [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1] + opt.dropLast() + [9]),
  ])
  func malformed(_ bad: Bad) {
    #expect(throws: DNSQuery.Refusal.answer(.formatError, id: 0x0102, flags: 0)) {
      _ = try DNSQuery(parsing: [1, 2, 0, 0] + bad.bytes)
    }
  }

  static let opt: [UInt8] = [0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]

  @Test func answersAndOtherOperationsAreNoQuestions() {
    #expect(throws: DNSQuery.Refusal.silent) {
      _ = try DNSQuery(parsing: question("a", flags: DNSFlags.response))
    }
    let update: UInt16 = 5 << 11
    #expect(throws: DNSQuery.Refusal.answer(.notImplemented, id: 0x1234, flags: update)) {
      _ = try DNSQuery(parsing: question("a", flags: update))
    }
  }

  @Test func namesOver255BytesAreRefused() {
    let label = [63] + [UInt8](repeating: 0x61, count: 63)
    let name = label + label + label + [62] + label.dropFirst(2) + [0]
    #expect(name.count == 256)
    #expect(throws: DNSQuery.Refusal.self) {
      _ = try DNSQuery(parsing: [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name + [0, 1, 0, 1])
    }
  }

  /// Random bytes, and damaged questions: an error or a value, never a trap; what parses is
  /// answered.
  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func hostileBytesNeverTrap(_ seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    var responder = Responder()
    let whole = question("_web._tcp.service.consul", DNSType.srv, edns: 1232)
    for _ in 0..<20_000 {
      var bytes: [UInt8]
      if random.chance(1, in: 4) {
        bytes = (0..<random.below(60)).map { _ in UInt8(random.below(256)) }
      } else {
        bytes = whole
        for _ in 0...random.below(4) {
          bytes[Int(random.below(UInt64(bytes.count)))] = UInt8(random.below(256))
        }
        if random.chance(1, in: 4) { bytes = Array(bytes.prefix(Int(random.below(60)))) }
      }
      _ = try? DNSResponse(parsing: bytes)
      guard let query = try? DNSQuery(parsing: bytes) else { continue }
      _ = responder.answers.respond(to: query, over: .udp, from: responder.source, time: 0)
      let reply = try Reply(responder.answers.message)
      #expect(reply.id == query.id)
      #expect(responder.answers.message.count <= max(512, Int(query.edns?.payloadBytes ?? 0)))
    }
  }

  /// Whatever names are written, the same come back, with pointers across the limit of 14 bits too.
  @Test(arguments: [7, 8] as [UInt64])
  func compressionKeepsNames(_ seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    var writer = DNSWriter()
    writer.begin(id: 1, flags: 0)
    writer.question(DNSQuestion(name: DNSName("x.node.dc1.consul")!, type: DNSType.ns))
    var expected: [String] = []
    for _ in 0..<1500 {
      let labels = (0...random.below(4)).map { _ in "l\(random.below(40))" }
      let name = DNSName(labels.joined(separator: ".") + ".node.dc1.consul")!
      let mark = writer.mark
      let (before, predicted) = (writer.count, writer.encodedCount(name))
      writer.alias(.answer, name, DNSType.ns, name, ttl: 0)
      // The owner as predicted, ten bytes, and the data: a pointer, or again the same.
      let count = writer.count - before
      #expect(count == predicted + 12 || count == 2 * predicted + 10)
      if random.chance(1, in: 5) {
        writer.rollBack(to: mark)
      } else {
        expected.append(name.description)
      }
    }
    writer.finish()
    #expect(writer.count > 0x4000)
    let reply = try Reply(writer.bytes)
    #expect(reply.answers.map(\.name) == expected)
    #expect(reply.answers.map(\.target) == expected)
  }
}
