import Basics

/// The Raft consensus core: a value without I/O, clock, randomness of its own, or threads.
/// STUB: the interface that the other targets build against.
public struct RaftCore: Sendable {
  public enum Role: Equatable, Sendable {
    case follower
    case preCandidate
    case candidate
    case leader
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

  public let id: NodeID
  public let options: RaftOptions

  /// - Parameters:
  ///   - seed: randomness for election timeouts.
  ///   - configuration: the configuration as of `snapshot`, or the bootstrap configuration when
  ///     there is no snapshot. Empty for a node that waits to be added.
  ///   - entries: the log after the snapshot, contiguous; all of it is durable.
  public init(
    id: NodeID, options: RaftOptions, seed: UInt64, hardState: HardState,
    snapshot: SnapshotMeta?, configuration: Configuration, entries: [Entry]
  ) {
    self.id = id
    self.options = options
  }

  /// Takes one input and adds what must be done to `effects`.
  public mutating func step(_ input: Input, into effects: inout Effects) {
    fatalError("stub")
  }

  public var role: Role { fatalError("stub") }
  public var term: Term { fatalError("stub") }
  public var leader: NodeID? { fatalError("stub") }
  public var commitIndex: LogIndex { fatalError("stub") }
  public var lastApplied: LogIndex { fatalError("stub") }
  public var firstIndex: LogIndex { fatalError("stub") }
  public var lastIndex: LogIndex { fatalError("stub") }
  public var lastTerm: Term { fatalError("stub") }
  public var persistedIndex: LogIndex { fatalError("stub") }
  public var hardState: HardState { fatalError("stub") }
  /// The newest configuration in the log, committed or not.
  public var configuration: Configuration { fatalError("stub") }
  public var configurationIndex: LogIndex { fatalError("stub") }
  public var snapshotMeta: SnapshotMeta? { fatalError("stub") }
  /// This leader has committed an entry of its own term.
  public var isEstablishedLeader: Bool { fatalError("stub") }
  public var isTransferring: Bool { fatalError("stub") }
  /// Ticks since this node, as a follower, last heard the leader; 0 on the leader.
  public var ticksSinceLeaderContact: Int { fatalError("stub") }
  /// On the leader: how it sees the others. Empty elsewhere.
  public var progress: [PeerProgress] { fatalError("stub") }
  /// The configuration in force at `index` (committed or not), for a snapshot at that index.
  public func configuration(at index: LogIndex) -> (Configuration, LogIndex) { fatalError("stub") }
  /// The term of the entry at `index`; nil when it is compacted away or not there.
  public func term(at index: LogIndex) -> Term? { fatalError("stub") }
  /// Entries in memory, clipped to what is there.
  public func entries(from: LogIndex, through: LogIndex) -> ArraySlice<Entry> {
    fatalError("stub")
  }
}
