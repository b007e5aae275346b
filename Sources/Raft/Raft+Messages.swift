/// Messages come in here: nonsense is dropped, terms are compared (paper 5.1, figure 2 "Rules for
/// Servers"), and what is left goes to its handler.
extension RaftCore {
  /// Terms, indexes and sizes above this do not come from honest nodes, and below it no sum of
  /// two overflows.
  static let numberMax: UInt64 = 1 << 62

  mutating func receive(_ message: Message, from: NodeID, into effects: inout Effects) {
    guard from != id, from.value != 0, message.isSane else { return }
    // A word from it proves that its process lives.
    if !brokenLinks.isEmpty { brokenLinks.removeAll { $0 == from } }
    switch message {
    case .readIndex(let m):
      return receiveReadIndex(m, from: from, into: &effects)
    case .readIndexReply(let m):
      return receiveReadIndexReply(m, from: from, into: &effects)
    case .voteRequest(let m) where m.isPreVote:
      return receivePreVoteRequest(m, from: from, into: &effects)
    default: break
    }
    if message.term < term {
      return answerStale(message, from: from, into: &effects)
    }
    if message.term > term {
      guard followHigherTerm(of: message, from: from, into: &effects) else { return }
    }
    dispatch(message, from: from, into: &effects)
  }

  /// The message is of the current term, or a PreVote granted for the next one.
  private mutating func dispatch(
    _ message: Message, from: NodeID, into effects: inout Effects
  ) {
    switch message {
    case .voteRequest(let m): receiveVoteRequest(m, from: from, into: &effects)
    case .voteReply(let m): receiveVoteReply(m, from: from, into: &effects)
    case .append(let m): receiveAppend(m, from: from, into: &effects)
    case .heartbeat(let m): receiveHeartbeat(m, from: from, into: &effects)
    case .snapshotChunk(let m): receiveChunk(m, from: from, into: &effects)
    case .timeoutNow: receiveTimeoutNow(from: from, into: &effects)
    case .appendReply, .heartbeatReply, .snapshotReply:
      guard let peer = peers.firstIndex(where: { $0.id == from }) else { return }
      peers[peer].ticksSinceContact = 0
      switch message {
      case .appendReply(let m): receiveAppendReply(m, from: peer, into: &effects)
      case .heartbeatReply(let m): receiveHeartbeatReply(m, from: peer, into: &effects)
      case .snapshotReply(let m): receiveSnapshotReply(m, from: peer, into: &effects)
      default: break
      }
    case .readIndex, .readIndexReply: break
    }
  }

  /// Paper 5.1: whoever sees a higher term becomes a follower in it. Not so for votes asked for
  /// while a leader is heard (dissertation 4.2.3), and for strangers' answers.
  /// False when the message is to be ignored.
  private mutating func followHigherTerm(
    of message: Message, from: NodeID, into effects: inout Effects
  ) -> Bool {
    switch message {
    case .voteRequest(let m):
      guard m.isTransfer || !hearsLeader else { return false }
      becomeFollower(message.term, leader: nil, into: &effects)
    case .voteReply(let m) where m.isPreVote && m.granted:
      return m.term == term.next
    case .append, .heartbeat, .snapshotChunk:
      becomeFollower(message.term, leader: from, into: &effects)
    case .voteReply, .appendReply, .heartbeatReply, .snapshotReply:
      guard configuration.isMember(from) else { return false }
      becomeFollower(message.term, leader: nil, into: &effects)
    case .timeoutNow, .readIndex, .readIndexReply:
      return false
    }
    return true
  }

  /// A sender of an older term learns the current one. A leader must too: a node that campaigned
  /// in vain has a higher term than its cluster, takes nothing from that leader, and with PreVote
  /// and CheckQuorum could otherwise neither depose it nor rejoin.
  private mutating func answerStale(
    _ message: Message, from: NodeID, into effects: inout Effects
  ) {
    let reply: Message
    switch message {
    case .voteRequest:
      reply = .voteReply(VoteReply(term: term, granted: false, isPreVote: false))
    case .append(let m):
      let conflict = AppendReply.Outcome.conflict(
        previousIndex: m.previousIndex, hintIndex: .zero, hintTerm: .zero)
      reply = .appendReply(AppendReply(term: term, outcome: conflict))
    case .heartbeat:
      reply = .heartbeatReply(HeartbeatReply(term: term, readRound: 0))
    case .snapshotChunk(let m):
      reply = .snapshotReply(
        SnapshotReply(term: term, index: m.meta.index, nextOffset: 0, isInstalled: false))
    default: return
    }
    effects.send.append(Envelope(to: from, message: reply))
  }

  /// The sender is the leader of the current term. False when it cannot be: there is another one.
  mutating func followLeader(_ from: NodeID, into effects: inout Effects) -> Bool {
    guard role != .leader, leader == nil || leader == from else { return false }
    if role != .follower || leader != from {
      becomeFollower(term, leader: from, into: &effects)
    }
    election.elapsedTicks = 0
    election.ticksSinceLeader = 0
    return true
  }
}

extension Message {
  /// Whether the numbers can come from an honest node, so that handlers may add to them.
  var isSane: Bool {
    guard term.value <= RaftCore.numberMax else { return false }
    switch self {
    case .voteRequest(let m): return Self.isSane(m.lastIndex, m.lastTerm)
    case .append(let m):
      return Self.isSane(m.previousIndex, m.previousTerm) && Self.isSane(m.commitIndex, .zero)
        && m.entries.count <= Int(UInt32.max)
    case .appendReply(let m):
      switch m.outcome {
      case .matched(let index): return Self.isSane(index, .zero)
      case .conflict(let previousIndex, let hintIndex, let hintTerm):
        return Self.isSane(previousIndex, .zero) && Self.isSane(hintIndex, hintTerm)
      }
    case .heartbeat(let m): return Self.isSane(m.commitIndex, .zero)
    case .snapshotChunk(let m):
      return Self.isSane(m.meta.index, m.meta.term) && m.meta.term <= m.term
        && m.meta.configurationIndex <= m.meta.index && m.totalBytes <= RaftCore.numberMax
        && m.offset <= m.totalBytes && UInt64(m.data.count) <= m.totalBytes - m.offset
        && m.meta.configuration.isConsistent
    case .snapshotReply(let m):
      return Self.isSane(m.index, .zero) && m.nextOffset <= RaftCore.numberMax
    case .voteReply, .heartbeatReply, .timeoutNow, .readIndex, .readIndexReply: return true
    }
  }

  private static func isSane(_ index: LogIndex, _ term: Term) -> Bool {
    index.value <= RaftCore.numberMax && term.value <= RaftCore.numberMax
  }
}
