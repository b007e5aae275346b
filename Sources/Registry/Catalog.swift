/// Nodes and services: how their tables change, with the indexes and change sets that follow from
/// it (consul-api.md 7.1, 7.2, 25.4 to 25.7). Checks are in `Health.swift`.
extension Registry {
  // MARK: Commands

  mutating func register(
    _ registration: Registration, _ context: inout ApplyContext
  ) throws(Refusal) {
    let node = registration.node
    guard !node.name.isEmpty else { throw Refusal(status: 500, text: "Must provide node") }
    if let service = registration.service, service.name.isEmpty {
      throw Refusal(status: 500, text: "Must provide service name with ID")
    }
    let exists = nodesTable.contains(Key(folding: node.name))
    if !registration.skipNodeUpdate || !exists {
      if node.address.isEmpty, !registration.skipNodeUpdate {
        let text = "Must provide address if SkipNodeUpdate is not set"
        throw Refusal(status: 500, text: text)
      }
      try upsertNode(node, &context)
    }
    if var service = registration.service {
      if service.id.isEmpty { service.id = service.name }
      service.node = node.name
      service.origin = .catalog
      putService(service, &context)
    }
    for var check in registration.checks {
      if check.node.isEmpty { check.node = node.name }
      if check.id.isEmpty { check.id = check.name }
      check.origin = .catalog
      do {
        try putCheck(check, &context)
      } catch {
        let what =
          switch error {
          case .missingNode: "Missing node registration"
          case .missingService: "Missing service registration on node \(quoted(check.node))"
          }
        throw Refusal(status: 500, text: "failed inserting check: " + what)
      }
    }
  }

  mutating func deregister(
    node: String, serviceID: String, checkID: String, _ context: inout ApplyContext
  ) {
    let nodeKey = Key(folding: node)
    if !serviceID.isEmpty {
      removeService(Pair(nodeKey, Key(folding: serviceID)), &context)
    } else if !checkID.isEmpty {
      removeCheck(Pair(nodeKey, Key(folding: checkID)), &context)
    } else {
      removeNode(nodeKey, &context)
    }
  }

  // MARK: Nodes

  /// Creates or replaces a node. A known id under another name renames that node: its services
  /// and checks move along, the old name vanishes with its sessions (7.1).
  mutating func upsertNode(
    _ record: NodeRecord, _ context: inout ApplyContext
  ) throws(Refusal) {
    let name = Key(folding: record.name)
    guard !record.id.isEmpty, let owner = nodeIDs[Key(nodeID: record.id)], owner != name,
      let old = nodesTable[owner]
    else {
      putNode(record, &context)
      return
    }
    guard !old.isHost || record.isHost else {
      let text = "node ID \(quoted(record.id)) belongs to the Roost node \(quoted(old.name))"
      throw Refusal(status: 500, text: text)
    }
    let services = services(onFolded: owner)
    let checks = checks(onFolded: owner)
    removeNode(owner, &context)
    putNode(record, createIndex: old.createIndex, &context)
    for var service in services {
      service.node = record.name
      putService(service, createIndex: service.createIndex, &context)
    }
    for var check in checks {
      check.node = record.name
      // Its node and service were put just now, so nothing can be missing.
      try? putCheck(check, createIndex: check.createIndex, &context)
    }
  }

  mutating func putNode(
    _ record: NodeRecord, createIndex: UInt64? = nil, _ context: inout ApplyContext
  ) {
    let name = Key(folding: record.name)
    let old = nodesTable[name]
    var new = record
    if let old {
      if new.id.isEmpty { new.id = old.id }
      new.isHost = new.isHost || old.isHost
      new.createIndex = old.createIndex
      new.modifyIndex = old.modifyIndex
      if new == old { return }
    } else {
      new.createIndex = createIndex ?? context.index
    }
    new.modifyIndex = context.index
    if let old, !old.id.isEmpty { nodeIDs.removeValue(forKey: Key(nodeID: old.id)) }
    if !new.id.isEmpty { nodeIDs.updateValue(name, forKey: Key(nodeID: new.id)) }
    nodesTable.updateValue(new, forKey: name)
    nodesChanged(&context)
    touchNode(name, &context)
    touchServices(onNode: name, &context)
  }

  private mutating func nodesChanged(_ context: inout ApplyContext) {
    indexes.nodes = context.index
    context.changes.insert(.nodes)
    // `servicesIndex` counts the nodes table in.
    context.changes.insert(.services)
  }

  mutating func removeNode(_ name: Key, _ context: inout ApplyContext) {
    guard let record = nodesTable[name] else { return }
    for service in services(onFolded: name) {
      removeService(Pair(name, Key(folding: service.id)), &context)
    }
    for check in checks(onFolded: name) {
      removeCheck(Pair(name, Key(folding: check.id)), &context)
    }
    destroySessions(onNode: name, &context)
    nodesTable.removeValue(forKey: name)
    if !record.id.isEmpty { nodeIDs.removeValue(forKey: Key(nodeID: record.id)) }
    nodesChanged(&context)
    touchNode(name, &context)
    nodeIndexes.removeValue(forKey: name)
  }

  // MARK: Services

  /// Creates or replaces a service. What the catalog writes over an agent's service stays the
  /// agent's: there is no anti-entropy that would bring the old one back.
  mutating func putService(
    _ record: ServiceRecord, createIndex: UInt64? = nil, _ context: inout ApplyContext
  ) {
    let node = Key(folding: record.node)
    let key = Pair(node, Key(folding: record.id))
    let old = servicesTable[key]
    var new = record
    new.node = nodesTable[node]?.name ?? record.node
    guard new.succeed(old, createIndex: createIndex, at: context.index) else { return }
    if let old { unindexService(old, key) }
    insertService(new)
    if let old, foldedName(old.name) != foldedName(new.name) {
      touchService(Key(folding: old.name), &context)
      noteInstance(old, old: old.modifyIndex, &context)
    }
    servicesChanged(new, key, &context)
    noteInstance(new, old: old?.modifyIndex ?? 0, &context)
  }

  /// The record and the lookups made of it.
  mutating func insertService(_ record: ServiceRecord) {
    let key = Pair(Key(folding: record.node), Key(folding: record.id))
    let instance = Triple(Key(folding: record.name), key.first, key.second)
    servicesTable.updateValue(record, forKey: key)
    servicesByName.updateValue(Present(), forKey: instance)
    if record.origin == .agent { agentServiceNodes.updateValue(key.first, forKey: key.second) }
  }

  private mutating func unindexService(_ record: ServiceRecord, _ key: Pair) {
    servicesByName.removeValue(forKey: Triple(Key(folding: record.name), key.first, key.second))
    if record.origin == .agent, agentServiceNodes[key.second] == key.first {
      agentServiceNodes.removeValue(forKey: key.second)
    }
  }

  private mutating func servicesChanged(
    _ record: ServiceRecord, _ key: Pair, _ context: inout ApplyContext
  ) {
    indexes.services = context.index
    context.changes.insert(.services)
    touchService(Key(folding: record.name), &context)
    touchNode(key.first, &context)
    if record.origin == .agent { context.changes.agentWorkChanged = true }
  }

  /// With its checks (25.6).
  mutating func removeService(_ key: Pair, _ context: inout ApplyContext) {
    guard let record = servicesTable[key] else { return }
    for check in checks(onFolded: key.first, serviceID: key.second) {
      removeCheck(Pair(key.first, Key(folding: check.id)), &context)
    }
    servicesTable.removeValue(forKey: key)
    unindexService(record, key)
    servicesChanged(record, key, &context)
    noteInstance(record, old: record.modifyIndex, &context)
  }
}
