import EventLoop
import Peer
import Raft
import Registry
import Storage

/// What keeps nodes apart, see `ClusterWatch`: told to it, and done as it says.
extension Node {
  func noteIncarnation(_ other: PeerIdentity) {
    guard raft.configuration.names(other.nodeID) else { return }
    clusterWatch.note(other.nodeID, other.incarnation)
  }

  /// With every coarse tick: the leader replicates what is new.
  func tendCluster() {
    adoptClusterID()
    let known = registry.cluster
    guard raft.isEstablishedLeader, !isStopping, !clusterWatch.isProposing,
      raft.configuration.outgoing.isEmpty,
      var news = clusterWatch.news(
        raft, own: id, starts: identity?.incarnation ?? 0, known: known, now: loop.now)
    else { return }
    if known.id == nil {
      news.id = UniqueID(
        high: UInt64.random(in: 1 ... .max), low: UInt64.random(in: 1 ... .max))
    }
    clusterWatch.isProposing = true
    propose(.cluster(news, replacesID: false), RequestContext()) { [weak self] result in
      guard let self else { return }
      clusterWatch.isProposing = false
      if case .failure = result {
        clusterWatch.nextMarksAt = loop.now + ClusterWatch.retryNanoseconds
      }
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
    guard other.clusterID != nil else { return nil }
    let hello = ClusterWatch.Hello(
      node: other.nodeID, incarnation: other.incarnation, persistedIndex: other.persistedIndex)
    let doubt = ClusterWatch.doubt(about: hello, raft, known: registry.cluster) { name(of: $0) }
    return doubt.map { PeerDoubt(text: $0.text, heldIndex: $0.heldIndex) }
  }

  /// Another member refuses this node as an old copy.
  func accused(_ rejection: PeerRejection) {
    guard rejection.reason == .oldCopy, !rejection.isOurs, let accuser = rejection.nodeID,
      raft.configuration.hasVoter(accuser)
    else { return }
    let isOldCopy = clusterWatch.isOldCopy(
      accordingTo: accuser, heldIndex: rejection.heldIndex,
      persistedIndex: transport.persistedIndex, voters: raft.configuration.voters.count,
      patience: UInt64(configuration.raft.electionTimeoutMilliseconds) * 4_000_000, now: loop.now)
    if isOldCopy {
      rebuild("the other members say that this node must not vote: \(rejection.text)")
    }
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
