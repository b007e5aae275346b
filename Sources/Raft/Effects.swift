/// Everything that can happen to a node, as a value: a run is a list of these.
public enum Input: Equatable, Sendable {
  /// One tick of the caller's clock; how long it is, is the caller's (`RaftOptions` counts in ticks).
  case tick
  case message(Message, from: NodeID)
  /// Commands to append, in order; only a leader accepts. The answer is `Effects.proposal`.
  case propose([[UInt8]])
  /// Everything handed out in `Effects.append` through this entry is durable, and so is every
  /// `hardState` that was handed out before it. Also said when only a hard state was written
  /// (then with the last durable entry).
  case persisted(through: LogIndex, term: Term)
  /// One batch of linearizable reads; the answer comes in `Effects.reads`.
  case read(ReadID)
  /// The state machine has applied through this index.
  case applied(through: LogIndex)
  /// The caller has a snapshot through `meta.index` on disk; the log before it may be dropped,
  /// but for `RaftOptions.trailingEntries` / `trailingBytes` that slow followers may still need.
  case compacted(SnapshotMeta)
  /// Bytes of the snapshot that `Effects.snapshotReads` asked for.
  case snapshotData(to: NodeID, meta: SnapshotMeta, offset: UInt64, totalBytes: UInt64, [UInt8])
  /// The bytes asked for cannot be had (snapshot replaced by a newer one, read error).
  case snapshotUnavailable(to: NodeID)
  /// A snapshot that `Effects.snapshotChunks` completed is durable and loaded.
  case snapshotInstalled(SnapshotMeta)
  /// A complete snapshot was damaged or could not be loaded: start the transfer afresh.
  case snapshotRejected(index: LogIndex)
  /// All connections to this peer broke, and it refuses new ones: its process is gone.
  case linkBroken(NodeID)
  /// A connection to this peer was (re-)established.
  case linkRestored(NodeID)
  /// Leader only: go to the given configuration through joint consensus.
  case changeMembership(MembershipChange)
  /// Leader only: hand over to this member, or to the one best suited when nil.
  case transferLeadership(to: NodeID?)
  /// Do not campaign while true (for example: the disk is full or hangs).
  case setElectable(Bool)
}

/// A wish for the next configuration, relative to the current one. Applied all at once.
public struct MembershipChange: Equatable, Sendable {
  /// Members to add as learners (or whose context changes, when they are members already).
  public var addLearners: [Member]
  /// Members to add as voters at once, and learners to promote.
  public var promote: [NodeID]
  public var remove: [NodeID]
  public init(addLearners: [Member] = [], promote: [NodeID] = [], remove: [NodeID] = []) {
    self.addLearners = addLearners
    self.promote = promote
    self.remove = remove
  }
}

/// What the caller must do after a step. Owned and reused by the caller; `step` only adds to it,
/// `removeAll()` empties it and keeps the capacity.
///
/// The rules: `hardState` and `append` go to disk in the order given; `sendAfterSync` leaves only
/// when everything handed out before and together with it is durable; all else may be done at once.
public struct Effects: Sendable {
  /// Term and vote to persist; later values replace earlier ones.
  public var hardState: HardState?
  /// `hardState` must be synced even if nothing is appended (term or vote changed, not only commit).
  public var hardStateMustSync = false
  /// Entries to append. An index that is already in the log means: everything from there on is
  /// replaced (and nothing of it was committed).
  public var append: [Entry] = []
  public var send: [Envelope] = []
  public var sendAfterSync: [Envelope] = []
  /// Newly committed, to be applied in order: `raft.entries(from:through:)` has them.
  public var committedThrough: LogIndex?
  /// What became of the `propose` input of this step.
  public var proposal: ProposalResult?
  public var reads: [ReadResult] = []
  /// Snapshot bytes to read and feed back as `snapshotData`.
  public var snapshotReads: [SnapshotRead] = []
  /// Chunks received in order, to be written to the snapshot store; after the one with
  /// `isLast` the caller loads the snapshot and says `snapshotInstalled` (or `snapshotRejected`).
  public var snapshotChunks: [ReceivedChunk] = []
  /// The log was cut: entries through this index may be deleted on disk.
  public var compactedThrough: LogIndex?
  /// A snapshot through this index took the place of the whole log, on disk too: before anything
  /// in `append` is written, the log must be emptied so that its next entry is the one after it.
  public var logResetAfter: LogIndex?
  public var membership: MembershipResult?
  public var events: [RaftEvent] = []

  public init() {}

  /// Empties all of it and keeps the buffers.
  public mutating func removeAll() {
    hardState = nil
    hardStateMustSync = false
    append.removeAll(keepingCapacity: true)
    send.removeAll(keepingCapacity: true)
    sendAfterSync.removeAll(keepingCapacity: true)
    committedThrough = nil
    proposal = nil
    reads.removeAll(keepingCapacity: true)
    snapshotReads.removeAll(keepingCapacity: true)
    snapshotChunks.removeAll(keepingCapacity: true)
    compactedThrough = nil
    logResetAfter = nil
    membership = nil
    events.removeAll(keepingCapacity: true)
  }
}

public struct Envelope: Equatable, Sendable {
  public var to: NodeID
  public var message: Message
  public init(to: NodeID, message: Message) {
    self.to = to
    self.message = message
  }
}

public enum ProposalResult: Equatable, Sendable {
  /// Appended at `first ..< first + count`, in `term`. Committed if and only if the entry that
  /// is applied at such an index carries this term.
  case accepted(first: LogIndex, term: Term)
  case rejected(ProposalRejection)
}

public enum ProposalRejection: Equatable, Sendable {
  case notLeader(leader: NodeID?)
  /// A leadership transfer is under way; try again in a moment.
  case transferring
  /// More uncommitted bytes than `RaftOptions.uncommittedBytesMax`.
  case overloaded
}

public struct ReadResult: Equatable, Sendable {
  public var id: ReadID
  /// Serve the read once applied through this index. Nil: refused, ask again.
  public var index: LogIndex?
  public init(id: ReadID, index: LogIndex?) {
    self.id = id
    self.index = index
  }
}

public struct SnapshotRead: Equatable, Sendable {
  public var to: NodeID
  /// Nil: take the newest snapshot there is and start at its first byte.
  public var index: LogIndex?
  public var offset: UInt64
  public var bytesMax: Int
  public init(to: NodeID, index: LogIndex?, offset: UInt64, bytesMax: Int) {
    self.to = to
    self.index = index
    self.offset = offset
    self.bytesMax = bytesMax
  }
}

public struct ReceivedChunk: Equatable, Sendable {
  public var meta: SnapshotMeta
  public var offset: UInt64
  public var totalBytes: UInt64
  public var data: [UInt8]
  public var isLast: Bool
  public init(
    meta: SnapshotMeta, offset: UInt64, totalBytes: UInt64, data: [UInt8], isLast: Bool
  ) {
    self.meta = meta
    self.offset = offset
    self.totalBytes = totalBytes
    self.data = data
    self.isLast = isLast
  }
}

public enum MembershipResult: Equatable, Sendable {
  /// The change was appended; it is done when `RaftEvent.configurationCommitted` names a
  /// configuration that is not joint.
  case accepted
  case rejected(MembershipRejection)
}

public enum MembershipRejection: Equatable, Sendable {
  case notLeader(leader: NodeID?)
  /// Another change is not finished, or this leader has not committed in its term yet.
  case busy
  case wouldLeaveNoVoter
  /// Nor can it become one if its context is too long (64 KiB).
  case notAMember(NodeID)
  /// Promotion of a learner that lags too far behind.
  case notCaughtUp(NodeID)
}

/// What happened, for logs, metrics and tests; the core itself neither logs nor counts.
public enum RaftEvent: Equatable, Sendable {
  case becameFollower(term: Term, leader: NodeID?)
  case becamePreCandidate(term: Term)
  case becameCandidate(term: Term)
  case becameLeader(term: Term)
  /// The first entry of this leader's term is committed: it may now serve reads and changes.
  case leadershipEstablished(term: Term)
  case steppedDown(term: Term, reason: StepDownReason)
  case leaderChanged(leader: NodeID?, term: Term)
  case configurationAppended(Configuration, index: LogIndex)
  case configurationCommitted(Configuration, index: LogIndex)
  /// This node is no member of the committed configuration any more.
  case removedFromCluster
  /// A learner's log is close enough to the leader's for a promotion.
  case learnerCaughtUp(NodeID)
  case snapshotSendStarted(to: NodeID, index: LogIndex)
  case snapshotSendFinished(to: NodeID, index: LogIndex)
  case transferStarted(to: NodeID)
  case transferFinished(succeeded: Bool)
  /// Entries that were not committed were replaced by the leader's.
  case logTruncated(from: LogIndex)
}

public enum StepDownReason: Equatable, Sendable {
  case higherTerm
  /// CheckQuorum: no majority was heard for an election timeout.
  case lostQuorum
  case removed
  /// The own disk, or commits, made no progress for too long; leadership was given away.
  case stalled
  case transferred
}
