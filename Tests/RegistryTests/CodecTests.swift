import Basics
import Testing
import Wire

@testable import Registry

@Suite struct CodecTests {
  @Test func everyCommandComesBackAsItWas() throws {
    var commands = RandomCommands(seed: 3)
    var tags: Set<UInt8> = []
    for i in 0..<1500 {
      let command = i == 0 ? Command.reapTombstones(through: 5) : commands.next()
      tags.insert(command.tag.rawValue)
      let id = i.isMultiple(of: 2) ? nil : UniqueID(high: 7, low: UInt64(i))
      let envelope = CommandEnvelope(time: UInt64(i) << 40, requestID: id, command: command)
      let bytes = envelope.encoded()
      #expect(try CommandEnvelope(decoding: bytes) == envelope)
      for length in 0..<(i < 400 ? bytes.count : 0) {
        #expect(throws: WireError.self) { try CommandEnvelope(decoding: Array(bytes[..<length])) }
      }
      #expect(throws: WireError.self) { try CommandEnvelope(decoding: bytes + [0]) }
    }
    #expect(tags.count == 27)
  }

  @Test func aFullCheckComesBackAsItWas() throws {
    var check = CheckRecord(node: "n", id: "c", name: "check")
    check.definition.header = [HeaderField(name: "h", values: ["1", "2"])]
    check.definition.args = ["a", "b"]
    check.definition.interval = -1
    check.definition.outputMaxSize = .max
    check.serviceTags = ["é"]
    var service = ServiceRecord(node: "n", id: "s", name: "svc")
    service.taggedAddresses = [
      NamedServiceAddress(name: "lan", value: ServiceAddress(address: "a", port: -1))
    ]
    service.meta = StringMap([StringPair("b", "1"), StringPair("a", "2"), StringPair("b", "3")])
    #expect(service.meta?.pairs.map(\.value) == ["2", "3"])
    service.proxyJSON = [1, 2]
    let command = Command.agentRegister(
      AgentRegistration(
        host: "h", service: service, checks: [check], replaceExistingChecks: true))
    let envelope = CommandEnvelope(time: 1, requestID: nil, command: command)
    #expect(try CommandEnvelope(decoding: envelope.encoded()) == envelope)
  }

  /// A write that is encoded from where it lies in a request is the command it would have been.
  @Test func partsAreEncodedAsTheirCommand() {
    let request = Array("PUT key VALUE".utf8)
    let session = UniqueID(high: 1, low: 2)
    let stamp = OriginStamp(origin: 3, sequence: 900, acknowledgedThrough: 800)
    for mode in [KVSet.Mode.plain, .cas(300), .acquire(session), .release(session)] {
      var parts = KVSetParts(key: request[4..<7], value: request[8...])
      parts.flags = 1 << 40
      parts.mode = mode
      for (origin, id) in [(nil, nil), (stamp, nil), (stamp, session), (nil, session)] {
        let header = CommandEnvelope.Header(
          time: 1 << 41, origin: origin, requestID: id, floor: id == nil ? nil : 7)
        let bytes = CommandEnvelope.encode(parts, header)
        #expect(bytes == CommandEnvelope.encode(.kvSet(KVSet(parts)), header))
        #expect(CommandEnvelope.origin(of: bytes) == origin)
        #expect((try? CommandEnvelope(decoding: bytes))?.command == .kvSet(KVSet(parts)))
      }
    }
  }

  @Test func stampSetsTheTimeOnly() throws {
    let command = Command.kvDeleteTree(prefix: Key("p"))
    var bytes = CommandEnvelope(time: 1, requestID: nil, command: command).encoded()
    CommandEnvelope.stamp(&bytes, time: .max - 1)
    #expect(
      try CommandEnvelope(decoding: bytes)
        == CommandEnvelope(time: .max - 1, requestID: nil, command: command))
    var short: [UInt8] = [1, 2, 3]
    CommandEnvelope.stamp(&short, time: 5)
    #expect(short == [1, 2, 3])
  }

  @Test func outcomesComeBackAsTheyWere() throws {
    let entry = KVEntry(
      key: Key("k"), value: [1], flags: .max, createIndex: 1, modifyIndex: 2, lockIndex: 3,
      session: UniqueID(high: 1, low: 2))
    let outcomes: [Outcome] = [
      .done, .flag(true), .flag(false), .refused(Refusal(status: 500, text: "why")),
      .transaction(.failed([TransactionError(operation: 3, what: "x")])),
      .transaction(
        .committed([
          .kv(entry, withValue: true), .node(NodeRecord(name: "n", address: "a")),
          .service(ServiceRecord(node: "n", id: "s", name: "svc")),
          .check(CheckRecord(node: "n", id: "c", name: "c")),
        ])),
    ]
    for outcome in outcomes {
      var writer = Writer()
      outcome.encode(into: &writer)
      var reader = Reader(writer.bytes)
      #expect(try Outcome(from: &reader) == outcome)
      #expect(reader.isAtEnd)
      for length in 0..<writer.bytes.count {
        #expect(throws: WireError.self) {
          var short = Reader(Array(writer.bytes[..<length]))
          _ = try Outcome(from: &short)
        }
      }
    }
  }

  @Test func whatDoesNotDecodeIsRefusedAndChangesNothing() {
    let t = Harness()
    t.put("a")
    let contents = t.contents
    for bytes in [[], [0], [2] + [UInt8](repeating: 0, count: 20), [1, 0, 0]] as [[UInt8]] {
      #expect(refusal(t.apply(bytes: bytes))?.hasPrefix("500 raft apply failed: ") == true)
      #expect(t.changes.isEmpty && t.contents == contents)
    }
  }

  @Test func randomAndDamagedBytesNeverTrapAndAgree() {
    var commands = RandomCommands(seed: 21)
    var random = SplitMix(seed: 22)
    let t = Harness()
    let other = Harness()
    for _ in 0..<3000 {
      var bytes: [UInt8]
      if random.chance(1, in: 4) {
        bytes = (0..<random.below(60)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        if !bytes.isEmpty, random.chance(1, in: 2) { bytes[0] = 1 }
      } else {
        bytes = CommandEnvelope(time: 5, requestID: nil, command: commands.next()).encoded()
        for _ in 0..<random.below(3) {
          bytes[Int(random.below(UInt64(bytes.count)))] ^= UInt8(1 << random.below(8))
        }
      }
      let outcome = t.apply(bytes: bytes)
      #expect(other.apply(bytes: bytes) == outcome)
    }
    #expect(t.registry.stateHash() == other.registry.stateHash())
    #expect(t.registry.runningHash == other.registry.runningHash)
  }
}
