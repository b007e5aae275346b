/// Identifies one incarnation of one node: a node whose disk was lost comes back under a new id.
/// Never zero.
public struct NodeID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let value: UInt64
  public init(_ value: UInt64) { self.value = value }
  public static func < (a: NodeID, b: NodeID) -> Bool { a.value < b.value }
  public var description: String { String(value, radix: 16) }
}

/// A term of the Raft paper (section 5.1): 0 before the first election, never falls on a node.
public struct Term: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let value: UInt64
  public init(_ value: UInt64) { self.value = value }
  public static let zero = Term(0)
  public static func < (a: Term, b: Term) -> Bool { a.value < b.value }
  /// The greatest term stays what it is: such a number never comes from an election.
  public var next: Term { Term(value == .max ? value : value + 1) }
  public var description: String { String(value) }
}

/// A position in the log, 1-based; 0 means "before the first entry".
public struct LogIndex: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let value: UInt64
  public init(_ value: UInt64) { self.value = value }
  public static let zero = LogIndex(0)
  public static func < (a: LogIndex, b: LogIndex) -> Bool { a.value < b.value }
  /// The greatest index stays what it is: no log is that long.
  public var next: LogIndex { LogIndex(value == .max ? value : value + 1) }
  /// The position before this one; 0 stays 0.
  public var previous: LogIndex { LogIndex(value == 0 ? 0 : value - 1) }
  public var description: String { String(value) }
}

/// One log entry. The payload is opaque to Raft: the same bytes go to the log file, to the
/// followers and to the state machine.
public struct Entry: Equatable, Sendable {
  public enum Kind: UInt8, Sendable {
    /// Appended by a new leader (paper, section 8); carries nothing.
    case noop = 0
    /// A command of the state machine.
    case command = 1
    /// A `Configuration`, encoded by the caller's codec (`Configuration.encode`).
    case configuration = 2
  }
  public var index: LogIndex
  public var term: Term
  public var kind: Kind
  public var payload: [UInt8]

  public init(index: LogIndex, term: Term, kind: Kind, payload: [UInt8]) {
    self.index = index
    self.term = term
    self.kind = kind
    self.payload = payload
  }
}

/// What must be on disk before a node answers anything that relies on it (paper, figure 2).
public struct HardState: Equatable, Sendable {
  public var term: Term
  public var votedFor: NodeID?
  /// Written along when something else is written, never synced for its own sake: it lets a
  /// restarted node answer stale reads from what it knew to be committed.
  public var commitIndex: LogIndex

  public init(term: Term = .zero, votedFor: NodeID? = nil, commitIndex: LogIndex = .zero) {
    self.term = term
    self.votedFor = votedFor
    self.commitIndex = commitIndex
  }
}

/// One member as the configuration names it. `context` is opaque to Raft (the node keeps the
/// member's name and peer address there).
public struct Member: Equatable, Sendable {
  public var id: NodeID
  public var context: [UInt8]
  public init(id: NodeID, context: [UInt8]) {
    self.id = id
    self.context = context
  }
}

/// Which members vote and which only learn. While `outgoing` is not empty the configuration is
/// joint (dissertation 4.3): an election or a commit needs a majority of `voters` *and* one of
/// `outgoing`. All lists are sorted by id and free of duplicates.
public struct Configuration: Equatable, Sendable {
  /// The incoming (or only) set of voters.
  public var voters: [NodeID]
  /// The outgoing set of voters during a joint configuration; empty otherwise.
  public var outgoing: [NodeID]
  /// Receive entries, have no vote. A voter that is to become a learner when the joint phase
  /// ends is in `outgoing` and in `learners`.
  public var learners: [NodeID]
  /// Every member that is named above, with its context; sorted by id.
  public var members: [Member]

  public init(
    voters: [NodeID] = [], outgoing: [NodeID] = [], learners: [NodeID] = [], members: [Member] = []
  ) {
    self.voters = voters
    self.outgoing = outgoing
    self.learners = learners
    self.members = members
  }
}

/// Where a snapshot stands and which members it knew.
public struct SnapshotMeta: Equatable, Sendable {
  /// The last entry the snapshot contains.
  public var index: LogIndex
  public var term: Term
  public var configuration: Configuration
  /// The log index of that configuration.
  public var configurationIndex: LogIndex

  public init(
    index: LogIndex, term: Term, configuration: Configuration, configurationIndex: LogIndex
  ) {
    self.index = index
    self.term = term
    self.configuration = configuration
    self.configurationIndex = configurationIndex
  }
}
