import Basics

/// Timers and votes of a node that does not lead.
struct ElectionState: Equatable, Sendable {
  /// Ticks since the timer was reset, and when it fires.
  var elapsedTicks = 0
  var timeoutTicks = 0
  var ticksSinceLeader = 0
  var tally = VoteTally()
  /// Elections of this node, one after the other, that brought no leader.
  var attempts = 0
  /// The election under way is part of a leadership transfer.
  var isTransfer = false
  /// Said by the caller; false while its disk is full, for example.
  var isElectable = true
  /// The leader's process is known to be dead: a campaign follows in so many ticks, and after a
  /// defeat another one soon, as long as some are left.
  var rushTicks: Int?
  var rushesLeft = 0
}

/// Elections (paper 5.2, 5.4.1) with PreVote and CheckQuorum (dissertation 4.2.3, 6.2, 9.6).
///
/// Happy path: the timer fires, a majority would vote for this node (PreVote), it takes the next
/// term, asks for votes, and leads. When the link to the leader breaks because its process is
/// gone, followers do not wait for the timer.
extension RaftCore {
  /// Campaigns in quick succession after a leader's death; then the timer decides again.
  static let rushesMax = 8

  /// Dissertation 4.2.2: a server uses the latest configuration in its log, also one that it is
  /// not part of, and as long as that one may be uncommitted it still starts elections: the others
  /// may lack the entry and need a leader that has it. Its own vote then counts for nothing.
  public var maySeekVotes: Bool { configurations.isVoter(id, since: commitIndex) }

  /// Stickiness: while the leader is heard, nobody else is voted for. Links that broke count as
  /// silence: no lease rests on this, only quiet.
  var hearsLeader: Bool {
    if role == .leader { return true }
    guard role == .follower, let leader else { return false }
    return election.ticksSinceLeader < options.electionTicks && !brokenLinks.contains(leader)
  }

  private var mayCampaign: Bool {
    maySeekVotes && election.isElectable && options.electionPriority > 0
      && disk.stalledTicks < options.stallTicks && receiving?.isComplete != true
      && term.value < Self.numberMax
  }

  mutating func tickElection(into effects: inout Effects) {
    election.elapsedTicks += 1
    election.ticksSinceLeader = min(election.ticksSinceLeader + 1, Progress.ticksMax)
    tickForwardedReads(into: &effects)
    if let ticks = election.rushTicks {
      election.rushTicks = ticks - 1
      if ticks <= 1 { return rush(into: &effects) }
    }
    guard election.elapsedTicks >= election.timeoutTicks else { return repeatRequests(&effects) }
    resetElectionTimer()
    guard mayCampaign else {
      if role != .follower { becomeFollower(term, leader: nil, into: &effects) }
      return setLeader(nil, into: &effects)
    }
    startPreVote(into: &effects)
  }

  /// Uniform in one to two election timeouts; a higher priority takes the early part of it.
  mutating func resetElectionTimer() {
    let spread = max(1, options.electionTicks / max(1, Int(options.electionPriority)))
    election.elapsedTicks = 0
    election.timeoutTicks = options.electionTicks + Int(random.below(UInt64(spread)))
  }

  // MARK: Campaigns

  private mutating func startPreVote(into effects: inout Effects) {
    startTally(.preCandidate, into: &effects)
    effects.events.append(.becamePreCandidate(term: term))
    if decide(into: &effects) { return }
    requestVotes(into: &effects)
  }

  /// Requests and answers get lost, and a PreVote may have been refused only because that node's
  /// timer is a tick behind. Asking again is harmless: a vote is for one node in one term.
  private func repeatRequests(_ effects: inout Effects) {
    guard role == .preCandidate || role == .candidate,
      election.elapsedTicks % options.heartbeatTicks == 0
    else { return }
    requestVotes(into: &effects)
  }

  private mutating func startElection(isTransfer: Bool, into effects: inout Effects) {
    invariant(maySeekVotes, "a node campaigns that no configuration in question lets vote")
    term = term.next
    votedFor = id
    startTally(.candidate, into: &effects)
    election.isTransfer = isTransfer
    election.attempts += 1
    election.timeoutTicks = retryTicks()
    effects.events.append(.becameCandidate(term: term))
    if decide(into: &effects) { return }
    requestVotes(into: &effects)
  }

  /// A split vote is known in a round trip, so the next election comes after a short random time
  /// and not after a whole timeout. It grows to that with each attempt, for networks and disks on
  /// which votes take their time.
  private mutating func retryTicks() -> Int {
    let scale = max(2, options.electionTicks >> max(0, 2 - min(election.attempts, 2)))
    return scale / 2 + Int(random.below(UInt64(scale)))
  }

  private mutating func startTally(_ newRole: Role, into effects: inout Effects) {
    role = newRole
    setLeader(nil, into: &effects)
    resetElectionTimer()
    if election.rushesLeft > 0 {
      // Half a timeout is enough for votes to arrive; the rest keeps rivals apart.
      election.timeoutTicks = options.electionTicks / 2 + election.timeoutTicks / 4
    }
    election.tally.reset()
    election.tally.record(id, granted: true)
  }

  private func requestVotes(into effects: inout Effects) {
    let isPreVote = role == .preCandidate
    let request = Message.voteRequest(
      VoteRequest(
        term: isPreVote ? term.next : term, lastIndex: lastIndex, lastTerm: lastTerm,
        isPreVote: isPreVote, isTransfer: !isPreVote && election.isTransfer))
    let configuration = configuration
    for member in configuration.members where configuration.isVoter(member.id) {
      guard !election.tally.granted.contains(member.id),
        isPreVote || !election.tally.rejected.contains(member.id)
      else { continue }
      let envelope = Envelope(to: member.id, message: request)
      // The own vote is cast on disk before others are asked; a PreVote is not cast at all.
      if isPreVote { effects.send.append(envelope) } else { effects.sendAfterSync.append(envelope) }
    }
  }

  /// Acts on the votes so far. False while undecided.
  private mutating func decide(into effects: inout Effects) -> Bool {
    switch election.tally.outcome(configuration, unreachable: brokenLinks) {
    case .pending: return false
    case .won:
      if role == .preCandidate {
        startElection(isTransfer: false, into: &effects)
      } else {
        becomeLeader(into: &effects)
      }
    case .lost:
      let timeout = election.timeoutTicks
      let isHarmless = role == .preCandidate
      becomeFollower(term, leader: nil, into: &effects)
      election.timeoutTicks =
        isHarmless ? election.timeoutTicks - options.electionTicks / 2 : timeout
    }
    return true
  }

  // MARK: Votes

  /// Paper 5.4.1: a log that ends in a later term, or in the same and is not shorter.
  private func isUpToDate(_ request: VoteRequest) -> Bool {
    (request.lastTerm, request.lastIndex) >= (lastTerm, lastIndex)
  }

  /// Dissertation 9.6: would this node vote so? Nothing is promised, no term is taken.
  mutating func receivePreVoteRequest(
    _ request: VoteRequest, from: NodeID, into effects: inout Effects
  ) {
    let isFree = request.term > term || (request.term == term && votedFor == nil && leader == nil)
    let granted = isFree && isUpToDate(request) && !hearsLeader
    let reply = VoteReply(
      term: granted ? request.term : term, granted: granted, isPreVote: true)
    effects.send.append(Envelope(to: from, message: .voteReply(reply)))
  }

  /// RequestVote RPC (figure 2), in the current term.
  mutating func receiveVoteRequest(
    _ request: VoteRequest, from: NodeID, into effects: inout Effects
  ) {
    let isFree = votedFor == from || (votedFor == nil && leader == nil)
    guard isFree, isUpToDate(request) else {
      let reply = VoteReply(term: term, granted: false, isPreVote: false)
      effects.send.append(Envelope(to: from, message: .voteReply(reply)))
      return
    }
    if role == .preCandidate { becomeFollower(term, leader: nil, into: &effects) }
    votedFor = from
    resetElectionTimer()
    // A candidate that may win is on its way: no need to rush, unless it fails.
    if election.rushTicks != nil { election.rushTicks = options.electionTicks / 2 }
    let reply = VoteReply(term: term, granted: true, isPreVote: false)
    effects.sendAfterSync.append(Envelope(to: from, message: .voteReply(reply)))
  }

  mutating func receiveVoteReply(
    _ reply: VoteReply, from: NodeID, into effects: inout Effects
  ) {
    switch role {
    case .preCandidate:
      guard reply.isPreVote, reply.granted == (reply.term == term.next) else { return }
    case .candidate:
      guard !reply.isPreVote, reply.term == term else { return }
    case .follower, .leader: return
    }
    guard configuration.isVoter(from) else { return }
    election.tally.record(from, granted: reply.granted)
    _ = decide(into: &effects)
  }

  /// Dissertation 3.10: the leader wants this node in its place, at once.
  mutating func receiveTimeoutNow(from: NodeID, into effects: inout Effects) {
    guard role == .follower, leader == from, mayCampaign else { return }
    startElection(isTransfer: true, into: &effects)
  }

  // MARK: Roles

  mutating func becomeFollower(
    _ newTerm: Term, leader newLeader: NodeID?, because reason: StepDownReason = .higherTerm,
    into effects: inout Effects
  ) {
    invariant(newTerm >= term, "term falls from \(term) to \(newTerm)")
    let isNew = role != .follower || newTerm > term
    if role == .leader { leaveOffice(because: reason, into: &effects) }
    role = .follower
    if newTerm > term {
      term = newTerm
      votedFor = nil
      refuseForwardedReads(into: &effects)
    }
    if isNew { resetElectionTimer() }
    if isNew, newLeader == nil, election.rushesLeft > 0 {
      // The other survivors may have collided with this one; they part by chance.
      election.rushTicks = 1 + Int(random.below(UInt64(options.heartbeatTicks + 1)))
    }
    setLeader(newLeader, into: &effects)
    if isNew { effects.events.append(.becameFollower(term: term, leader: newLeader)) }
  }

  mutating func setLeader(_ newLeader: NodeID?, into effects: inout Effects) {
    if newLeader != nil {
      election.rushTicks = nil
      election.rushesLeft = 0
      election.attempts = 0
    }
    guard newLeader != leader else { return }
    leader = newLeader
    refuseForwardedReads(into: &effects)
    // The same leader, elected again, goes on where it was.
    if let current = receiving, !current.isComplete, let newLeader, newLeader != current.sender {
      receiving = nil
    }
    effects.events.append(.leaderChanged(leader: newLeader, term: term))
  }

  // MARK: Links

  mutating func linkBroken(_ peer: NodeID, into effects: inout Effects) {
    // A leader on its way out is no member any more, and is missed all the same.
    guard configuration.isMember(peer) || leader == peer, peer != id else { return }
    let configuration = configuration
    brokenLinks.removeAll { $0 == peer || !configuration.isMember($0) }
    brokenLinks.append(peer)
    switch role {
    case .leader: linkToPeerBroken(peer, into: &effects)
    case .preCandidate, .candidate: _ = decide(into: &effects)
    case .follower:
      guard leader == peer else { return }
      refuseForwardedReads(into: &effects)
      election.rushesLeft = Self.rushesMax
      let delay = rushDelay()
      election.rushTicks = delay
      if delay == 0 { rush(into: &effects) }
    }
  }

  mutating func linkRestored(_ peer: NodeID) {
    brokenLinks.removeAll { $0 == peer }
    if role == .leader { linkToPeerRestored(peer) }
    if role == .follower, leader == peer {
      election.rushTicks = nil
      election.rushesLeft = 0
    }
  }

  /// The survivors see the leader die in the same instant. The first of them by id goes at once,
  /// the others a tick or two later, so that their campaigns rarely collide.
  private mutating func rushDelay() -> Int {
    let configuration = configuration
    let survivors = configuration.members.filter {
      configuration.isVoter($0.id) && !brokenLinks.contains($0.id)
    }
    guard let rank = survivors.firstIndex(where: { $0.id == id }), rank > 0 else { return 0 }
    return 1 + Int(random.below(2))
  }

  private mutating func rush(into effects: inout Effects) {
    election.rushTicks = nil
    guard role == .follower, election.rushesLeft > 0, mayCampaign else { return }
    election.rushesLeft -= 1
    startPreVote(into: &effects)
  }
}
