import Wire

/// A stored entry. A million of them are kept, so the fields that most entries leave at zero sit
/// in a box of their own.
struct StoredValue: Sendable {
  var value: [UInt8]
  var createIndex: UInt64
  var modifyIndex: UInt64
  var extra: StoredExtra?

  init(value: [UInt8], createIndex: UInt64, modifyIndex: UInt64, extra: StoredExtra?) {
    self.value = value
    self.createIndex = createIndex
    self.modifyIndex = modifyIndex
    self.extra = extra
  }

  init(_ entry: KVEntry) {
    value = entry.value
    createIndex = entry.createIndex
    modifyIndex = entry.modifyIndex
    extra = StoredExtra.make(
      flags: entry.flags, lockIndex: entry.lockIndex, session: entry.session)
  }

  /// What a write at `index` puts in the place of `old`; nil when it is as it was: an identical
  /// write changes nothing (4.7).
  static func replacing(
    _ old: StoredValue?, _ value: [UInt8], flags: UInt64, lockIndex: UInt64, session: UniqueID?,
    index: UInt64
  ) -> StoredValue? {
    if let old, old.flags == flags, old.lockIndex == lockIndex, old.session == session,
      old.value.isEqual(to: value)
    {
      return nil
    }
    return StoredValue(
      value: value, createIndex: old?.createIndex ?? index, modifyIndex: index,
      extra: StoredExtra.make(flags: flags, lockIndex: lockIndex, session: session))
  }

  var flags: UInt64 { extra?.flags ?? 0 }
  var lockIndex: UInt64 { extra?.lockIndex ?? 0 }
  var session: UniqueID? { extra?.session }

  func entry(key: Key) -> KVEntry {
    KVEntry(
      key: key, value: value, flags: flags, createIndex: createIndex, modifyIndex: modifyIndex,
      lockIndex: lockIndex, session: session)
  }
}

/// Flags and lock of an entry that has them.
final class StoredExtra: Sendable {
  let flags: UInt64
  let lockIndex: UInt64
  let session: UniqueID?

  private init(flags: UInt64, lockIndex: UInt64, session: UniqueID?) {
    self.flags = flags
    self.lockIndex = lockIndex
    self.session = session
  }

  static func make(flags: UInt64, lockIndex: UInt64, session: UniqueID?) -> StoredExtra? {
    if flags == 0, lockIndex == 0, session == nil { return nil }
    return StoredExtra(flags: flags, lockIndex: lockIndex, session: session)
  }
}

/// The key-value store (consul-api.md 5): plain and conditional writes, advisory locks, deletes
/// that leave tombstones so that the index of a prefix never goes back (25.3).
extension Registry {
  /// Above it all tombstones are dropped at once, and `tombstoneFloor` takes their place: prefix
  /// indexes then jump forward once, which only wakes watchers early.
  static var tombstonesMax: Int { 1_000_000 }

  mutating func set(_ set: KVSet, _ context: inout ApplyContext) -> Outcome {
    switch set.mode {
    case .plain:
      store(set.key, set.value, flags: set.flags, &context)
      return .flag(true)
    case .cas(let index):
      guard casMatches(set.key, index) else { return .flag(false) }
      store(set.key, set.value, flags: set.flags, &context)
      return .flag(true)
    case .acquire(let session):
      if isLockDelayed(set.key, time: context.time) { return .flag(false) }
      guard sessionsTable.contains(session) else {
        let text = "raft apply failed: invalid session \(quoted(session.description))"
        return .refused(Refusal(status: 500, text: text))
      }
      return .flag(acquire(set.key, set.value, flags: set.flags, session: session, &context))
    case .release(let session):
      return .flag(release(set.key, set.value, flags: set.flags, session: session, &context))
    }
  }

  /// 5.3: 0 means that the key must not exist.
  func casMatches(_ key: Key, _ index: UInt64) -> Bool {
    let existing = kvTable[key]
    return index == 0 ? existing == nil : existing?.modifyIndex == index
  }

  /// A plain write: keeps the lock's session, but sets the lock index to 0, as Consul does.
  mutating func store(
    _ key: Key, _ value: [UInt8], flags: UInt64, _ context: inout ApplyContext
  ) {
    let index = context.index
    var oldIndex: UInt64 = 0
    var written: StoredValue?
    kvTable.upsert(key) { old in
      oldIndex = old?.modifyIndex ?? 0
      written = StoredValue.replacing(
        old, value, flags: flags, lockIndex: 0, session: old?.session, index: index)
      return written
    }
    if let written { note(written, key, replacing: oldIndex, &context) }
  }

  mutating func acquire(
    _ key: Key, _ value: [UInt8], flags: UInt64, session: UniqueID,
    _ context: inout ApplyContext
  ) -> Bool {
    let old = kvTable[key]
    if let holder = old?.session, holder != session { return false }
    var lockIndex = old?.lockIndex ?? 0
    if old?.session == nil {
      // A counter that reached its end stays there: only a decoded snapshot could hold it.
      lockIndex = lockIndex == .max ? .max : lockIndex + 1
      heldKeys.updateValue(Present(), forKey: Pair(session.key, key))
    }
    write(
      key, value, flags: flags, lockIndex: lockIndex, session: session, replacing: old, &context)
    return true
  }

  mutating func release(
    _ key: Key, _ value: [UInt8], flags: UInt64, session: UniqueID,
    _ context: inout ApplyContext
  ) -> Bool {
    guard let old = kvTable[key], old.session == session else { return false }
    heldKeys.removeValue(forKey: Pair(session.key, key))
    write(
      key, value, flags: flags, lockIndex: old.lockIndex, session: nil, replacing: old, &context)
    return true
  }

  /// Writes the entry unless it is as it was: an identical write changes nothing (4.7).
  private mutating func write(
    _ key: Key, _ value: [UInt8], flags: UInt64, lockIndex: UInt64, session: UniqueID?,
    replacing old: StoredValue?, _ context: inout ApplyContext
  ) {
    guard
      let stored = StoredValue.replacing(
        old, value, flags: flags, lockIndex: lockIndex, session: session, index: context.index)
    else { return }
    kvTable.updateValue(stored, forKey: key)
    note(stored, key, replacing: old?.modifyIndex ?? 0, &context)
  }

  /// - Parameter oldIndex: of the entry that was there; 0: there was none.
  private mutating func note(
    _ stored: StoredValue, _ key: Key, replacing oldIndex: UInt64, _ context: inout ApplyContext
  ) {
    if oldIndex == 0, !tombstones.isEmpty { tombstones.removeValue(forKey: key) }
    context.changes.records.append(.set(stored.entry(key: key), old: oldIndex))
    indexes.kv = context.index
    context.changes.keys.append(key)
  }

  /// 5.4: a missing key is deleted already, whatever index is asked for.
  mutating func delete(_ key: Key, cas: UInt64?, _ context: inout ApplyContext) -> Bool {
    guard let old = kvTable[key] else { return true }
    if let cas, cas == 0 || old.modifyIndex != cas { return false }
    if let session = old.session { heldKeys.removeValue(forKey: Pair(session.key, key)) }
    kvTable.removeValue(forKey: key)
    bury(key, index: context.index)
    context.changes.keys.append(key)
    context.changes.records.append(.deleted(key, old: old.modifyIndex, index: context.index))
    return true
  }

  mutating func deleteTree(_ prefix: Key, _ context: inout ApplyContext) {
    if prefix.bytes.isEmpty {
      guard !kvTable.isEmpty else { return }
      kvTable = Tree()
      heldKeys = Tree()
      tombstones = Tree()
    } else {
      let keys = kvTable.keys(from: prefix) { $0.hasPrefix(prefix) }
      guard !keys.isEmpty else { return }
      for key in keys {
        if let session = kvTable.removeValue(forKey: key)?.session {
          heldKeys.removeValue(forKey: Pair(session.key, key))
        }
      }
      // The prefix's tombstone stands for all below it. Older ones must not outlive it there: a
      // longer prefix would find one, and report an index below the one it had.
      for key in tombstones.keys(from: prefix, while: { $0.hasPrefix(prefix) }) {
        tombstones.removeValue(forKey: key)
      }
    }
    bury(prefix, index: context.index)
    context.changes.deletedPrefixes.append(prefix)
    context.changes.records.append(.tree(prefix: prefix, index: context.index))
  }

  private mutating func bury(_ key: Key, index: UInt64) {
    if tombstones.count >= Self.tombstonesMax {
      tombstones = Tree()
      indexes.tombstoneFloor = index
    }
    tombstones.updateValue(index, forKey: key)
    indexes.kv = index
  }

  mutating func reapTombstones(through index: UInt64) {
    var old: [Key] = []
    tombstones.forEach { key, deletedAt in
      if deletedAt <= index { old.append(key) }
      return true
    }
    if old.count == tombstones.count {
      tombstones = Tree()
    } else {
      for key in old { tombstones.removeValue(forKey: key) }
    }
  }

  // MARK: Reading. Indexes are those of X-Consul-Index, never 0 (consul-api.md 4.6)

  package func kv(_ key: Key) -> KVEntry? { kvTable[key]?.entry(key: key) }

  package func kvIndex(_ key: Key) -> UInt64 { kvTable[key]?.modifyIndex ?? max(1, indexes.kv) }

  package func kvPrefixIndex(_ prefix: Key) -> UInt64 {
    if prefix.bytes.isEmpty { return max(1, indexes.kv) }
    var highest: UInt64 = 0
    kvTable.forEach(from: prefix) { key, stored in
      guard key.hasPrefix(prefix) else { return false }
      highest = max(highest, stored.modifyIndex)
      return true
    }
    tombstones.forEach(from: prefix) { key, deletedAt in
      guard key.hasPrefix(prefix) else { return false }
      highest = max(highest, deletedAt)
      return true
    }
    return highest == 0 ? max(1, indexes.kv) : max(highest, indexes.tombstoneFloor)
  }

  /// In key order; stops when `body` returns false.
  package func forEachKV(prefix: Key, _ body: (borrowing KVEntry) -> Bool) {
    forEachKV(prefix: prefix, from: prefix, body)
  }

  /// The same from a key on, for listings in pieces.
  package func forEachKV(
    prefix: Key, from start: Key, _ body: (borrowing KVEntry) -> Bool
  ) {
    kvTable.forEach(from: start) { key, stored in
      key.hasPrefix(prefix) && body(stored.entry(key: key))
    }
  }

  package var kvCount: Int { kvTable.count }
}
