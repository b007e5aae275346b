/// How the leader sees one peer: what it has, what to send it next, and in which manner.
///
/// Happy path: a peer starts `probing` (one append at a time, to find where the logs agree), and
/// its first success makes it `replicating` (appends are sent without waiting, within the window).
/// A peer whose next entry is compacted away is `installing` a snapshot, then probes again.
/// Whatever goes wrong (a conflict, a broken link, no answer for long) leads back to `probing`.
struct Progress: Equatable, Sendable {
  enum State: Equatable, Sendable {
    case probing(Probe)
    case replicating
    case installing(Installation)
  }

  struct Probe: Equatable, Sendable {
    /// One probe is out; no other before its answer, or a heartbeat's after a while.
    var isPaused = false
    /// Only asks whether the logs agree: its predecessor, lost or late, carried entries.
    var isBare = false
    var ticks = 0
  }

  let id: NodeID
  /// The highest entry known to be on the peer's disk. Never falls within a term.
  private(set) var matchIndex: LogIndex = .zero
  /// The next entry to send; above `matchIndex`.
  private(set) var nextIndex: LogIndex
  var state = State.probing(Probe())
  var inflights = Inflights()
  var isLearner: Bool
  var ticksSinceContact = 0
  /// Ticks in which appends were unanswered and the match index did not move.
  var ticksWithoutProgress = 0
  /// The newest round of ReadIndex the peer has confirmed.
  var confirmedRound: UInt64 = 0
  /// The commit index the peer can know of, if nothing was lost.
  var toldCommit: LogIndex = .zero
  /// A message of its own may tell the commit index: once a tick, and always for a read. Under load
  /// the next append carries it, and a message with its answer per commit costs as much as the
  /// append.
  var mayTellCommit = true
  var reportedCaughtUp = false
  /// Left to tell a member that was removed about it; nil for members.
  var departingTicks: Int?

  init(id: NodeID, nextIndex: LogIndex, isLearner: Bool) {
    self.id = id
    self.nextIndex = nextIndex
    self.isLearner = isLearner
  }

  var isInstalling: Bool { if case .installing = state { true } else { false } }
  var isReplicating: Bool { state == .replicating }

  func isActive(_ options: RaftOptions) -> Bool { ticksSinceContact < options.electionTicks }

  func maySend(_ options: RaftOptions) -> Bool {
    switch state {
    case .probing(let probe): !probe.isPaused
    case .replicating: !inflights.isFull(options)
    case .installing: false
    }
  }

  mutating func becomeProbing(isPaused: Bool = false) {
    inflights.removeAll()
    nextIndex = matchIndex.next
    ticksWithoutProgress = 0
    state = .probing(Probe(isPaused: isPaused))
  }

  mutating func becomeReplicating() {
    inflights.removeAll()
    nextIndex = matchIndex.next
    ticksWithoutProgress = 0
    state = .replicating
  }

  mutating func becomeInstalling() {
    inflights.removeAll()
    ticksWithoutProgress = 0
    state = .installing(Installation())
  }

  /// An append with entries through `lastIndex` (or none) is on its way.
  mutating func sent(lastIndex: LogIndex, bytes: Int, entryCount: Int) {
    switch state {
    case .probing: state = .probing(Probe(isPaused: true, isBare: true))
    case .replicating where entryCount > 0:
      nextIndex = lastIndex.next
      inflights.add(lastIndex: lastIndex, bytes: bytes)
    case .replicating, .installing: break
    }
  }

  /// The peer has everything through `index`. True when that is news.
  mutating func matched(_ index: LogIndex) -> Bool {
    inflights.free(through: index)
    nextIndex = max(nextIndex, index.next)
    guard index > matchIndex else { return false }
    matchIndex = index
    ticksWithoutProgress = 0
    return true
  }

  /// The peer has no matching entry at `previousIndex`; `agreement` is where the logs may agree.
  /// False when the answer is stale: overtaken by a success or by another probe.
  mutating func conflicted(previousIndex: LogIndex, agreement: LogIndex) -> Bool {
    switch state {
    case .replicating:
      guard previousIndex > matchIndex else { return false }
      becomeProbing()
      return true
    case .probing:
      guard previousIndex == nextIndex.previous else { return false }
      if previousIndex <= matchIndex {
        // A stale answer, or the peer's disk lost what it had acknowledged. In that case no probe
        // will succeed: the next one waits for a heartbeat's answer.
        state = .probing(Probe(isPaused: true, isBare: true))
        return false
      }
      let next = min(previousIndex, agreement.next)
      nextIndex = max(next, matchIndex.next)
      state = .probing(Probe())
      return true
    case .installing:
      return false
    }
  }

  /// Heartbeats answered while appends are not: they are lost, or the peer's disk is slow.
  mutating func recoverFromLoss(_ options: RaftOptions, lastIndex: LogIndex) {
    switch state {
    case .probing(var probe):
      guard probe.isPaused, probe.ticks >= 2 * options.heartbeatTicks else { return }
      probe.isPaused = false
      probe.ticks = 0
      state = .probing(probe)
    case .replicating:
      let isStuck = !inflights.isEmpty && ticksWithoutProgress >= options.electionTicks
      let isLost = inflights.isEmpty && nextIndex > lastIndex && matchIndex < lastIndex
      if isStuck || isLost { becomeProbing() }
    case .installing: break
    }
  }

  mutating func tick() {
    mayTellCommit = true
    ticksSinceContact = min(ticksSinceContact + 1, Self.ticksMax)
    if !inflights.isEmpty { ticksWithoutProgress += 1 }
    switch state {
    case .probing(var probe):
      probe.ticks += 1
      state = .probing(probe)
    case .installing(var installation):
      installation.ticks += 1
      state = .installing(installation)
    case .replicating: break
    }
  }

  /// Where counters of ticks stop: days, at any sensible tick.
  static let ticksMax = 1 << 40
}

/// The transfer of one snapshot to one peer: one chunk at a time.
struct Installation: Equatable, Sendable {
  enum Step: Equatable, Sendable {
    /// The caller is to be asked for the bytes at `offset`.
    case needsRead
    case reading
    /// A chunk is on its way.
    case sent
    /// Nothing to read just now; tried again after a heartbeat's time.
    case waiting
  }
  var step = Step.needsRead
  /// Nil until the caller has named a snapshot.
  var meta: SnapshotMeta?
  var offset: UInt64 = 0
  var totalBytes: UInt64 = 0
  var ticks = 0
}
