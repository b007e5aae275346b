/// Checks: how their table changes, whom a change wakes, and which sessions it ends
/// (consul-api.md 9, 25.5, 25.8).
extension Registry {
  /// What a check needs and does not find.
  enum CheckError: Error {
    case missingNode
    case missingService
  }

  /// Creates or replaces a check; takes name and tags of its service (25.5). A critical check
  /// ends the sessions bound to it at once.
  mutating func putCheck(
    _ record: CheckRecord, createIndex: UInt64? = nil, _ context: inout ApplyContext
  ) throws(CheckError) {
    let node = Key(folding: record.node)
    guard let nodeRecord = nodesTable[node] else { throw .missingNode }
    let key = Pair(node, Key(folding: record.id))
    var new = record
    new.node = nodeRecord.name
    if new.status.isEmpty { new.status = "critical" }
    if new.serviceID.isEmpty {
      new.serviceName = ""
      new.serviceTags = []
    } else {
      guard let service = servicesTable[Pair(node, Key(folding: record.serviceID))] else {
        throw .missingService
      }
      new.serviceID = service.id
      new.serviceName = service.name
      new.serviceTags = service.tags
    }
    let old = checksTable[key]
    guard new.succeed(old, createIndex: createIndex, at: context.index) else { return }
    if let old { unindexCheck(old, key) }
    insertCheck(new)
    if let old, foldedName(old.serviceID) != foldedName(new.serviceID) {
      checkChanged(old, key, &context)
    }
    checkChanged(new, key, &context)
    if new.origin == .agent {
      noteAgentCheck(key, status: new.status, &context)
      if old.map({ !$0.sameWork(as: new) }) ?? true { context.changes.agentWorkChanged = true }
    }
    if new.status == "critical" { destroySessions(boundTo: key, &context) }
  }

  /// The record and the lookups made of it.
  mutating func insertCheck(_ record: CheckRecord) {
    let key = Pair(Key(folding: record.node), Key(folding: record.id))
    let attached = Triple(key.first, Key(folding: record.serviceID), key.second)
    checksTable.updateValue(record, forKey: key)
    checksByService.updateValue(Present(), forKey: attached)
    if record.origin == .agent {
      agentCheckNodes.updateValue(Present(), forKey: Pair(key.second, key.first))
    }
  }

  private mutating func unindexCheck(_ record: CheckRecord, _ key: Pair) {
    let attached = Triple(key.first, Key(folding: record.serviceID), key.second)
    checksByService.removeValue(forKey: attached)
    if record.origin == .agent {
      agentCheckNodes.removeValue(forKey: Pair(key.second, key.first))
    }
  }

  /// A check of a service concerns that service, one of the node all services on it.
  private mutating func checkChanged(
    _ record: CheckRecord, _ key: Pair, _ context: inout ApplyContext
  ) {
    indexes.checks = context.index
    context.changes.insert(.checks)
    context.changes.insert(.node(key.first.text))
    if record.serviceID.isEmpty {
      touchServices(onNode: key.first, &context)
    } else {
      touchService(Key(folding: record.serviceName), &context)
      if let service = servicesTable[Pair(key.first, Key(folding: record.serviceID))] {
        noteInstance(service, old: service.modifyIndex, &context)
      }
    }
  }

  mutating func removeCheck(_ key: Pair, _ context: inout ApplyContext) {
    guard let record = checksTable.removeValue(forKey: key) else { return }
    unindexCheck(record, key)
    checkChanged(record, key, &context)
    if record.origin == .agent {
      noteAgentCheck(key, status: nil, &context)
      context.changes.agentWorkChanged = true
    }
    destroySessions(boundTo: key, &context)
  }

  func noteAgentCheck(
    _ key: Pair, status: String?, isRegistration: Bool = false, _ context: inout ApplyContext
  ) {
    context.changes.agentChecks.append(
      AgentCheckChange(
        node: key.first.text, id: key.second.text, status: status, isRegistration: isRegistration))
  }

  /// A new status or output. Reports from a host that no longer runs the check are dropped.
  mutating func updateCheck(
    _ update: CheckUpdate, _ context: inout ApplyContext
  ) throws(Refusal) {
    let found =
      if let node = update.node {
        checksTable[Pair(Key(folding: node), Key(folding: update.checkID))]
      } else {
        agentCheck(update.checkID, host: update.fromHost ?? "")
      }
    guard var check = found else {
      let text =
        "Unknown check ID \(quoted(update.checkID)). "
        + "Ensure that the check ID is passed, not the check name."
      throw Refusal(status: 404, text: text)
    }
    if let host = update.fromHost, foldedName(host) != foldedName(check.node) { return }
    guard check.status != update.status || check.output != update.output else { return }
    check.status = update.status
    check.output = update.output
    // It is there, so its node and service are.
    try? putCheck(check, &context)
  }
}

extension CheckRecord {
  /// Whoever runs it has nothing to change: all but what a probe reports is equal.
  func sameWork(as other: CheckRecord) -> Bool {
    var copy = self
    copy.status = other.status
    copy.output = other.output
    copy.modifyIndex = other.modifyIndex
    return copy == other
  }
}
