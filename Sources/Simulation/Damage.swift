import Basics
import Raft
import Storage

/// Disks that rot, and nodes that come back with empty ones.
extension Cluster {
  /// Flips bits or zeroes a sector of a disk at rest, while its process is down. One node at a
  /// time: the others have to have what it loses.
  ///
  /// At rest: the log has a record that proves what was synced. Damage of the very last record
  /// before that cannot be told from a torn write by anyone.
  func damage(_ node: SimulatedNode, in directories: [String] = ["log", "snapshots"]) {
    let isWhole = nodes.allSatisfy { !$0.wasWiped && !$0.isDamaged }
    guard isWhole, node.isDiskAtRest else { return }
    node.crash(losingPower: false)
    let disk = node.disk
    var files: [String] = []
    for directory in directories {
      files += ((try? disk.list(directory)) ?? []).map { directory + "/" + $0 }
    }
    guard !files.isEmpty else { return }
    let path = files[world.index(below: files.count)]
    let size = (try? disk.open(path, .readOnly).size()) ?? 0
    guard size > 0 else { return }
    let offset = world.index(below: size)
    note("damage in \(path) at \(offset) of \(size)", node.slot)
    if world.random.chance(1, in: 2) {
      disk.corrupt(path, offset: offset, mask: UInt8(world.number(1...255)))
    } else {
      disk.zeroSector(path, offset: offset)
    }
    node.isDamaged = true
    start(node)
    // What nobody reads does no harm; the next damage may.
    if node.isUp { node.isDamaged = false }
  }

  /// The leader takes the new nodes in as learners, then lets each take its predecessor's place.
  func repairMembership() {
    var isDone = true
    for node in nodes where node.wasWiped {
      if isSettled(node) { node.wasWiped = false } else { isDone = false }
    }
    if !isDone { world.schedule(.repair, after: 200_000) }
  }

  /// A configuration that is not committed counts for nothing: while the one before may come
  /// back, the next disk must not be lost.
  private func isSettled(_ node: SimulatedNode) -> Bool {
    guard let leader, leader.isConfigurationSettled else { return false }
    let configuration = leader.raft.configuration
    let predecessor = configuration.members.first { member in
      slot(of: member.id) == node.slot && member.id != node.id
    }
    var change = MembershipChange()
    if configuration.isVoter(node.id), predecessor == nil { return true }
    if !configuration.isMember(node.id) {
      change.addLearners = [Member(id: node.id, context: [])]
    } else {
      if !configuration.isVoter(node.id) { change.promote = [node.id] }
      if let predecessor { change.remove = [predecessor.id] }
    }
    note("asks for \(change)", leader.slot)
    leader.step(.changeMembership(change))
    return false
  }
}

extension SimulatedNode {
  /// The newest configuration is committed, and no joint one.
  var isConfigurationSettled: Bool {
    raft.configuration.outgoing.isEmpty && raft.configurationIndex <= raft.commitIndex
  }

  /// Everything is synced, and the log says so itself.
  var isDiskAtRest: Bool {
    guard isUp, let log, !isWriting, waitingWrites.isEmpty else { return false }
    return !log.needsMark
  }
}
