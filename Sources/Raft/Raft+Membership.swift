import Basics

/// Membership changes through joint consensus (dissertation 4.3).
///
/// Happy path: the leader appends Cold,new, which is in force at once; when it is committed the
/// leader appends Cnew; when that is committed the change is done. What only concerns learners or
/// contexts needs no joint phase: no majority changes. Failures: an entry that is truncated takes
/// its configuration with it; a leader that is not in Cnew hands over once Cnew is committed.
extension RaftCore {
  mutating func changeMembership(_ change: MembershipChange, into effects: inout Effects) {
    if let rejection = reasonToWait() {
      effects.membership = .rejected(rejection)
      return
    }
    switch target(of: change) {
    case .failure(let rejection):
      effects.membership = .rejected(rejection.reason)
    case .success(let configuration):
      effects.membership = .accepted
      appendOwn(configuration, into: &effects)
    }
  }

  /// One change at a time, and only by a leader that has committed in its own term (4.1, and
  /// Ongaro's "bug in single-server membership changes", 2015).
  private func reasonToWait() -> MembershipRejection? {
    guard role == .leader else { return .notLeader(leader: leader) }
    let isSettled = !configuration.isJoint && configurationIndex <= commitIndex
    return isSettled && isEstablishedLeader && leading.transfer == nil ? nil : .busy
  }

  private struct Rejection: Error {
    var reason: MembershipRejection
    init(_ reason: MembershipRejection) { self.reason = reason }
  }

  private func target(of change: MembershipChange) -> Result<Configuration, Rejection> {
    let old = configuration
    var new = old
    for member in change.addLearners where member.id.value != 0 {
      guard member.context.count <= Configuration.contextBytesMax else {
        return .failure(Rejection(.notAMember(member.id)))
      }
      if !new.isMember(member.id) { new.learners.insertSorted(member.id) }
      new.members.removeAll { $0.id == member.id }
      let position = new.members.firstIndex { $0.id > member.id }
      new.members.insert(member, at: position ?? new.members.endIndex)
    }
    for id in change.promote {
      guard new.isMember(id) else { return .failure(Rejection(.notAMember(id))) }
      if old.learners.contains(id), !isCaughtUp(id) {
        return .failure(Rejection(.notCaughtUp(id)))
      }
      new.learners.removeAll { $0 == id }
      new.voters.insertSorted(id)
    }
    for id in change.remove {
      guard new.isMember(id) else { return .failure(Rejection(.notAMember(id))) }
      new.learners.removeAll { $0 == id }
      new.voters.removeAll { $0 == id }
    }
    guard !new.voters.isEmpty, new.members.count <= Configuration.membersMax else {
      return .failure(Rejection(.wouldLeaveNoVoter))
    }
    if new.voters != old.voters { new.outgoing = old.voters }
    let named = new
    new.members.removeAll { !named.isMember($0.id) }
    return .success(new)
  }

  private func isCaughtUp(_ id: NodeID) -> Bool {
    guard let peer = peer(id) else { return false }
    return isCaughtUp(peer)
  }

  private func isCaughtUp(_ peer: Progress) -> Bool {
    peer.isActive(options) && peer.matchIndex > .zero
      && lastIndex.value - peer.matchIndex.value <= options.caughtUpEntries
  }

  mutating func reportIfCaughtUp(_ position: Int, into effects: inout Effects) {
    let peer = peers[position]
    guard peer.isLearner, peer.departingTicks == nil, !peer.reportedCaughtUp, isCaughtUp(peer)
    else { return }
    peers[position].reportedCaughtUp = true
    effects.events.append(.learnerCaughtUp(peer.id))
  }

  private mutating func appendOwn(_ configuration: Configuration, into effects: inout Effects) {
    invariant(configuration.isConsistent, "an inconsistent configuration is to be appended")
    invariant(!configuration.voters.isEmpty, "a configuration without voters is to be appended")
    appendOwn(.configuration, payload: configuration.encoded(), into: &effects)
    adopt(configuration, index: lastIndex, into: &effects)
    rebuildPeers()
    // The answers that are there may be a quorum now; those that were missing may never come.
    confirmReadRound(into: &effects)
  }

  /// A configuration is in force from the moment it is in the log.
  mutating func adopt(
    _ configuration: Configuration, index: LogIndex, into effects: inout Effects
  ) {
    configurations.append(configuration, index: index)
    let leader = leader
    brokenLinks.removeAll { !configuration.isMember($0) && $0 != leader }
    effects.events.append(.configurationAppended(configuration, index: index))
  }

  /// Brings the leader's peers in line with the configuration. Those that were removed are still
  /// told so for a while, else they would find out by campaigning in vain.
  mutating func rebuildPeers() {
    let configuration = configuration
    for member in configuration.members where member.id != id {
      let isLearner = !configuration.isVoter(member.id)
      // One that comes back is a stranger: what it had is not taken on trust.
      peers.removeAll { $0.id == member.id && $0.departingTicks != nil }
      if let position = peers.firstIndex(where: { $0.id == member.id }) {
        if !peers[position].isLearner, isLearner { peers[position].reportedCaughtUp = false }
        peers[position].isLearner = isLearner
      } else {
        addPeer(member.id, isLearner: isLearner)
      }
    }
    for position in peers.indices where !configuration.isMember(peers[position].id) {
      guard peers[position].departingTicks == nil else { continue }
      peers[position].isLearner = true
      peers[position].departingTicks = 4 * options.electionTicks
    }
  }

  private mutating func addPeer(_ id: NodeID, isLearner: Bool) {
    let position = peers.firstIndex { $0.id > id } ?? peers.count
    peers.insert(
      Progress(id: id, nextIndex: lastIndex.next, isLearner: isLearner), at: position)
  }

  /// A new leader's peers. The leader before it may have removed members and not told them.
  mutating func makePeers() {
    if configurationIndex > commitIndex, let old = configurations.before(configurationIndex) {
      for member in old.configuration.members where member.id != id {
        addPeer(member.id, isLearner: !old.configuration.isVoter(member.id))
      }
    }
    rebuildPeers()
  }

  /// A removed peer is let go when it knows, or after its time.
  mutating func tickDeparting() {
    guard peers.contains(where: { $0.departingTicks != nil }) else { return }
    let isCommitted = configurationIndex <= commitIndex
    for position in peers.indices {
      guard let ticks = peers[position].departingTicks else { continue }
      let knows = isCommitted && peers[position].matchIndex >= configurationIndex
      // One more round of heartbeats carries the commit index.
      let left = knows ? min(ticks, options.heartbeatTicks + 1) : ticks
      peers[position].departingTicks = left - 1
    }
    peers.removeAll { ($0.departingTicks ?? 1) <= 0 }
  }

  // MARK: Commit

  /// Configurations after `from` became committed.
  mutating func configurationsCommitted(after from: LogIndex, into effects: inout Effects) {
    for item in configurations.items where item.index > from && item.index <= commitIndex {
      effects.events.append(.configurationCommitted(item.configuration, index: item.index))
    }
    guard configurationIndex <= commitIndex, !configuration.isMember(id),
      configurations.before(configurationIndex)?.configuration.isMember(id) == true
    else { return }
    effects.events.append(.removedFromCluster)
  }

  /// The leader's next move once something is committed: end a joint phase, or make way.
  mutating func continueMembershipChange(into effects: inout Effects) {
    guard role == .leader, isEstablishedLeader, configurationIndex <= commitIndex else { return }
    if configuration.isJoint {
      appendOwn(configuration.afterJoint, into: &effects)
    } else if !configuration.isVoter(id), leading.transfer?.reason != .removed {
      // 4.2.2: a leader that removed itself steps down when Cnew is committed.
      if let target = bestSuccessor() {
        startTransfer(to: target, because: .removed, into: &effects)
      } else {
        becomeFollower(term, leader: nil, because: .removed, into: &effects)
      }
    }
  }
}

extension [NodeID] {
  /// Keeps the order; an id that is there already stays once.
  mutating func insertSorted(_ id: NodeID) {
    guard !contains(id) else { return }
    insert(id, at: firstIndex { $0 > id } ?? count)
  }
}
