import Basics
import Testing
import Wire

@testable import Registry

/// A state that takes the place of another, in pieces through the log.
@Suite struct RestoreTests {
  private func id(_ number: UInt64) -> UniqueID { UniqueID(high: 0, low: number) }
  private func archive(_ registry: Registry) -> [UInt8] {
    var encoder = registry.makeArchiveEncoder()
    var bytes: [UInt8] = []
    while let piece = encoder.next() { bytes += piece }
    return bytes
  }

  private func commit(_ number: UInt64, _ bytes: [UInt8]) -> Command {
    .restoreCommit(
      id: id(number), bytes: UInt64(bytes.count), checksum: Checksum.crc32c(bytes))
  }

  private func send(_ bytes: [UInt8], to t: Harness, step: Int = 700, number: UInt64 = 1) {
    var offset = 0
    while offset < bytes.count {
      let end = min(offset + step, bytes.count)
      let piece = Array(bytes[offset..<end])
      let chunk = RestoreChunk(id: id(number), offset: UInt64(offset), bytes: piece)
      #expect(t.apply(.restoreChunk(chunk)) == .done)
      offset = end
    }
  }

  private func source() -> Harness {
    var commands = RandomCommands(seed: 31)
    let source = Harness()
    for _ in 0..<400 { commands.applyNext(to: source) }
    source.apply(.restoreAbort(source.registry.staged?.id ?? id(0)))
    return source
  }

  @Test func theStateIsReplacedAndTheLogGoesOn() {
    let source = source()
    let bytes = archive(source.registry)
    let t = Harness()
    t.put("mine", "1")
    let first = t.apply(.kvDelete(key: Key("x"), cas: nil), requestID: id(77))
    send(bytes, to: t)
    #expect(t.registry.kv(Key("mine")) != nil)
    #expect(t.apply(commit(1, bytes)) == .done)
    #expect(t.changes.everything)
    #expect(t.registry.kv(Key("mine")) == nil)
    #expect(t.registry.nodes() == source.registry.nodes())
    #expect(t.registry.checks(withStatus: nil) == source.registry.checks(withStatus: nil))
    #expect(t.registry.queries() == source.registry.queries())
    #expect(t.registry.events() == source.registry.events())
    #expect(t.registry.sessions() == source.registry.sessions())
    #expect(t.registry.stagedBytes == 0 && t.registry.lastIndex == t.index)
    // What was answered before is answered the same.
    #expect(t.apply(.kvDelete(key: Key("x"), cas: nil), requestID: id(77)) == first)
  }

  /// Who watched the restored state must see the next change.
  @Test func laterChangesHaveLargerIndexes() {
    let source = source()
    let bytes = archive(source.registry)
    let t = Harness()
    send(bytes, to: t)
    t.apply(commit(1, bytes))
    t.put("new", "1")
    #expect(t.registry.kv(Key("new"))?.modifyIndex ?? 0 > source.index)
    #expect(t.registry.stateIndex == t.registry.kv(Key("new"))?.modifyIndex)
    // And once more into a third one, through its own archive.
    let again = archive(t.registry)
    let other = Harness()
    send(again, to: other)
    other.apply(commit(1, again))
    other.put("newer", "1")
    let newer = other.registry.kv(Key("newer"))?.modifyIndex ?? 0
    #expect(newer > t.registry.kv(Key("new"))?.modifyIndex ?? 0)
  }

  @Test func everyReplicaComesToTheSameStateAlsoFromASnapshotInBetween() throws {
    let bytes = archive(source().registry)
    let t = Harness()
    t.put("mine", "1")
    send(Array(bytes[..<(bytes.count / 2)]), to: t)
    let copy = Harness(t, with: try t.restored(step: 333))
    #expect(copy.registry.stateHash() == t.registry.stateHash())
    for harness in [t, copy] {
      var offset = bytes.count / 2
      while offset < bytes.count {
        let end = min(offset + 500, bytes.count)
        let chunk = RestoreChunk(
          id: id(1), offset: UInt64(offset), bytes: Array(bytes[offset..<end]))
        #expect(harness.apply(.restoreChunk(chunk)) == .done)
        offset = end
      }
      #expect(harness.apply(commit(1, bytes)) == .done)
    }
    #expect(copy.registry.stateHash() == t.registry.stateHash())
    #expect(copy.registry.runningHash == t.registry.runningHash)
  }

  /// A copy is a state of its own, also of what is staged.
  @Test func copiesDoNotShareWhatIsStaged() {
    let bytes = archive(source().registry)
    let t = Harness()
    send(Array(bytes[..<600]), to: t)
    let copy = Harness(t, with: t.registry)
    for harness in [t, copy] {
      let chunk = RestoreChunk(id: id(1), offset: 600, bytes: Array(bytes[600...]))
      #expect(harness.apply(.restoreChunk(chunk)) == .done)
      #expect(harness.apply(commit(1, bytes)) == .done)
    }
    #expect(copy.registry.stateHash() == t.registry.stateHash())
  }

  @Test func whatIsWrongChangesNothing() {
    let bytes = archive(source().registry)
    let t = Harness()
    t.put("mine", "1")
    func refused(_ command: Command) -> Bool {
      let hash = t.registry.kv(Key("mine"))
      defer { #expect(t.registry.kv(Key("mine")) == hash) }
      return refusal(t.apply(command))?.hasPrefix("500 failed to restore snapshot: ") == true
    }
    #expect(refused(commit(1, bytes)))
    #expect(refused(.restoreChunk(RestoreChunk(id: id(1), offset: 5, bytes: bytes))))
    send(bytes, to: t)
    #expect(refused(.restoreChunk(RestoreChunk(id: id(2), offset: 0, bytes: bytes))))
    #expect(refused(.restoreChunk(RestoreChunk(id: id(1), offset: 0, bytes: bytes))))
    #expect(refused(commit(2, bytes)))
    #expect(refused(commit(1, bytes + [0])))
    // It was dropped by the wrong sum.
    #expect(t.registry.stagedBytes == 0 && refused(commit(1, bytes)))
    send(Array(bytes.dropLast()), to: t)
    #expect(refused(commit(1, Array(bytes.dropLast()))))
    #expect(refused(.restoreChunk(RestoreChunk(id: id(1), offset: 0, bytes: [9, 0, 0, 0, 0, 9]))))
  }

  @Test func aRestoreThatIsLeftAloneIsDropped() {
    let bytes = archive(source().registry)
    let t = Harness()
    send(Array(bytes[..<900]), to: t)
    t.time += 60_000
    t.put("a")
    #expect(t.registry.stagedBytes == 900)
    t.time += 1
    t.put("b")
    #expect(t.registry.stagedBytes == 0)
    send(bytes, to: t, number: 2)
    t.apply(.restoreAbort(id(1)))
    #expect(t.registry.stagedBytes == UInt64(bytes.count))
    t.apply(.restoreAbort(id(2)))
    #expect(t.registry.stagedBytes == 0)
  }

  /// Nothing that is restored holds a restore of its own, however the bytes are made.
  @Test func restoresDoNotNest() {
    let bytes = archive(source().registry)
    let inner = Harness()
    send(Array(bytes[..<300]), to: inner)
    var encoder = inner.registry.makeEncoder()
    var nested: [UInt8] = []
    while let piece = encoder.next() { nested += piece }
    let t = Harness()
    let chunk = RestoreChunk(id: id(1), offset: 0, bytes: nested)
    #expect(refusal(t.apply(.restoreChunk(chunk))) != nil)
    #expect(t.registry.stagedBytes == 0)
  }
}
