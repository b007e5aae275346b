package import EventLoop
import Peer
package import Raft
package import Registry
package import Storage

/// One node: drives Raft, the log, peers, the state machine, timers, forwarding, read barriers,
/// snapshots and membership.
///
/// **A turn.** Whatever arrives in one turn of the loop only changes Raft's state and fills queues;
/// at the turn's end it is handled as one batch (`endTurn`): proposals become one append, barriers
/// one ReadIndex, messages leave, the disk gets one write, what is committed is applied, requests
/// are answered, watchers woken. **Failures** end in one of three ways: a retry inside the
/// deadline of the request, a `RequestFailure`, or `onFatal` when this node cannot be trusted any
/// more (its disk failed).
///
/// Thread rule: everything here is called on the loop's thread. Completions are called on it too,
/// exactly once, never from inside the call that was given them.
///
/// Unchecked exclusivity of some properties is sound: besides that thread rule, no access to them
/// lasts over a call of anything but pure functions, Raft's, the registry's and the codec's.
package final class Node {
  enum Phase {
    /// No log: looking for the others.
    case discovering
    /// The first entry is on its way to the disk.
    case forming
    /// Asks for admission, or learns.
    case joining
    case running
  }
  enum Reply {
    case outcome(ProposalTable.Completion, Result<Outcome, RequestFailure>)
    case barrier(ReadBarriers.Completion, RequestFailure?)
    case request((RequestAnswer) -> Void, RequestAnswer)
  }
  enum Mail: Sendable {
    case log(LogWriter.Completion)
    case snapshot(SnapshotDesk.Answer)
  }

  /// Of the program; the peer protocol and the log have versions of their own.
  package static let version = "0.1.0"

  package let configuration: NodeConfiguration
  package let loop: EventLoop
  package let logger: Logger
  package let metrics = Metrics()
  /// For whatever blocks or burns; shared with duties. Snapshots have a thread of their own.
  package let workers: Workers

  /// Called when the node cannot go on (its disk failed). Everything is answered with a failure
  /// from then on.
  package var onFatal: ((String) -> Void)?
  /// Called instead when the data cannot be trusted, but the next start joins as a new node: the
  /// process should start again. Nil: `onFatal`.
  package var onRebuild: ((String) -> Void)?
  package internal(set) var id: NodeID
  /// The state as applied here: for stale reads at once, for others after `readBarrier`.
  package internal(set) var registry: Registry
  /// Where this node serves HTTP, for the others to know; set by whoever binds it.
  package var httpAddress: String

  // What duties hang on to: see `Hooks.swift`.
  package var hooks = NodeHooks()

  var phase: Phase
  @safe @exclusivity(unchecked) var raft: RaftCore
  var effects = Effects()
  /// The effects that are being obeyed; swapped with `effects` so that both keep their buffers.
  var obeyed = Effects()
  @safe @exclusivity(unchecked) var changes = ChangeSet()
  @safe @exclusivity(unchecked) var replies: [Reply] = []
  /// Empty; takes the place of `replies` while those are run.
  var spareReplies: [Reply] = []

  @safe @exclusivity(unchecked) var proposals: ProposalTable
  /// Scratch of one batch.
  var proposedSequences: [UInt64] = []
  var proposedBatches = ProposedBatches()
  var forwarding = Forwarding()
  var reads = ReadBarriers()
  var requests = Requests()
  var watchers = Watchers()
  var operations = MembershipOperations()
  var bootstrap = Bootstrap()
  var gossip = Gossip()
  var clusterWatch = ClusterWatch()
  var links = PeerLinks()
  var snapshots = SnapshotState()
  /// Nil without `io_threads`.
  var io: IODesk?
  var logBytesSinceSnapshot = 0
  var disk: PersistQueue
  var lastStampedTime: UInt64 = 0

  let writer: LogWriter
  let desk: SnapshotDesk
  let transport: PeerTransport
  /// The transport holds it weakly.
  private let relay: TransportRelay
  let advertisedAddress: HostPort
  let saveIdentity: (NodeIdentity) throws(StorageError) -> Void
  /// Kept for its lock.
  private var directory: DataDirectory?
  var identity: NodeIdentity?
  var formingEntry: Entry?

  let counters: Counters
  let histograms: Histograms

  var isStarted = false
  /// No new work; what is under way may finish.
  var isStopping = false
  /// Everything is answered with a failure.
  var isStopped = false
  /// Threads and connections have ended.
  var isClosed = false
  /// False: a thread hung when the node was closed, so its process must not wait for anything.
  package internal(set) var hasEndedCleanly = true
  var isRemoved = false
  var reportedMismatch = false
  /// See `TornTail.swift`; 0: over, or never began.
  var tornTailUntil: UInt64 = 0
  var rejectionThrottle = LogThrottle()
  var wasLeader = false
  /// When the leader last answered a write that came through this node; the log may bring it later.
  var lastForwardedAnswer: UInt64?
  var clock = TickClock()
  var coarseTicks = 0

  /// Opens the data directory, recovers, binds the peer port. Does not touch the network otherwise.
  package convenience init(
    configuration: NodeConfiguration, loop: EventLoop
  ) throws(StartFailure) {
    guard let path = configuration.dataDirectory else {
      try self.init(
        configuration: configuration, loop: loop, files: MemoryFileSystem(), root: "memory",
        logOptions: .inMemory)
      return
    }
    let directory: DataDirectory
    do throws(StorageError) { directory = try DataDirectory(path) } catch {
      throw StartFailure("data directory \(path): \(error)")
    }
    try self.init(
      configuration: configuration, loop: loop, files: PosixFileSystem(), root: path,
      directory: directory)
  }

  /// On any disk; tests come in here.
  package init<Files: FileSystem & Sendable>(
    configuration: NodeConfiguration, loop: EventLoop, files: Files, root: String,
    logOptions: LogOptions = LogOptions(), directory: DataDirectory? = nil
  ) throws(StartFailure) {
    let logger = Logger(level: configuration.logLevel, json: configuration.logJSON)
    let mailbox = MailboxHolder()
    let restored = try Restored(
      configuration: configuration, files: files, root: root, logOptions: logOptions,
      logger: logger, mailbox: mailbox)
    self.configuration = configuration
    self.loop = loop
    self.logger = logger
    self.directory = directory
    workers = Workers(threads: 2, queueMax: 4096)
    id = restored.id
    registry = restored.registry
    phase = restored.phase
    isRemoved = restored.isRemoved
    identity = restored.identity
    raft = restored.raft
    writer = restored.writer
    desk = restored.desk
    disk = PersistQueue(lastIndex: restored.raft.lastIndex, lastTerm: restored.raft.lastTerm)
    proposals = ProposalTable(origin: UInt64.random(in: 1 ... .max))
    snapshots.kept = restored.raft.snapshotMeta.map { [$0] } ?? []
    saveIdentity = { (identity) throws(StorageError) in
      try identity.write(files, directory: root)
    }
    counters = Counters(metrics)
    histograms = Histograms(metrics)
    let bound = try Binding(
      configuration: configuration, loop: loop, restored: restored, workers: workers)
    transport = bound.transport
    advertisedAddress = bound.advertised
    let isWildcard = ["0.0.0.0", "::"].contains(configuration.clientAddress)
    let host =
      configuration.advertiseAddress
      ?? (isWildcard ? configuration.bindAddress : configuration.clientAddress)
    httpAddress =
      configuration.ports.http > 0 && configuration.ports.http < 65_536
      ? HostPort(host: host, port: UInt16(configuration.ports.http)).text : ""
    relay = bound.relay
    relay.node = self
    mailbox.connect(
      loop.makeMailbox { [weak self] (mail: [Mail]) in
        for item in mail { self?.receive(item) }
      })
    loop.onTurnEnd { [weak self] in self?.endTurn() }
    transport.doubts = { [weak self] in self?.doubts(about: $0) }
    registerMembershipHandlers()
    registerGauges()
    if restored.hasTornTail { beginTornTail() }
  }

  package func start() {
    guard !isStarted, !isStopped else { return }
    isStarted = true
    if let notes = directory?.notes {
      for note in notes { logger.log(.warning, "storage", note) }
    }
    if isRemoved {
      isRemoved = false
      becomeRemoved()
    }
    noteEstablished()
    updatePeers()
    applyCommitted()
    if phase == .discovering || phase == .joining { startBootstrap() }
    if phase == .running, raft.configuration.voters == [id] { campaignFirst() }
    scheduleTick()
    loop.requestTurnEnd()
  }

  /// Gives the directory free for the next process (or the next node of a test).
  func releaseDirectory() {
    directory?.close()
    directory = nil
  }

  func receive(_ mail: Mail) {
    guard !isStopped else { return }
    switch mail {
    case .log(let completion): receive(completion)
    case .snapshot(let answer): receive(answer)
    }
  }

  /// Answers at the end of this turn, or of the next: never inside the call that asked.
  func replyLater(_ reply: Reply) {
    replies.append(reply)
    loop.requestTurnEnd()
  }

  /// Hands the state as applied here to `body`, which must not come back to this node.
  package func withRegistry<R>(
    _ body: (Registry) throws(Refusal) -> R
  ) throws(Refusal) -> R {
    // An exclusive access: what nobody else can change meanwhile needs no copy.
    return try Self.lend(&registry, body)
  }

  @inline(__always)
  private static func lend<R>(
    _ registry: inout Registry, _ body: (Registry) throws(Refusal) -> R
  ) throws(Refusal) -> R { try body(registry) }

  // MARK: Watching

  /// Calls `wake` once, at the end of a turn in which one of the topics changed.
  package func watch(_ topics: [Topic], wake: @escaping () -> Void) -> WatchID {
    if let id = watchers.add(topics, wake: wake) { return id }
    // Too many: answered as if something had changed, which a watcher must expect anyway.
    loop.schedule(after: 1_000_000_000, wake)
    return WatchID(0)
  }

  package func cancelWatch(_ id: WatchID) {
    let wake = watchers.cancel(id)
    withExtendedLifetime(wake) {}
  }
}
