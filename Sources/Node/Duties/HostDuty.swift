internal import Registry

/// Keeps this node's own entry in the catalog right: node, `serfHealth` passing, `consul` service.
///
/// Looks ten times a second until the entry is right, then once a second; proposes `hostJoin`
/// whenever it differs (first start, changed address or meta, or declared dead and alive again).
final class HostDuty {
  static let healthCheckID = "serfHealth"
  private static let calmTicks = 10

  private unowned let node: Node
  private var isProposing = false
  private var ticks = 0
  private var wasRight = false

  /// What the configuration defines and is not registered yet, last first.
  private var registrations: [Command]

  init(node: Node, registrations: [Command]) {
    self.node = node
    self.registrations = registrations.reversed()
  }

  func tick() {
    ticks += 1
    guard !wasRight || !registrations.isEmpty || ticks % Self.calmTicks == 0 else { return }
    guard node.phase == .running, !node.isRemoved, node.hasLeader, !isProposing else { return }
    let wanted = registration()
    wasRight = isRight(wanted)
    guard !wasRight else { return registerNext() }
    isProposing = true
    // What looks wrong may only be old: look again at the present state before writing.
    node.readBarrier(RequestContext()) { [weak self] failure in
      guard let self else { return }
      guard failure == nil, !isRight(wanted), !node.isRemoved else {
        isProposing = false
        return
      }
      node.propose(.hostJoin(wanted), RequestContext()) { [weak self] _ in
        self?.isProposing = false
      }
    }
  }

  /// The services and checks of the configuration, one after the other, each until it succeeds.
  private func registerNext() {
    guard let command = registrations.last else { return }
    isProposing = true
    node.propose(command, RequestContext()) { [weak self] result in
      guard let self else { return }
      isProposing = false
      switch result {
      case .failure: return
      case .success(.refused(let refusal)):
        node.logger.log(
          .error, "agent", "a service or check of the configuration is refused: \(refusal.text)")
      case .success: break
      }
      registrations.removeLast()
    }
  }

  /// Proposes the entry at once where it is missing or wrong; a command proposed next comes after it.
  /// Both wait for a leader if there is none yet.
  func joinNow() {
    guard !node.isRemoved else { return }
    let wanted = registration()
    guard !isRight(wanted) else { return }
    node.propose(.hostJoin(wanted), RequestContext()) { _ in }
  }

  private func registration() -> HostRegistration {
    let configuration = node.configuration
    let address = configuration.advertisedPeerHost
    var record = NodeRecord(name: configuration.nodeName, address: address)
    record.id = Node.uuid(of: node.id)
    let family = address.contains(":") ? "ipv6" : "ipv4"
    record.taggedAddresses = StringMap([
      StringPair("lan", address), StringPair("lan_\(family)", address),
      StringPair("wan", address), StringPair("wan_\(family)", address),
    ])
    // Sorted by `StringMap`: the order of a dictionary reaches nothing.
    let meta = configuration.nodeMeta.map { StringPair($0.key, $0.value) }
    record.meta = StringMap(meta + [StringPair("consul-network-segment", "")])
    record.isHost = true
    return HostRegistration(node: record, port: configuration.ports.peer)
  }

  private func isRight(_ wanted: HostRegistration) -> Bool {
    guard var record = node.registry.node(named: wanted.node.name) else { return false }
    record.createIndex = 0
    record.modifyIndex = 0
    let health = node.registry.nodeLevelChecks(onNode: wanted.node.name)
      .first { $0.id == Self.healthCheckID }
    let service = node.registry.service(onNode: wanted.node.name, id: "consul")
    return record == wanted.node && health?.isPassing == true && service?.port == wanted.port
  }
}
