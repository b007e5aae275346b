/// What one node says to another. Every case carries the sender's term.
///
/// A transport delivers messages of one link in order or not at all; Raft tolerates loss,
/// duplication and reordering, only its speed suffers.
public enum Message: Equatable, Sendable {
  case voteRequest(VoteRequest)
  case voteReply(VoteReply)
  case append(AppendEntries)
  case appendReply(AppendReply)
  case heartbeat(Heartbeat)
  case heartbeatReply(HeartbeatReply)
  case snapshotChunk(SnapshotChunk)
  case snapshotReply(SnapshotReply)
  /// Dissertation 3.10: campaign at once, without PreVote; `force` lets voters ignore their leader.
  case timeoutNow(TimeoutNow)
  case readIndex(ReadIndexRequest)
  case readIndexReply(ReadIndexReply)
}

extension Message {
  /// The sender's term, or the term it asks for.
  public var term: Term {
    switch self {
    case .voteRequest(let m): m.term
    case .voteReply(let m): m.term
    case .append(let m): m.term
    case .appendReply(let m): m.term
    case .heartbeat(let m): m.term
    case .heartbeatReply(let m): m.term
    case .snapshotChunk(let m): m.term
    case .snapshotReply(let m): m.term
    case .timeoutNow(let m): m.term
    case .readIndex(let m): m.term
    case .readIndexReply(let m): m.term
    }
  }
}

/// RequestVote, and PreVote when `isPreVote` (dissertation 9.6: the term asked for is not taken).
public struct VoteRequest: Equatable, Sendable {
  public var term: Term
  public var lastIndex: LogIndex
  public var lastTerm: Term
  public var isPreVote: Bool
  /// Part of a leadership transfer: voters do not refuse because they hear a live leader.
  public var isTransfer: Bool
  public init(
    term: Term, lastIndex: LogIndex, lastTerm: Term, isPreVote: Bool, isTransfer: Bool
  ) {
    self.term = term
    self.lastIndex = lastIndex
    self.lastTerm = lastTerm
    self.isPreVote = isPreVote
    self.isTransfer = isTransfer
  }
}

public struct VoteReply: Equatable, Sendable {
  /// For a granted PreVote the term that was asked for, otherwise the voter's term.
  public var term: Term
  public var granted: Bool
  public var isPreVote: Bool
  public init(term: Term, granted: Bool, isPreVote: Bool) {
    self.term = term
    self.granted = granted
    self.isPreVote = isPreVote
  }
}

public struct AppendEntries: Equatable, Sendable {
  public var term: Term
  public var previousIndex: LogIndex
  public var previousTerm: Term
  public var commitIndex: LogIndex
  public var entries: [Entry]
  public init(
    term: Term, previousIndex: LogIndex, previousTerm: Term, commitIndex: LogIndex,
    entries: [Entry]
  ) {
    self.term = term
    self.previousIndex = previousIndex
    self.previousTerm = previousTerm
    self.commitIndex = commitIndex
    self.entries = entries
  }
}

public struct AppendReply: Equatable, Sendable {
  public var term: Term
  public var outcome: Outcome

  public enum Outcome: Equatable, Sendable {
    /// Everything through this index agrees with the leader and is on the follower's disk.
    case matched(LogIndex)
    /// The entry at `previousIndex` was missing or of another term. The hint: the follower's log
    /// may agree up to `hintIndex`, whose term there is `hintTerm`.
    case conflict(previousIndex: LogIndex, hintIndex: LogIndex, hintTerm: Term)
  }
  public init(term: Term, outcome: Outcome) {
    self.term = term
    self.outcome = outcome
  }
}

public struct Heartbeat: Equatable, Sendable {
  public var term: Term
  /// At most what the receiver is known to have.
  public var commitIndex: LogIndex
  /// The newest round of ReadIndex (dissertation 6.4) that this heartbeat confirms; 0 for none.
  public var readRound: UInt64
  public init(term: Term, commitIndex: LogIndex, readRound: UInt64) {
    self.term = term
    self.commitIndex = commitIndex
    self.readRound = readRound
  }
}

public struct HeartbeatReply: Equatable, Sendable {
  public var term: Term
  public var readRound: UInt64
  public init(term: Term, readRound: UInt64) {
    self.term = term
    self.readRound = readRound
  }
}

public struct SnapshotChunk: Equatable, Sendable {
  public var term: Term
  public var meta: SnapshotMeta
  /// Position of `data` in the snapshot's bytes.
  public var offset: UInt64
  /// Size of the whole snapshot in bytes.
  public var totalBytes: UInt64
  public var data: [UInt8]
  public init(
    term: Term, meta: SnapshotMeta, offset: UInt64, totalBytes: UInt64, data: [UInt8]
  ) {
    self.term = term
    self.meta = meta
    self.offset = offset
    self.totalBytes = totalBytes
    self.data = data
  }
}

public struct SnapshotReply: Equatable, Sendable {
  public var term: Term
  public var index: LogIndex
  /// The next byte the follower wants; equals the total when all of it arrived.
  public var nextOffset: UInt64
  /// The follower has installed the snapshot, or already had everything in it.
  public var isInstalled: Bool
  public init(term: Term, index: LogIndex, nextOffset: UInt64, isInstalled: Bool) {
    self.term = term
    self.index = index
    self.nextOffset = nextOffset
    self.isInstalled = isInstalled
  }
}

public struct TimeoutNow: Equatable, Sendable {
  public var term: Term
  public init(term: Term) { self.term = term }
}

/// A follower asks the leader for a read index on behalf of its own batch `id`.
public struct ReadIndexRequest: Equatable, Sendable {
  public var term: Term
  public var id: ReadID
  public init(term: Term, id: ReadID) {
    self.term = term
    self.id = id
  }
}

public struct ReadIndexReply: Equatable, Sendable {
  public var term: Term
  public var id: ReadID
  /// Nil: refused (not the leader, or it lost leadership before it could confirm).
  public var index: LogIndex?
  public init(term: Term, id: ReadID, index: LogIndex?) {
    self.term = term
    self.id = id
    self.index = index
  }
}

/// Names one batch of reads; chosen by the caller, unique on one node while it lives.
public struct ReadID: Hashable, Sendable {
  public let value: UInt64
  public init(_ value: UInt64) { self.value = value }
}
