import Basics
import ConsulAPI
import Raft
import Registry
import Storage

/// One node: drives the production Raft core, log, snapshots and state machine exactly as the
/// production node does, on the simulator's time, network and disk.
///
/// Happy path: inputs are queued and stepped one by one; the effects are obeyed after each or, as
/// in production, together at the end of a turn (`obey`): messages leave, hard state and entries go to the log as one batch, what must
/// wait for the sync waits for it, commits are applied, snapshots taken, sent and installed.
/// Failures: a storage error ends the process (`crash`); the supervisor starts it again later, and
/// it recovers from what its disk kept. What a process held in memory is lost with it.
final class SimulatedNode {
  let slot: Int
  /// Another one after the disk was lost.
  private(set) var id: NodeID
  unowned let cluster: Cluster
  var disk: FaultyFileSystem
  /// What it was started with; empty for one that waits to be added.
  private(set) var bootstrap: Configuration

  private(set) var incarnation: UInt64 = 0
  private(set) var isUp = false
  /// Nothing happens on this node before that moment.
  var pausedUntil: UInt64 = 0
  /// Its clock's ticks are this long.
  let tickMicroseconds: UInt64
  /// Its wall clock is off by this much, in milliseconds.
  var wallSkew: UInt64
  /// Something on the disk is not what was synced.
  var isDamaged = false
  /// Nobody gives it another disk when this one is refused; for scenarios.
  var keepsDisk = false
  /// It lost its disk, and looks for a place in the cluster.
  var wasWiped = false
  /// Syncs take so many times longer.
  var diskSlowness: UInt64 = 1
  /// The process dies when it comes there; for scenarios.
  var nextDeath: CrashPoint?
  /// It pauses for so long between the next confirmed read and its answer; for scenarios.
  var nextReadPause: UInt64 = 0
  /// Its disk is full until then; 0: it is not.
  var diskFullUntil: UInt64 = 0
  /// Writes wait for room; meanwhile it does not campaign.
  var isShortOfSpace = false

  var raft: RaftCore
  /// What the steps since the last `obey` ask for.
  private var effects = Effects()
  /// What is being obeyed.
  private(set) var obeyed = Effects()
  private var isObeyScheduled = false
  private var inputs: [Input] = []
  private var nextInput = 0
  private var isStepping = false

  // The disk; see SimulatedNode+Disk.swift
  var log: Log<FaultyFileSystem>?
  var store: SnapshotStore<FaultyFileSystem>?
  var waitingWrites: [LogItem] = []
  var writesInFlight: [LogItem] = []
  var isWriting = false
  /// The last entry that was reported durable.
  var durable: (index: LogIndex, term: Term) = (.zero, .zero)
  var snapshotInProgress: (meta: SnapshotMeta, registry: Registry)?
  var snapshotMetas: [SnapshotMeta] = []
  var olderSnapshotReadAt: UInt64 = 0
  /// Pieces of a snapshot for the worker that writes them; the first is being written.
  var chunks: [ReceivedChunk] = []
  /// Received and loaded; becomes the state when Raft says so.
  var loaded: (meta: SnapshotMeta, registry: Registry)?

  // The state machine and requests; see SimulatedNode+Requests.swift
  var registry: Registry
  var lastApplied: UInt64 = 0
  var changes = ChangeSet()
  /// The modify index of every watched key after the last apply.
  var watchedIndexes: [UInt64] = []
  var requests = RequestTables()
  var sessions = SessionTimes()
  /// The production log of changes, for watchers.
  var changeLog: ChangeLog
  var sabotageState = SabotageState()
  /// See SimulatedNode+Identity.swift
  var diskIdentity = DiskIdentity()

  init(slot: Int, cluster: Cluster, bootstrap: Configuration, tick: UInt64, wallSkew: UInt64) {
    self.slot = slot
    self.cluster = cluster
    self.bootstrap = bootstrap
    id = NodeID(UInt64(slot) + 1)
    tickMicroseconds = tick
    self.wallSkew = wallSkew
    disk = FaultyFileSystem(seed: cluster.world.random.next())
    registry = Registry(options: cluster.registryOptions)
    changeLog = ChangeLog(startingAt: 0, bytesMax: 0, entriesMax: 0)
    raft = RaftCore(
      id: id, options: cluster.options.raft, seed: 0, hardState: HardState(), snapshot: nil,
      configuration: bootstrap, entries: [])
  }

  var process: Process { Process(node: slot, incarnation: incarnation) }
  func isCurrent(_ process: Process) -> Bool { isUp && process.incarnation == incarnation }

  // MARK: Life

  /// Starts the process on what the disk holds.
  func start() {
    incarnation += 1
    isUp = true
    pausedUntil = 0
    if cluster.crashesAtPoint(weight: 30) {
      disk.powerOff(afterOperations: cluster.world.index(below: 30))
    }
    clearSpace()
    do {
      try countStart()
      try recover()
    } catch {
      return failedAndRestarts(error, while: "starting")
    }
    cluster.note("start applied=\(lastApplied) last=\(raft.lastIndex)@\(raft.lastTerm)", slot)
    noteWatched()
    cluster.checker.started(self)
    cluster.world.schedule(.tick(process), after: tickMicroseconds)
  }

  /// The process ends at once. With `power` lost, what was not synced may be lost or torn.
  func crash(losingPower: Bool) {
    guard isUp else { return }
    sabotageState = SabotageState(lostPower: losingPower)
    cluster.note(losingPower ? "power loss" : "crash", slot)
    isUp = false
    cluster.totals.crashes += 1
    inputs.removeAll()
    nextInput = 0
    effects.removeAll()
    obeyed.removeAll()
    isObeyScheduled = false
    chunks.removeAll()
    loaded = nil
    waitingWrites.removeAll()
    writesInFlight.removeAll()
    isWriting = false
    isShortOfSpace = false
    snapshotInProgress = nil
    olderSnapshotReadAt = 0
    sessions = SessionTimes()
    log = nil
    store = nil
    if losingPower { disk = disk.crash() }
    dropRequests()
    cluster.processEnded(self)
  }

  /// A storage error: the production process says why and ends.
  func failed(_ error: StorageError, while doing: String) {
    cluster.note("storage failed while \(doing): \(error)", slot)
    if isDamaged {
      switch error {
      case .damaged, .foreign: return keepsDisk ? crash(losingPower: false) : giveUpDisk()
      default: break
      }
    }
    switch error {
    case .io: return crash(losingPower: disk.isOff)
    case .diskFull where diskFullUntil > 0: return crash(losingPower: false)
    default: break
    }
    cluster.fail("storage: node \(id): \(error) while \(doing), though no such fault was injected")
  }

  /// What D4 and D15 of the fault list ask for: a node that cannot trust its disk does not use
  /// what is left of it. It gets an empty one, and comes back as another node.
  func giveUpDisk() {
    crash(losingPower: false)
    lose()
  }

  /// The disk of a process that does not run becomes an empty one.
  func lose() {
    disk = FaultyFileSystem(seed: cluster.world.random.next())
    id = NodeID(id.value + UInt64(cluster.nodes.count))
    bootstrap = Configuration()
    isDamaged = false
    wasWiped = true
    diskFullUntil = 0
    cluster.note("gives its disk up, and is \(id) from now on", slot)
    cluster.totals.wipes += 1
    cluster.checker.wiped(self)
    cluster.world.schedule(.repair, after: 100_000)
  }

  // MARK: Stepping

  /// Takes the input; what follows from it is done at once, or at the end of the turn.
  func step(_ input: Input) {
    guard isUp else { return }
    inputs.append(input)
    guard !isStepping else { return }
    let turn = cluster.options.turnMicroseconds
    drain(obeying: turn == 0)
    guard turn > 0, isUp, !isObeyScheduled else { return }
    isObeyScheduled = true
    cluster.world.schedule(.obey(process), after: cluster.world.number(0...turn))
  }

  /// The end of a turn: the effects of all its steps are obeyed together.
  func obeyTurn() {
    isObeyScheduled = false
    drain(obeying: true)
  }

  private func drain(obeying: Bool) {
    isStepping = true
    if obeying { obey() }
    while isUp, nextInput < inputs.count, cluster.failure == nil {
      let input = inputs[nextInput]
      nextInput += 1
      // What was handed out before belongs to the old log.
      if case .snapshotInstalled = input { obey() }
      guard isUp else { break }
      stepOnce(input)
      if obeying { obey() }
    }
    inputs.removeAll(keepingCapacity: true)
    nextInput = 0
    isStepping = false
  }

  private func stepOnce(_ input: Input) {
    let appended = effects.append.count
    if cluster.sabotage == nil {
      raft.step(input, into: &effects)
    } else {
      for input in sabotaged(input) { raft.step(input, into: &effects) }
    }
    if effects.append.count > appended {
      cluster.checker.appended(effects.append[appended...], by: self)
    }
    if let result = effects.proposal.take() { proposed(result) }
    noteLeadership()
    if case .snapshotInstalled(let meta) = input { installed(meta) }
    cluster.checker.stepped(self)
  }

  /// Does what was asked for, in the order that a production node keeps.
  private func obey() {
    swap(&effects, &obeyed)
    defer { obeyed.removeAll() }
    if cluster.sabotage != nil { sabotage(&obeyed) }
    for event in obeyed.events { observe(event) }
    for envelope in obeyed.send { send(envelope) }
    if diesAt(.afterSend) { return }
    persist()
    if !isUp { return }
    for chunk in obeyed.snapshotChunks { enqueue(chunk) }
    apply(through: applicableIndex)
    if !isUp { return }
    for result in obeyed.reads { readAnswered(result) }
    for read in obeyed.snapshotReads {
      let delay = cluster.world.number(20...500)
      cluster.world.schedule(.snapshotRead(process, read), after: delay)
    }
    if let index = obeyed.compactedThrough { enqueue(.compact(index)) }
    if let result = obeyed.membership { cluster.note("membership change: \(result)", slot) }
  }

  func send(_ envelope: Envelope) {
    let to = cluster.slot(of: envelope.to)
    // Nobody has that id any more.
    guard cluster.nodes[to].id == envelope.to else { return }
    let message =
      cluster.sabotage == nil ? envelope.message : sabotaged(envelope.message, to: envelope.to)
    cluster.send(.raft(message, from: id, to: envelope.to), from: slot, to: to)
  }

  private func observe(_ event: RaftEvent) {
    cluster.note("\(event)", slot)
    switch event {
    case .becameLeader(let term):
      cluster.totals.elections += 1
      cluster.checker.elected(self, term: term)
    case .snapshotSendFinished: cluster.totals.snapshotsSent += 1
    case .logTruncated: cluster.totals.truncations += 1
    case .configurationCommitted: cluster.totals.configurations += 1
    case .learnerCaughtUp(let learner): cluster.learnerCaughtUp(learner, leader: self)
    default: break
    }
  }

  /// Named points of the write path at which a process may die.
  enum CrashPoint: String, CaseIterable {
    case afterSend, beforeVoteSync, afterWrite, afterSync, afterVote, afterSnapshot, afterInstall

    /// Votes are rare next to writes.
    var weight: UInt64 { self == .afterVote || self == .beforeVoteSync ? 100 : 1 }
  }

  func diesAt(_ point: CrashPoint) -> Bool {
    guard nextDeath == point || cluster.crashesAtPoint(weight: point.weight) else { return false }
    nextDeath = nil
    cluster.note("dies \(point.rawValue)", slot)
    // Before a sync it is the power cut that tells.
    crash(losingPower: point == .beforeVoteSync || cluster.world.random.chance(1, in: 2))
    cluster.restartLater(self)
    return true
  }
}
