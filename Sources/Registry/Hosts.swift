/// Roost's own nodes in the catalog, and where their agent services go when one of them dies
/// (design.md, "Whose service is it?"): in one apply the host turns critical and what it ran is
/// run elsewhere, so a reader never sees a healthy service fail because a registry node died.
extension Registry {
  static var consulServiceID: Key { Key("consul") }
  static var serfHealthID: String { "serfHealth" }

  /// A repeat changes only what differs.
  mutating func hostJoin(
    _ host: HostRegistration, _ context: inout ApplyContext
  ) throws(Refusal) {
    guard !host.node.name.isEmpty else { throw Refusal(status: 500, text: "Must provide node") }
    var node = host.node
    node.isHost = true
    try upsertNode(node, &context)
    setSerfHealth(node.name, "passing", "Agent alive and reachable", &context)
    var service = ServiceRecord(node: node.name, id: "consul", name: "consul")
    service.port = host.port
    putService(service, &context)
  }

  private mutating func setSerfHealth(
    _ node: String, _ status: String, _ output: String, _ context: inout ApplyContext
  ) {
    var check = CheckRecord(node: node, id: Self.serfHealthID, name: "Serf Health Status")
    check.status = status
    check.output = output
    // The callers have looked the node up or put it.
    try? putCheck(check, &context)
  }

  mutating func hostDown(_ host: String, liveHosts: [String], _ context: inout ApplyContext) {
    let name = Key(folding: host)
    guard let node = nodesTable[name], node.isHost else { return }
    setSerfHealth(node.name, "critical", "Agent not live or unreachable", &context)
    moveServices(from: name, to: liveHosts, &context)
  }

  mutating func hostLeave(_ host: String, liveHosts: [String], _ context: inout ApplyContext) {
    let name = Key(folding: host)
    guard nodesTable[name]?.isHost == true else { return }
    moveServices(from: name, to: liveHosts, &context)
    removeNode(name, &context)
  }

  private mutating func moveServices(
    from host: Key, to liveHosts: [String], _ context: inout ApplyContext
  ) {
    guard let source = nodesTable[host] else { return }
    var targets: [NodeRecord] = []
    for name in liveHosts where Key(folding: name) != host {
      if let node = nodesTable[Key(folding: name)], node.isHost { targets.append(node) }
    }
    for service in services(onFolded: host) where service.origin == .agent {
      let checks = checks(onFolded: host, serviceID: Key(folding: service.id))
      if let target = target(for: service, checks, among: targets, leaving: source) {
        move(service, checks, from: source, to: target, &context)
      }
    }
  }

  /// Rendezvous hashing (Thaler, Ravishankar: "A name-based mapping scheme for rendezvous"): each
  /// id picks the host with the highest hash of both, so the load spreads and needs no table.
  private func target(
    for service: ServiceRecord, _ checks: [CheckRecord], among targets: [NodeRecord],
    leaving source: NodeRecord
  ) -> NodeRecord? {
    let id = Key(folding: service.id)
    let isBound = checks.contains { $0.definition.needsItsMachine }
    var best: (score: UInt64, node: NodeRecord)?
    for node in targets {
      let name = Key(folding: node.name)
      if isBound, node.address != source.address { continue }
      // Something of the same id lives there, which the move would overwrite.
      if servicesTable.contains(Pair(name, id)) { continue }
      if checks.contains(where: { checksTable.contains(Pair(name, Key(folding: $0.id))) }) {
        continue
      }
      let score = rendezvousScore(id, name)
      if let best, (best.score, Key(folding: best.node.name)) >= (score, name) { continue }
      best = (score, node)
    }
    return best?.node
  }

  /// Status, output and creation stay. A service without an address of its own was reached at its
  /// host's: it keeps that one where the new host has another.
  private mutating func move(
    _ service: ServiceRecord, _ checks: [CheckRecord], from source: NodeRecord,
    to target: NodeRecord, _ context: inout ApplyContext
  ) {
    var moved = service
    moved.node = target.name
    if moved.address.isEmpty, source.address != target.address { moved.address = source.address }
    putService(moved, createIndex: service.createIndex, &context)
    for var check in checks {
      check.node = target.name
      // Its service was put just now, so nothing can be missing.
      try? putCheck(check, createIndex: check.createIndex, &context)
    }
    removeService(Pair(Key(folding: source.name), Key(folding: service.id)), &context)
  }
}

/// FNV-1a over both names, then the finaliser of SplitMix64 for the high bits to differ.
private func rendezvousScore(_ id: Key, _ host: Key) -> UInt64 {
  var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  for byte in id.bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
  // A byte that no UTF-8 text holds, so that the border between both counts.
  hash = (hash ^ 0xFF) &* 0x100_0000_01B3
  for byte in host.bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
  hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
  hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
  return hash ^ (hash >> 31)
}

extension CheckDefinition {
  /// Only the machine it was registered on can run it: a script, or a probe of a loopback address.
  var needsItsMachine: Bool {
    if !args.isEmpty || !dockerContainerID.isEmpty { return true }
    return [http, tcp, udp, grpc, h2ping].contains { isLoopback(hostPart(of: $0)) }
  }
}

/// The host of `scheme://user@host:port/path`, `host:port` or `[v6]:port`.
private func hostPart(of target: String) -> Substring.UTF8View.SubSequence {
  var rest = target[...].utf8
  if let colon = rest.firstIndex(of: UInt8(ascii: ":")),
    rest[colon...].starts(with: "://".utf8)
  {
    rest = rest[colon...].dropFirst(3)
  }
  if let end = rest.firstIndex(where: { "/?#".utf8.contains($0) }) { rest = rest[..<end] }
  if let at = rest.lastIndex(of: UInt8(ascii: "@")) { rest = rest[at...].dropFirst() }
  if rest.first == UInt8(ascii: "[") {
    let inner = rest.dropFirst()
    return inner[..<(inner.firstIndex(of: UInt8(ascii: "]")) ?? inner.endIndex)]
  }
  if let colon = rest.lastIndex(of: UInt8(ascii: ":")),
    rest.firstIndex(of: UInt8(ascii: ":")) == colon
  {
    rest = rest[..<colon]
  }
  return rest
}

private func isLoopback(_ host: Substring.UTF8View.SubSequence) -> Bool {
  let name = foldedName(String(decoding: host, as: UTF8.self))
  return name == "localhost" || name.utf8.starts(with: "127.".utf8) || name == "::1"
    || name.utf8.starts(with: "::ffff:127.".utf8)
}
