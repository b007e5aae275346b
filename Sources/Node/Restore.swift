import EventLoop
import Peer
import Raft
import Registry
package import Storage
import Synchronization

/// Given to threads that start before the loop's mailbox is there; what they post meanwhile waits.
final class MailboxHolder: Sendable {
  private struct State: Sendable {
    var mailbox: Mailbox<Node.Mail>?
    var early: [Node.Mail] = []
  }
  private let state = Mutex(State())

  func post(_ mail: Node.Mail) {
    let mailbox = state.withLock { state in
      if state.mailbox == nil { state.early.append(mail) }
      return state.mailbox
    }
    mailbox?.post(mail)
  }

  func connect(_ mailbox: Mailbox<Node.Mail>) {
    let early = state.withLock { state in
      state.mailbox = mailbox
      let early = state.early
      state.early = []
      return early
    }
    for mail in early { mailbox.post(mail) }
  }
}

extension LogOptions {
  /// Segments that nobody recycles from a disk need not be large.
  package static var inMemory: LogOptions {
    var options = LogOptions()
    options.segmentBytes = 256 << 10
    return options
  }
}

/// What a data directory holds, brought back to life: newest snapshot, then the log after it, then
/// Raft on top. Every failure says what, where, and what to do; none is repaired by guessing.
struct Restored {
  var id: NodeID
  var identity: NodeIdentity?
  var registry: Registry
  var raft: RaftCore
  var phase: Node.Phase
  /// It was a member, and its own log says that it is none any more.
  var isRemoved: Bool
  /// The end of the log was cut off as unfinished.
  var hasTornTail: Bool
  var writer: LogWriter
  var desk: SnapshotDesk

  init<Files: FileSystem & Sendable>(
    configuration: NodeConfiguration, files: Files, root: String, logOptions: LogOptions,
    logger: Logger, mailbox: MailboxHolder
  ) throws(StartFailure) {
    do throws(StorageError) {
      try self.init(
        opening: files, configuration: configuration, root: root, logOptions: logOptions,
        logger: logger, mailbox: mailbox)
    } catch {
      throw StartFailure("\(error)")
    }
  }

  private init<Files: FileSystem & Sendable>(
    opening files: Files, configuration: NodeConfiguration, root: String,
    logOptions: LogOptions, logger: Logger, mailbox: MailboxHolder
  ) throws(StorageError) {
    identity = try NodeIdentity.read(files, directory: root)
    try identity?.check(
      cluster: configuration.cluster, nodeName: configuration.nodeName, directory: root)
    identity = try Self.startAgain(identity, configuration, files, root: root, logger)
    var options = Registry.Options()
    options.datacenter = configuration.datacenter
    let store = try SnapshotStore(files, directory: root + "/snapshots")
    let snapshot = try store.newest()?.meta
    for damage in store.damaged {
      logger.log(.error, "storage", "a damaged snapshot is passed over: \(damage)")
    }
    if let snapshot {
      registry = try SnapshotDesk.load(snapshot, from: store, options)
    } else {
      registry = Registry(options: options)
    }
    let recovered: RecoveredLog
    (writer, recovered) = try Self.openLog(
      files, directory: root + "/log", options: logOptions, snapshot: snapshot
    ) { mailbox.post(.log($0)) }
    desk = SnapshotDesk(store, options: options) { mailbox.post(.snapshot($0)) }
    hasTornTail = recovered.tornBytes > 0
    if recovered.tornBytes > 0 {
      logger.log(
        .info, "storage", "the last write was not finished and is cut off; the others elect first",
        [("bytes", String(recovered.tornBytes))])
    }
    let hasPast =
      snapshot != nil || !recovered.entries.isEmpty || recovered.hardState != HardState()
    id = Self.chooseID(configuration, identity, hasPast: hasPast)
    raft = Node.makeRaft(
      id: id, configuration: configuration, hardState: recovered.hardState, snapshot: snapshot,
      entries: recovered.entries)
    let isMember = raft.configuration.names(id)
    isRemoved = false
    if hasPast, raft.maySeekVotes {
      phase = .running
    } else if hasPast, !isMember, identity?.bootstrapped ?? false {
      phase = .running
      isRemoved = true
    } else if hasPast {
      phase = .joining
    } else {
      phase = .discovering
    }
  }

  /// Counts this start, before anybody hears of it. What must not be used is put aside first: the
  /// node then has an empty log and an id that nobody has seen. On a full disk a start goes
  /// uncounted, so that the node is there for its votes and for whoever makes room; a clone would
  /// be noticed one start later.
  private static func startAgain<Files: FileSystem>(
    _ identity: NodeIdentity?, _ configuration: NodeConfiguration, _ files: Files, root: String,
    _ logger: Logger
  ) throws(StorageError) -> NodeIdentity {
    var own =
      identity
      ?? NodeIdentity(
        cluster: configuration.cluster, nodeName: configuration.nodeName, nodeID: 0,
        bootstrapped: false)
    if own.mustRebuild {
      try Aside.move(files, root: root)
      own.nodeID = NodeID.random().value
      own.bootstrapped = false
      own.mustRebuild = false
      logger.log(
        .warning, "storage",
        "the old data was put aside; this node joins the cluster again as a new one",
        [("kept", root + "/" + Aside.name)])
    }
    let uncounted = own
    own.incarnation += 1
    do throws(StorageError) {
      try own.write(files, directory: root)
      return own
    } catch {
      guard case .diskFull = error, uncounted == identity else { throw error }
      logger.log(.warning, "storage", "this start is not counted: \(error)")
      return uncounted
    }
  }

  /// The log is opened here, where its contents are needed, and then given to its thread.
  private static func openLog<Files: FileSystem & Sendable>(
    _ files: Files, directory: String, options: LogOptions, snapshot: SnapshotMeta?,
    notify: @escaping @Sendable (LogWriter.Completion) -> Void
  ) throws(StorageError) -> (LogWriter, RecoveredLog) {
    let (log, recovered) = try Log.open(
      files, directory: directory, options: options, snapshot: snapshot)
    let writer = LogWriter({ () throws(StorageError) -> Log<Files> in log }, notify: notify)
    return (writer, recovered)
  }

  /// An initial member computes its id; one whose log is gone must not use the old one, under
  /// which it may have voted.
  private static func chooseID(
    _ configuration: NodeConfiguration, _ identity: NodeIdentity?, hasPast: Bool
  ) -> NodeID {
    if let identity, identity.nodeID != 0, hasPast || !identity.bootstrapped {
      return NodeID(identity.nodeID)
    }
    if identity?.bootstrapped ?? false { return .random() }
    if configuration.members.isEmpty, !configuration.join.isEmpty { return .random() }
    return .ofInitialMember(cluster: configuration.cluster, name: configuration.nodeName)
  }
}

extension Node {
  func makeRaft(hardState: HardState, snapshot: SnapshotMeta?, entries: [Entry]) -> RaftCore {
    Self.makeRaft(
      id: id, configuration: configuration, hardState: hardState, snapshot: snapshot,
      entries: entries)
  }

  static func makeRaft(
    id: NodeID, configuration: NodeConfiguration, hardState: HardState, snapshot: SnapshotMeta?,
    entries: [Entry]
  ) -> RaftCore {
    var options = RaftOptions()
    let tick = Int(tickNanoseconds / 1_000_000)
    options.heartbeatTicks = max(1, configuration.raft.heartbeatMilliseconds / tick)
    options.electionTicks = max(3, configuration.raft.electionTimeoutMilliseconds / tick)
    options.stallTicks = 1000 / tick
    options.electionPriority = UInt8(clamping: configuration.raft.electionPriority)
    let kept = UInt64(clamping: configuration.raft.snapshotAfterEntries) / 10
    options.trailingEntries = min(options.trailingEntries, kept)
    return RaftCore(
      id: id, options: options, seed: UInt64.random(in: 0 ... .max), hardState: hardState,
      snapshot: snapshot, configuration: snapshot?.configuration ?? Configuration(),
      entries: entries)
  }
}

/// The peer port, open; nobody is spoken to yet.
struct Binding {
  let transport: PeerTransport
  let advertised: HostPort
  let relay: TransportRelay

  init(
    configuration: NodeConfiguration, loop: EventLoop, restored: borrowing Restored,
    workers: Workers
  ) throws(StartFailure) {
    let port = configuration.ports.peer
    guard port >= 0, port < 65_536,
      let address = SocketAddress(host: configuration.bindAddress, port: UInt16(port))
    else {
      throw StartFailure(
        "bind_addr \(configuration.bindAddress) with peer port \(port) is no address to listen at")
    }
    var identity = PeerIdentity(
      clusterName: configuration.cluster, clusterID: restored.identity?.clusterInstance,
      nodeID: restored.id, nodeName: configuration.nodeName,
      isEstablished: restored.raft.term > Term(1))
    identity.foundingID = restored.identity?.founding
    identity.incarnation = restored.identity?.incarnation ?? 0
    let host = configuration.advertisedPeerHost
    let given = UInt16(exactly: configuration.ports.peerAdvertised) ?? 0
    relay = TransportRelay()
    do throws(SystemError) {
      transport = try PeerTransport(
        loop: loop, identity: identity, listenAddress: address,
        advertised: port == 0 && given == 0 ? nil : (host, given == 0 ? UInt16(port) : given),
        workers: workers, delegate: relay)
    } catch {
      throw StartFailure(
        "cannot listen at \(address) for other nodes: \(error). Is another node running there?"
          + " Set bind_addr and ports.peer to a free address.")
    }
    transport.persistedIndex = restored.raft.lastIndex.value
    advertised = HostPort(host: host, port: given == 0 ? transport.localAddress.port : given)
  }
}
