import Raft

/// Messages as they appear in transcripts: short, in the field's terms.
extension Message {
  var text: String {
    switch self {
    case .voteRequest(let m):
      "\(m.isPreVote ? "preVote" : "vote")? t\(m.term) last \(m.lastIndex)@\(m.lastTerm)"
        + (m.isTransfer ? " transfer" : "")
    case .voteReply(let m):
      "\(m.isPreVote ? "preVote" : "vote") \(m.granted ? "granted" : "refused") t\(m.term)"
    case .append(let m):
      "append t\(m.term) after \(m.previousIndex)@\(m.previousTerm) commit \(m.commitIndex) "
        + "entries \(m.entries.map { "\($0.index)@\($0.term)" }.joined(separator: " "))"
    case .appendReply(let m):
      switch m.outcome {
      case .matched(let index): "matched \(index) t\(m.term)"
      case .conflict(let previous, let hint, let hintTerm):
        "conflict at \(previous), try \(hint)@\(hintTerm) t\(m.term)"
      }
    case .heartbeat(let m): "heartbeat t\(m.term) commit \(m.commitIndex) round \(m.readRound)"
    case .heartbeatReply(let m): "heartbeatReply t\(m.term) round \(m.readRound)"
    case .snapshotChunk(let m):
      "chunk t\(m.term) \(m.meta.index)@\(m.meta.term) \(m.offset)+\(m.data.count)/\(m.totalBytes)"
    case .snapshotReply(let m):
      "chunkReply t\(m.term) \(m.index) next \(m.nextOffset)\(m.isInstalled ? " installed" : "")"
    case .timeoutNow(let m): "timeoutNow t\(m.term)"
    case .readIndex(let m): "readIndex? t\(m.term) \(m.id.value)"
    case .readIndexReply(let m):
      "readIndex t\(m.term) \(m.id.value) -> \(m.index?.description ?? "refused")"
    }
  }
}
