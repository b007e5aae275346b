import Basics
import EventLoop
import Node
import Registry
import Testing
import Wire

@testable import ConsulAPI
@testable import DNS
@testable import HTTP

/// Everything that reads bytes of others, given what nobody should send: it must refuse or accept,
/// in bounded time, and never trap; and what it accepts must survive a way back.
@Suite(.serialized) struct FuzzTests {
  private let remote = SocketAddress(ip: [127, 0, 0, 1], port: 4)

  // MARK: HTTP

  /// The requests seen, and how it ended.
  private func requests(_ bytes: [UInt8], cutAt cut: Int) -> [String] {
    var limits = HTTPLimits()
    limits.bodyBytesMax = 4096
    var parser = RequestParser(limits: limits)
    var seen: [String] = []
    var offset = 0
    for end in [cut, bytes.count] {
      steps: while true {
        switch parser.next(bytes, &offset, end) {
        case .needsMore: break steps
        case .head: continue
        case .request:
          let request = parser.takeRequest(remote)
          seen.append(
            "\(request.method.name) \(request.target) \(request.headers.count) \(request.body)")
        case .fault(let fault): return seen + ["\(fault.status)"]
        }
      }
    }
    return seen + [parser.progress == .idle ? "idle" : "more"]
  }

  @Test func httpRequests() {
    Fuzzing.run("http requests", samples: Samples.requests, words: Samples.httpWords) {
      input, random in
      let whole = requests(input, cutAt: 0)
      let cut = Int(random.below(UInt64(input.count + 1)))
      #expect(requests(input, cutAt: cut) == whole, "\(input) cut at \(cut)")
    }
  }

  @Test func httpResponses() {
    Fuzzing.run("http responses", samples: Samples.responses, words: Samples.httpWords) {
      input, random in
      var parser = ResponseParser(isHead: random.chance(1, in: 8), bodyBytesMax: 4096)
      var offset = 0
      let cut = Int(random.below(UInt64(input.count + 1)))
      if case .needsMore = parser.next(input, &offset, cut) {
        _ = parser.next(input, &offset, input.count)
      }
      #expect(offset <= input.count)
    }
  }

  @Test func pathsAndQueries() {
    Fuzzing.run("paths and queries", samples: Samples.targets, words: Samples.targetWords) {
      input, _ in
      _ = try? QueryParameters(input[...])
      guard let path = try? PercentCoding.decodePath(input[...]) else { return }
      var again: [UInt8] = []
      PercentCoding.encodePath(path[...], into: &again)
      #expect((try? PercentCoding.decodePath(again[...])) == path, "\(input)")
      if let cleaned = PathCleaner.cleaned(path[...]) {
        #expect(PathCleaner.cleaned(cleaned[...]) == nil, "\(input)")
      }
    }
  }

  // MARK: JSON and what is made of it

  @Test func json() {
    Fuzzing.run("json", samples: Samples.json, words: Samples.jsonWords) { input, _ in
      guard let value = try? JSONScanner.parse(input[...]) else { return }
      var writer = JSONWriter()
      writer.json(value)
      let text = writer.finish()
      #expect((try? JSONScanner.parse(text[...])) == value, "\(input)")
    }
  }

  @Test func bodies() {
    Fuzzing.run("bodies", samples: Samples.json, words: Samples.jsonWords) { input, _ in
      guard let value = try? BodyDecoder.parse(input[...]) else { return }
      var service = ServiceRecord(node: "n", id: "", name: "")
      var checks: [CheckBody] = []
      try? ConsulAPI<Node>.readService(value, &service, &checks)
      _ = try? CheckBody(value).fault
      _ = try? CatalogBody.service(value)
      _ = try? CatalogBody.check(value)
      _ = try? TransactionBody.operations(value)
      _ = try? Queries.parse(input[...], id: UniqueID(high: 1, low: 1))
      _ = try? ConfigEntries.parse(input[...])
    }
  }

  @Test func durations() {
    Fuzzing.run("durations", samples: Samples.durations, words: Samples.durations.map(text)) {
      input, _ in
      guard let duration = try? GoDuration.parse(text(input)) else { return }
      #expect((try? GoDuration.parse(GoDuration.format(duration))) == duration, "\(input)")
    }
  }

  private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  // MARK: Filters and patterns

  @Test func filters() {
    var node = NodeRecord(name: "n1", address: "10.0.0.1")
    node.meta = StringMap([StringPair("env", "prod"), StringPair("n-1", "x")])
    var service = ServiceRecord(node: "n1", id: "web-1", name: "web")
    (service.tags, service.port) = (["a", "b"], 80)
    let checks = ["passing", "critical"].map { status in
      var check = CheckRecord(node: "n1", id: "c", name: "c")
      check.status = status
      return check
    }
    let view = ServiceHealthView(
      instance: Catalog.Instance(service: service, node: node), checks: checks, datacenter: "dc1")
    Fuzzing.run("filters", samples: Samples.filters, words: Samples.filterWords) { input, _ in
      if let filter = try? Filter(parsing: input, fields: FilterFields.health) {
        _ = filter.accepts(view)
      }
      if let filter = try? Filter(parsing: input, fields: FilterFields.check) {
        _ = filter.accepts(checks[0])
      }
    }
  }

  @Test func patterns() {
    Fuzzing.run("patterns", samples: Samples.patterns, words: Samples.patternWords) {
      input, random in
      guard let pattern = try? Pattern(parsing: text(input)) else { return }
      let subject = text(Array(input.shuffled(using: &random).prefix(80)))
      let found = pattern.captures(in: subject) != nil
      #expect(pattern.matches(subject) == found, "\(input) \(subject)")
    }
  }

  // MARK: DNS

  @Test func dnsQuestions() {
    var options = DNSOptions(domain: DNSName("consul") ?? DNSName(unchecked: [0]))
    options.datacenter = "dc1"
    let source = FewFacts()
    var answers = DNSAnswers(options: options, seed: 1)
    Fuzzing.run("dns questions", samples: Samples.questions, words: Samples.dnsWords) {
      input, random in
      guard let query = try? DNSQuery(parsing: input) else { return }
      let isTCP = random.chance(1, in: 2)
      _ = answers.respond(to: query, over: isTCP ? .tcp : .udp, from: source, time: 1)
      let answer = answers.message
      #expect(answer.count <= (isTCP ? 65_535 : max(512, Int(query.edns?.payloadBytes ?? 0))))
      let response = try? DNSResponse(parsing: answer)
      #expect(response?.id == query.id, "\(input)")
    }
  }

  @Test func dnsResponses() {
    Fuzzing.run("dns responses", samples: Samples.questions, words: Samples.dnsWords) {
      input, _ in
      _ = try? DNSResponse(parsing: input)
    }
  }

  // MARK: The log and snapshots

  @Test func commands() {
    let samples = Samples.commands
    var registry = Registry(options: Registry.Options())
    var index: UInt64 = 0
    Fuzzing.run("commands", samples: samples, words: ["", "a", "n1", "\u{1}\u{2}"]) { input, _ in
      if index.isMultiple(of: 500) { registry = Registry(options: Registry.Options()) }
      index += 1
      if let envelope = try? CommandEnvelope(decoding: input) {
        let again = try? CommandEnvelope(decoding: envelope.encoded())
        #expect(again?.encoded() == envelope.encoded(), "\(input)")
      }
      // What does not decode is refused by every node alike.
      var changes = ChangeSet()
      _ = registry.apply(input, index: index, changes: &changes)
    }
  }

  @Test func archives() {
    var registry = Registry(options: Registry.Options())
    for (index, command) in Samples.commands.enumerated() {
      var changes = ChangeSet()
      _ = registry.apply(command, index: UInt64(index + 1), changes: &changes)
    }
    var writer = ArchiveWriter(
      registry, ArchiveOrigin(index: 9, term: 1, milliseconds: 5, servers: []))
    var archive: [UInt8] = []
    while let piece = writer.next() { archive += piece }
    var encoder = registry.makeArchiveEncoder()
    var state: [UInt8] = []
    while let piece = encoder.next() { state += piece }
    let whole = archive
    Fuzzing.run("archives", samples: [archive], words: ["state.bin", "\u{1F}\u{8B}\u{8}"]) {
      input, _ in
      guard let verified = try? ArchiveReader.verify(input[...], options: Registry.Options())
      else { return }
      #expect(verified == (try? ArchiveReader.verify(whole[...], options: Registry.Options())))
    }
    Fuzzing.run("states", samples: [state], words: ["a", "\u{0}\u{0}\u{0}\u{1}"]) { input, random in
      var decoder = SnapshotDecoder(options: Registry.Options(), isNested: true)
      let cut = Int(random.below(UInt64(input.count + 1)))
      do {
        try decoder.feed(Array(input[..<cut]))
        try decoder.feed(Array(input[cut...]))
        _ = try decoder.finish().stateHash()
      } catch {
        return
      }
    }
  }
}
