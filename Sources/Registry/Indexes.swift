/// The indexes that X-Consul-Index is made of (consul-api.md 4.6, 25.2): what last changed in a
/// table, a service, a node. 0 means never; what is shown is at least 1.
struct Indexes: Equatable, Sendable {
  var kv: UInt64 = 0
  var nodes: UInt64 = 0
  var services: UInt64 = 0
  var checks: UInt64 = 0
  var sessions: UInt64 = 0
  /// The last time a service lost its last instance: what services without instances report.
  var lastExtinction: UInt64 = 0
  /// Tombstones were dropped because there were too many: no prefix reports less than this.
  var tombstoneFloor: UInt64 = 0
}

/// The same for the tables beside KV, catalog and sessions.
struct ClusterIndexes: Equatable, Sendable {
  var configEntries: UInt64 = 0
  var queries: UInt64 = 0
}

/// What one apply works with, and the next one of the same pass after it.
package struct ApplyContext {
  var index: UInt64
  /// Milliseconds since 1970, stamped by the leader.
  var time: UInt64
  package var changes: ChangeSet

  init(index: UInt64, time: UInt64, changes: ChangeSet) {
    self.index = index
    self.time = time
    self.changes = changes
  }

  /// For a pass of applies.
  package init() { self.init(index: 0, time: 0, changes: ChangeSet()) }
}

extension Registry {
  /// A service's own index: an instance, one of its checks or its node changed.
  mutating func touchService(_ name: Key, _ context: inout ApplyContext) {
    context.changes.insert(.service(name.text))
    var hasInstance = false
    servicesByName.forEach(first: name) { _ in
      hasInstance = true
      return false
    }
    if hasInstance {
      serviceIndexes.updateValue(context.index, forKey: name)
    } else if serviceIndexes.removeValue(forKey: name) != nil {
      indexes.lastExtinction = context.index
    }
  }

  func noteInstance(_ record: ServiceRecord, old: UInt64, _ context: inout ApplyContext) {
    let change = InstanceChange(record, old: old, index: context.index)
    context.changes.records.append(.instance(change))
  }

  /// Every service with an instance on the node.
  mutating func touchServices(onNode node: Key, _ context: inout ApplyContext) {
    var names: [Key] = []
    servicesTable.forEach(first: node) { _, record in
      names.append(Key(folding: record.name))
      noteInstance(record, old: record.modifyIndex, &context)
      return true
    }
    names.sort()
    var previous: Key?
    for name in names where name != previous {
      touchService(name, &context)
      previous = name
    }
  }

  /// What `catalog/node` shows changed: the node or its services.
  mutating func touchNode(_ node: Key, _ context: inout ApplyContext) {
    nodeIndexes.updateValue(context.index, forKey: node)
    context.changes.insert(.node(node.text))
  }
}
