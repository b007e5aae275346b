import Basics

/// What only a leader has, beside its peers' `Progress`.
struct LeaderState: Equatable, Sendable {
  /// The no-op that began this term.
  var termStart: LogIndex = .zero
  /// The own vote for this term is on disk. A sole voter leads before it is, and must not show
  /// anyone entries of a term that it could forget.
  var isTermDurable = true
  var heartbeatTicks = 0
  /// Heartbeats leave at the end of this step: to everyone, or to the voters for a read round.
  var isHeartbeatDue = false
  var isRoundDue = false
  /// Bytes of proposals that are not committed yet.
  var uncommittedBytes = 0
  /// Ticks in which entries waited for commit in vain.
  var stalledTicks = 0
  var transfer: LeadershipTransfer?
}

/// Leadership on its way to another node (dissertation 3.10).
struct LeadershipTransfer: Equatable, Sendable {
  var target: NodeID
  /// Why, and so whether the leader steps down even if the target does not take over.
  var reason: StepDownReason
  var ticks = 0
  /// TimeoutNow left at this tick of the transfer.
  var toldAtTick: Int?
}

/// Taking office, keeping it, handing it over, leaving it.
extension RaftCore {
  mutating func becomeLeader(into effects: inout Effects) {
    invariant(role == .candidate, "only a candidate becomes leader")
    invariant(votedFor == id, "a leader votes for itself")
    role = .leader
    election.rushTicks = nil
    election.rushesLeft = 0
    leading = LeaderState()
    leading.isTermDurable = configuration.isJoint || configuration.voters != [id]
    for entry in log.slice(from: commitIndex.next, through: lastIndex) where entry.kind == .command
    {
      leading.uncommittedBytes += EntryLog.cost(entry)
    }
    leading.termStart = lastIndex.next
    makePeers()
    setLeader(id, into: &effects)
    effects.events.append(.becameLeader(term: term))
    // Section 8: a no-op, so that entries of earlier terms get committed.
    appendOwn(.noop, payload: [], into: &effects)
    leading.isHeartbeatDue = true
  }

  /// Answers everyone who waits for this leader; the role itself is changed by the caller.
  mutating func leaveOffice(because reason: StepDownReason, into effects: inout Effects) {
    // A higher term during a transfer is what the transfer was for.
    let transferReason = reason == .higherTerm ? leading.transfer?.reason : nil
    effects.events.append(.steppedDown(term: term, reason: transferReason ?? reason))
    if leading.transfer != nil {
      effects.events.append(.transferFinished(succeeded: reason == .higherTerm))
    }
    for request in reads.removeAll() { answer(request, index: nil, into: &effects) }
    peers.removeAll(keepingCapacity: true)
    leading = LeaderState()
  }

  mutating func tickLeader(into effects: inout Effects) {
    for position in peers.indices { peers[position].tick() }
    tickDeparting()
    // CheckQuorum (dissertation 6.2): a leader that hears no majority makes way.
    guard
      Quorum.holds(
        configuration,
        { voter in
          guard voter != id else { return true }
          return peer(voter)?.isActive(options) ?? false
        })
    else {
      return becomeFollower(term, leader: nil, because: .lostQuorum, into: &effects)
    }
    leading.heartbeatTicks += 1
    let interval = isQuiet ? options.quietHeartbeatTicks : options.heartbeatTicks
    if leading.heartbeatTicks >= interval {
      leading.heartbeatTicks = 0
      leading.isHeartbeatDue = true
    }
    tickInstallations()
    tickTransfer(into: &effects)
    if role == .leader { tickStall(into: &effects) }
  }

  /// Leadership follows usefulness: without commits, or without an own disk, for `stallTicks`,
  /// another node gets it, or at least this one lets go.
  private mutating func tickStall(into effects: inout Effects) {
    leading.stalledTicks = commitIndex < lastIndex ? leading.stalledTicks + 1 : 0
    let isStalled =
      leading.stalledTicks >= options.stallTicks || disk.stalledTicks >= options.stallTicks
    guard isStalled, leading.transfer?.reason != .stalled, hasOtherVoter else { return }
    if let target = bestSuccessor() {
      startTransfer(to: target, because: .stalled, into: &effects)
    } else {
      becomeFollower(term, leader: nil, because: .stalled, into: &effects)
    }
  }

  private var hasOtherVoter: Bool {
    configuration.voters.contains { $0 != id } || configuration.outgoing.contains { $0 != id }
  }

  /// A voter is being brought up to what was there before this term, by entries or a snapshot.
  /// Nothing can be committed before, and another leader would have to begin anew.
  mutating func voterCaughtUpSome(_ position: Int) {
    let peer = peers[position]
    guard !peer.isLearner, peer.matchIndex <= max(commitIndex, leading.termStart) else { return }
    leading.stalledTicks = 0
  }

  func peer(_ id: NodeID) -> Progress? { peers.first { $0.id == id } }

  // MARK: Transfer

  mutating func transferLeadership(to wanted: NodeID?, into effects: inout Effects) {
    guard role == .leader, leading.transfer == nil else { return }
    guard let target = wanted ?? bestSuccessor(), configuration.voters.contains(target),
      peers.contains(where: { $0.id == target })
    else {
      effects.events.append(.transferFinished(succeeded: false))
      return
    }
    startTransfer(to: target, because: .transferred, into: &effects)
  }

  mutating func startTransfer(
    to target: NodeID, because reason: StepDownReason, into effects: inout Effects
  ) {
    if leading.transfer != nil { effects.events.append(.transferFinished(succeeded: false)) }
    leading.transfer = LeadershipTransfer(target: target, reason: reason)
    effects.events.append(.transferStarted(to: target))
    // What is in flight to a target that lags may be lost; there is no time to find out.
    guard let position = peers.firstIndex(where: { $0.id == target }),
      peers[position].isReplicating, peers[position].matchIndex < lastIndex
    else { return }
    peers[position].becomeProbing()
  }

  /// The voter with the longest log among those that answer; the first of equals.
  func bestSuccessor() -> NodeID? {
    var best: Progress?
    for peer in peers where configuration.voters.contains(peer.id) && peer.isActive(options) {
      guard !brokenLinks.contains(peer.id) else { continue }
      if let known = best, known.matchIndex >= peer.matchIndex { continue }
      best = peer
    }
    return best?.id
  }

  /// Once the target has everything it is told to campaign; told again in case that was lost.
  mutating func flushTransfer(into effects: inout Effects) {
    guard let transfer = leading.transfer, let target = peer(transfer.target),
      target.matchIndex == lastIndex
    else { return }
    if let told = transfer.toldAtTick, transfer.ticks < told + options.heartbeatTicks { return }
    leading.transfer?.toldAtTick = transfer.ticks
    let message = Message.timeoutNow(TimeoutNow(term: term))
    effects.send.append(Envelope(to: transfer.target, message: message))
  }

  /// The target's process is gone: nothing to wait for.
  mutating func transferTargetLost(_ id: NodeID, into effects: inout Effects) {
    guard let transfer = leading.transfer, transfer.target == id else { return }
    if transfer.reason == .transferred {
      leading.transfer = nil
      effects.events.append(.transferFinished(succeeded: false))
    } else if let target = bestSuccessor() {
      startTransfer(to: target, because: transfer.reason, into: &effects)
    } else {
      becomeFollower(term, leader: nil, because: transfer.reason, into: &effects)
    }
  }

  /// Dissertation 3.10: after an election timeout the transfer is given up.
  private mutating func tickTransfer(into effects: inout Effects) {
    guard var transfer = leading.transfer else { return }
    transfer.ticks += 1
    leading.transfer = transfer
    guard transfer.ticks >= options.electionTicks else { return }
    guard transfer.reason == .transferred else {
      return becomeFollower(term, leader: nil, because: transfer.reason, into: &effects)
    }
    leading.transfer = nil
    effects.events.append(.transferFinished(succeeded: false))
  }
}
