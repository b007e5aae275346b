import Raft
import Registry
import Storage

/// What a sabotaged node remembers within one life.
struct SabotageState {
  /// The life before this one ended without power.
  var lostPower = false
  var lastCommand: [UInt8]?
  /// A snapshot was loaded or installed, and no command applied since.
  var isAfterSnapshot = false
  /// The term of the last message, by sender.
  var terms: [NodeID: Term] = [:]
}

/// The mistakes of `Sabotage` that are made where the production code meets the driver. Nothing of
/// this runs without a sabotage.
extension SimulatedNode {
  // MARK: What goes into the core

  /// What a wrong core would have understood.
  func sabotaged(_ input: Input) -> [Input] {
    switch input {
    case .message(let message, let from): return understood(message, from: from)
    case .read(let id) where mayAnswerReadsAtOnce:
      readAnswered(ReadResult(id: id, index: raft.commitIndex))
      return []
    default: return [input]
    }
  }

  private var mayAnswerReadsAtOnce: Bool {
    switch cluster.sabotage {
    case .readsWithoutRound: raft.role == .leader
    case .readsBeforeTermCommit: raft.role == .leader && !raft.isEstablishedLeader
    default: false
    }
  }

  private func understood(_ message: Message, from: NodeID) -> [Input] {
    if cluster.sabotage == .takesOldTerms { sabotageState.terms[from] = message.term }
    switch message {
    case .voteRequest(var request) where cluster.sabotage == .votesForShorterLogs:
      request.lastIndex = max(request.lastIndex, raft.lastIndex)
      request.lastTerm = max(request.lastTerm, raft.lastTerm)
      return [.message(.voteRequest(request), from: from)]
    case .voteReply(let reply):
      return understood(reply, from: from)
    case .append(let append):
      return [.message(.append(understood(append)), from: from)]
    case .heartbeat(var heartbeat) where cluster.sabotage == .takesOldTerms:
      heartbeat.term = max(heartbeat.term, raft.term)
      return [.message(.heartbeat(heartbeat), from: from)]
    case .appendReply where cluster.sabotage == .commitsWithOneSide && raft.role == .leader:
      return asFromOldSide(message, from: from)
    case .readIndex(let request) where mayAnswerReadsAtOnce:
      let reply = ReadIndexReply(term: raft.term, id: request.id, index: raft.commitIndex)
      send(Envelope(to: from, message: .readIndexReply(reply)))
      return []
    default: return [.message(message, from: from)]
    }
  }

  private func understood(_ reply: VoteReply, from: NodeID) -> [Input] {
    var reply = reply
    let isCandidate = raft.role == .candidate
    let input = Input.message(.voteReply(reply), from: from)
    guard reply.granted else { return [input] }
    switch cluster.sabotage {
    case .countsOldVotes where isCandidate && !reply.isPreVote:
      reply.term = max(reply.term, raft.term)
    case .countsPreVotesAsVotes where isCandidate && reply.term == raft.term:
      reply.isPreVote = false
    case .countsOneVoteTwice:
      let twin = raft.configuration.voters.first { $0 != id && $0 != from }
      guard let twin else { return [input] }
      return [input, .message(.voteReply(reply), from: twin)]
    case .electsWithOneSide:
      return asFromOldSide(.voteReply(reply), from: from)
    default: break
    }
    return [.message(.voteReply(reply), from: from)]
  }

  /// The old side of a joint configuration agrees with whatever the new one says.
  private func asFromOldSide(_ message: Message, from: NodeID) -> [Input] {
    let configuration = raft.configuration
    guard configuration.voters.contains(from) else { return [.message(message, from: from)] }
    let others = configuration.outgoing.filter { !configuration.voters.contains($0) && $0 != id }
    return ([from] + others).map { .message(message, from: $0) }
  }

  private func understood(_ append: AppendEntries) -> AppendEntries {
    var append = append
    if cluster.sabotage == .takesOldTerms { append.term = max(append.term, raft.term) }
    if cluster.sabotage == .forgetsLogMatching, append.previousIndex > raft.commitIndex,
      let own = raft.term(at: append.previousIndex)
    {
      append.previousTerm = own
    }
    return append
  }

  // MARK: What comes out of the core

  func sabotage(_ effects: inout Effects) {
    guard cluster.sabotage == .votesBeforeSync else { return }
    for envelope in effects.sendAfterSync {
      if case .voteReply = envelope.message { effects.send.append(envelope) }
    }
  }

  /// What a wrong core would have said.
  func sabotaged(_ message: Message, to: NodeID) -> Message {
    switch (cluster.sabotage, message) {
    case (.takesOldTerms, .appendReply(var reply)):
      reply.term = sabotageState.terms[to] ?? reply.term
      return .appendReply(reply)
    case (.votesTwice, .voteReply(var reply)) where !reply.isPreVote:
      reply.granted = true
      return .voteReply(reply)
    case (.acknowledgesWithoutMatch, .appendReply(var reply)):
      if case .conflict(let index, _, _) = reply.outcome { reply.outcome = .matched(index) }
      return .appendReply(reply)
    case (.announcesUncommitted, .append(var append)):
      append.commitIndex = raft.lastIndex
      return .append(append)
    case (.commitsOldTerms, .append(var append)):
      append.commitIndex = max(append.commitIndex, countedIndex)
      return .append(append)
    default: return message
    }
  }

  /// What a majority has, whatever term it is of.
  private var countedIndex: LogIndex {
    let configuration = raft.configuration
    guard raft.role == .leader, configuration.outgoing.isEmpty else { return raft.commitIndex }
    var copies = raft.progress.filter { !$0.isLearner }.map(\.matchIndex)
    copies.append(raft.persistedIndex)
    copies.sort(by: >)
    let majority = configuration.voters.count / 2
    return majority < copies.count ? copies[majority] : raft.commitIndex
  }

  // MARK: The disk

  func sabotage(
    _ recovered: inout RecoveredLog, _ log: Log<FaultyFileSystem>, snapshot: SnapshotMeta?
  ) throws(StorageError) {
    sabotageState.isAfterSnapshot = snapshot != nil
    switch cluster.sabotage {
    case .losesLastRecord:
      guard let last = recovered.entries.last, last.index > snapshot?.index ?? .zero else { return }
      recovered.entries.removeLast()
    case .readsTornRecord where recovered.tornBytes > 0:
      let index = recovered.entries.last?.index ?? snapshot?.index ?? .zero
      let term = recovered.entries.last?.term ?? snapshot?.term ?? .zero
      let entry = Entry(index: index.next, term: term, kind: .command, payload: [0])
      try log.append([LogBatch(hardState: nil, entries: [entry], mustSync: true)])
      try log.sync()
      recovered.entries.append(entry)
    default: break
    }
  }

  func recoveredConfiguration(_ meta: SnapshotMeta?) -> Configuration {
    guard let meta, cluster.sabotage != .startsWithBootstrapConfiguration else { return bootstrap }
    return meta.configuration
  }

  var registryOptions: Registry.Options {
    var options = cluster.registryOptions
    if cluster.sabotage == .dedupDiffersByNode, slot == 0 { options.requestIDsMax = 5 }
    return options
  }

  /// Only what lengthens the log on disk is written.
  func leaveOutKnown(_ batch: inout LogBatch, _ log: Log<FaultyFileSystem>) {
    batch.entries.removeAll { $0.index <= log.lastEntryIndex }
  }

  /// The failed sync whose second try succeeds: the kernel has dropped the pages by then
  /// (Rebello et al., "Can Applications Recover from fsync Failures?").
  func failFirstSync() {
    for name in (try? disk.list("log")) ?? [] {
      guard let file = try? disk.open("log/" + name, .readOnly) else { continue }
      disk.failNextSync()
      try? file.sync()
    }
  }

  // MARK: The state machine

  /// How far the log may be applied.
  var applicableIndex: UInt64 {
    guard cluster.sabotage == .appliesUncommitted, raft.role != .leader else {
      return raft.commitIndex.value
    }
    return max(raft.commitIndex.value, raft.persistedIndex.value)
  }

  func sabotageSkips(_ entry: Entry) -> Bool {
    defer { sabotageState.isAfterSnapshot = false }
    switch cluster.sabotage {
    case .skipsEntry: return slot == 0 && entry.index.value % 50 == 49
    case .skipsFirstAfterSnapshot: return sabotageState.isAfterSnapshot
    default: return false
    }
  }

  func applyTwice(_ entry: Entry) {
    guard incarnation > 1 else { return }
    if entry.kind == .command { return sabotageState.lastCommand = entry.payload }
    guard let command = sabotageState.lastCommand.take() else { return }
    _ = registry.apply(command, index: lastApplied, changes: &changes)
  }
}
