import Basics
import Raft
import Storage

/// The faults of a run: what happens next is drawn by weight, to whom by chance. Faults of single
/// messages and syncs are in `NetworkOptions` and `DiskOptions`.
enum Disturbance: CaseIterable {
  case crash, powerLoss, crashAll, pause, partition, oneWayCut, heal, slowLink, slowDisk
  case fullDisk, writeError
  case spuriousReset, transfer, membership, damage

  func weight(_ options: NemesisOptions) -> UInt64 {
    switch self {
    case .crash: options.crash
    case .powerLoss: options.powerLoss
    case .crashAll: options.crashAll
    case .pause: options.pause
    case .partition: options.partition
    case .oneWayCut: options.oneWayCut
    case .heal: options.heal
    case .slowLink: options.slowLink
    case .slowDisk: options.slowDisk
    case .fullDisk: options.fullDisk
    case .writeError: options.writeError
    case .spuriousReset: options.spuriousReset
    case .transfer: options.transfer
    case .membership: options.membership
    case .damage: options.damage
    }
  }
}

extension Cluster {
  /// One fault, and the next one a while later.
  func disturb() {
    world.schedule(.nemesis, after: world.number(0...options.nemesis.intervalMicroseconds * 2))
    let total = Disturbance.allCases.reduce(0) { $0 + $1.weight(options.nemesis) }
    guard total > 0 else { return }
    var ticket = world.random.below(total)
    for disturbance in Disturbance.allCases {
      let weight = disturbance.weight(options.nemesis)
      if ticket < weight { return perform(disturbance) }
      ticket -= weight
    }
  }

  private func perform(_ disturbance: Disturbance) {
    let node = nodes[world.index(below: nodes.count)]
    let peer = nodes[world.index(below: nodes.count)]
    switch disturbance {
    case .crash: crash(node, losingPower: false)
    case .powerLoss:
      if world.random.chance(1, in: 2) { return crash(node, losingPower: true) }
      // Somewhere within what the disk is asked to do next.
      let operations = world.index(below: 40) + 1
      note("power goes after \(operations) operations of the disk", node.slot)
      node.disk.powerOff(afterOperations: operations)
    case .crashAll:
      let losingPower = world.random.chance(1, in: 2)
      for node in nodes { crash(node, losingPower: losingPower) }
    case .pause:
      let duration = world.number(10_000...options.nemesis.pauseMicrosecondsMax)
      note("pauses for \(duration / 1000) ms", node.slot)
      node.pausedUntil = world.now + duration
    case .partition: partition()
    case .oneWayCut:
      note("cut to n\(peer.slot + 1)", node.slot)
      totals.partitions += 1
      if node.slot != peer.slot { network.cut(from: node.slot, to: peer.slot) }
    case .heal:
      note("the network heals")
      network.heal()
    case .slowLink: network.slow(from: node.slot, to: peer.slot, by: world.number(1000...200_000))
    case .slowDisk: node.diskSlowness = world.number(1...100)
    case .fullDisk: fillDisk(of: node)
    case .writeError: node.disk.failNextWrite(after: world.index(below: 20))
    case .spuriousReset:
      world.schedule(.link(node.process, peer: peer.id, isUp: false), after: 0)
      world.schedule(
        .link(node.process, peer: peer.id, isUp: true), after: world.number(0...500_000))
    case .transfer:
      node.step(.transferLeadership(to: world.random.chance(1, in: 2) ? nil : peer.id))
    case .membership: changeMembership()
    case .damage: damage(node)
    }
  }

  /// A little room is left; all of it comes back by itself.
  private func fillDisk(of node: SimulatedNode) {
    let left = world.index(below: 4_096)
    note("\(left) bytes left on the disk", node.slot)
    node.disk.setCapacity(node.disk.usedBytes + left)
    node.diskFullUntil = world.now + world.number(10_000...2_000_000)
  }

  // MARK: Processes

  private func crash(_ node: SimulatedNode, losingPower: Bool) {
    guard node.isUp else { return }
    node.crash(losingPower: losingPower)
    restartLater(node)
  }

  func restartLater(_ node: SimulatedNode) {
    guard !node.isUp else { return }
    // Back within the same election, now and then.
    let isQuick = phase != .faults || world.random.chance(1, in: 4)
    let down = isQuick ? 10_000 : options.nemesis.downMicrosecondsMax
    world.schedule(.restart(node.process), after: world.number(1_000...down))
  }

  func start(_ node: SimulatedNode) {
    node.start()
    for peer in nodes where peer.isUp && peer.slot != node.slot {
      world.schedule(.link(peer.process, peer: node.id, isUp: true), after: 2_000)
    }
  }

  /// A node hears late of a link that broke, after a pause perhaps: who is there by then gets
  /// another one.
  func link(of node: SimulatedNode, to peer: NodeID, isUp: Bool) {
    node.step(isUp ? .linkRestored(peer) : .linkBroken(peer))
    guard !isUp, nodes[slot(of: peer)].isUp else { return }
    world.schedule(
      .link(node.process, peer: peer, isUp: true), after: world.number(1_000...50_000))
  }

  /// Peers and clients see their connections break, peers unless a firewall is in between.
  func processEnded(_ node: SimulatedNode) {
    for peer in nodes where peer.isUp && peer.slot != node.slot {
      guard !network.isCut(from: node.slot, to: peer.slot),
        world.chance(permille: network.options.resetsNoticed)
      else { continue }
      world.schedule(
        .link(peer.process, peer: node.id, isUp: false), after: world.number(100...5_000))
    }
    connectionsBroke(to: node.slot)
  }

  func crashesAtPoint(weight: UInt64) -> Bool {
    phase == .faults && world.chance(permille: options.disk.crashPoints * weight)
  }

  func syncFails() -> Bool {
    phase == .faults && world.chance(permille: options.disk.syncFailures)
  }

  func syncMicroseconds(slowness: UInt64) -> UInt64 {
    let usual = options.disk.syncMicroseconds + world.number(0...options.disk.syncJitter)
    var time = usual * slowness
    if options.disk.stallMicroseconds > 0, phase == .faults, world.chance(permille: 1) {
      time += options.disk.stallMicroseconds
    }
    return time
  }

  // MARK: Network

  private func partition() {
    totals.partitions += 1
    if world.random.chance(1, in: 3) { network.heal() }
    switch world.random.below(3) {
    case 0:
      let sides = nodes.map { _ in Int(world.random.below(2)) }
      note("partition \(sides)")
      network.partition(sides)
    case 1:
      let alone = world.index(below: nodes.count)
      note("isolated", alone)
      network.partition(nodes.map { $0.slot == alone ? 1 : 0 })
    default:
      // A bridge: two sides that both reach one node.
      let bridge = world.index(below: nodes.count)
      note("partition but for the bridge", bridge)
      let sides = nodes.map { _ in Int(world.random.below(2)) }
      for from in nodes.indices where from != bridge {
        for to in nodes.indices where to != bridge && sides[from] != sides[to] {
          network.cut(from: from, to: to)
        }
      }
    }
  }

  /// Cuts single directions, as long as the leader talks both ways with a majority of voters.
  /// Only when it is the undisputed leader with the longest log: Raft promises no progress where
  /// the one node that reaches a majority lacks entries that others have. And only when all voters
  /// are there: one whose disk was lost leaves the others none to spare.
  func cutWithinReason() {
    guard let leader, options.nemesis.membership == 0, leader.isConfigurationSettled,
      nodes.allSatisfy({ !$0.wasWiped })
    else { return }
    let voters = leader.raft.configuration
    let isUndisputed = nodes.allSatisfy { node in
      node.isUp && node.raft.term == leader.raft.term
        && (node.slot == leader.slot || node.raft.role == .follower)
    }
    guard isUndisputed else { return }
    let center = leader.slot
    let slots = voters.voters.map { slot(of: $0) }
    var others = slots.filter { $0 != center }
    others.shuffle(using: &world.random)
    let core = Set(others.prefix(slots.count / 2))
    note("cuts remain; n\(center + 1) talks with \(core.count) others")
    for from in slots {
      for to in slots where from != to && world.random.chance(1, in: 2) {
        let isCore = (from == center && core.contains(to)) || (to == center && core.contains(from))
        if !isCore { network.cut(from: from, to: to) }
      }
    }
  }

  // MARK: Membership

  func changeMembership() {
    guard let leader else { return }
    let configuration = leader.raft.configuration
    let outside = nodes.filter { node in
      !configuration.members.contains { $0.id == node.id }
    }
    var change = MembershipChange()
    if let new = outside.first, world.random.chance(2, in: 3) {
      change.addLearners = [Member(id: new.id, context: [UInt8(world.random.below(256))])]
    }
    if let learner = configuration.learners.first, world.random.chance(1, in: 2) {
      change.promote = [learner]
    }
    let members = configuration.members
    if !members.isEmpty, world.random.chance(1, in: 3) {
      change.remove = [members[world.index(below: members.count)].id]
    }
    if world.random.chance(1, in: 3) { change = wholesaleChange(configuration, outside) }
    guard change != MembershipChange() else { return }
    note("asks for \(change)", leader.slot)
    leader.step(.changeMembership(change))
    if world.random.chance(1, in: 2) { partitionAlongSides(of: leader.raft.configuration) }
  }

  /// Everyone who waits comes in, as many voters go: majorities of both sides need not meet.
  private func wholesaleChange(
    _ configuration: Configuration, _ outside: [SimulatedNode]
  ) -> MembershipChange {
    var change = MembershipChange()
    change.addLearners = outside.map { Member(id: $0.id, context: []) }
    change.promote = configuration.learners
    if world.random.chance(1, in: 2) { change.promote += outside.map(\.id) }
    var leaving = configuration.voters
    leaving.shuffle(using: &world.random)
    change.remove = Array(leaving.prefix(change.promote.count))
    return change
  }

  /// The voters that leave on one side, the new ones on the other, those of both by chance.
  private func partitionAlongSides(of configuration: Configuration) {
    guard !configuration.outgoing.isEmpty else { return }
    totals.partitions += 1
    network.heal()
    let sides = nodes.map { node in
      let isOld = configuration.outgoing.contains(node.id)
      let isNew = configuration.voters.contains(node.id)
      if node.slot == leader?.slot { return 1 }
      return isOld == isNew ? world.index(below: 2) : isNew ? 1 : 0
    }
    note("partition along the sides of the change: \(sides)")
    network.partition(sides)
  }

  func learnerCaughtUp(_ learner: NodeID, leader: SimulatedNode) {
    guard world.random.chance(3, in: 4) else { return }
    leader.step(.changeMembership(MembershipChange(promote: [learner])))
  }
}
