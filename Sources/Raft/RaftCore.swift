import Basics

/// The Raft consensus core: a value without I/O, clock, randomness of its own, or threads.
///
/// Happy path: `step` takes an input and adds to the effects what the caller must do. The handlers
/// of inputs (`Raft+….swift`, by concern) only change state; what a leader has to send follows from
/// that state at the end of the step (`flush`), so one step sends at most one run of appends to
/// each peer. Failures: a message that no honest node sends is ignored; a broken promise of our
/// own, or a leader that contradicts what is committed, stops the process (`RaftInvariants.swift`).
public struct RaftCore: Sendable {
  public enum Role: Equatable, Sendable {
    case follower
    case preCandidate
    case candidate
    case leader
  }

  public let id: NodeID
  public let options: RaftOptions
  public internal(set) var role = Role.follower
  public internal(set) var term: Term
  public internal(set) var leader: NodeID?
  public internal(set) var commitIndex: LogIndex
  public internal(set) var lastApplied: LogIndex
  /// The last entry known to be on the own disk.
  public internal(set) var persistedIndex: LogIndex
  public internal(set) var snapshotMeta: SnapshotMeta?

  /// The entries given at the start contradict the snapshot, or end before it (a crash came while
  /// it was being installed): the caller must empty its log on disk, so that the next entry in it
  /// is the one after the snapshot.
  public let hasDiscardedEntries: Bool

  var votedFor: NodeID?
  var log: EntryLog
  var configurations: ConfigurationHistory
  var random: SplitMix
  var election = ElectionState()
  var disk = DiskWatch()
  /// The hard state last handed to the caller.
  var handedOut: HardState
  /// Peers whose processes are gone, as far as this node's links tell.
  var brokenLinks: [NodeID] = []
  var forwardedReads: ForwardedReads
  var receiving: ReceivedSnapshot?
  /// The others, as the leader sees them, sorted by id; empty unless leader.
  var peers: [Progress] = []
  var leading = LeaderState()
  var reads = ReadQueue()

  /// - Parameters:
  ///   - seed: randomness for election timeouts; a fresh one for every start.
  ///   - configuration: the configuration as of `snapshot`, or the bootstrap configuration when
  ///     there is no snapshot. Empty for a node that waits to be added.
  ///   - entries: the log after the snapshot, contiguous; all of it is durable. May begin earlier,
  ///     with entries that the snapshot covers.
  public init(
    id: NodeID, options: RaftOptions, seed: UInt64, hardState: HardState,
    snapshot: SnapshotMeta?, configuration: Configuration, entries: [Entry]
  ) {
    self.id = id
    self.options = options.clamped
    random = SplitMix(seed: seed)
    forwardedReads = ForwardedReads(start: random.next())
    log = Self.recoveredLog(snapshot: snapshot, entries: entries)
    // Compared by term too: an entry that stays at the snapshot's own index and contradicts it
    // would make the next start discard all that was appended after it.
    let (lastIndex, lastTerm) = (log.lastIndex, log.lastTerm)
    hasDiscardedEntries =
      entries.last.map { $0.index != lastIndex || $0.term != lastTerm } ?? false
    // Entries may be durable whose hard state is not: then nothing was promised in their term.
    term = max(hardState.term, log.lastTerm, snapshot?.term ?? .zero)
    votedFor = term == hardState.term ? hardState.votedFor : nil
    let snapshotIndex = snapshot?.index ?? .zero
    snapshotMeta = snapshot
    lastApplied = snapshotIndex
    persistedIndex = log.lastIndex
    commitIndex = max(snapshotIndex, min(hardState.commitIndex, log.lastIndex))
    configurations = ConfigurationHistory(
      configuration, index: snapshot?.configurationIndex ?? .zero)
    handedOut = hardState
    for entry in log.entries where entry.kind == .configuration && entry.index > snapshotIndex {
      guard let configuration = Configuration(decoding: entry.payload) else {
        invariant(false, "entry \(entry.index) of the own log is no configuration")
        continue
      }
      configurations.append(configuration, index: entry.index)
    }
    resetElectionTimer()
  }

  private static func recoveredLog(snapshot: SnapshotMeta?, entries: [Entry]) -> EntryLog {
    for (entry, next) in zip(entries, entries.dropFirst()) {
      invariant(next.index == entry.index.next, "the log has a gap after \(entry.index)")
      invariant(next.term >= entry.term, "the log's term falls at \(next.index)")
    }
    guard let first = entries.first else {
      return EntryLog(baseIndex: snapshot?.index ?? .zero, baseTerm: snapshot?.term ?? .zero)
    }
    guard let snapshot else {
      invariant(first.index == LogIndex(1), "the log starts at \(first.index), without a snapshot")
      return EntryLog(entries: entries)
    }
    let empty = EntryLog(baseIndex: snapshot.index, baseTerm: snapshot.term)
    if first.index > snapshot.index {
      invariant(first.index == snapshot.index.next, "no entries between snapshot and log")
      // A crash came between installing a snapshot and emptying a log that it contradicts.
      guard first.term >= snapshot.term else { return empty }
      return EntryLog(baseIndex: snapshot.index, baseTerm: snapshot.term, entries: entries)
    }
    // The first entry lends its index and term to the base; what precedes it is unknown.
    let log = EntryLog(
      baseIndex: first.index, baseTerm: first.term, entries: Array(entries.dropFirst()))
    return log.term(at: snapshot.index) == snapshot.term ? log : empty
  }

  /// Takes one input and adds what must be done to `effects`.
  public mutating func step(_ input: Input, into effects: inout Effects) {
    let before = StepStart(of: self)
    switch input {
    case .tick: tick(into: &effects)
    case .message(let message, let from): receive(message, from: from, into: &effects)
    case .propose(let commands): propose(commands, into: &effects)
    case .persisted(let index, let term): persisted(through: index, term: term, into: &effects)
    case .read(let read): self.read(read, into: &effects)
    case .applied(let index):
      invariant(index <= commitIndex, "applied \(index), committed \(commitIndex)")
      lastApplied = max(lastApplied, index)
    case .compacted(let meta): compacted(meta, into: &effects)
    case .snapshotData(let to, let meta, let offset, let totalBytes, let data):
      sendChunk(data, of: meta, offset: offset, totalBytes: totalBytes, to: to, into: &effects)
    case .snapshotUnavailable(let to): snapshotUnavailable(to: to)
    case .snapshotInstalled(let meta): snapshotInstalled(meta, into: &effects)
    case .snapshotRejected(let index): snapshotRejected(index: index, into: &effects)
    case .linkBroken(let peer): linkBroken(peer, into: &effects)
    case .linkRestored(let peer): linkRestored(peer)
    case .changeMembership(let change): changeMembership(change, into: &effects)
    case .transferLeadership(let target): transferLeadership(to: target, into: &effects)
    case .setElectable(let isElectable): election.isElectable = isElectable
    }
    if role == .leader { flush(into: &effects) }
    handOut(since: before, into: &effects)
    checkStep(since: before)
  }

  private mutating func tick(into effects: inout Effects) {
    disk.tick(isPending: persistedIndex < lastIndex)
    if role == .leader { tickLeader(into: &effects) } else { tickElection(into: &effects) }
  }

  /// Hands out what has changed and must reach the disk or the state machine.
  private mutating func handOut(since before: StepStart, into effects: inout Effects) {
    if commitIndex > before.commitIndex { effects.committedThrough = commitIndex }
    let now = hardState
    guard now != handedOut else { return }
    effects.hardState = now
    if now.term != handedOut.term || now.votedFor != handedOut.votedFor {
      effects.hardStateMustSync = true
      disk.isHardStatePending = true
    }
    handedOut = now
  }
}

// MARK: - What callers may look at

extension RaftCore {
  public var firstIndex: LogIndex { log.firstIndex }
  public var lastIndex: LogIndex { log.lastIndex }
  public var lastTerm: Term { log.lastTerm }

  /// The commit index in it is at most what the own disk has, so that whatever part of a write
  /// survives a crash, entries that it calls committed are the ones that were.
  public var hardState: HardState {
    HardState(term: term, votedFor: votedFor, commitIndex: min(commitIndex, persistedIndex))
  }

  /// The newest configuration in the log, committed or not.
  public var configuration: Configuration { configurations.current }
  public var configurationIndex: LogIndex { configurations.currentIndex }

  /// This leader has committed an entry of its own term.
  public var isEstablishedLeader: Bool { role == .leader && commitIndex >= leading.termStart }
  public var isTransferring: Bool { role == .leader && leading.transfer != nil }

  /// Ticks since this node, as a follower, last heard the leader; 0 on the leader.
  public var ticksSinceLeaderContact: Int { role == .leader ? 0 : election.ticksSinceLeader }

  /// So many ticks may come at once, and nothing is late: 1 while something is under way that goes
  /// by single ticks, and as soon as a heartbeat is missed; else those to the next heartbeat.
  public var ticksAtOnce: Int {
    guard isQuiet else { return 1 }
    let interval = options.quietHeartbeatTicks
    return role == .leader
      ? max(1, interval - leading.heartbeatTicks)
      : max(1, interval + Self.heartbeatLatenessTicks - election.ticksSinceLeader)
  }

  /// A heartbeat may be so late before a quiet follower counts every tick again.
  private static let heartbeatLatenessTicks = 2

  /// Nothing is under way.
  var isQuiet: Bool {
    switch role {
    case .leader:
      commitIndex == lastIndex && leading.transfer == nil && reads.count == 0
        && !peers.contains { peer in
          peer.isInstalling || peer.departingTicks != nil
            || peer.isReplicating && peer.toldCommit < commitIndex
        }
    case .follower:
      leader != nil && election.rushTicks == nil && receiving == nil
        && election.ticksSinceLeader < options.quietHeartbeatTicks + Self.heartbeatLatenessTicks
    case .preCandidate, .candidate: false
    }
  }

  /// On the leader: how it sees the others. Empty elsewhere.
  public var progress: [PeerProgress] {
    peers.map { peer in
      PeerProgress(
        id: peer.id, matchIndex: peer.matchIndex, nextIndex: peer.nextIndex,
        isLearner: peer.isLearner, isInstallingSnapshot: peer.isInstalling,
        isActive: peer.isActive(options), ticksSinceContact: peer.ticksSinceContact)
    }
  }

  /// How the leader sees one peer; for status tables and metrics.
  public struct PeerProgress: Equatable, Sendable {
    public var id: NodeID
    public var matchIndex: LogIndex
    public var nextIndex: LogIndex
    public var isLearner: Bool
    public var isInstallingSnapshot: Bool
    /// Heard from within the last election timeout.
    public var isActive: Bool
    /// Ticks since the last message of this peer.
    public var ticksSinceContact: Int
  }

  /// The configuration in force at `index` (committed or not), for a snapshot at that index.
  public func configuration(at index: LogIndex) -> (Configuration, LogIndex) {
    let item = configurations.inForce(at: index)
    return (item.configuration, item.index)
  }

  /// The term of the entry at `index`; nil when it is compacted away or not there.
  public func term(at index: LogIndex) -> Term? { log.term(at: index) }

  /// Entries in memory, clipped to what is there.
  public func entries(from: LogIndex, through: LogIndex) -> ArraySlice<Entry> {
    log.slice(from: from, through: through)
  }
}

/// Whether the own disk keeps up.
struct DiskWatch: Equatable, Sendable {
  /// A term or vote was handed out, and nothing was reported durable since.
  var isHardStatePending = false
  /// Ticks with something pending and nothing reported.
  private(set) var stalledTicks = 0

  mutating func tick(isPending: Bool) {
    stalledTicks = isPending || isHardStatePending ? stalledTicks + 1 : 0
  }

  mutating func progressed() {
    isHardStatePending = false
    stalledTicks = 0
  }
}
