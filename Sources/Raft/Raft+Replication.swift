import Basics

/// Log replication (paper 5.3) and the commit rule (5.4.2), on both sides.
///
/// Happy path: `propose` appends; at the end of the step every peer gets what it has not been
/// sent; answers move match indexes, and a majority of them the commit index.
extension RaftCore {
  // MARK: The leader's log

  mutating func propose(_ commands: [[UInt8]], into effects: inout Effects) {
    guard role == .leader else {
      effects.proposal = .rejected(.notLeader(leader: leader))
      return
    }
    guard leading.transfer == nil else {
      effects.proposal = .rejected(.transferring)
      return
    }
    var size = 0
    for command in commands { size += command.count + EntryLog.entryOverheadBytes }
    let pending = leading.uncommittedBytes
    guard pending == 0 || pending + size <= options.uncommittedBytesMax else {
      effects.proposal = .rejected(.overloaded)
      return
    }
    leading.uncommittedBytes += size
    effects.proposal = .accepted(first: lastIndex.next, term: term)
    log.reserve(commands.count)
    effects.append.reserveCapacity(effects.append.count + commands.count)
    for command in commands { appendOwn(.command, payload: command, into: &effects) }
  }

  mutating func appendOwn(_ kind: Entry.Kind, payload: [UInt8], into effects: inout Effects) {
    invariant(role == .leader, "only a leader makes entries")
    let entry = Entry(index: lastIndex.next, term: term, kind: kind, payload: payload)
    log.append(entry)
    effects.append.append(entry)
  }

  mutating func persisted(through index: LogIndex, term: Term, into effects: inout Effects) {
    disk.progressed()
    // Else it speaks of an entry that was replaced or compacted since.
    guard log.term(at: index) == term, index > persistedIndex else { return }
    persistedIndex = index
    guard role == .leader else { return }
    if persistedIndex >= leading.termStart { leading.isTermDurable = true }
    advanceLeaderCommit(into: &effects)
  }

  /// Paper 5.4.2: an index that a majority has is committed if its entry is of the own term.
  mutating func advanceLeaderCommit(into effects: inout Effects) {
    let index = Quorum.index(configuration) { voter in
      voter == id ? persistedIndex : peer(voter)?.matchIndex ?? .zero
    }
    guard index > commitIndex, log.term(at: index) == term else { return }
    leading.uncommittedBytes -= log.commandCost(from: commitIndex.next, through: index)
    leading.stalledTicks = 0
    let wasEstablished = isEstablishedLeader
    commit(through: index, into: &effects)
    if !wasEstablished, isEstablishedLeader {
      effects.events.append(.leadershipEstablished(term: term))
      startReadRound(into: &effects)
    }
    continueMembershipChange(into: &effects)
  }

  /// Both roles: the commit index moves, and configurations on the way become final.
  mutating func commit(through index: LogIndex, into effects: inout Effects) {
    guard index > commitIndex else { return }
    invariant(index <= lastIndex, "commit \(index) beyond the log's end \(lastIndex)")
    let from = commitIndex
    commitIndex = index
    if configurations.currentIndex > from {
      configurationsCommitted(after: from, into: &effects)
    }
  }

  // MARK: Sending

  /// Sends what the state of each peer calls for. The one place where a leader sends.
  mutating func flush(into effects: inout Effects) {
    guard leading.isTermDurable else { return }
    var batch = SharedBatch()
    for position in peers.indices {
      while peers[position].maySend(options) {
        guard sendAppend(to: position, sharing: &batch, into: &effects) else { break }
      }
      if peers[position].isInstalling { requestSnapshotRead(for: position, into: &effects) }
      tellCommit(to: position, into: &effects)
      let isRound = leading.isRoundDue && !peers[position].isLearner
      if leading.isHeartbeatDue || isRound { sendHeartbeat(to: position, into: &effects) }
    }
    leading.isHeartbeatDue = false
    leading.isRoundDue = false
    flushTransfer(into: &effects)
  }

  /// The entries of the last append, for the next follower that is as far.
  private struct SharedBatch {
    var from: LogIndex = .zero
    var entries: [Entry] = []
    var bytes = 0
  }

  /// False when there was nothing to send.
  private mutating func sendAppend(
    to position: Int, sharing batch: inout SharedBatch, into effects: inout Effects
  ) -> Bool {
    let next = peers[position].nextIndex
    var isBare = false
    if case .probing(let probe) = peers[position].state { isBare = probe.isBare }
    if peers[position].isReplicating, next > lastIndex { return false }
    guard next >= log.firstIndex, let previousTerm = log.term(at: next.previous) else {
      peers[position].becomeInstalling()
      return false
    }
    if !isBare, batch.from != next {
      let slice = log.batch(
        from: next, entriesMax: options.appendEntriesMax, bytesMax: options.appendBytesMax)
      batch.from = next
      batch.entries = Array(slice)
      batch.bytes = EntryLog.cost(slice)
    }
    let entries = isBare ? [] : batch.entries
    let last = LogIndex(next.value - 1 + UInt64(entries.count))
    let append = AppendEntries(
      term: term, previousIndex: next.previous, previousTerm: previousTerm,
      commitIndex: commitIndex, entries: entries)
    effects.send.append(Envelope(to: peers[position].id, message: .append(append)))
    peers[position].sent(
      lastIndex: last, bytes: isBare ? 0 : batch.bytes, entryCount: entries.count)
    peers[position].toldCommit = max(peers[position].toldCommit, min(commitIndex, last))
    return true
  }

  /// Followers wait for the commit index to apply and to serve reads: when no append carries it,
  /// it is told at once, by a heartbeat or (before the peer's disk has the entries) by an append
  /// without entries. After that only with the next tick, or when the peer waits for it to read.
  private mutating func tellCommit(to position: Int, into effects: inout Effects) {
    guard peers[position].isReplicating, peers[position].mayTellCommit else { return }
    let last = peers[position].nextIndex.previous
    let told = min(commitIndex, last)
    guard told > peers[position].toldCommit else { return }
    peers[position].mayTellCommit = false
    guard told > peers[position].matchIndex else {
      return sendHeartbeat(to: position, into: &effects)
    }
    guard let lastTerm = log.term(at: last) else { return }
    let append = AppendEntries(
      term: term, previousIndex: last, previousTerm: lastTerm, commitIndex: commitIndex,
      entries: [])
    effects.send.append(Envelope(to: peers[position].id, message: .append(append)))
    peers[position].toldCommit = told
  }

  private mutating func sendHeartbeat(to position: Int, into effects: inout Effects) {
    let peer = peers[position]
    let told = min(commitIndex, peer.matchIndex)
    let heartbeat = Heartbeat(
      term: term, commitIndex: told, readRound: reads.isRoundInFlight ? reads.round : 0)
    effects.send.append(Envelope(to: peer.id, message: .heartbeat(heartbeat)))
    peers[position].toldCommit = max(peer.toldCommit, told)
  }

  // MARK: Answers

  mutating func receiveAppendReply(
    _ reply: AppendReply, from position: Int, into effects: inout Effects
  ) {
    switch reply.outcome {
    case .matched(let index):
      guard index <= lastIndex else { return }
      let isNews = peers[position].matched(index)
      switch peers[position].state {
      case .probing: peers[position].becomeReplicating()
      case .installing where peers[position].matchIndex >= log.baseIndex:
        peers[position].becomeReplicating()
      case .installing, .replicating: break
      }
      guard isNews else { return }
      voterCaughtUpSome(position)
      reportIfCaughtUp(position, into: &effects)
      advanceLeaderCommit(into: &effects)
    case .conflict(let previousIndex, let hintIndex, let hintTerm):
      let agreement = log.lastIndex(notAbove: hintTerm, from: hintIndex, floor: .zero)
      _ = peers[position].conflicted(previousIndex: previousIndex, agreement: agreement)
    }
  }

  mutating func receiveHeartbeatReply(
    _ reply: HeartbeatReply, from position: Int, into effects: inout Effects
  ) {
    peers[position].recoverFromLoss(options, lastIndex: lastIndex)
    guard reply.readRound <= reads.round else { return }
    peers[position].confirmedRound = max(peers[position].confirmedRound, reply.readRound)
    confirmReadRound(into: &effects)
  }

  mutating func linkToPeerBroken(_ id: NodeID, into effects: inout Effects) {
    guard let position = peers.firstIndex(where: { $0.id == id }) else { return }
    if !peers[position].isInstalling { peers[position].becomeProbing(isPaused: true) }
    transferTargetLost(id, into: &effects)
  }

  /// Whatever was in flight is lost.
  mutating func linkToPeerRestored(_ id: NodeID) {
    guard let position = peers.firstIndex(where: { $0.id == id }) else { return }
    if peers[position].isInstalling {
      resumeInstallation(position)
    } else {
      peers[position].becomeProbing()
    }
    leading.isHeartbeatDue = true
  }
}
