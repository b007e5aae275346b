/// Services and checks registered through `/v1/agent`. They belong to the cluster: each lives on
/// a host (the node it came through), but its id is unique among all hosts' services, and any node
/// can change it. The same holds for the ids of their checks, so that services can move.
extension Registry {
  mutating func agentRegister(
    _ registration: AgentRegistration, _ context: inout ApplyContext
  ) throws(Refusal) {
    let host = Key(folding: registration.host)
    guard let hostRecord = nodesTable[host] else { throw Refusal.notAHost(registration.host) }
    var service = registration.service
    guard !service.name.isEmpty else { throw Refusal(status: 400, text: "Missing service name") }
    if service.id.isEmpty { service.id = service.name }
    let id = Key(folding: service.id)
    guard id != Self.consulServiceID else {
      throw Refusal(status: 400, text: "Service ID \"consul\" is reserved for the nodes")
    }
    service.node = hostRecord.name
    service.origin = .agent
    let source = agentServiceNodes[id] ?? host
    let previous = checks(onFolded: source, serviceID: id)
    var createIndex: UInt64?
    if source != host { createIndex = servicesTable[Pair(source, id)]?.createIndex }
    putService(service, createIndex: createIndex, &context)
    var staying = registration.checks
    for old in previous {
      let oldID = foldedName(old.id)
      if staying.contains(where: { foldedName($0.id) == oldID }) { continue }
      if registration.replaceExistingChecks {
        removeCheck(Pair(source, Key(oldID)), &context)
      } else {
        staying.append(old)
      }
    }
    for check in staying {
      let old = previous.first { foldedName($0.id) == foldedName(check.id) }
      putAgentCheck(check, of: service, replacing: old, &context)
    }
    if source != host { removeService(Pair(source, id), &context) }
  }

  /// A check that stays keeps the status it has, as in a registration repeated through Consul.
  private mutating func putAgentCheck(
    _ check: CheckRecord, of service: ServiceRecord, replacing old: CheckRecord?,
    _ context: inout ApplyContext
  ) {
    var new = check
    new.node = service.node
    new.serviceID = service.id
    new.origin = .agent
    if let old {
      new.status = old.status
      new.output = old.output
    }
    takeOverCheckID(new, &context)
    // Its service was put just now, so nothing can be missing.
    try? putCheck(new, createIndex: old?.createIndex, &context)
    noteRegistration(new, &context)
  }

  /// Whoever registers a check again lives: what is timed of it starts afresh, as in Consul.
  private func noteRegistration(_ check: CheckRecord, _ context: inout ApplyContext) {
    let definition = check.definition
    guard definition.ttl > 0 || definition.deregisterCriticalServiceAfter > 0 else { return }
    let key = Pair(Key(folding: check.node), Key(folding: check.id))
    noteAgentCheck(key, status: checksTable[key]?.status, isRegistration: true, &context)
  }

  /// Among checks of agent services an id is unique in the cluster: one of another host yields.
  private mutating func takeOverCheckID(_ check: CheckRecord, _ context: inout ApplyContext) {
    let id = Key(folding: check.id)
    let node = Key(folding: check.node)
    for pair in agentCheckNodes.keys(from: Pair(id, .empty), while: { $0.first == id })
    where pair.second != node {
      let other = Pair(pair.second, id)
      if checksTable[other]?.serviceID.isEmpty == false { removeCheck(other, &context) }
    }
  }

  mutating func agentDeregister(
    serviceID: String, onlyIf: CheckUnchanged?, _ context: inout ApplyContext
  ) {
    let id = Key(folding: serviceID)
    guard let node = agentServiceNodes[id] else { return }
    if let onlyIf {
      guard let check = checksTable[Pair(node, Key(folding: onlyIf.checkID))],
        foldedName(check.serviceID) == foldedName(serviceID), check.status == "critical",
        check.modifyIndex == onlyIf.modifyIndex
      else { return }
    }
    removeService(Pair(node, id), &context)
  }

  mutating func agentCheckRegister(
    _ record: CheckRecord, host: String, _ context: inout ApplyContext
  ) throws(Refusal) {
    var check = record
    check.origin = .agent
    if check.id.isEmpty { check.id = check.name }
    if check.serviceID.isEmpty {
      check.node = host
    } else {
      guard let service = agentService(check.serviceID) else {
        let text = "ServiceID \(quoted(check.serviceID)) does not exist"
        throw Refusal(status: 500, text: text)
      }
      check.node = service.node
      takeOverCheckID(check, &context)
    }
    do {
      try putCheck(check, &context)
    } catch {
      throw Refusal.notAHost(check.node)
    }
    noteRegistration(check, &context)
  }

  mutating func agentCheckDeregister(
    checkID: String, host: String, _ context: inout ApplyContext
  ) {
    guard let check = agentCheck(checkID, host: host) else { return }
    removeCheck(Pair(Key(folding: check.node), Key(folding: check.id)), &context)
  }

  /// 8.7: a critical check while maintenance lasts. Enabling twice keeps the first reason.
  mutating func setMaintenance(
    host: String, serviceID: String, enable: Bool, reason: String,
    _ context: inout ApplyContext
  ) throws(Refusal) {
    let target = serviceID.isEmpty ? "node" : "service"
    var check = CheckRecord(node: host, id: "_node_maintenance", name: "Node Maintenance Mode")
    if !serviceID.isEmpty {
      guard let service = agentService(serviceID) else {
        let text = "No service registered with ID \(quoted(serviceID))"
        throw Refusal(status: 404, text: text)
      }
      check = CheckRecord(
        node: service.node, id: "_service_maintenance:" + service.id,
        name: "Service Maintenance Mode")
      check.serviceID = service.id
    }
    let key = Pair(Key(folding: check.node), Key(folding: check.id))
    guard enable else { return removeCheck(key, &context) }
    guard checksTable[key] == nil else { return }
    let standard =
      "Maintenance mode is enabled for this \(target), but no reason was provided. "
      + "This is a default message."
    check.notes = reason.isEmpty ? standard : reason
    check.status = "critical"
    check.type = "maintenance"
    check.origin = .agent
    do {
      try putCheck(check, &context)
    } catch {
      throw Refusal.notAHost(host)
    }
  }

  // MARK: Reading

  package func agentServices() -> [ServiceRecord] {
    var result: [ServiceRecord] = []
    agentServiceNodes.forEach { id, node in
      if let record = servicesTable[Pair(node, id)] { result.append(record) }
      return true
    }
    return result
  }

  package func agentService(_ id: String) -> ServiceRecord? {
    let id = Key(folding: id)
    return agentServiceNodes[id].flatMap { servicesTable[Pair($0, id)] }
  }

  package func agentChecks() -> [CheckRecord] {
    var result: [CheckRecord] = []
    agentCheckNodes.forEach { key, _ in
      if let record = checksTable[Pair(key.second, key.first)] { result.append(record) }
      return true
    }
    return result
  }

  /// A node-level agent check of `host` wins over one of the same id elsewhere.
  package func agentCheck(_ id: String, host: String) -> CheckRecord? {
    let id = Key(folding: id)
    if let check = checksTable[Pair(Key(folding: host), id)], check.origin == .agent {
      return check
    }
    var ofNode: CheckRecord?
    var ofService: CheckRecord?
    agentCheckNodes.forEach(first: id) { key, _ in
      guard let check = checksTable[Pair(key.second, id)] else { return true }
      if !check.serviceID.isEmpty {
        ofService = check
        return false
      }
      if ofNode == nil { ofNode = check }
      return true
    }
    return ofService ?? ofNode
  }

  /// What `host` has to run.
  package func agentChecks(onHost host: String) -> [CheckRecord] {
    checks(onNode: host).filter { $0.origin == .agent }
  }
}

extension Refusal {
  static func notAHost(_ name: String) -> Refusal {
    Refusal(status: 500, text: "node \(quoted(name)) is not registered in the catalog")
  }
}
