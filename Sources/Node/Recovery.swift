import Glibc
package import Raft
import Registry
import Storage
import Wire

/// The way out when a majority of the disks is gone for good: one survivor starts a new cluster
/// with what it has (fault scenario M5). Offline; the directory is locked meanwhile.
///
/// Happy path: `init` reads everything and changes nothing. `apply` takes the whole log as
/// committed, since nobody is left who could say otherwise, and writes: a snapshot with this node
/// as the only voter, in a term that nobody has seen and under a new cluster id; an empty log; the
/// identity. Each step is durable before the next, and after a crash in between `apply` can be run
/// again. Old members refuse the new cluster, and it them, by the id in their handshakes.
package final class Recovery {
  package let directory: String
  package let nodeName: String
  package let cluster: String
  package let clusterID: String?
  package let term: Term
  package let commitIndex: LogIndex
  package let lastIndex: LogIndex
  package let lastTerm: Term
  package let snapshotIndex: LogIndex
  package let members: [(name: String, address: String, isVoter: Bool, isThisNode: Bool)]

  private let files = PosixFileSystem()
  private let lock: DataDirectory
  private var identity: NodeIdentity
  private let configuration: Configuration
  private var registry: Registry
  private let store: SnapshotStore<PosixFileSystem>
  private let log: Log<PosixFileSystem>

  package init(_ path: String, datacenter: String) throws(StartFailure) {
    do throws(StorageError) {
      guard files.exists(path + "/identity") else {
        throw .notFound(path: path + "/identity")
      }
      lock = try DataDirectory(path)
      guard let identity = try NodeIdentity.read(files, directory: path) else {
        throw .notFound(path: path + "/identity")
      }
      self.identity = identity
      var options = Registry.Options()
      options.datacenter = datacenter
      store = try SnapshotStore(files, directory: path + "/snapshots")
      let snapshot = try store.newest()?.meta
      if let snapshot {
        registry = try SnapshotDesk.load(snapshot, from: store, options)
      } else {
        registry = Registry(options: options)
      }
      let recovered: RecoveredLog
      (log, recovered) = try Log.open(
        files, directory: path + "/log", options: LogOptions(), snapshot: snapshot)
      var configuration = snapshot?.configuration ?? Configuration()
      var changes = ChangeSet()
      for entry in recovered.entries {
        switch entry.kind {
        case .configuration:
          configuration = Configuration(decoding: entry.payload) ?? configuration
        case .command:
          _ = registry.apply(entry.payload, index: entry.index.value, changes: &changes)
        default: break
        }
      }
      self.configuration = configuration
      directory = path
      nodeName = identity.nodeName
      cluster = identity.cluster
      clusterID = registry.cluster.id?.description
      term = recovered.hardState.term
      commitIndex = recovered.hardState.commitIndex
      lastIndex = recovered.entries.last?.index ?? snapshot?.index ?? .zero
      lastTerm = recovered.entries.last?.term ?? snapshot?.term ?? .zero
      snapshotIndex = snapshot?.index ?? .zero
      members = configuration.members.map { member in
        let context = MemberContext(member.context)
        return (
          context?.name ?? member.id.description, context?.address ?? "",
          configuration.hasVoter(member.id), member.id.value == identity.nodeID
        )
      }
    } catch {
      throw StartFailure("\(error)")
    }
    guard lastIndex > .zero else {
      throw StartFailure("\(path) holds no log and no snapshot: there is nothing to start from")
    }
  }

  /// - Returns: the new cluster's id.
  package func apply() throws(StartFailure) -> String {
    let id = UniqueID(high: UInt64.random(in: 1 ... .max), low: UInt64.random(in: 1 ... .max))
    let own = NodeID.random()
    let address =
      members.first { $0.isThisNode }?.address ?? members.first { $0.name == nodeName }?.address
    let member = Member(
      id: own, context: MemberContext(name: nodeName, address: address ?? "").encoded)
    let index = lastIndex.next
    let newTerm = Term(max(term, lastTerm).value + 1)
    var changes = ChangeSet()
    let record = ClusterRecord(
      id: id,
      marks: [
        ClusterRecord.Mark(
          node: own.value, incarnation: identity.incarnation, index: lastIndex.value)
      ])
    let envelope = CommandEnvelope(
      time: 0, requestID: nil, command: .cluster(record, replacesID: true))
    _ = registry.apply(envelope.encoded(), index: index.value, changes: &changes)
    let meta = SnapshotMeta(
      index: index, term: newTerm, configuration: Configuration(voting: [member]),
      configurationIndex: index)
    do throws(StorageError) {
      var encoder = registry.makeEncoder()
      try store.write(meta) { () throws(StorageError) in encoder.next() }
      try log.reset(after: index)
      let hardState = HardState(term: newTerm, votedFor: nil, commitIndex: index)
      try log.append([LogBatch(hardState: hardState, entries: [], mustSync: true)])
      try log.sync()
      log.close()
      identity.nodeID = own.value
      identity.bootstrapped = true
      identity.clusterInstance = Node.bytes(of: id)
      identity.founding = Node.bytes(of: id)
      try identity.write(files, directory: directory)
    } catch {
      throw StartFailure("\(error). Nothing is lost: run the same command again")
    }
    lock.close()
    return id.description
  }
}
