/// Sessions and the locks they hold (consul-api.md 10, 25.8). The leader decides when a TTL ran
/// out and says so with `sessionDestroy`; what a node or a check does to a session happens here,
/// in the same apply.
extension Registry {
  /// At most a minute of lock-delay is applied (10.1), in milliseconds.
  static var lockDelayMax: UInt64 { 60_000 }

  mutating func createSession(
    _ session: SessionRecord, _ context: inout ApplyContext
  ) throws(Refusal) {
    guard !session.node.isEmpty else { throw Refusal(status: 500, text: "Must provide Node") }
    let node = Key(folding: session.node)
    guard let nodeRecord = nodesTable[node] else {
      throw Refusal(status: 500, text: "apply failed: Missing node registration")
    }
    guard !sessionsTable.contains(session.id) else {
      throw Refusal(status: 500, text: "apply failed: session \(session.id) exists already")
    }
    let checks = session.nodeChecks + (session.serviceChecks ?? [])
    for id in checks {
      guard let check = checksTable[Pair(node, Key(folding: id))] else {
        throw Refusal(status: 500, text: "apply failed: Missing check '\(id)' registration")
      }
      guard check.status != "critical" else {
        throw Refusal(status: 500, text: "apply failed: Check '\(id)' is in critical state")
      }
    }
    var record = session
    record.node = nodeRecord.name
    record.createIndex = context.index
    record.modifyIndex = context.index
    insertSession(record)
    sessionsChanged(record.id, &context)
  }

  /// The record and the lookups made of it.
  mutating func insertSession(_ record: SessionRecord) {
    let node = Key(folding: record.node)
    sessionsTable.updateValue(record, forKey: record.id)
    sessionsByNode.updateValue(Present(), forKey: Pair(node, record.id.key))
    for id in record.nodeChecks + (record.serviceChecks ?? []) {
      let bond = Triple(node, Key(folding: id), record.id.key)
      sessionsByCheck.updateValue(record.id, forKey: bond)
    }
  }

  private mutating func sessionsChanged(_ id: UniqueID, _ context: inout ApplyContext) {
    indexes.sessions = context.index
    context.changes.sessionIDs.append(id)
    context.changes.insert(.sessions)
    context.changes.sessionsChanged = true
  }

  /// Removes the session, and frees or deletes the keys it held (10.7).
  mutating func destroySession(_ id: UniqueID, _ context: inout ApplyContext) {
    guard let session = sessionsTable.removeValue(forKey: id) else { return }
    let node = Key(folding: session.node)
    sessionsByNode.removeValue(forKey: Pair(node, id.key))
    for check in session.nodeChecks + (session.serviceChecks ?? []) {
      sessionsByCheck.removeValue(forKey: Triple(node, Key(folding: check), id.key))
    }
    sessionsChanged(id, &context)
    deleteQueries(of: id, &context)
    let held = heldKeys.keys(from: Pair(id.key, .empty)) { $0.first == id.key }
    for pair in held {
      invalidateLock(pair.second, of: session, &context)
      delayLocks(of: pair.second, for: session.lockDelay, &context)
    }
  }

  private mutating func invalidateLock(
    _ key: Key, of session: SessionRecord, _ context: inout ApplyContext
  ) {
    switch session.behavior {
    case .delete: _ = delete(key, cas: nil, &context)
    case .release:
      if let old = kvTable[key] {
        _ = release(key, old.value, flags: old.flags, session: session.id, &context)
      }
    }
  }

  private mutating func delayLocks(
    of key: Key, for delay: Int64, _ context: inout ApplyContext
  ) {
    guard delay > 0 else { return }
    let milliseconds = min((UInt64(delay) - 1) / 1_000_000 + 1, Self.lockDelayMax)
    let (until, overflow) = context.time.addingReportingOverflow(milliseconds)
    // What ended by now goes first, so the table holds about a minute of invalidated locks.
    while let oldest = lockDelayOrder.first, oldest.key.until <= context.time {
      lockDelayOrder.removeValue(forKey: oldest.key)
      lockDelays.removeValue(forKey: oldest.key.key)
    }
    insertLockDelay(key, until: overflow ? .max : until)
  }

  mutating func insertLockDelay(_ key: Key, until: UInt64) {
    if let old = lockDelays.updateValue(until, forKey: key) {
      lockDelayOrder.removeValue(forKey: LockDelay(until: old, key: key))
    }
    lockDelayOrder.updateValue(Present(), forKey: LockDelay(until: until, key: key))
  }

  func isLockDelayed(_ key: Key, time: UInt64) -> Bool {
    guard !lockDelays.isEmpty, let until = lockDelays[key] else { return false }
    return time < until
  }

  /// Every session bound to that check: it is critical, or gone. Sessions with a TTL live as long
  /// as they are renewed, through any node: the death of the host they came through ends only
  /// those without.
  mutating func destroySessions(boundTo check: Pair, _ context: inout ApplyContext) {
    guard !sessionsByCheck.isEmpty else { return }
    let isHostHealth =
      check.second == Key(folding: Self.serfHealthID) && checksTable.contains(check)
      && nodesTable[check.first]?.isHost == true
    var ids: [UniqueID] = []
    sessionsByCheck.forEach(from: Triple(check.first, check.second, .empty)) { key, id in
      guard key.first == check.first, key.second == check.second else { return false }
      if isHostHealth, sessionsTable[id].map({ $0.ttlNanoseconds > 0 }) ?? false { return true }
      ids.append(id)
      return true
    }
    for id in ids { destroySession(id, &context) }
  }

  mutating func destroySessions(onNode node: Key, _ context: inout ApplyContext) {
    for session in sessions(onFolded: node) { destroySession(session.id, &context) }
  }

  // MARK: Reading

  package func session(_ id: UniqueID) -> SessionRecord? { sessionsTable[id] }

  package func sessions() -> [SessionRecord] {
    var result: [SessionRecord] = []
    sessionsTable.forEach { _, record in
      result.append(record)
      return true
    }
    return result
  }

  package func sessions(onNode name: String) -> [SessionRecord] {
    sessions(onFolded: Key(folding: name))
  }

  private func sessions(onFolded node: Key) -> [SessionRecord] {
    var result: [SessionRecord] = []
    sessionsByNode.forEach(first: node) { pair, _ in
      if let record = sessionsTable[UniqueID(key: pair.second)] { result.append(record) }
      return true
    }
    return result
  }

  package var sessionsIndex: UInt64 { max(1, indexes.sessions) }
}

/// When the delay of a key ends; in the order in which delays end.
struct LockDelay: TreeKey {
  let until: UInt64
  let key: Key
  static func < (a: LockDelay, b: LockDelay) -> Bool {
    a.until == b.until ? a.key < b.key : a.until < b.until
  }
}
