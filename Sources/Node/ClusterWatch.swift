package import Raft
package import Registry

/// Keeps nodes apart that must not meet: of a cluster formed by accident beside another of the
/// same name, and members whose disk holds less than it once did.
///
/// Happy path: the first leader draws the cluster's id and replicates it; every node keeps it and
/// says it in each handshake. The leader also replicates, for every member, how often its data
/// directory was started and how far its disk has acknowledged the log: at once when a start is
/// new, every two seconds while the log grows.
///
/// Failures: a node that says hello with fewer starts, or with a shorter log, than is known of it
/// has an old copy of its data, or is a clone: nobody speaks with it, so its vote counts nowhere.
/// A hello that was overtaken by acknowledgements looks alike, so the refused node decides: its log
/// either reaches what the other says it held, or is an old copy. Such a node puts its data aside and
/// joins as a new one, but only while the others have a leader without it; otherwise its data may be
/// the last there are, and people must look. What this cannot see: a copy that lags behind by less
/// than two seconds, shown to a leader that never heard the original.
///
/// Pure: the node and the simulator drive it.
package struct ClusterWatch {
  static let markNanoseconds: UInt64 = 2_000_000_000
  static let retryNanoseconds: UInt64 = 1_000_000_000

  /// What a member says of itself in its handshake.
  package struct Hello {
    package var node: NodeID
    /// Starts of its data directory.
    package var incarnation: UInt64
    /// Its log reached so far then.
    package var persistedIndex: UInt64
    package init(node: NodeID, incarnation: UInt64, persistedIndex: UInt64) {
      self.node = node
      self.incarnation = incarnation
      self.persistedIndex = persistedIndex
    }
  }

  /// As the members said it in their handshakes; by node.
  var incarnations: [(node: NodeID, incarnation: UInt64)] = []
  var isProposing = false
  var nextMarksAt: UInt64 = 0
  /// Who told this node that its data is an old copy, since when, and when last.
  var accusers: [(node: NodeID, since: UInt64, last: UInt64)] = []
  /// Who was refused for that by this node, and when last.
  var refused: [(node: NodeID, at: UInt64)] = []

  package init() {}

  package mutating func note(_ node: NodeID, _ incarnation: UInt64) {
    if let place = incarnations.firstIndex(where: { $0.node == node }) {
      incarnations[place].incarnation = max(incarnations[place].incarnation, incarnation)
    } else {
      incarnations.append((node, incarnation))
    }
  }

  func incarnation(of node: NodeID) -> UInt64 {
    incarnations.first { $0.node == node }?.incarnation ?? 0
  }
}

// MARK: - The leader's marks

extension ClusterWatch {
  /// What the leader replicates now; nil: nothing new. Without an id of the cluster while none is
  /// known: the caller draws one.
  package mutating func news(
    _ raft: RaftCore, own id: NodeID, starts: UInt64, known: ClusterRecord, now: UInt64
  ) -> ClusterRecord? {
    let marks = marks(raft, own: id, starts: starts)
    let hasNewStart =
      known.id == nil
      || marks.contains { $0.incarnation > known.mark(of: $0.node)?.incarnation ?? 0 }
    guard now >= nextMarksAt || hasNewStart else { return nil }
    nextMarksAt = now + Self.markNanoseconds
    // The last marks are an entry themselves: an idle cluster writes none.
    let hasGrown = marks.contains { $0.index > (known.mark(of: $0.node)?.index ?? 0) + 1 }
    return hasNewStart || hasGrown ? ClusterRecord(marks: marks) : nil
  }

  private func marks(
    _ raft: RaftCore, own id: NodeID, starts: UInt64
  ) -> [ClusterRecord.Mark] {
    let progress = raft.progress
    return raft.configuration.members.map { member in
      let held =
        member.id == id
        ? raft.persistedIndex : progress.first { $0.id == member.id }?.matchIndex ?? .zero
      // Only what is committed stays on a disk for ever.
      return ClusterRecord.Mark(
        node: member.id.value,
        incarnation: member.id == id ? starts : incarnation(of: member.id),
        index: min(held, raft.commitIndex).value)
    }
  }
}

// MARK: - Old copies

extension ClusterWatch {
  /// What is wrong with a member that says hello, and what it is known to have had (`.max`: another
  /// start was seen; 0: nothing may follow from this); nil: nothing is wrong.
  package static func doubt(
    about other: Hello, _ raft: RaftCore, known: ClusterRecord, name: (NodeID) -> String
  ) -> (text: String, heldIndex: UInt64)? {
    guard raft.configuration.names(other.node) else { return nil }
    let hasLeader = raft.leader.map { $0 != other.node } ?? false
    let mark = known.mark(of: other.node.value)
    if let mark, other.incarnation < mark.incarnation {
      let text =
        "the data directory of \(name(other.node)) is an old copy or a clone: this is"
        + " its start \(other.incarnation), and start \(mark.incarnation) was seen"
      return (text, hasLeader ? .max : 0)
    }
    var held = mark?.index ?? 0
    if let progress = raft.progress.first(where: { $0.id == other.node }) {
      held = max(held, min(progress.matchIndex, raft.commitIndex).value)
    }
    guard other.persistedIndex < held else { return nil }
    let text =
      "the data directory of \(name(other.node)) is an old copy: its log ended at"
      + " \(other.persistedIndex) when it said so, and it had acknowledged \(held)"
    return (text, hasLeader ? held : 0)
  }

  /// Another member refuses this node as an old copy. What it goes by is replicated state, but one
  /// that went wrong must not take down more than itself: of five or more, two have to say so.
  ///
  /// - Parameter patience: so long they have to say so; a leader who lost its majority to such nodes
  ///   notices within this time.
  /// - Returns: whether it is one.
  package mutating func isOldCopy(
    accordingTo accuser: NodeID, heldIndex: UInt64, persistedIndex: UInt64, voters: Int,
    patience: UInt64, now: UInt64
  ) -> Bool {
    guard heldIndex > persistedIndex else {
      accusers.removeAll { $0.node == accuser }
      return false
    }
    accusers.removeAll { now >= $0.last + patience }
    if let place = accusers.firstIndex(where: { $0.node == accuser }) {
      accusers[place].last = now
    } else {
      accusers.append((accuser, now, now))
    }
    let lasting = accusers.count { now >= $0.since + patience }
    return lasting >= max(1, voters / 2)
  }
}
