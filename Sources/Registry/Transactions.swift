/// `/v1/txn` (consul-api.md 6): operations judged one after the other on a copy of the registry,
/// which is adopted when none failed. All failing operations are reported; those that can be
/// judged without the others (missing names, lock-delay) are judged first, and then alone.
extension Registry {
  mutating func transaction(
    _ operations: [TransactionOperation], _ context: inout ApplyContext
  ) -> TransactionOutcome {
    var errors: [TransactionError] = []
    for (i, operation) in operations.enumerated() {
      if let what = preliminaryError(operation, time: context.time) {
        errors.append(TransactionError(operation: i, what: what))
      }
    }
    guard errors.isEmpty else { return .failed(errors) }
    var draft = self
    var draftContext = ApplyContext(index: context.index, time: context.time, changes: ChangeSet())
    var results: [TransactionResult] = []
    for (i, operation) in operations.enumerated() {
      do {
        try draft.perform(operation, &results, &draftContext)
      } catch {
        errors.append(TransactionError(operation: i, what: error.what))
      }
    }
    guard errors.isEmpty else { return .failed(errors) }
    self = draft
    context.changes.merge(draftContext.changes)
    return .committed(results)
  }

  /// Judges operations that only read against this state.
  package func evaluate(_ operations: [TransactionOperation]) -> TransactionOutcome {
    var copy = self
    var context = ApplyContext(index: lastIndex, time: 0, changes: ChangeSet())
    return copy.transaction(operations, &context)
  }

  struct OperationError: Error {
    let what: String
    init(_ what: String) { self.what = what }
  }

  private func preliminaryError(_ operation: TransactionOperation, time: UInt64) -> String? {
    switch operation {
    case .invalid(let text): return text
    case .kv(let kv):
      if kv.key.bytes.isEmpty, kv.verb != .deleteTree, kv.verb != .getTree {
        return "Must provide key"
      }
      if kv.verb == .lock, isLockDelayed(kv.key, time: time) {
        return "failed to lock key \(quoted(kv.key.text)) due to lock delay"
      }
      return nil
    case .node(_, let node): return node.name.isEmpty ? "Must provide node" : nil
    case .service(let verb, let node, let service):
      if node.isEmpty { return "Must provide node" }
      let isComplete = !service.id.isEmpty && (!service.name.isEmpty || verb == .get)
      return isComplete ? nil : "Must provide service name with ID"
    case .check(_, let check): return check.node.isEmpty ? "Must provide node" : nil
    }
  }

  private mutating func perform(
    _ operation: TransactionOperation, _ results: inout [TransactionResult],
    _ context: inout ApplyContext
  ) throws(OperationError) {
    switch operation {
    case .kv(let kv): try perform(kv, &results, &context)
    case .node(let verb, let node): try perform(verb, node, &results, &context)
    case .service(let verb, let node, var service):
      service.node = node
      try perform(verb, service, &results, &context)
    case .check(let verb, let check): try perform(verb, check, &results, &context)
    case .invalid(let text): throw OperationError(text)
    }
  }

  // MARK: KV

  private mutating func perform(
    _ operation: KVOperation, _ results: inout [TransactionResult],
    _ context: inout ApplyContext
  ) throws(OperationError) {
    let key = operation.key
    switch operation.verb {
    case .set, .cas, .lock, .unlock:
      try write(operation, &context)
      try appendEntry(key, withValue: false, &results)
    case .get: try appendEntry(key, withValue: true, &results)
    case .getOrEmpty:
      let empty = KVEntry(
        key: key, value: [], flags: 0, createIndex: 0, modifyIndex: 0, lockIndex: 0)
      results.append(.kv(kv(key) ?? empty, withValue: true))
    case .getTree:
      forEachKV(prefix: key) { entry in
        results.append(.kv(copy entry, withValue: true))
        return true
      }
    case .checkIndex, .checkSession:
      try check(operation)
      try appendEntry(key, withValue: false, &results)
    case .checkNotExists:
      if kvTable.contains(key) { throw OperationError("key \(quoted(key.text)) exists") }
    case .delete: _ = delete(key, cas: nil, &context)
    case .deleteTree: deleteTree(key, &context)
    case .deleteCAS:
      guard delete(key, cas: operation.index, &context) else {
        throw OperationError("failed to delete key \(quoted(key.text)), index is stale")
      }
    }
  }

  private func appendEntry(
    _ key: Key, withValue: Bool, _ results: inout [TransactionResult]
  ) throws(OperationError) {
    guard let entry = kv(key) else {
      throw OperationError("key \(quoted(key.text)) doesn't exist")
    }
    results.append(.kv(entry, withValue: withValue))
  }

  private mutating func write(
    _ operation: KVOperation, _ context: inout ApplyContext
  ) throws(OperationError) {
    let key = operation.key
    let name = quoted(key.text)
    switch operation.verb {
    case .cas where !casMatches(key, operation.index):
      throw OperationError("failed to set key \(name), index is stale")
    case .lock:
      guard let session = operation.session else { throw OperationError("missing session") }
      guard sessionsTable.contains(session) else {
        throw OperationError("invalid session \(quoted(session.description))")
      }
      let (value, flags) = (operation.value, operation.flags)
      guard acquire(key, value, flags: flags, session: session, &context) else {
        throw OperationError("failed to lock key \(name), lock is already held")
      }
    case .unlock:
      guard let session = operation.session else { throw OperationError("missing session") }
      let (value, flags) = (operation.value, operation.flags)
      guard release(key, value, flags: flags, session: session, &context) else {
        let reason = "lock isn't held, or is held by another session"
        throw OperationError("failed to unlock key \(name), \(reason)")
      }
    default: store(key, operation.value, flags: operation.flags, &context)
    }
  }

  private func check(_ operation: KVOperation) throws(OperationError) {
    let name = quoted(operation.key.text)
    let subject = operation.verb == .checkIndex ? "index" : "session"
    guard let stored = kvTable[operation.key] else {
      throw OperationError("failed to check \(subject), key \(name) doesn't exist")
    }
    if operation.verb == .checkIndex {
      guard stored.modifyIndex == operation.index else {
        let found = "current modify index \(stored.modifyIndex) != \(operation.index)"
        throw OperationError("failed index check for key \(name), \(found)")
      }
    } else {
      guard stored.session == operation.session, stored.session != nil else {
        let current = quoted(stored.session?.description ?? "")
        let wanted = quoted(operation.session?.description ?? "")
        throw OperationError(
          "failed session check for key \(name), current session \(current) != \(wanted)")
      }
    }
  }

  // MARK: Catalog

  private mutating func perform(
    _ verb: CatalogVerb, _ node: NodeRecord, _ results: inout [TransactionResult],
    _ context: inout ApplyContext
  ) throws(OperationError) {
    let name = Key(folding: node.name)
    let existing = nodesTable[name]
    let subject = "node \(quoted(node.name))"
    switch try admit(verb, existing?.modifyIndex, node.modifyIndex, subject) {
    case .read: break
    case .delete: return removeNode(name, &context)
    case .write:
      do {
        var record = node
        record.isHost = false
        try upsertNode(record, &context)
      } catch {
        throw OperationError(error.text)
      }
    }
    if let record = nodesTable[name] { results.append(.node(record)) }
  }

  private mutating func perform(
    _ verb: CatalogVerb, _ service: ServiceRecord, _ results: inout [TransactionResult],
    _ context: inout ApplyContext
  ) throws(OperationError) {
    let key = Pair(Key(folding: service.node), Key(folding: service.id))
    let existing = servicesTable[key]
    let subject = "service \(quoted(service.id)) on node \(quoted(service.node))"
    switch try admit(verb, existing?.modifyIndex, service.modifyIndex, subject) {
    case .read: break
    case .delete: return removeService(key, &context)
    case .write:
      guard nodesTable.contains(key.first) else {
        throw OperationError("Missing node registration")
      }
      var record = service
      record.origin = .catalog
      putService(record, &context)
    }
    if let record = servicesTable[key] { results.append(.service(record)) }
  }

  private mutating func perform(
    _ verb: CatalogVerb, _ check: CheckRecord, _ results: inout [TransactionResult],
    _ context: inout ApplyContext
  ) throws(OperationError) {
    var record = check
    if record.id.isEmpty { record.id = record.name }
    let key = Pair(Key(folding: record.node), Key(folding: record.id))
    let existing = checksTable[key]
    let subject = "check \(quoted(record.id)) on node \(quoted(record.node))"
    switch try admit(verb, existing?.modifyIndex, record.modifyIndex, subject) {
    case .read: break
    case .delete: return removeCheck(key, &context)
    case .write:
      record.origin = .catalog
      do {
        try putCheck(record, &context)
      } catch {
        switch error {
        case .missingNode: throw OperationError("Missing node registration")
        case .missingService: throw OperationError("Missing service registration")
        }
      }
    }
    if let record = checksTable[key] { results.append(.check(record)) }
  }

  private enum Admission {
    case read
    case write
    case delete
  }

  /// What a catalog verb may do, given the index of what exists and the index asked for.
  private func admit(
    _ verb: CatalogVerb, _ existing: UInt64?, _ index: UInt64, _ subject: String
  ) throws(OperationError) -> Admission {
    switch verb {
    case .get:
      guard existing != nil else { throw OperationError("\(subject) doesn't exist") }
      return .read
    case .set: return .write
    case .cas:
      guard index == 0 ? existing == nil : existing == index else {
        throw OperationError("failed to set \(subject), index is stale")
      }
      return .write
    case .delete: return .delete
    case .deleteCAS:
      guard existing == index else {
        throw OperationError("failed to delete \(subject), index is stale")
      }
      return .delete
    }
  }
}
