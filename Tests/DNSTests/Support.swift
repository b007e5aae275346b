import EventLoop

@testable import DNS

let second: UInt64 = 1_000_000_000
let anyPort = SocketAddress(ip: [127, 0, 0, 1], port: 0)

/// The facts of the tests.
final class FakeSource: DNSDataSource {
  var age = DNSAge.milliseconds(0)
  var services: [String: [DNSInstance]] = [:]
  var nodes: [String: DNSNode] = [:]
  var owners: [[UInt8]: DNSOwner] = [:]
  var queries: [String: DNSPreparedQuery] = [:]
  /// What `confirm` says, or nil: it is kept in `confirmations`.
  var confirms: Bool? = true
  var confirmations: [(Bool) -> Void] = []

  func instances(ofService name: String) -> [DNSInstance] { services[name.lowercased()] ?? [] }
  func node(named name: String) -> DNSNode? { nodes[name.lowercased()] }
  func owner(ofAddress ip: [UInt8]) -> DNSOwner? { owners[ip] }
  func preparedQuery(_ name: String) -> DNSPreparedQuery? { queries[name] }
  var mayLackAnsweredWrites = false
  var catchUps: [() -> Void] = []
  func catchUp(_ done: @escaping () -> Void) { catchUps.append(done) }
  func confirm(_ done: @escaping (Bool) -> Void) {
    if let confirms { done(confirms) } else { confirmations.append(done) }
  }
}

extension FakeSource {
  /// Two instances of `web` (the second with an address of its own and a warning), the servers,
  /// and a node with meta data.
  static func small() -> FakeSource {
    let source = FakeSource()
    source.services["web"] = [
      DNSInstance(
        node: "n1", address: .ip([10, 0, 0, 1]), port: 8001, weight: 5, foldedTags: ["primary"]),
      DNSInstance(
        node: "n2", address: .ip([10, 0, 0, 102]), hasOwnAddress: true, port: 8002, weight: 2,
        isPassing: false, foldedTags: ["v2"]),
    ]
    source.services["consul"] = [DNSInstance(node: "s1", address: .ip([10, 0, 0, 9]), port: 8300)]
    source.nodes["n1"] = DNSNode(
      name: "n1", address: .ip([10, 0, 0, 1]), meta: [("k", "v"), ("rfc1035-note", "plain")])
    source.owners[[10, 0, 0, 1]] = .node("n1")
    source.owners[[10, 0, 0, 102]] = .service("web")
    return source
  }

  /// Instances `many0` to `many(count-1)`, each on a node of its own.
  func addMany(_ count: Int, service: String = "many") {
    services[service] = (0..<count).map { i in
      DNSInstance(
        node: "\(service)\(i)",
        address: .ip([10, 1, UInt8(truncatingIfNeeded: i >> 8), UInt8(truncatingIfNeeded: i)]),
        port: UInt16(truncatingIfNeeded: 1000 + i))
    }
  }
}

/// A question's bytes.
func question(
  _ name: String, _ type: UInt16 = DNSType.a, edns: UInt16? = nil, id: UInt16 = 0x1234,
  flags: UInt16 = DNSFlags.recursionDesired
) -> [UInt8] {
  var writer = DNSWriter()
  writer.begin(id: id, flags: flags)
  writer.question(DNSQuestion(name: DNSName(name)!, type: type))
  if let edns { writer.options(payloadBytes: edns, code: .noError) }
  writer.finish()
  return writer.bytes
}

/// A record, decoded.
struct Record: Equatable {
  var name: String
  var type: UInt16
  var ttl: UInt32
  var recordClass: UInt16
  var data: [UInt8]
  /// Of NS, CNAME, PTR and SRV.
  var target: String?
  var port: UInt16 { data.count >= 6 ? UInt16(data[4]) << 8 | UInt16(data[5]) : 0 }
}

/// An answer, decoded to the last byte.
struct Reply {
  var id: UInt16
  var flags: UInt16
  var question: DNSQuestion?
  var answers: [Record] = []
  var authorities: [Record] = []
  var additionals: [Record] = []

  init(_ bytes: [UInt8]) throws {
    var reader = DNSReader(bytes)
    let header = try DNSHeader(&reader)
    (id, flags) = (header.id, header.flags)
    question = header.questions == 1 ? try DNSQuestion(&reader) : nil
    answers = try Self.records(Int(header.answers), bytes, &reader)
    authorities = try Self.records(Int(header.authorities), bytes, &reader)
    additionals = try Self.records(Int(header.additionals), bytes, &reader)
    if !reader.isAtEnd { throw DNSFormatError.malformed }
  }

  private static func records(
    _ count: Int, _ bytes: [UInt8], _ reader: inout DNSReader
  ) throws -> [Record] {
    try (0..<count).map { _ in
      let header = try DNSRecordHeader(&reader)
      var record = Record(
        name: header.name.description, type: header.type, ttl: header.ttl,
        recordClass: header.recordClass, data: Array(bytes[header.data]))
      let skipped: Int? =
        switch header.type {
        case DNSType.ns, DNSType.cname, DNSType.ptr, DNSType.soa: 0
        case DNSType.srv: 6
        default: nil
        }
      if let skipped {
        var inside = DNSReader(bytes)
        try inside.skip(header.data.lowerBound + skipped)
        record.target = try inside.name().description
        if header.type != DNSType.soa, inside.offset != header.data.upperBound {
          throw DNSFormatError.malformed
        }
      }
      return record
    }
  }

  var code: UInt16 { flags & DNSFlags.code }
  func has(_ flag: UInt16) -> Bool { flags & flag != 0 }
  var addresses: [[UInt8]] { answers.filter { $0.type == DNSType.a }.map(\.data) }
}

/// Answers out of `source`, without sockets.
struct Responder {
  var answers: DNSAnswers
  var source: FakeSource
  var disposition = DNSAnswers.Disposition.answered

  init(
    _ source: FakeSource = .small(), seed: UInt64 = 1, _ set: (inout DNSOptions) -> Void = { _ in }
  ) {
    var options = DNSOptions(domain: DNSName("consul")!)
    set(&options)
    answers = DNSAnswers(options: options, seed: seed)
    self.source = source
  }

  mutating func ask(
    _ name: String, _ type: UInt16 = DNSType.a, edns: UInt16? = nil,
    over transport: DNSAnswers.Transport = .udp
  ) throws -> Reply {
    let query = try DNSQuery(parsing: question(name, type, edns: edns))
    disposition = answers.respond(to: query, over: transport, from: source, time: 1_700_000_000)
    return try Reply(answers.message)
  }
}
