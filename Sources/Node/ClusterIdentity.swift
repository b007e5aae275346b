import EventLoop
import Peer
import Raft
import Registry
import Storage

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
struct ClusterWatch {
  static let markNanoseconds: UInt64 = 2_000_000_000
  static let retryNanoseconds: UInt64 = 1_000_000_000

  /// As the members said it in their handshakes; by node.
  var incarnations: [(node: NodeID, incarnation: UInt64)] = []
  var isProposing = false
  var nextMarksAt: UInt64 = 0
  /// Who told this node that its data is an old copy, since when, and when last.
  var accusers: [(node: NodeID, since: UInt64, last: UInt64)] = []
  /// Who was refused for that by this node, and when last.
  var refused: [(node: NodeID, at: UInt64)] = []

  mutating func note(_ node: NodeID, _ incarnation: UInt64) {
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

extension Node {
  func noteIncarnation(_ other: PeerIdentity) {
    guard raft.configuration.names(other.nodeID) else { return }
    clusterWatch.note(other.nodeID, other.incarnation)
  }

  /// With every coarse tick: the leader replicates what is new.
  func tendCluster() {
    adoptClusterID()
    guard raft.isEstablishedLeader, !isStopping, !clusterWatch.isProposing,
      raft.configuration.outgoing.isEmpty, loop.now >= clusterWatch.nextMarksAt || hasNewStart
    else { return }
    let known = registry.cluster
    var news = ClusterRecord(marks: currentMarks)
    if known.id == nil {
      news.id = UniqueID(
        high: UInt64.random(in: 1 ... .max), low: UInt64.random(in: 1 ... .max))
    }
    clusterWatch.nextMarksAt = loop.now + ClusterWatch.markNanoseconds
    // The last marks are an entry themselves: an idle cluster writes none.
    let hasGrown = news.marks.contains { $0.index > (known.mark(of: $0.node)?.index ?? 0) + 1 }
    guard known.id == nil || hasNewStart || hasGrown else { return }
    clusterWatch.isProposing = true
    propose(.cluster(news, replacesID: false), RequestContext()) { [weak self] result in
      guard let self else { return }
      clusterWatch.isProposing = false
      if case .failure = result {
        clusterWatch.nextMarksAt = loop.now + ClusterWatch.retryNanoseconds
      }
    }
  }

  private var hasNewStart: Bool {
    let known = registry.cluster
    return known.id == nil
      || currentMarks.contains { $0.incarnation > known.mark(of: $0.node)?.incarnation ?? 0 }
  }

  private var currentMarks: [ClusterRecord.Mark] {
    let progress = raft.progress
    return raft.configuration.members.map { member in
      let held =
        member.id == id
        ? raft.persistedIndex : progress.first { $0.id == member.id }?.matchIndex ?? .zero
      let starts =
        member.id == id
        ? identity?.incarnation ?? 0 : clusterWatch.incarnation(of: member.id)
      // Only what is committed stays on a disk for ever.
      return ClusterRecord.Mark(
        node: member.id.value, incarnation: starts, index: min(held, raft.commitIndex).value)
    }
  }

  /// As soon as the state machine knows the cluster's id, this node does, for ever.
  func adoptClusterID() {
    guard transport.identity.clusterID == nil, let id = registry.cluster.id,
      phase == .running || phase == .joining, !disk.isDiskFull, var own = identity
    else { return }
    own.clusterInstance = Self.bytes(of: id)
    do throws(StorageError) { try saveIdentity(own) } catch {
      // Without room for it the file stays as it was, and the next tick tries again.
      guard case .diskFull = error else {
        return fatal("the node's identity cannot be written: \(error)")
      }
      return
    }
    identity = own
    setClusterID(Self.bytes(of: id))
    logger.log(.info, "node", "the cluster's id is known", [("id", id.description)])
  }

  static func bytes(of id: UniqueID) -> [UInt8] {
    [id.high, id.low].flatMap { half in
      (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64(56 - 8 * $0)) }
    }
  }

  // MARK: Old copies

  /// What is wrong with a node that says hello; nil: nothing.
  func doubts(about other: PeerIdentity) -> PeerDoubt? {
    let doubt = findDoubts(about: other)
    clusterWatch.refused.removeAll { $0.node == other.nodeID }
    if doubt != nil { clusterWatch.refused.append((other.nodeID, loop.now)) }
    return doubt
  }

  private func findDoubts(about other: PeerIdentity) -> PeerDoubt? {
    guard other.clusterID != nil, raft.configuration.names(other.nodeID) else { return nil }
    let hasLeader = raft.leader.map { $0 != other.nodeID } ?? false
    let mark = registry.cluster.mark(of: other.nodeID.value)
    if let mark, other.incarnation < mark.incarnation {
      let text =
        "the data directory of \(name(of: other.nodeID)) is an old copy or a clone: this is"
        + " its start \(other.incarnation), and start \(mark.incarnation) was seen"
      return PeerDoubt(text: text, heldIndex: hasLeader ? .max : 0)
    }
    var held = mark?.index ?? 0
    if let progress = raft.progress.first(where: { $0.id == other.nodeID }) {
      held = max(held, min(progress.matchIndex, raft.commitIndex).value)
    }
    guard other.persistedIndex < held else { return nil }
    let text =
      "the data directory of \(name(of: other.nodeID)) is an old copy: its log ended at"
      + " \(other.persistedIndex) when it said so, and it had acknowledged \(held)"
    return PeerDoubt(text: text, heldIndex: hasLeader ? held : 0)
  }

  /// Another member refuses this node as an old copy. What it goes by is replicated state, but one
  /// that went wrong must not take down more than itself: of five or more, two have to say so.
  func accused(_ rejection: PeerRejection) {
    guard rejection.reason == .oldCopy, !rejection.isOurs, let accuser = rejection.nodeID,
      raft.configuration.hasVoter(accuser)
    else { return }
    guard rejection.heldIndex > transport.persistedIndex else {
      return clusterWatch.accusers.removeAll { $0.node == accuser }
    }
    let now = loop.now
    // A leader who lost its majority to such nodes notices within this time.
    let patience = UInt64(configuration.raft.electionTimeoutMilliseconds) * 4_000_000
    clusterWatch.accusers.removeAll { now >= $0.last + patience }
    if let place = clusterWatch.accusers.firstIndex(where: { $0.node == accuser }) {
      clusterWatch.accusers[place].last = now
    } else {
      clusterWatch.accusers.append((accuser, now, now))
    }
    let lasting = clusterWatch.accusers.count { now >= $0.since + patience }
    guard lasting >= max(1, raft.configuration.voters.count / 2) else { return }
    rebuild("the other members say that this node must not vote: \(rejection.text)")
  }

  /// The data of this node cannot be trusted. Nothing is served any more; the next start puts the
  /// data aside and joins as a new node.
  func rebuild(_ reason: String) {
    guard !isStopped, var own = identity else { return }
    own.mustRebuild = true
    metrics.increment(counters.rebuilds)
    logger.log(.error, "node", "\(reason). It serves nothing more and joins as a new node")
    endEverything(.stopping)
    transport.close()
    writeDown(own, reason)
  }

  /// Without room on the disk the node waits for some, as silent as it is.
  private func writeDown(_ own: NodeIdentity, _ reason: String) {
    guard !isClosed else { return }
    do throws(StorageError) {
      try saveIdentity(own)
      identity = own
      (onRebuild ?? onFatal)?(reason)
    } catch .diskFull {
      loop.schedule(after: Self.rebuildRetryNanoseconds) { [weak self] in
        self?.writeDown(own, reason)
      }
    } catch {
      onFatal?("\(reason); and this cannot be written down: \(error)")
    }
  }

  private static var rebuildRetryNanoseconds: UInt64 { 100_000_000 }
}
