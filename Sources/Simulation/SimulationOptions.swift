import Basics
import Raft
import Storage

/// Everything that a seed decides before a run starts. Each kind of fault is switched on for a
/// whole run or off for it (FoundationDB's "buggify"), so that runs differ in character and rare
/// faults are common somewhere.
struct SimulationOptions {
  var voters = 3
  /// Nodes that start outside of the cluster and may be added.
  var spares = 0
  var clients = 4
  var registerGroups = 3
  var bankAccounts = 4
  var tickMicroseconds: UInt64 = 10_000
  /// 0: the effects of each step are obeyed at once; otherwise at the end of a turn of up to so long.
  var turnMicroseconds: UInt64 = 0
  var faultMicroseconds: UInt64 = 10_000_000
  /// Bound of the liveness check: after the last fault is healed, so long until a write succeeds.
  var recoveryMicrosecondsMax: UInt64 = 0
  var raft = RaftOptions()
  var log = LogOptions()
  var network = NetworkOptions()
  var disk = DiskOptions()
  var nemesis = NemesisOptions()
  /// Entries applied between two snapshots.
  var snapshotEntries: UInt64 = 60
  var requestIDsMax = 20_000
  /// A client gives up waiting for one attempt.
  var attemptMicroseconds: UInt64 = 800_000
  var thinkMicroseconds: UInt64 = 20_000
  /// Clients with sessions and locks, the locks they want, and how long a session lives.
  var lockers = 0
  var locks = 1
  var sessionMicroseconds: UInt64 = 2_000_000
  /// Who holds a lock only renews its session.
  var keepsSessions = false
  /// Clients that follow every change.
  var watchers = 1
  var watchMicroseconds: UInt64 = 20_000
  var changeLogEntriesMax = 65_536
  var valuePaddingMax: UInt64 = 64
  /// Nodes' clocks run by up to so much faster or slower, in per mille.
  var driftPermille: UInt64 = 0
  /// Nodes say in handshakes how often their disk was started and what it holds.
  var knowsOldCopies = false
  var sabotage: Sabotage?

  var nodes: Int { voters + spares }
}

/// Times in microseconds, chances per mille.
struct DiskOptions {
  var syncMicroseconds: UInt64 = 300
  var syncJitter: UInt64 = 700
  var snapshotMicroseconds: UInt64 = 20_000
  /// One sync in a thousand takes so much longer.
  var stallMicroseconds: UInt64 = 0
  /// A sync fails: the process must end.
  var syncFailures: UInt64 = 0
  /// A process dies at a named point of the write path.
  var crashPoints: UInt64 = 0
}

struct NemesisOptions {
  var intervalMicroseconds: UInt64 = 500_000
  /// Weights of what happens next; 0: never in this run.
  var crash: UInt64 = 4
  var powerLoss: UInt64 = 4
  var crashAll: UInt64 = 0
  var pause: UInt64 = 2
  var partition: UInt64 = 4
  var oneWayCut: UInt64 = 2
  var heal: UInt64 = 4
  var slowLink: UInt64 = 1
  var slowDisk: UInt64 = 1
  /// Writes are refused until there is room again.
  var fullDisk: UInt64 = 0
  var writeError: UInt64 = 0
  var spuriousReset: UInt64 = 1
  var transfer: UInt64 = 2
  var membership: UInt64 = 0
  /// What one disk holds and has synced rots; needs a majority of others, so never with `membership`.
  var damage: UInt64 = 0
  /// At the end some links stay cut, but the leader talks with a majority: that must do.
  var healsPartially = false
  var downMicrosecondsMax: UInt64 = 2_000_000
  var pauseMicrosecondsMax: UInt64 = 2_000_000
}

extension SimulationOptions {
  /// Draws a whole configuration from the seed.
  init(random: inout SplitMix) {
    func number(_ low: UInt64, _ high: UInt64) -> UInt64 { low + random.below(high - low + 1) }
    func pick<T>(_ values: [T]) -> T { values[Int(random.below(UInt64(values.count)))] }
    voters = pick([3, 3, 3, 3, 5, 5, 1, 2, 4])
    clients = Int(number(2, 6))
    registerGroups = Int(number(1, 4))
    bankAccounts = Int(number(2, 6))
    tickMicroseconds = pick([10_000, 10_000, 15_000, 25_000])
    faultMicroseconds = number(4, 16) * 1_000_000
    if random.chance(1, in: 10) { faultMicroseconds *= 4 }
    snapshotEntries = pick([5, 20, 60, 60, 200, 1000])
    attemptMicroseconds = pick([300_000, 800_000, 2_000_000])
    thinkMicroseconds = pick([5_000, 20_000, 60_000])
    valuePaddingMax = pick([0, 16, 64, 2_000])
    driftPermille = pick([0, 0, 50, 300])
    turnMicroseconds = pick([0, 200, 200, 2_000])
    requestIDsMax = pick([10, 200, 20_000])
    lockers = pick([0, 0, 2, 3])
    locks = pick([1, 1, 2])
    sessionMicroseconds = pick([1_000_000, 2_000_000, 4_000_000])
    watchers = pick([0, 1, 2])
    watchMicroseconds = pick([5_000, 50_000, 500_000])
    changeLogEntriesMax = pick([1, 5, 50, 65_536])
    drawRaft(&random)
    drawNetwork(&random)
    drawDisk(&random)
    drawNemesis(&random)
    recoveryMicrosecondsMax = UInt64(raft.electionTicks) * tickMicroseconds * 20 + 8_000_000
  }

  private mutating func drawRaft(_ random: inout SplitMix) {
    func pick<T>(_ values: [T]) -> T { values[Int(random.below(UInt64(values.count)))] }
    raft.heartbeatTicks = pick([2, 4, 4])
    raft.electionTicks = pick([15, 25, 25, 40])
    raft.appendEntriesMax = pick([1, 2, 8, 64, 1024])
    raft.appendBytesMax = pick([1, 100, 4096, 1 << 20])
    raft.inflightMessagesMax = pick([1, 2, 8, 64])
    raft.inflightBytesMax = pick([1, 1000, 8 << 20])
    raft.uncommittedBytesMax = pick([300, 64 << 20, 64 << 20])
    raft.trailingEntries = pick([0, 1, 10, 100])
    raft.trailingBytes = pick([0, 1000, 1 << 20])
    raft.snapshotChunkBytes = pick([50, 300, 1 << 20])
    // A snapshot must arrive within the bounds of the run.
    if valuePaddingMax > 100 { raft.snapshotChunkBytes = max(2_000, raft.snapshotChunkBytes) }
    raft.caughtUpEntries = pick([0, 10, 1000])
    raft.stallTicks = pick([60, 100])
    log.segmentBytes = pick([4 << 10, 16 << 10, 64 << 10])
    log.spareSegments = pick([0, 1, 2])
  }

  private mutating func drawNetwork(_ random: inout SplitMix) {
    func pick<T>(_ values: [T]) -> T { values[Int(random.below(UInt64(values.count)))] }
    network.latency = pick([50, 200, 1_000, 5_000])
    network.jitter = pick([50, 300, 2_000, 20_000])
    if random.chance(1, in: 3) { network.loss = pick([5, 20, 100, 300]) }
    if random.chance(1, in: 3) { network.duplication = pick([10, 100]) }
    if random.chance(1, in: 3) { network.reordering = pick([10, 100]) }
    if random.chance(1, in: 4) { network.straggling = pick([2, 20]) }
    network.straggleMicroseconds = pick([500_000, 3_000_000, 10_000_000])
    if random.chance(1, in: 4) { network.voteEchoes = pick([200, 800]) }
    network.resetsNoticed = pick([0, 500, 1000])
  }

  private mutating func drawDisk(_ random: inout SplitMix) {
    func pick<T>(_ values: [T]) -> T { values[Int(random.below(UInt64(values.count)))] }
    disk.syncMicroseconds = pick([80, 300, 2_000])
    disk.syncJitter = pick([100, 1_000, 8_000])
    disk.snapshotMicroseconds = pick([1_000, 20_000, 300_000])
    if random.chance(1, in: 4) { disk.stallMicroseconds = pick([50_000, 1_500_000]) }
    if random.chance(1, in: 4) { disk.syncFailures = 1 }
    if random.chance(1, in: 3) { disk.crashPoints = pick([1, 3]) }
  }

  private mutating func drawNemesis(_ random: inout SplitMix) {
    func pick<T>(_ values: [T]) -> T { values[Int(random.below(UInt64(values.count)))] }
    func maybe(_ weight: UInt64) -> UInt64 { random.chance(1, in: 2) ? weight : 0 }
    nemesis.intervalMicroseconds = pick([60_000, 300_000, 1_000_000])
    nemesis.crash = maybe(4)
    nemesis.powerLoss = maybe(4)
    nemesis.crashAll = random.chance(1, in: 5) ? 1 : 0
    nemesis.pause = maybe(3)
    nemesis.partition = maybe(4)
    nemesis.oneWayCut = maybe(3)
    nemesis.heal = pick([2, 6])
    nemesis.slowLink = maybe(1)
    nemesis.slowDisk = maybe(1)
    nemesis.fullDisk = random.chance(1, in: 5) ? 2 : 0
    nemesis.writeError = random.chance(1, in: 5) ? 1 : 0
    nemesis.healsPartially = random.chance(1, in: 4)
    nemesis.spuriousReset = maybe(1)
    nemesis.transfer = maybe(2)
    if random.chance(1, in: 3) {
      nemesis.membership = pick([1, 6])
      spares = pick([1, 2])
    } else if voters >= 3, random.chance(1, in: 4) {
      nemesis.damage = 2
    }
    nemesis.downMicrosecondsMax = pick([50_000, 800_000, 4_000_000])
    nemesis.pauseMicrosecondsMax = pick([300_000, 2_000_000])
  }
}
