import Node
import Raft
import Registry
import Storage

/// What a node says of its disk and hears of the others': the production `ClusterWatch` and
/// `NodeIdentity`, driven as the node does. Only in runs with `knowsOldCopies`.
///
/// Happy path: two processes shake hands before the first packet between them, and speak with each
/// other from then on. Failures: whoever one of them takes for an old copy is not spoken with, and
/// hears why each time it tries; one that the cluster can do without gives its disk up.
struct DiskIdentity {
  var watch = ClusterWatch()
  /// How often a process was started on this disk.
  var starts: UInt64 = 0
  /// Processes that each found nothing wrong with the other, as seen from this one; by slot.
  var acquainted: [Process] = []
  /// Why it was refused last.
  var refusal: String?
  /// What is on the disk is put aside at the next tick.
  var isGivenUp = false

  static let directory = "node"
  /// Ticks between two looks.
  static let lookTicks: UInt64 = 10
}

extension SimulatedNode {
  /// One more start of this directory.
  func countStart() throws(StorageError) {
    diskIdentity = DiskIdentity()
    guard cluster.options.knowsOldCopies else { return }
    var own =
      try NodeIdentity.read(disk, directory: DiskIdentity.directory)
      ?? NodeIdentity(
        cluster: "simulated", nodeName: "n\(slot + 1)", nodeID: id.value, bootstrapped: true)
    own.incarnation += 1
    try own.write(disk, directory: DiskIdentity.directory)
    diskIdentity.starts = own.incarnation
  }

  private var hello: ClusterWatch.Hello {
    ClusterWatch.Hello(
      node: id, incarnation: diskIdentity.starts, persistedIndex: durable.index.value)
  }

  /// The leader replicates what is new about the members' disks.
  func tendCluster() {
    guard cluster.options.knowsOldCopies, sessions.ticks % DiskIdentity.lookTicks == 0,
      raft.isEstablishedLeader, raft.configuration.outgoing.isEmpty
    else { return }
    let known = registry.cluster
    guard
      var news = diskIdentity.watch.news(
        raft, own: id, starts: diskIdentity.starts, known: known, now: clock)
    else { return }
    if known.id == nil { news.id = UniqueID(high: 1, low: 1) }
    proposeDirectly(
      CommandEnvelope(
        time: cluster.wallMilliseconds, requestID: nil,
        command: .cluster(news, replacesID: false)
      ).encoded())
  }

  /// As many others as needed say that its disk is an old copy: it starts again with an empty one.
  func rebuild() {
    cluster.note("puts its disk aside: \(diskIdentity.refusal ?? "")", slot)
    giveUpDisk()
    cluster.restartLater(self)
  }

  /// A handshake, unless these two have had one.
  func isAcquainted(with other: SimulatedNode) -> Bool {
    guard cluster.options.knowsOldCopies else { return true }
    guard other.isUp else { return false }
    if diskIdentity.acquainted.contains(other.process) { return true }
    let isRefused = refuses(other)
    if other.refuses(self) || isRefused { return false }
    meet(other)
    other.meet(self)
    return true
  }

  private func meet(_ other: SimulatedNode) {
    diskIdentity.acquainted.removeAll { $0.node == other.slot }
    diskIdentity.acquainted.append(other.process)
    if raft.configuration.isMember(other.id) {
      diskIdentity.watch.note(other.id, other.diskIdentity.starts)
    }
  }

  /// Looks at what the other says of itself, and tells it what is wrong with it.
  private func refuses(_ other: SimulatedNode) -> Bool {
    let doubt = ClusterWatch.doubt(about: other.hello, raft, known: registry.cluster) { "\($0)" }
    guard let doubt else { return false }
    other.isRefused(by: self, doubt.text, heldIndex: doubt.heldIndex)
    return true
  }

  private func isRefused(by accuser: SimulatedNode, _ text: String, heldIndex: UInt64) {
    if diskIdentity.refusal != text { cluster.note("refused by \(accuser.id): \(text)", slot) }
    diskIdentity.refusal = text
    guard raft.configuration.isVoter(accuser.id) else { return }
    let options = cluster.options
    let isOldCopy = diskIdentity.watch.isOldCopy(
      accordingTo: accuser.id, heldIndex: heldIndex, persistedIndex: durable.index.value,
      voters: raft.configuration.voters.count,
      patience: UInt64(options.raft.electionTicks) * options.tickMicroseconds * 4_000, now: clock)
    if isOldCopy { diskIdentity.isGivenUp = true }
  }
}
