import Basics
import ConsulAPI
import Node
import Raft
import Registry

/// Every change of a key, in the order of the log: what watchers must be told, each once.
struct ChangeLedger {
  struct Change: Equatable {
    var index: UInt64
    var key: Key
    /// Nil: it is gone, and with a tree everything below it.
    var modifyIndex: UInt64?
  }
  private(set) var changes: [Change] = []
  /// The last index that some node has applied.
  private(set) var through: UInt64 = 0

  /// - Returns: whether this is the first apply of that index.
  mutating func take(_ set: ChangeSet, at index: UInt64) -> Bool {
    guard index > through else { return false }
    through = index
    for record in set.records {
      switch record {
      case .set(let entry, _):
        changes.append(Change(index: index, key: entry.key, modifyIndex: entry.modifyIndex))
      case .deleted(let key, _, _), .tree(let key, _):
        changes.append(Change(index: index, key: key, modifyIndex: nil))
      case .instance: break
      }
    }
    return true
  }

  /// Where what came after `index` begins.
  func place(after index: UInt64) -> Int {
    var low = 0
    var high = changes.count
    while low < high {
      let middle = (low + high) / 2
      if changes[middle].index > index { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// All keys and their modify indexes at that index. The workloads delete no trees.
  func state(at index: UInt64) -> [Key: UInt64] {
    var state: [Key: UInt64] = [:]
    for change in changes[..<place(after: index)] { state[change.key] = change.modifyIndex }
    return state
  }
}

/// A client that follows all keys, as one of `/v1/stream` does: from one node to the next, with the
/// last index that it knows whole.
struct Watcher {
  let number: Int
  /// The node that it is connected to, or asks.
  var process: Process?
  var isConnected = false
  /// Of the attempt to connect; late answers to earlier ones count for nothing.
  var attempt: UInt64 = 0
  var askedAt: UInt64 = 0
  /// Of the next entry in that node's log of changes.
  var position: UInt64 = 0
  var skipThrough: UInt64 = 0
  /// It knows everything through that index.
  var lastIndex: UInt64 = 0
  /// The next change that it must be told.
  var place = 0
  var resyncs: UInt64 = 0
}

/// Watchers on the production `ChangeLog`, as `ChangeStream` serves them: each change once and in
/// order, or "resync" with the whole state.
extension Cluster {
  func changed(by node: SimulatedNode) {
    let index = node.lastApplied
    guard changeLedger.take(node.changes, at: index) else { return }
    let holders = lockKeys.map { node.registry.kv($0)?.session }
    for (lock, key) in lockKeys.enumerated() where node.changes.keys.contains(key) {
      checkHolders(of: lock, now: holders[lock])
    }
    sessionLedger.applied(node.registry, node.changes, locks: lockKeys, at: world.now)
    if let violation = sessionLedger.violation { fail(violation) }
  }

  func overdueSession(_ leader: SimulatedNode) -> String? {
    // A renewal that a node passed on may arrive that late, and counts from then on.
    let straggling = options.network.straggling > 0 ? options.network.straggleMicroseconds : 0
    return sessionLedger.overdue(
      leaderSince: max(leader.sessions.since, phaseStart), at: world.now,
      straggling: straggling, ending: leader.sessions.ending, registry: leader.registry)
  }

  /// Looks what there is, connects, or goes to another node.
  func watch(_ number: Int) {
    world.schedule(.watch(watcher: number), after: world.number(0...options.watchMicroseconds * 2))
    let watcher = watchers[number]
    if let process = watcher.process, nodes[process.node].isCurrent(process) {
      let node = nodes[process.node]
      guard node.pausedUntil <= world.now else { return }
      // Who is no member any more hears nothing, and says so.
      if let leader, !leader.raft.configuration.isMember(node.id) { return disconnect(number) }
      if watcher.isConnected { return deliver(to: number, from: node) }
      guard world.now > watcher.askedAt + options.attemptMicroseconds else { return }
    }
    connect(number)
  }

  private func connect(_ number: Int) {
    connect(number, to: nodes[world.index(below: nodes.count)])
  }

  func connect(_ number: Int, to node: SimulatedNode) {
    watchers[number].isConnected = false
    watchers[number].process = node.process
    watchers[number].attempt += 1
    watchers[number].askedAt = world.now
    guard node.isUp, node.pausedUntil <= world.now else { return }
    // Watchers are counted below 0, clients from 0 on.
    let request = Request(
      client: -1 - number, attempt: watchers[number].attempt,
      body: .watch(after: watchers[number].lastIndex))
    node.handle(request)
  }

  /// The node has seen whatever index another one has given out.
  func connected(_ request: Request, to node: SimulatedNode, after index: UInt64) {
    let number = -1 - request.client
    guard watchers.indices.contains(number), watchers[number].attempt == request.attempt else {
      return
    }
    watchers[number].isConnected = true
    watchers[number].skipThrough = 0
    watchers[number].position = node.changeLog.sequence(after: index) ?? 0
    if sabotage == .resumesTooLate { watchers[number].position += 1 }
    watchers[number].place = changeLedger.place(after: index)
  }

  private func deliver(to number: Int, from node: SimulatedNode) {
    let log = node.changeLog
    guard watchers[number].position >= log.firstSequence else { return resync(number, node) }
    // Slow ones too reach the end when there is one.
    let countMax = phase == .quiet ? UInt64.max : world.number(1...64)
    var count: UInt64 = 0
    while count < countMax, let first = log.entry(watchers[number].position) {
      // Changes of one index are told together; a client cut off within them starts before them.
      while let entry = log.entry(watchers[number].position), entry.index == first.index {
        watchers[number].position += 1
        count += 1
        if entry.index > watchers[number].skipThrough { tell(entry, to: number) }
        if failure != nil { return }
        if world.random.chance(1, in: 400) { return disconnect(number) }
      }
      watchers[number].lastIndex = max(watchers[number].lastIndex, first.index)
    }
    if phase != .quiet, world.random.chance(1, in: 30) { disconnect(number) }
  }

  private func disconnect(_ number: Int) {
    watchers[number].isConnected = false
    watchers[number].process = nil
  }

  private func tell(_ entry: ChangeLog.Entry, to number: Int) {
    let change: ChangeLedger.Change
    switch entry.change {
    case .set(let value, _):
      change = .init(index: entry.index, key: value.key, modifyIndex: value.modifyIndex)
    case .deleted(let key, _), .tree(let key):
      change = .init(index: entry.index, key: key, modifyIndex: nil)
    case .instance, .gone: return
    }
    let place = watchers[number].place
    guard place < changeLedger.changes.count, changeLedger.changes[place] == change else {
      let expected =
        place < changeLedger.changes.count ? "\(changeLedger.changes[place])" : "nothing"
      return fail("watch: watcher \(number) is told \(change), and misses \(expected)")
    }
    watchers[number].place += 1
  }

  /// The whole state takes the place of what cannot be told.
  private func resync(_ number: Int, _ node: SimulatedNode) {
    let index = node.registry.stateIndex
    note(
      "watcher \(number) starts again at \(index), from \(watchers[number].lastIndex)", node.slot)
    guard index >= watchers[number].lastIndex else {
      return fail(
        "watch: watcher \(number) goes back to \(index) from \(watchers[number].lastIndex)")
    }
    var listed: [Key: UInt64] = [:]
    node.registry.forEachKV(prefix: Key([UInt8]())) { entry in
      listed[entry.key] = entry.modifyIndex
      return true
    }
    guard listed == changeLedger.state(at: index) else {
      return fail("watch: watcher \(number) is shown another state at \(index)")
    }
    watchers[number].resyncs += 1
    watchers[number].skipThrough = index
    watchers[number].position = node.changeLog.nextSequence
    watchers[number].lastIndex = index
    watchers[number].place = changeLedger.place(after: index)
  }

  var watchersKnowAll: Bool {
    watchers.allSatisfy { $0.place == changeLedger.changes.count }
  }

  func describeWatchers() -> String {
    watchers.map { watcher in
      "\n  watcher \(watcher.number) \(watcher.isConnected ? "connected" : "looks for a node"), "
        + "knows \(watcher.lastIndex) of \(changeLedger.through), change \(watcher.place) of "
        + "\(changeLedger.changes.count)"
    }.joined()
  }
}

extension SimulatedNode {
  /// A snapshot replaced the state: what happened in between is not in any log of changes.
  func stateReplaced() {
    guard cluster.sabotage != .keepsChangeLogOnInstall else { return }
    var everything = ChangeSet()
    everything.everything = true
    changeLog.note(everything, registry, datacenter: "dc1")
    if sessions.isLeading {
      sessions.deadlines.reset()
      sessions.isFullLookDue = true
    }
  }
}
