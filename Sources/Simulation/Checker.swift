import Raft
import Registry
import Wire

/// Compares every node with what Raft promises, after every step of any of them.
///
/// It keeps one copy of what the cluster has agreed on (index by index, as first seen committed by
/// anyone) and holds each node against it: election safety, log matching, leader completeness and
/// state machine safety of the paper's figure 3, that a commit never goes back, and that equal
/// indexes mean equal states. The first difference is the `violation` that ends the run.
struct Checker {
  private struct Committed {
    var term: Term
    var hash: UInt64
    /// The commit is no newer than this term (the term of the node that was first seen to know).
    var knownInTerm: Term
  }
  private struct EntryName: Hashable {
    var index: LogIndex
    var term: Term
  }
  private struct EntryFacts: Equatable {
    var hash: UInt64
    var previousTerm: Term
  }

  /// The first broken promise.
  private(set) var violation: String?
  private var leaders: [Term: NodeID] = [:]
  /// `committed[i]` is the entry of index i + 1.
  private var committed: [Committed] = []
  private var facts: [EntryName: EntryFacts] = [:]
  private var stateHashes: [UInt64: UInt64] = [:]
  /// Where a command was committed first, by its name.
  private var positions: [UInt64: UInt64] = [:]
  /// Per slot: through where its commits were compared in this life.
  private var checkedThrough: [UInt64]
  private var lastTerm: [Term]
  /// States are compared at indexes divisible by this, more often at the start of a run, and
  /// wherever a snapshot ends.
  static let stateHashInterval: UInt64 = 64

  init(nodes: Int) {
    checkedThrough = Array(repeating: 0, count: nodes)
    lastTerm = Array(repeating: .zero, count: nodes)
  }

  var committedCount: Int { committed.count }

  private mutating func fail(_ reason: String) {
    if violation == nil { violation = reason }
  }

  // MARK: What nodes tell

  mutating func started(_ node: SimulatedNode) {
    let raft = node.raft
    checkedThrough[node.slot] = raft.snapshotMeta?.index.value ?? 0
    // A term that was taken and not synced may be forgotten: nobody was told of it.
    lastTerm[node.slot] = raft.term
    compareLog(raft.entries(from: raft.firstIndex, through: raft.lastIndex), of: node)
    compareCommits(of: node)
  }

  /// The disk is empty, and the node another one.
  mutating func wiped(_ node: SimulatedNode) {
    checkedThrough[node.slot] = 0
    lastTerm[node.slot] = .zero
  }

  /// What a watch relies on: an apply names every key that it changes.
  mutating func changed(_ node: SimulatedNode, watched keys: [Key]) {
    for (i, key) in keys.enumerated() {
      let index = node.registry.kv(key)?.modifyIndex ?? 0
      defer { node.watchedIndexes[i] = index }
      guard index != node.watchedIndexes[i] else { continue }
      let changes = node.changes
      let isNamed =
        changes.everything || changes.keys.contains(key)
        || changes.deletedPrefixes.contains { key.hasPrefix($0) }
      if !isNamed {
        return fail("watches: \(node.id) changes \(key) at \(node.lastApplied) and wakes nobody")
      }
    }
  }

  /// Election safety: at most one leader can be elected in a given term.
  mutating func elected(_ node: SimulatedNode, term: Term) {
    if let other = leaders.updateValue(node.id, forKey: term), other != node.id {
      return fail("election safety: both \(other) and \(node.id) lead in term \(term)")
    }
    leaderIsComplete(node, term: term)
  }

  /// Leader completeness: an entry committed in an earlier term is in the leader's log.
  private mutating func leaderIsComplete(_ node: SimulatedNode, term: Term) {
    let raft = node.raft
    let first = max(raft.firstIndex.value, (raft.snapshotMeta?.index.value ?? 0) + 1)
    guard first <= committed.count else { return }
    for index in first...UInt64(committed.count) {
      let entry = committed[Int(index) - 1]
      guard entry.knownInTerm < term else { continue }
      if raft.term(at: LogIndex(index)) != entry.term {
        return fail(
          "leader completeness: \(node.id) leads in term \(term) without the committed entry "
            + "\(index) of term \(entry.term)")
      }
    }
  }

  /// Log matching: entries of equal index and term are equal, and so is what precedes them (by
  /// induction over the term of the one before).
  ///
  /// A leader's own entries count once another node has them, or its disk has when it starts
  /// again: a lone voter may lose what it never sent, and lead in the same term once more.
  mutating func appended(_ entries: ArraySlice<Entry>, by node: SimulatedNode) {
    guard node.raft.role != .leader else { return }
    compareLog(entries, of: node)
  }

  private mutating func compareLog(_ entries: ArraySlice<Entry>, of node: SimulatedNode) {
    guard let first = entries.first else { return }
    var previousTerm = node.raft.term(at: first.index.previous)
    for entry in entries {
      if let previousTerm {
        let now = EntryFacts(hash: Self.hash(entry), previousTerm: previousTerm)
        let name = EntryName(index: entry.index, term: entry.term)
        if let known = facts.updateValue(now, forKey: name), known != now {
          return fail("log matching: two different entries \(entry.index)@\(entry.term)")
        }
      }
      previousTerm = entry.term
    }
  }

  mutating func stepped(_ node: SimulatedNode) {
    let term = node.raft.term
    if term < lastTerm[node.slot] {
      return fail("terms: that of \(node.id) fell to \(term)")
    }
    lastTerm[node.slot] = term
    compareCommits(of: node)
  }

  /// State machine safety, and "commit never lost": whatever any node calls committed is what
  /// was called committed before.
  private mutating func compareCommits(of node: SimulatedNode) {
    let commit = node.raft.commitIndex.value
    let from = checkedThrough[node.slot] + 1
    guard from <= commit else { return }
    checkedThrough[node.slot] = commit
    for entry in node.raft.entries(from: LogIndex(from), through: LogIndex(commit)) {
      let hash = Self.hash(entry)
      let position = Int(entry.index.value) - 1
      if position < committed.count {
        let known = committed[position]
        if known.term != entry.term || known.hash != hash {
          return fail(
            "state machine safety: \(node.id) commits \(entry.index)@\(entry.term), but "
              + "\(entry.index)@\(known.term) was committed before")
        }
      } else if position == committed.count {
        committed.append(Committed(term: entry.term, hash: hash, knownInTerm: node.raft.term))
        if entry.kind == .command {
          let name = Self.name(of: entry.payload)
          if positions[name] == nil { positions[name] = entry.index.value }
        }
      } else {
        return fail(
          "state machine safety: \(node.id) commits \(entry.index) before anyone led there")
      }
    }
  }

  mutating func applied(_ entry: Entry, by node: SimulatedNode) {
    let index = entry.index.value
    let interval = index < Self.stateHashInterval * 4 ? 8 : Self.stateHashInterval
    if index % interval == 0 { compareState(of: node) }
  }

  mutating func restored(_ node: SimulatedNode) {
    checkedThrough[node.slot] = max(checkedThrough[node.slot], node.lastApplied)
    compareState(of: node)
  }

  mutating func compareState(of node: SimulatedNode) {
    let hash = node.registry.stateHash()
    guard let known = stateHashes.updateValue(hash, forKey: node.lastApplied) else { return }
    if known != hash {
      fail("states differ: \(node.id) at index \(node.lastApplied)")
    }
  }

  func position(ofCommand name: UInt64) -> UInt64? { positions[name] }

  /// A number for an encoded command, whatever time a leader stamped on it, and whatever its sender
  /// knew.
  static func name(of payload: [UInt8]) -> UInt64 {
    var bytes = payload
    CommandEnvelope.stamp(&bytes, time: 0)
    CommandEnvelope.stamp(&bytes, floor: 0)
    return UInt64(Checksum.crc32c(bytes)) << 32 | UInt64(Checksum.crc32c(bytes, continuing: 1))
  }

  private static func hash(_ entry: Entry) -> UInt64 {
    UInt64(Checksum.crc32c(entry.payload)) << 24 ^ UInt64(entry.payload.count) << 4
      ^ UInt64(entry.kind.rawValue)
  }
}
