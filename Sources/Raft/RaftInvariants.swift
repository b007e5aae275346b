import Basics

/// What a step must not take back, noted at its start.
struct StepStart {
  let role: RaftCore.Role
  let term: Term
  let votedFor: NodeID?
  let commitIndex: LogIndex
  let lastApplied: LogIndex
  let lastIndex: LogIndex

  init(of core: borrowing RaftCore) {
    role = core.role
    term = core.term
    votedFor = core.votedFor
    commitIndex = core.commitIndex
    lastApplied = core.lastApplied
    lastIndex = core.log.lastIndex
  }
}

/// What figure 3 of the paper promises, as far as one node can see it.
///
/// `checkStep` is cheap and runs after every step, in release builds as well. Tests and the
/// simulator take a `RaftObservation` before a step and call `checkInvariants(since:)` after it.
extension RaftCore {
  func checkStep(since before: StepStart) {
    invariant(term >= before.term, "term fell from \(before.term) to \(term)")
    invariant(
      commitIndex >= before.commitIndex,
      "commit index fell from \(before.commitIndex) to \(commitIndex)")
    invariant(commitIndex <= lastIndex, "committed \(commitIndex) of \(lastIndex)")
    invariant(lastApplied <= commitIndex, "applied \(lastApplied), committed \(commitIndex)")
    invariant(lastApplied >= before.lastApplied, "applied index fell to \(lastApplied)")
    invariant(persistedIndex <= lastIndex, "persisted \(persistedIndex) of \(lastIndex)")
    if term == before.term {
      invariant(
        before.votedFor == nil || votedFor == before.votedFor, "a second vote in term \(term)")
      // Leader Append-Only.
      invariant(
        before.role != .leader || lastIndex >= before.lastIndex, "a leader's log became shorter")
      invariant(
        before.role == .leader || before.role == .candidate || role != .leader,
        "a leader in term \(term) that was no candidate")
    }
    invariant(
      (role == .leader) == (leader == id), "role \(role) and leader disagree")
  }

  /// Everything that can be checked at one node; stops the process if something does not hold.
  public func checkInvariants(since before: RaftObservation? = nil) {
    checkLog()
    checkConfigurations()
    checkPeers()
    if let before { checkHistory(since: before) }
  }

  private func checkLog() {
    invariant(log.baseIndex <= commitIndex, "compacted beyond the commit index")
    invariant(log.baseIndex <= snapshotMeta?.index ?? .zero, "compacted beyond the snapshot")
    var index = log.baseIndex
    var last = log.baseTerm
    var bytes = 0
    for entry in log.entries {
      invariant(entry.index == index.next, "entry \(entry.index) follows \(index)")
      invariant(entry.term >= last, "the log's term falls at \(entry.index)")
      index = entry.index
      last = entry.term
      bytes += EntryLog.cost(entry)
    }
    invariant(last <= term, "an entry of term \(last) in term \(term)")
    invariant(bytes == log.bytes, "the log counts \(log.bytes) bytes, has \(bytes)")
  }

  private func checkConfigurations() {
    var index: LogIndex?
    for item in configurations.items {
      invariant(index == nil || item.index > index ?? .zero, "configurations out of order")
      invariant(item.configuration.isConsistent, "inconsistent configuration at \(item.index)")
      index = item.index
    }
    invariant(configurationIndex <= lastIndex, "a configuration beyond the log's end")
  }

  private func checkPeers() {
    guard role == .leader else {
      return invariant(peers.isEmpty, "a \(role) has peers' progress")
    }
    for peer in peers {
      invariant(peer.matchIndex < peer.nextIndex, "peer \(peer.id): match at or above next")
      invariant(peer.nextIndex <= lastIndex.next, "peer \(peer.id): next beyond the log's end")
      invariant(peer.inflights.count <= options.inflightMessagesMax, "too many appends in flight")
    }
    invariant(leading.uncommittedBytes >= 0, "negative uncommitted bytes")
    invariant(leading.termStart <= lastIndex, "the term's first entry is missing")
    let pending = log.slice(from: commitIndex.next, through: lastIndex).reduce(0) {
      $1.kind == .command ? $0 + EntryLog.cost($1) : $0
    }
    invariant(leading.uncommittedBytes == pending, "uncommitted bytes are not what is counted")
  }

  private func checkHistory(since before: RaftObservation) {
    invariant(term >= before.term, "term fell")
    invariant(commitIndex >= before.commitIndex, "commit index fell")
    if before.commitIndex > log.baseIndex, let known = before.commitTerm {
      invariant(log.term(at: before.commitIndex) == known, "a committed entry was replaced")
    }
    guard term == before.term else { return }
    invariant(before.votedFor == nil || votedFor == before.votedFor, "a second vote")
    guard before.role == .leader, role == .leader else { return }
    if before.lastIndex > log.baseIndex {
      invariant(log.term(at: before.lastIndex) == before.lastTerm, "a leader replaced an entry")
    }
    for (id, matchIndex) in before.matches {
      guard let peer = peer(id) else { continue }
      invariant(peer.matchIndex >= matchIndex, "match index of \(id) fell")
    }
  }
}

/// What a later state is compared with: small, so that taking it does not copy the log.
public struct RaftObservation: Sendable {
  let role: RaftCore.Role
  let term: Term
  let votedFor: NodeID?
  let commitIndex: LogIndex
  let commitTerm: Term?
  let lastIndex: LogIndex
  let lastTerm: Term
  let matches: [(NodeID, LogIndex)]

  public init(_ core: borrowing RaftCore) {
    role = core.role
    term = core.term
    votedFor = core.votedFor
    commitIndex = core.commitIndex
    commitTerm = core.log.term(at: core.commitIndex)
    lastIndex = core.log.lastIndex
    lastTerm = core.log.lastTerm
    matches = core.peers.compactMap { $0.departingTicks == nil ? ($0.id, $0.matchIndex) : nil }
  }
}
