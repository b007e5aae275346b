import Testing

@testable import Registry

/// Facts 5.x and the KV part of 4.6 and 4.7 of the compatibility notes.
@Suite struct KVTests {
  @Test func putKeepsCreateIndexAndCountsModifyIndex() {
    let t = Harness()
    #expect(t.put("a", "1", flags: 7) == .flag(true))
    #expect(t.put("a", "2") == .flag(true))
    let entry = t.registry.kv(Key("a"))
    #expect(entry?.createIndex == 1 && entry?.modifyIndex == 2 && entry?.flags == 0)
    t.delete("a")
    t.put("a")
    #expect(t.registry.kv(Key("a"))?.createIndex == 4)
  }

  @Test func identicalPutChangesNothing() {
    let t = Harness()
    t.put("a", "1", flags: 7)
    t.put("a", "1", flags: 7)
    #expect(t.registry.kv(Key("a"))?.modifyIndex == 1)
    #expect(t.changes.isEmpty)
    #expect(t.registry.lastIndex == 2)
    t.put("a", "1")
    #expect(t.registry.kv(Key("a"))?.modifyIndex == 3)
    #expect(t.changes.keys == [Key("a")])
  }

  @Test func casRows() {
    let t = Harness()
    #expect(t.put("a", "1", mode: .cas(5)) == .flag(false))
    #expect(t.put("a", "1", mode: .cas(0)) == .flag(true))
    #expect(t.put("a", "2", mode: .cas(0)) == .flag(false))
    #expect(t.put("a", "2", mode: .cas(1)) == .flag(false))
    #expect(t.put("a", "2", mode: .cas(2)) == .flag(true))
    #expect(t.delete("nope", cas: 9) == .flag(true))
    #expect(t.delete("a", cas: 0) == .flag(false))
    #expect(t.delete("a", cas: 2) == .flag(false))
    #expect(t.delete("a", cas: 5) == .flag(true))
    #expect(t.registry.kv(Key("a")) == nil)
  }

  @Test func indexes() {
    let t = Harness()
    #expect(t.registry.kvIndex(Key("a")) == 1)
    #expect(t.registry.kvPrefixIndex(Key("")) == 1)
    t.put("p/a")
    t.put("p/b")
    t.put("q")
    #expect(t.registry.kvIndex(Key("p/a")) == 1)
    #expect(t.registry.kvIndex(Key("missing")) == 3)
    #expect(t.registry.kvPrefixIndex(Key("p/")) == 2)
    #expect(t.registry.kvPrefixIndex(Key("")) == 3)
    #expect(t.registry.kvPrefixIndex(Key("zzz")) == 3)
    t.delete("p/b")
    #expect(t.registry.kvPrefixIndex(Key("p/")) == 4)
    t.put("q", "x")
    #expect(t.registry.kvPrefixIndex(Key("p/")) == 4)
    t.delete("p/b")
    #expect(t.changes.isEmpty && t.registry.kvPrefixIndex(Key("p/")) == 4)
    t.apply(.reapTombstones(through: 4))
    #expect(t.registry.kvPrefixIndex(Key("p/")) == 1)
  }

  @Test func reapingKeepsYoungTombstones() {
    let t = Harness()
    for key in ["a", "b"] { t.put(key) }
    t.put("z")
    for key in ["a", "b"] { t.delete(key) }
    t.put("last")
    t.apply(.reapTombstones(through: 4))
    #expect(t.changes.isEmpty)
    #expect(t.registry.kvPrefixIndex(Key("b")) == 5)
    #expect(t.registry.kvPrefixIndex(Key("a")) == 6)
    t.apply(.reapTombstones(through: 5))
    #expect(t.registry.kvPrefixIndex(Key("b")) == 6)
  }

  @Test func prefixIndexesNeverGoBack() {
    let t = Harness()
    t.put("f/b/x")
    t.delete("f/b/x")
    t.put("f/b/y")
    t.put("f/c")
    t.apply(.kvDeleteTree(prefix: Key("f/")))
    #expect(t.changes.deletedPrefixes == [Key("f/")] && t.changes.keys.isEmpty)
    #expect(t.registry.kvPrefixIndex(Key("f/")) == 5)
    #expect(t.registry.kvPrefixIndex(Key("f/b/")) == 5)
    t.put("other")
    #expect(t.registry.kvPrefixIndex(Key("f/")) == 5)
    t.apply(.kvDeleteTree(prefix: Key("f/")))
    #expect(t.changes.isEmpty)
    t.apply(.kvDeleteTree(prefix: Key("")))
    #expect(t.registry.kvCount == 0 && t.registry.kvPrefixIndex(Key("")) == 8)
  }

  @Test func locks() {
    let t = Harness()
    t.node("n1")
    t.session(1)
    t.session(2)
    let a = Key("a")
    #expect(t.put("a", "1", mode: .acquire(t.id(1))) == .flag(true))
    #expect(t.registry.kv(a)?.lockIndex == 1 && t.registry.kv(a)?.session == t.id(1))
    #expect(t.put("a", "2", mode: .acquire(t.id(2))) == .flag(false))
    #expect(t.put("a", "2", mode: .acquire(t.id(1))) == .flag(true))
    #expect(t.registry.kv(a)?.lockIndex == 1)
    t.put("a", "2", mode: .acquire(t.id(1)))
    #expect(t.changes.isEmpty)
    #expect(t.put("a", "3", mode: .release(t.id(2))) == .flag(false))
    #expect(t.put("a", "", mode: .release(t.id(1))) == .flag(true))
    #expect(t.registry.kv(a)?.value == [] && t.registry.kv(a)?.session == nil)
    #expect(t.registry.kv(a)?.lockIndex == 1)
    #expect(t.put("a", "", mode: .release(t.id(1))) == .flag(false))
    t.put("a", "4", mode: .acquire(t.id(2)))
    #expect(t.registry.kv(a)?.lockIndex == 2)
    t.put("a", "5")
    #expect(t.registry.kv(a)?.lockIndex == 0 && t.registry.kv(a)?.session == t.id(2))
    let unknown = t.put("b", "1", mode: .acquire(t.id(9)))
    #expect(
      refusal(unknown)
        == "500 raft apply failed: invalid session \"00000000-0000-0000-0000-000000000009\"")
    #expect(t.put("b", "1", mode: .release(t.id(9))) == .flag(false))
  }

  @Test func deletingALockedKeyFreesIt() {
    let t = Harness()
    t.node("n1")
    t.session(1, lockDelay: 15_000_000_000)
    t.session(2)
    t.put("a", mode: .acquire(t.id(1)))
    t.delete("a")
    #expect(t.put("a", mode: .acquire(t.id(2))) == .flag(true))
    t.apply(.sessionDestroy(t.id(1)))
    #expect(t.registry.kv(Key("a"))?.session == t.id(2))
  }

  @Test func lockDelayFollowsTheStampedTime() {
    let t = Harness()
    t.node("n1")
    t.session(1, lockDelay: 5_000_000_000)
    t.session(2)
    t.session(3, lockDelay: 600_000_000_000)
    t.put("a", mode: .acquire(t.id(1)))
    t.put("b", mode: .acquire(t.id(3)))
    t.apply(.sessionDestroy(t.id(1)))
    #expect(t.changes.keys == [Key("a")])
    t.apply(.sessionDestroy(t.id(3)))
    #expect(t.put("a", mode: .acquire(t.id(2))) == .flag(false))
    t.time += 4_999
    #expect(t.put("a", mode: .acquire(t.id(2))) == .flag(false))
    #expect(t.put("a", "plain") == .flag(true))
    t.time += 1
    #expect(t.put("a", mode: .acquire(t.id(2))) == .flag(true))
    t.time += 54_999
    #expect(t.put("b", mode: .acquire(t.id(2))) == .flag(false))
    t.time += 1
    #expect(t.put("b", mode: .acquire(t.id(2))) == .flag(true))
  }

  @Test func prefixScansAreOrderedByBytes() {
    let t = Harness()
    for key in ["a/", "a", "a+b", "a/b", "b", "é"] { t.put(key) }
    #expect(t.contents == ["a=v", "a+b=v", "a/=v", "a/b=v", "b=v", "é=v"])
    var seen: [String] = []
    t.registry.forEachKV(prefix: Key("a/")) { entry in
      seen.append(entry.key.text)
      return false
    }
    #expect(seen == ["a/"])
  }

  @Test func requestIDsAreAppliedOnceAndForgottenInOrder() {
    var options = Registry.Options()
    options.requestIDsMax = 2
    let t = Harness(options: options)
    let set = KVSet(key: Key("a"), value: [1], flags: 0, mode: .cas(0))
    #expect(t.apply(.kvSet(set), requestID: t.id(1)) == .flag(true))
    #expect(t.apply(.kvSet(set), requestID: t.id(1)) == .flag(true))
    #expect(t.changes.isEmpty)
    #expect(t.apply(.kvSet(set), requestID: t.id(2)) == .flag(false))
    #expect(t.apply(.kvSet(set), requestID: t.id(1)) == .flag(true))
    #expect(t.apply(.kvSet(set), requestID: t.id(3)) == .flag(false))
    #expect(t.apply(.kvSet(set), requestID: t.id(1)) == .flag(false))
  }

  /// Had it been applied, then after its floor; what was forgotten since may be it.
  @Test func aRequestOlderThanWhatIsRememberedIsRefused() throws {
    var options = Registry.Options()
    options.requestIDsMax = 2
    var t = Harness(options: options)
    func put(_ id: UInt64, floor: UInt64) -> Outcome {
      let set = KVSet(key: Key("k\(id)"), value: [1], flags: 0, mode: .plain)
      let envelope = CommandEnvelope(
        time: 1, requestID: t.id(id), floor: floor, command: .kvSet(set))
      return t.apply(bytes: envelope.encoded())
    }
    for id in 1...3 as ClosedRange<UInt64> { #expect(put(id, floor: 0) == .flag(true)) }
    let paused = t.index
    // The first is forgotten: the same again may not be told from a new one.
    #expect(put(1, floor: 0) == .refused(.requestForgotten))
    #expect(t.changes.isEmpty)
    #expect(put(4, floor: 0) == .refused(.requestForgotten))
    // Known ones are answered, and who knows more than was forgotten is new.
    #expect(put(3, floor: 0) == .flag(true))
    #expect(put(4, floor: 1) == .flag(true))
    #expect(put(5, floor: paused) == .flag(true))
    #expect(put(6, floor: 1) == .refused(.requestForgotten))
    // A snapshot tells it, too.
    t = Harness(t, with: try t.restored())
    #expect(put(6, floor: 1) == .refused(.requestForgotten))
    #expect(put(6, floor: t.index) == .flag(true))
  }
}
