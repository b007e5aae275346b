import Basics
import Testing
import Wire

@testable import Registry

@Suite struct SnapshotTests {
  @Test(arguments: [UInt64(11), 12, 13])
  func aRestoredRegistryContinuesTheSame(seed: UInt64) throws {
    var commands = RandomCommands(seed: seed)
    let t = Harness()
    for _ in 0..<4 {
      for _ in 0..<150 { commands.applyNext(to: t) }
      let step = Int(commands.random.below(3000)) + 1
      let copy = Harness(t, with: try t.restored(step: step))
      #expect(copy.registry.stateHash() == t.registry.stateHash())
      #expect(copy.registry.runningHash == t.registry.runningHash)
      var continued = commands
      for _ in 0..<100 { continued.applyNext(to: copy) }
      for _ in 0..<100 { commands.applyNext(to: t) }
      #expect(copy.registry.stateHash() == t.registry.stateHash())
      #expect(copy.registry.runningHash == t.registry.runningHash)
    }
  }

  @Test func theSameLogGivesTheSameHash() {
    var commands = RandomCommands(seed: 5)
    let t = Harness()
    for _ in 0..<500 { commands.applyNext(to: t) }
    var other = Registry(options: Registry.Options())
    var changes = ChangeSet()
    for (i, bytes) in t.log.enumerated() {
      _ = other.apply(bytes, index: UInt64(i + 1), changes: &changes)
    }
    #expect(other.stateHash() == t.registry.stateHash())
    #expect(other.runningHash == t.registry.runningHash)
    t.put("one more", "1")
    #expect(other.stateHash() != t.registry.stateHash())
  }

  @Test func aSnapshotStaysWhileTheOriginalMovesOn() throws {
    var commands = RandomCommands(seed: 6)
    let t = Harness()
    for _ in 0..<300 { commands.applyNext(to: t) }
    let hash = t.registry.stateHash()
    let copy = t.registry
    var encoder = t.registry.makeEncoder()
    for _ in 0..<300 { commands.applyNext(to: t) }
    #expect(copy.stateHash() == hash)
    #expect(t.registry.stateHash() != hash)
    var decoder = SnapshotDecoder(options: Registry.Options())
    while let piece = encoder.next() { try decoder.feed(piece) }
    let restored = try decoder.finish()
    #expect(restored.stateHash() == hash)
  }

  @Test func largeTablesComeInPieces() throws {
    let t = Harness()
    for i in 0..<3000 { t.put("key/\(i)", String(repeating: "x", count: 100)) }
    t.put("large", String(repeating: "y", count: 300_000))
    var encoder = t.registry.makeEncoder()
    var pieces: [Int] = []
    while let piece = encoder.next() { pieces.append(piece.count) }
    #expect(pieces.count > 6)
    #expect(pieces.filter { $0 > 70_000 }.count == 1)
    #expect(try t.restored(step: 77_777).stateHash() == t.registry.stateHash())
  }

  @Test func damagedSnapshotsAreErrors() throws {
    var commands = RandomCommands(seed: 8)
    let t = Harness()
    for _ in 0..<120 { commands.applyNext(to: t) }
    var encoder = t.registry.makeEncoder()
    var bytes: [UInt8] = []
    while let piece = encoder.next() { bytes += piece }
    for length in stride(from: 0, to: bytes.count, by: 13) {
      #expect(throws: WireError.self) { try decode(Array(bytes[..<length])) }
    }
    #expect(throws: WireError.self) { try decode(bytes + [0]) }
    var random = SplitMix(seed: 9)
    for _ in 0..<1500 {
      var damaged = bytes
      let at = Int(random.below(UInt64(bytes.count)))
      damaged[at] ^= UInt8(1 << random.below(8))
      // It may still decode, to something else; then that must work without a trap.
      if var registry = try? decode(damaged) {
        _ = registry.services()
        _ = registry.checks(withStatus: nil)
        var changes = ChangeSet()
        if registry.lastIndex < .max {
          let command = Command.hostDown(host: "n1", liveHosts: ["n2"])
          let envelope = CommandEnvelope(time: 1, requestID: nil, command: command)
          let index = registry.lastIndex + 1
          _ = registry.apply(envelope.encoded(), index: index, changes: &changes)
        }
      }
    }
  }

  func decode(_ bytes: [UInt8]) throws -> Registry {
    var decoder = SnapshotDecoder(options: Registry.Options())
    try decoder.feed(bytes)
    return try decoder.finish()
  }
}
