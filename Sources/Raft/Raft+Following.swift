import Basics

/// AppendEntries and heartbeats, on the follower's side (figure 2, "AppendEntries RPC").
extension RaftCore {
  mutating func receiveAppend(
    _ append: AppendEntries, from: NodeID, into effects: inout Effects
  ) {
    guard isWellFormed(append), followLeader(from, into: &effects) else { return }
    // A complete snapshot is about to replace the log: what is appended now would be lost with it.
    guard receiving?.isComplete != true else { return }
    if append.previousIndex > commitIndex {
      // Rule 2: reply false if log does not contain an entry at prevLogIndex with prevLogTerm.
      guard log.term(at: append.previousIndex) == append.previousTerm else {
        return replyConflict(append, to: from, into: &effects)
      }
    }
    let last = LogIndex(append.previousIndex.value + UInt64(append.entries.count))
    store(append.entries, into: &effects)
    // Rule 5. Entries beyond `last` have not been compared with the leader's.
    commit(through: min(append.commitIndex, last), into: &effects)
    // What is committed agrees with any leader's log; and all of it is handed out to the disk.
    let reply = AppendReply(term: term, outcome: .matched(max(last, min(commitIndex, lastIndex))))
    effects.sendAfterSync.append(Envelope(to: from, message: .appendReply(reply)))
  }

  /// Rules 3 and 4: an existing entry that conflicts goes, with all that follow; new ones come.
  private mutating func store(_ entries: [Entry], into effects: inout Effects) {
    var position = 0
    while position < entries.count {
      let entry = entries[position]
      // Compacted here, so committed and equal (Leader Completeness).
      guard entry.index > log.baseIndex, let known = log.term(at: entry.index) else {
        if entry.index > lastIndex { break }
        position += 1
        continue
      }
      if known != entry.term {
        invariant(
          entry.index > commitIndex,
          "the leader of term \(term) replaces entry \(entry.index), which is committed")
        truncate(from: entry.index, into: &effects)
        break
      }
      position += 1
    }
    guard position < entries.count else { return }
    log.reserve(entries.count - position)
    for entry in entries[position...] {
      log.append(entry)
      effects.append.append(entry)
      if entry.kind == .configuration, let next = Configuration(decoding: entry.payload) {
        adopt(next, index: entry.index, into: &effects)
      }
    }
  }

  private mutating func truncate(from index: LogIndex, into effects: inout Effects) {
    log.truncate(from: index)
    persistedIndex = min(persistedIndex, index.previous)
    _ = configurations.truncate(from: index)
    effects.events.append(.logTruncated(from: index))
  }

  private func replyConflict(
    _ append: AppendEntries, to leader: NodeID, into effects: inout Effects
  ) {
    // Everything through the commit index agrees, so the search never goes below it.
    let hintIndex = log.lastIndex(
      notAbove: append.previousTerm, from: append.previousIndex, floor: commitIndex)
    let conflict = AppendReply.Outcome.conflict(
      previousIndex: append.previousIndex, hintIndex: hintIndex,
      hintTerm: log.term(at: hintIndex) ?? .zero)
    let reply = AppendReply(term: term, outcome: conflict)
    effects.send.append(Envelope(to: leader, message: .appendReply(reply)))
  }

  /// What an honest leader sends: contiguous entries, terms that do not fall or pass its own,
  /// configurations that can be read and have a voter.
  private func isWellFormed(_ append: AppendEntries) -> Bool {
    guard append.previousTerm <= append.term else { return false }
    var index = append.previousIndex
    var lastTerm = append.previousTerm
    for entry in append.entries {
      guard entry.index == index.next, entry.term >= lastTerm, entry.term <= append.term else {
        return false
      }
      if entry.kind == .configuration {
        guard let configuration = Configuration(decoding: entry.payload),
          !configuration.voters.isEmpty
        else { return false }
      }
      index = entry.index
      lastTerm = entry.term
    }
    return true
  }

  mutating func receiveHeartbeat(
    _ heartbeat: Heartbeat, from: NodeID, into effects: inout Effects
  ) {
    guard followLeader(from, into: &effects) else { return }
    if receiving?.isComplete != true {
      commit(through: min(heartbeat.commitIndex, lastIndex), into: &effects)
    }
    let reply = HeartbeatReply(term: term, readRound: heartbeat.readRound)
    effects.send.append(Envelope(to: from, message: .heartbeatReply(reply)))
  }
}
