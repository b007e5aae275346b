/// Linearizable reads without the log: ReadIndex (dissertation 6.4).
///
/// Happy path: the leader notes its commit index, a round of heartbeats proves that it still
/// leads, and the read may be served once that index is applied. A follower asks its leader; among
/// three voters its question is all the proof it takes (`confirms`). A read that cannot be
/// confirmed is answered with nil, never left open.
extension RaftCore {
  mutating func read(_ id: ReadID, into effects: inout Effects) {
    if role == .leader {
      return enqueue(ReadQueue.Request(origin: self.id, id: id), into: &effects)
    }
    guard role == .follower, let leader, !brokenLinks.contains(leader),
      forwardedReads.count < options.pendingReadsMax
    else {
      effects.reads.append(ReadResult(id: id, index: nil))
      return
    }
    let request = ReadIndexRequest(term: term, id: forwardedReads.add(id))
    effects.send.append(Envelope(to: leader, message: .readIndex(request)))
  }

  // MARK: The leader

  mutating func receiveReadIndex(
    _ request: ReadIndexRequest, from: NodeID, into effects: inout Effects
  ) {
    let read = ReadQueue.Request(origin: from, id: request.id)
    guard role == .leader else { return answer(read, index: nil, into: &effects) }
    if isEstablishedLeader, confirms(request, from: from) {
      return answer(read, index: commitIndex, into: &effects)
    }
    enqueue(read, into: &effects)
  }

  /// Whether the question itself proves what a round of heartbeats would: that a majority had not
  /// left this term after the read began. The sender had not when it asked, and its reads began
  /// before that; this leader has not yet. No majority could have elected another leader without
  /// one of the two if they are a majority themselves.
  private func confirms(_ request: ReadIndexRequest, from sender: NodeID) -> Bool {
    request.term == term && Quorum.holds(configuration) { $0 == id || $0 == sender }
  }

  private mutating func enqueue(_ request: ReadQueue.Request, into effects: inout Effects) {
    guard reads.count < options.pendingReadsMax else {
      return answer(request, index: nil, into: &effects)
    }
    reads.add(request)
    startReadRound(into: &effects)
  }

  /// Starts a round if reads wait and none is in flight. A leader knows what is committed only
  /// once an entry of its own term is.
  mutating func startReadRound(into effects: inout Effects) {
    guard isEstablishedLeader, !reads.isRoundInFlight, !reads.waiting.isEmpty else { return }
    reads.startRound(commitIndex: commitIndex)
    leading.isRoundDue = true
    confirmReadRound(into: &effects)
  }

  mutating func confirmReadRound(into effects: inout Effects) {
    guard reads.isRoundInFlight else { return }
    let isConfirmed = Quorum.holds(configuration) { voter in
      voter == id || (peer(voter)?.confirmedRound ?? 0) >= reads.round
    }
    guard isConfirmed else { return }
    let index = reads.roundIndex
    for request in reads.finishRound() { answer(request, index: index, into: &effects) }
    startReadRound(into: &effects)
  }

  mutating func answer(
    _ request: ReadQueue.Request, index: LogIndex?, into effects: inout Effects
  ) {
    guard request.origin != id else {
      effects.reads.append(ReadResult(id: request.id, index: index))
      return
    }
    // It serves the read when it knows that the index is committed.
    if index != nil, let position = peers.firstIndex(where: { $0.id == request.origin }) {
      peers[position].mayTellCommit = true
    }
    let reply = ReadIndexReply(term: term, id: request.id, index: index)
    effects.send.append(Envelope(to: request.origin, message: .readIndexReply(reply)))
  }

  // MARK: The follower

  mutating func receiveReadIndexReply(
    _ reply: ReadIndexReply, from: NodeID, into effects: inout Effects
  ) {
    guard from == leader, let id = forwardedReads.take(reply.id) else { return }
    effects.reads.append(ReadResult(id: id, index: reply.index))
  }

  /// Lost questions are asked again, and given up in the end.
  mutating func tickForwardedReads(into effects: inout Effects) {
    guard forwardedReads.count > 0, let leader else { return }
    forwardedReads.tick()
    for read in forwardedReads.expired(after: 2 * options.electionTicks) {
      effects.reads.append(ReadResult(id: read, index: nil))
    }
    for read in forwardedReads.pending where read.ticks % (2 * options.heartbeatTicks) == 0 {
      let request = ReadIndexRequest(term: term, id: read.wireID)
      effects.send.append(Envelope(to: leader, message: .readIndex(request)))
    }
  }

  mutating func refuseForwardedReads(into effects: inout Effects) {
    guard forwardedReads.count > 0 else { return }
    for read in forwardedReads.removeAll() {
      effects.reads.append(ReadResult(id: read, index: nil))
    }
  }
}
