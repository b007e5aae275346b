import Testing
import Wire

@testable import Registry

@Suite struct OriginsTests {
  private func payload(
    _ sequence: UInt64, acknowledged: UInt64 = 0, origin: UInt64 = 7, key: String = "k"
  ) -> [UInt8] {
    let stamp = OriginStamp(
      origin: origin, sequence: sequence, acknowledgedThrough: acknowledged)
    let set = KVSet(key: Key(key), value: [1], flags: 0, mode: .cas(0))
    return CommandEnvelope(time: 5, requestID: nil, origin: stamp, command: .kvSet(set)).encoded()
  }

  private func apply(_ registry: inout Registry, _ payload: [UInt8]) -> Outcome {
    var changes = ChangeSet()
    return registry.apply(payload, index: registry.lastIndex + 1, changes: &changes)
  }

  @Test func aRepeatHearsTheFirstOutcomeAndChangesNothing() {
    var registry = Registry(options: Registry.Options())
    #expect(apply(&registry, payload(1)) == .flag(true))
    #expect(apply(&registry, payload(1)) == .flag(true))
    // Another command would be told that the key is there.
    #expect(apply(&registry, payload(2)) == .flag(false))
    #expect(registry.kv(Key("k"))?.modifyIndex == 1)
  }

  @Test func outOfOrderIsNew() {
    var registry = Registry(options: Registry.Options())
    #expect(apply(&registry, payload(5, key: "a")) == .flag(true))
    #expect(apply(&registry, payload(3, key: "b")) == .flag(true))
    #expect(apply(&registry, payload(4, key: "c")) == .flag(true))
    for sequence in [UInt64(3), 4, 5] {
      #expect(apply(&registry, payload(sequence, key: "a")) == .flag(true))
    }
    #expect(registry.kvCount == 3)
  }

  @Test func whatIsAcknowledgedIsForgottenAndNeverAppliedAgain() {
    var registry = Registry(options: Registry.Options())
    for sequence in 1...1000 {
      _ = apply(
        &registry, payload(UInt64(sequence), acknowledged: UInt64(max(0, sequence - 3))))
    }
    let known = registry.origins.known[0]
    #expect(known.answered.count - known.head <= 3)
    #expect(known.answered.count < 600)
    guard case .refused = apply(&registry, payload(1, key: "late")) else {
      Issue.record("a late copy was applied")
      return
    }
    #expect(registry.kv(Key("late")) == nil)
  }

  @Test func theSilentOriginGoesFirst() {
    var registry = Registry(options: Registry.Options())
    for origin in 1...64 { _ = apply(&registry, payload(1, origin: UInt64(origin))) }
    _ = apply(&registry, payload(2, origin: 1))
    _ = apply(&registry, payload(1, origin: 65))
    let origins = registry.origins.known.map(\.origin)
    #expect(origins.count == 64)
    #expect(origins.contains(1) && !origins.contains(2) && origins.contains(65))
  }

  @Test func theTableIsInTheSnapshot() throws {
    var registry = Registry(options: Registry.Options())
    for sequence in 1...20 {
      _ = apply(&registry, payload(UInt64(sequence), acknowledged: 4, key: "\(sequence)"))
    }
    var encoder = registry.makeEncoder()
    var decoder = SnapshotDecoder(options: Registry.Options())
    while let piece = encoder.next() { try decoder.feed(piece) }
    var restored = try decoder.finish()
    #expect(restored.stateHash() == registry.stateHash())
    #expect(apply(&restored, payload(20, key: "other")) == .flag(true))
    #expect(restored.kv(Key("other")) == nil)
  }

  @Test func theStampIsReadWithoutDecoding() throws {
    let stamp = OriginStamp(origin: 9, sequence: 1 << 40, acknowledgedThrough: (1 << 40) - 5)
    for requestID in [nil, UniqueID(high: 1, low: 2)] {
      let envelope = CommandEnvelope(
        time: 1, requestID: requestID, origin: stamp, command: .kvDeleteTree(prefix: Key("a")))
      let bytes = envelope.encoded()
      #expect(CommandEnvelope.origin(of: bytes) == stamp)
      #expect(try CommandEnvelope(decoding: bytes) == envelope)
      for count in 0..<bytes.count {
        #expect(throws: WireError.self) { try CommandEnvelope(decoding: Array(bytes[..<count])) }
        _ = CommandEnvelope.origin(of: Array(bytes[..<count]))
      }
    }
    let bare = CommandEnvelope(
      time: 1, requestID: nil, command: .kvDeleteTree(prefix: Key("a"))
    ).encoded()
    #expect(CommandEnvelope.origin(of: bare) == nil)
  }
}
