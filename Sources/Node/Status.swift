import EventLoop
import Peer
import Raft

/// What a node says about itself and the others; nothing here changes anything.
extension Node {
  package var hasLeader: Bool { raft.leader != nil }

  /// This node leads and has committed in its term: its registry is up to date.
  package var isEstablishedLeader: Bool { raft.isEstablishedLeader }

  package var peerAddress: String { advertisedAddress.text }

  /// Since this node heard the leader; 0 on the leader. On every stale read, so without a `status`.
  package var lastContactMilliseconds: UInt64 {
    guard raft.role != .leader else { return 0 }
    // Ticks may come several at once.
    let sinceTick = (loop.now - min(loop.now, clock.last)) / 1_000_000
    return milliseconds(ticks: raft.ticksSinceLeaderContact) + sinceTick
  }

  package var status: NodeStatus {
    let leader = raft.leader
    let context = leader.flatMap { raft.configuration.context(of: $0) }
    return NodeStatus(
      role: role, term: raft.term.value, leader: leader, leaderName: context?.name,
      leaderPeerAddress: context?.address, commitIndex: raft.commitIndex.value,
      lastApplied: raft.lastApplied.value, lastIndex: raft.lastIndex.value,
      firstIndex: raft.firstIndex.value, snapshotIndex: raft.snapshotMeta?.index.value ?? 0,
      lastContactMilliseconds: lastContactMilliseconds,
      members: raft.configuration.members.map { status(of: $0) })
  }

  var role: NodeStatus.Role {
    if phase == .discovering || phase == .forming || phase == .joining {
      return raft.configuration.learners.contains(id) ? .learner : .joining
    }
    switch raft.role {
    case .leader: return .leader
    case .preCandidate, .candidate: return .candidate
    case .follower: return raft.configuration.hasVoter(id) ? .follower : .learner
    }
  }

  private func status(of member: Member) -> MemberStatus {
    let context = MemberContext(member.context)
    let progress = raft.progress.first { $0.id == member.id }
    let news = gossip.members.first { $0.id == member.id }
    let isOwn = member.id == id
    var contact = progress.map { milliseconds(ticks: $0.ticksSinceContact) }
    if contact == nil, let news { contact = (loop.now - min(loop.now, news.heardAt)) / 1_000_000 }
    return MemberStatus(
      id: member.id, name: context?.name ?? member.id.description,
      peerAddress: context?.address ?? "", isVoter: raft.configuration.hasVoter(member.id),
      isLeader: member.id == raft.leader, isReachable: isOwn || transport.isConnected(member.id),
      matchIndex: progress?.matchIndex.value, lastContactMilliseconds: isOwn ? 0 : contact,
      httpAddress: isOwn ? (httpAddress.isEmpty ? nil : httpAddress) : news?.httpAddress)
  }

  private func milliseconds(ticks: Int) -> UInt64 {
    UInt64(max(0, ticks)) * (Self.tickNanoseconds / 1_000_000)
  }
}

/// Counters of this target; each is registered once.
struct Counters {
  let proposed: Metrics.CounterID
  let applied: Metrics.CounterID
  let forwardedIn: Metrics.CounterID
  let forwardedOut: Metrics.CounterID
  let readRounds: Metrics.CounterID
  let readRetries: Metrics.CounterID
  let overloaded: Metrics.CounterID
  let timeouts: Metrics.CounterID
  let leaderChanges: Metrics.CounterID
  let membershipChanges: Metrics.CounterID
  let snapshots: Metrics.CounterID
  let stateMismatches: Metrics.CounterID
  let rejectedConnections: Metrics.CounterID
  let rebuilds: Metrics.CounterID

  init(_ metrics: Metrics) {
    proposed = metrics.counter("consul.raft.apply")
    applied = metrics.counter("roost.raft.applied_entries")
    forwardedIn = metrics.counter("roost.proposals.forwarded_in")
    forwardedOut = metrics.counter("roost.proposals.forwarded_out")
    readRounds = metrics.counter("roost.reads.rounds")
    readRetries = metrics.counter("roost.reads.retries")
    overloaded = metrics.counter("roost.requests.overloaded")
    timeouts = metrics.counter("roost.requests.timeouts")
    leaderChanges = metrics.counter("roost.raft.leader_changes")
    membershipChanges = metrics.counter("roost.raft.membership_changes")
    snapshots = metrics.counter("roost.snapshots.written")
    stateMismatches = metrics.counter("roost.state.mismatches")
    rejectedConnections = metrics.counter("roost.peer.rejected_connections")
    rebuilds = metrics.counter("roost.node.rebuilds")
  }
}

extension Node {
  func registerGauges() {
    func gauge(_ name: String, _ read: @escaping (Node) -> Double) {
      metrics.gauge(name) { [weak self] in self.map(read) ?? 0 }
    }
    gauge("consul.raft.leader") { $0.raft.role == .leader ? 1 : 0 }
    gauge("roost.raft.term") { Double($0.raft.term.value) }
    gauge("roost.raft.commit_index") { Double($0.raft.commitIndex.value) }
    gauge("roost.raft.applied_index") { Double($0.raft.lastApplied.value) }
    gauge("roost.raft.last_contact_ms") { Double($0.status.lastContactMilliseconds) }
    gauge("roost.proposals.pending") { Double($0.proposals.count) }
    gauge("roost.reads.pending") { Double($0.reads.count) }
    gauge("roost.watches") { Double($0.watchCount) }
    gauge("roost.disk.full") { $0.disk.isDiskFull ? 1 : 0 }
  }
}
