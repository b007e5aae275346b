import EventLoop
import Peer
import Raft
package import Registry

/// The proposals of this node's own clients, from `propose` to the answer.
///
/// Each gets a sequence number; the numbers of those under way are dense, so the table is an array
/// with a moving start and no hashing. The number travels inside the command (`OriginStamp`), and
/// comes back with the applied entry or with the leader's answer, whichever is first.
struct ProposalTable {
  typealias Completion = (Result<Outcome, RequestFailure>) -> Void

  struct Slot {
    /// Kept to be sent again when leadership moves.
    var payload: [UInt8]
    var deadline: UInt64
    var started: UInt64
    var completion: Completion
    /// A leader (this node, or another) has it, as far as is known.
    var isHanded = false
    /// It was handed to a leader that never said what became of it.
    var mayBeLogged = false
    /// Ends with the leadership it was made in.
    var isLeadersOwn = false
    /// When it was handed over last.
    var handedAt: UInt64 = 0
  }

  /// Above these, new proposals are refused.
  static let countMax = 32_768
  static let bytesMax = 128 << 20
  /// One proposal that hangs holds back the acknowledgement of all after it: so many at most.
  static let windowMax = 131_072
  /// One command. A value of 64 MB is the most that HTTP lets in.
  static let payloadBytesMax = 68 << 20

  /// Names this table in the log: random, new with every process.
  let origin: UInt64
  /// Of the oldest that is not answered; everything before it is.
  private(set) var firstSequence: UInt64 = 1
  private var slots: [Slot?] = []
  private var head = 0
  private(set) var count = 0
  private(set) var bytes = 0
  private var leadersOwnCount = 0
  private var earliestDeadline: UInt64 = .max
  /// To be handed to the leader at the end of the turn, in order; may name answered ones.
  var unsent: [UInt64] = []
  /// Given back by a leader that could not take them; tried again with the next tick.
  private var deferred: [UInt64] = []

  init(origin: UInt64) { self.origin = origin }

  var hasRoom: Bool {
    count < Self.countMax && bytes < Self.bytesMax && slots.count - head < Self.windowMax
  }

  var nextStamp: OriginStamp {
    OriginStamp(
      origin: origin, sequence: firstSequence + UInt64(slots.count - head),
      acknowledgedThrough: firstSequence - 1)
  }

  mutating func add(
    _ payload: consuming [UInt8], deadline: UInt64, now: UInt64, isLeadersOwn: Bool = false,
    completion: @escaping Completion
  ) {
    if isLeadersOwn { leadersOwnCount += 1 }
    unsent.append(firstSequence + UInt64(slots.count - head))
    bytes += payload.count
    count += 1
    earliestDeadline = min(earliestDeadline, deadline)
    slots.append(
      Slot(
        payload: payload, deadline: deadline, started: now, completion: completion,
        isLeadersOwn: isLeadersOwn))
  }

  private func position(_ sequence: UInt64) -> Int? {
    guard sequence >= firstSequence, sequence - firstSequence < UInt64(slots.count - head) else {
      return nil
    }
    return head + Int(sequence - firstSequence)
  }

  mutating func finish(_ sequence: UInt64) -> Slot? {
    guard let position = position(sequence), let slot = slots[position].take() else { return nil }
    count -= 1
    bytes -= slot.payload.count
    if slot.isLeadersOwn { leadersOwnCount -= 1 }
    while head < slots.count, slots[head] == nil {
      head += 1
      firstSequence += 1
    }
    if head == slots.count {
      slots.removeAll(keepingCapacity: true)
      head = 0
    } else if head >= 1024, head * 2 > slots.count {
      slots.removeSubrange(..<head)
      head = 0
    }
    return slot
  }

  // MARK: Handing over

  /// Hands over what is unsent, stamped with the leader's time when this node leads; `body` says
  /// false to stop (what it refused, and all after it, stays unsent).
  ///
  /// - Returns: since when the oldest of them waited; nil when there was none.
  mutating func hand(
    time: UInt64?, now: UInt64, _ body: (_ sequence: UInt64, _ payload: [UInt8]) -> Bool
  ) -> UInt64? {
    var taken = 0
    var oldest: UInt64?
    for sequence in unsent {
      guard let position = position(sequence),
        let handing = slots[position]?.hand(sequence, time: time, now: now, body)
      else {
        taken += 1
        continue
      }
      oldest = min(oldest ?? handing.started, handing.started)
      guard handing.isHanded else { break }
      taken += 1
    }
    if taken == unsent.count {
      unsent.removeAll(keepingCapacity: true)
    } else {
      unsent.removeFirst(taken)
    }
    return oldest
  }

  /// The leader refused it for now: nothing of this hand-over is in any log.
  mutating func giveBack(_ sequence: UInt64) {
    guard let position = position(sequence), slots[position] != nil else { return }
    slots[position]?.isHanded = false
    deferred.append(sequence)
  }

  mutating func retryDeferred() {
    guard !deferred.isEmpty else { return }
    unsent = deferred + unsent
    deferred.removeAll(keepingCapacity: true)
  }

  /// Leadership moved, or what was handed over may be lost: everything is handed over again. The
  /// state machine answers a repeat with the first outcome.
  mutating func handAllAgain() {
    unsent.removeAll(keepingCapacity: true)
    deferred.removeAll(keepingCapacity: true)
    for index in head..<max(head, slots.count) {
      guard let slot = slots[index] else { continue }
      slots[index]?.mayBeLogged = slot.mayBeLogged || slot.isHanded
      slots[index]?.isHanded = false
      unsent.append(firstSequence + UInt64(index - head))
    }
  }

  /// The oldest was handed over before `time` and got no answer.
  func isOldestOverdue(handedBefore time: UInt64) -> Bool {
    guard head < slots.count, let oldest = slots[head] else { return false }
    return oldest.isHanded && oldest.handedAt < time
  }

  // MARK: Deadlines

  mutating func takeExpired(now: UInt64) -> [Slot] {
    guard now >= earliestDeadline else { return [] }
    earliestDeadline = .max
    var expired: [UInt64] = []
    for index in head..<max(head, slots.count) {
      guard let slot = slots[index] else { continue }
      if slot.deadline <= now {
        expired.append(firstSequence + UInt64(index - head))
      } else {
        earliestDeadline = min(earliestDeadline, slot.deadline)
      }
    }
    return expired.compactMap { finish($0) }
  }

  /// What must not reach another leader.
  mutating func takeLeadersOwn() -> [Slot] {
    guard leadersOwnCount > 0 else { return [] }
    let own = (head..<max(head, slots.count)).filter { slots[$0]?.isLeadersOwn == true }
      .map { firstSequence + UInt64($0 - head) }
    return own.compactMap { finish($0) }
  }

  mutating func takeAll() -> [Slot] {
    let all = (head..<max(head, slots.count)).map { firstSequence + UInt64($0 - head) }
    return all.compactMap { finish($0) }
  }
}

extension ProposalTable.Slot {
  /// In place: nothing of it is copied, and its payload only if a log holds it already.
  fileprivate mutating func hand(
    _ sequence: UInt64, time: UInt64?, now: UInt64,
    _ body: (_ sequence: UInt64, _ payload: [UInt8]) -> Bool
  ) -> (isHanded: Bool, started: UInt64) {
    if let time { CommandEnvelope.stamp(&payload, time: time) }
    isHanded = body(sequence, payload)
    handedAt = now
    return (isHanded, started)
  }

  /// What a client is told when its time is over.
  var timeoutFailure: RequestFailure {
    isHanded || mayBeLogged
      ? .outcomeUnknown("the time ran out before the cluster answered; it may yet be applied")
      : .noLeader
  }
}

extension Node {
  /// Proposes through the leader, whichever node that is, and answers after it was applied *here
  /// or at the leader*; a following `readBarrier` on any node sees it.
  package func propose(
    _ command: Command, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void
  ) {
    if !isStopped, command.needsHost { hooks.beforeHostCommand?() }
    propose(context, completion) { header in CommandEnvelope.encode(command, header) }
  }

  /// The same for a KV write that still lies in a request.
  package func propose(
    _ set: KVSetParts, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void
  ) {
    propose(context, completion) { header in CommandEnvelope.encode(set, header) }
  }

  @inline(__always)
  private func propose(
    _ context: RequestContext, _ completion: @escaping ProposalTable.Completion,
    encode: (CommandEnvelope.Header) -> [UInt8]
  ) {
    guard !isStopped else { return replyLater(.outcome(completion, .failure(.stopping))) }
    guard proposals.hasRoom else {
      metrics.increment(counters.overloaded)
      let failure = RequestFailure.overloaded("too many writes are under way on this node")
      return replyLater(.outcome(completion, .failure(failure)))
    }
    let payload = encode(
      CommandEnvelope.Header(
        time: stampTime(), origin: proposals.nextStamp, requestID: context.requestID,
        // Without the client's word: a node that was paused did not know more then than now.
        floor: context.requestID == nil
          ? nil : min(context.requestFloor ?? .max, registry.stateIndex)))
    guard payload.count <= ProposalTable.payloadBytesMax else {
      let refusal = Refusal(status: 413, text: "the command is larger than 68 MB")
      return replyLater(.outcome(completion, .failure(.refused(refusal))))
    }
    proposals.add(
      payload, deadline: deadline(context), now: loop.now, isLeadersOwn: context.isLeadersOwn,
      completion: completion)
    loop.requestTurnEnd()
  }

  /// Milliseconds since 1970; never falls on one node, so that neither do stamped times while it
  /// leads.
  func stampTime() -> UInt64 {
    lastStampedTime = max(lastStampedTime, loop.wallClock / 1_000_000)
    return lastStampedTime
  }

  func deadline(_ context: RequestContext) -> UInt64 {
    if context.deadline != 0 { return context.deadline }
    return loop.now + UInt64(max(1, configuration.requestTimeoutMilliseconds)) * 1_000_000
  }

  /// Everything proposed in this turn becomes one batch: into the own log, or to the leader.
  func flushProposals() {
    guard !proposals.unsent.isEmpty || !forwarding.received.isEmpty else { return }
    if raft.role == .leader {
      guard !holdsProposalsForDisk() else { return }
      proposeBatch()
    } else {
      refuseReceivedProposals(.notLeader)
      endLeadersOwnProposals()
      guard let leader = raft.leader, transport.isConnected(leader) else { return }
      forwardProposals(to: leader)
    }
  }

  /// Leadership moved: what this node decided as leader is for the next one to decide.
  func endLeadersOwnProposals() {
    for slot in proposals.takeLeadersOwn() {
      let failure: RequestFailure =
        slot.isHanded || slot.mayBeLogged ? .outcomeUnknown("leadership moved") : .noLeader
      replies.append(.outcome(slot.completion, .failure(failure)))
    }
  }

  private func proposeBatch() {
    var payloads = takeReceivedPayloads()
    let forwardedCount = payloads.count
    let time = stampTime()
    var sequences: [UInt64] = []
    // Filled here, not where every access is checked.
    swap(&sequences, &proposedSequences)
    sequences.removeAll(keepingCapacity: true)
    payloads.reserveCapacity(payloads.count + proposals.unsent.count)
    let oldest = proposals.hand(time: time, now: loop.now) { sequence, payload in
      sequences.append(sequence)
      payloads.append(payload)
      return true
    }
    swap(&sequences, &proposedSequences)
    guard !payloads.isEmpty else { return }
    noteQueued(since: oldest)
    raft.step(.propose(payloads), into: &effects)
    guard let result = effects.proposal.take() else { return }
    switch result {
    case .accepted:
      forwarding.received.removeAll(keepingCapacity: true)
      proposedBatches.add(through: raft.lastIndex, at: Self.microseconds())
      metrics.increment(counters.proposed, by: UInt64(payloads.count))
      metrics.increment(counters.forwardedIn, by: UInt64(forwardedCount))
    case .rejected(.overloaded):
      refuseReceivedProposals(.overloaded)
      let failure = RequestFailure.overloaded("too much waits to be committed")
      for sequence in proposedSequences { fail(sequence, failure) }
    case .rejected(.notLeader), .rejected(.transferring):
      refuseReceivedProposals(.notLeader)
      for sequence in proposedSequences { proposals.giveBack(sequence) }
    }
  }

  func fail(_ sequence: UInt64, _ failure: RequestFailure) {
    guard let slot = proposals.finish(sequence) else { return }
    replies.append(.outcome(slot.completion, .failure(failure)))
  }

  /// An entry of this node's making was applied here, or its leader has answered.
  func complete(_ sequence: UInt64, _ outcome: Outcome, now: UInt64) {
    guard let slot = proposals.finish(sequence) else { return }
    metrics.record(histograms.commit, (now - min(now, slot.started)) / 1000)
    replies.append(.outcome(slot.completion, .success(outcome)))
  }

  func expireProposals() {
    let now = loop.now
    for slot in proposals.takeExpired(now: now) {
      metrics.increment(counters.timeouts)
      replies.append(.outcome(slot.completion, .failure(slot.timeoutFailure)))
    }
    // A frame may have been dropped on a link that never broke.
    if raft.role != .leader, now > Self.resendNanoseconds,
      proposals.isOldestOverdue(handedBefore: now - Self.resendNanoseconds)
    {
      proposals.handAllAgain()
    }
  }

  /// Far above any commit that makes progress, far below the request timeout.
  private static var resendNanoseconds: UInt64 { 1_000_000_000 }
}

extension Command {
  /// It is refused as long as this node is not in the catalog.
  fileprivate var needsHost: Bool {
    switch self {
    case .agentRegister, .agentCheckRegister, .maintenance, .sessionCreate: true
    default: false
    }
  }
}
