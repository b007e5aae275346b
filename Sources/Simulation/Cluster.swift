import Basics
import Raft
import Registry
import Storage

/// Counts of one run.
struct Totals {
  var operations: UInt64 = 0
  var unknownOutcomes: UInt64 = 0
  /// Acknowledged writes, of those.
  var writes: UInt64 = 0
  /// Operations that ended without being done, for certain.
  var notDone: UInt64 = 0
  var elections: UInt64 = 0
  var crashes: UInt64 = 0
  var partitions: UInt64 = 0
  var snapshots: UInt64 = 0
  var snapshotsSent: UInt64 = 0
  var installs: UInt64 = 0
  var truncations: UInt64 = 0
  /// Disks that were found damaged and given up.
  var wipes: UInt64 = 0
  var configurations: UInt64 = 0
  var undecided: UInt64 = 0
  /// Attempts whose request id may have been forgotten.
  var forgotten: UInt64 = 0
  /// From the end of all faults until clients had their first answers.
  var recoveryMicrosecondsMax: UInt64 = 0
}

/// One run: nodes, clients, network and nemesis on one clock, all decided by one seed.
///
/// Happy path: events are taken in time order until the phases are through: faults, then healing
/// (the liveness check: writes must succeed again within a bound), then quiet (clients stop, all
/// members must reach the same state), then the histories are judged. Failures: the first broken
/// promise ends the run and is in `failure`.
final class Cluster {
  let options: SimulationOptions
  let registryOptions: Registry.Options
  var world: World
  var network: Network
  var nodes: [SimulatedNode] = []
  var clients: [Client] = []
  var history = Histories()
  var checker: Checker
  var transcript: Transcript
  /// The keys of all registers, for watches.
  let watchedKeys: [Key]
  let lockKeys: [Key]
  var totals = Totals()
  var sessionLedger: SessionLedger
  var changeLedger = ChangeLedger()
  var watchers: [Watcher] = []
  private(set) var phase = Phase.faults
  private(set) var isOver = false
  private(set) var phaseStart: UInt64 = 0
  private var operationsAtHeal: UInt64 = 0
  private var ownFailure: String?

  /// A run has some hundred thousand events; messages that beget messages have no end.
  static let eventsMax: UInt64 = 5_000_000
  /// Acknowledged after healing before the liveness check is content.
  static let operationsAfterHealMin: UInt64 = 10

  /// - Parameter isControl: the faults that suit the sabotage, without it.
  convenience init(
    seed: UInt64, sabotage: Sabotage?, isControl: Bool = false, transcript mode: Transcript.Mode
  ) {
    var world = World(seed: seed)
    var options = SimulationOptions(random: &world.random)
    if let sabotage { options.suit(sabotage) }
    if isControl { options.sabotage = nil }
    self.init(world: world, options: options, transcript: mode)
    note("seed \(seed): \(options)")
  }

  init(world: World, options: SimulationOptions, transcript mode: Transcript.Mode) {
    self.world = world
    self.options = options
    transcript = Transcript(mode: mode)
    network = Network(nodes: options.nodes, options: options.network)
    var registryOptions = Registry.Options()
    registryOptions.requestIDsMax = options.requestIDsMax
    self.registryOptions = registryOptions
    checker = Checker(nodes: options.nodes)
    sessionLedger = SessionLedger(locks: options.locks, driftPermille: options.driftPermille)
    watchedKeys = (0..<options.registerGroups).flatMap { group in
      (0..<Operation.registersMax).map { Self.registerKey(group, $0) }
    }
    lockKeys = (0..<options.locks).map { Self.lockKey($0) }
    makeNodes()
    makeClients()
    watchers = (0..<options.watchers).map { Watcher(number: $0) }
  }

  /// Where the node of that id runs, or ran before its disk was lost.
  func slot(of id: NodeID) -> Int { Int((id.value - 1) % UInt64(nodes.count)) }

  var sabotage: Sabotage? { options.sabotage }
  /// The first broken promise; it ends the run.
  var failure: String? { ownFailure ?? checker.violation }

  private func makeNodes() {
    let ids = (1...options.voters).map { NodeID(UInt64($0)) }
    let bootstrap = Configuration(
      voters: ids, members: ids.map { Member(id: $0, context: []) })
    for slot in 0..<options.nodes {
      let drift = options.driftPermille
      let tick = options.tickMicroseconds * world.number((1000 - drift)...(1000 + drift)) / 1000
      nodes.append(
        SimulatedNode(
          slot: slot, cluster: self,
          bootstrap: slot < options.voters ? bootstrap : Configuration(), tick: tick,
          wallSkew: world.number(0...100_000)))
    }
  }

  // MARK: The run

  func run() {
    begin()
    world.schedule(.nemesis, after: options.nemesis.intervalMicroseconds)
    world.schedule(.phase(.healed), at: options.faultMicroseconds)
    goOn { false }
    finish()
  }

  func begin() {
    for node in nodes { node.start() }
    for client in clients.indices {
      world.schedule(.clientNext(client: client), after: world.number(0...200_000))
    }
    for watcher in watchers.indices { world.schedule(.watch(watcher: watcher), after: 1_000) }
  }

  /// Takes events until the run is over, something is broken, or `isEnough`.
  func goOn(until isEnough: () -> Bool) {
    while failure == nil, !isOver, !isEnough(), let event = world.next() {
      if world.step > Self.eventsMax {
        fail("storm: more than \(Self.eventsMax) events" + describeNodes())
      }
      transcript.mix(world.now)
      handle(event)
    }
  }

  /// Judges a run that is over.
  func finish() {
    if failure == nil { judge() }
    if let failure { note("FAILURE: \(failure)") }
    transcript.mix(world.random.state)
  }

  private func handle(_ event: Event) {
    switch event {
    case .tick(let process): on(process, event) { $0.tick() }
    case .turn(let process): on(process, event) { $0.endTurn() }
    case .obey(let process): on(process, event) { $0.obeyTurn() }
    case .chunkWritten(let process): on(process, event) { $0.writeChunk() }
    case .diskDone(let process): on(process, event) { $0.diskDone() }
    case .diskRetry(let process): on(process, event) { $0.retryFullDisk() }
    case .snapshotWritten(let process): on(process, event) { $0.writeSnapshot() }
    case .snapshotRead(let process, let read): on(process, event) { $0.serve(read) }
    case .link(let process, let peer, let isUp):
      on(process, event) { link(of: $0, to: peer, isUp: isUp) }
    case .deliver(let from, let to, let packet): deliver(packet, from: from, to: to, event)
    case .restart(let process):
      let node = nodes[process.node]
      if !node.isUp, node.incarnation == process.incarnation { start(node) }
    case .request(let slot, let request): received(request, at: slot, event)
    case .reply(let client, let attempt, let reply): replied(client, attempt, reply)
    case .clientTimeout(let client, let attempt): timedOut(client, attempt)
    case .clientNext(let client): nextOperation(client)
    case .watch(let watcher): watch(watcher)
    case .nemesis: if phase == .faults { disturb() }
    case .repair: repairMembership()
    case .phase(let next): enter(next)
    }
  }

  /// Calls `body` unless the process is gone; a paused one gets the event when it goes on.
  private func on(_ process: Process, _ event: Event, _ body: (SimulatedNode) -> Void) {
    let node = nodes[process.node]
    guard node.isCurrent(process) else { return }
    if node.pausedUntil > world.now { return world.schedule(event, at: node.pausedUntil) }
    transcript.mix(UInt64(node.slot))
    body(node)
  }

  private func deliver(_ packet: Packet, from: Int, to: Int, _ event: Event) {
    let node = nodes[to]
    on(node.process, event) { node in
      switch packet {
      case .raft(let message, let sender, let receiver):
        guard receiver == node.id else { return }
        note("<- n\(from + 1) \(message.text)", to)
        node.step(.message(message, from: sender))
      case .forward(let id, let payload): node.forwarded(id, payload, from: from)
      case .forwardReply(let id, let result): node.forwardAnswered(id, result)
      case .renewal(let request): node.takeRenewal(request)
      case .renewalReply(let request, let answer): reply(to: request, answer, from: to)
      }
    }
  }

  private func received(_ request: Request, at slot: Int, _ event: Event) {
    // Connection refused: the client knows that nothing was done.
    guard nodes[slot].isUp else { return reply(to: request, .notDone, from: slot) }
    on(nodes[slot].process, event) { $0.handle(request) }
  }

  // MARK: What nodes and clients use

  func note(_ text: @autoclosure () -> String, _ node: Int? = nil) {
    transcript.add(text(), at: world.now, node: node)
  }

  /// The first failure ends the run.
  func fail(_ reason: String) {
    if failure == nil { ownFailure = reason }
  }

  func send(_ packet: Packet, from: Int, to: Int) {
    guard network.isCut(from: from, to: to) || nodes[from].isAcquainted(with: nodes[to]) else {
      return
    }
    network.send(packet, from: from, to: to, in: &world)
  }

  func reply(to request: Request, _ reply: Reply, from slot: Int) {
    // A watcher finds out by itself.
    guard request.client >= 0 else { return }
    world.schedule(
      .reply(client: request.client, attempt: request.attempt, reply),
      after: world.number(20...200))
  }

  var wallMilliseconds: UInt64 { 1_700_000_000_000 + world.now / 1000 }

  /// The established leader of the highest term, if any.
  var leader: SimulatedNode? {
    var best: SimulatedNode?
    for node in nodes where node.isUp && node.raft.isEstablishedLeader {
      if best.map({ $0.raft.term < node.raft.term }) ?? true { best = node }
    }
    return best
  }

  // MARK: Phases

  private func enter(_ next: Phase) {
    switch next {
    case .faults: return
    case .healed:
      phase = .healed
      // Who is paused wakes up first: half awake is no state that there is.
      if let last = nodes.map(\.pausedUntil).max(), last > world.now {
        return world.schedule(.phase(.healed), at: last)
      }
      phaseStart = world.now
      operationsAtHeal = totals.operations
      heal()
      world.schedule(.phase(.quiet), after: 100_000)
    case .quiet: checkLiveness()
    case .over: checkAgreement()
    }
  }

  private func heal() {
    note("all faults end")
    network.calm()
    for node in nodes {
      node.calmDisk()
      node.diskSlowness = 1
      if !node.isUp { start(node) }
    }
    if options.nemesis.healsPartially { cutWithinReason() }
    for node in nodes {
      for peer in nodes where peer.slot != node.slot {
        world.schedule(.link(node.process, peer: peer.id, isUp: true), after: 1_000)
      }
    }
  }

  /// With all nodes up and connected, a leader is found and writes succeed within the bound.
  private func checkLiveness() {
    let isAlive =
      leader != nil
      && totals.operations >= operationsAtHeal + Self.operationsAfterHealMin
    if isAlive {
      note("the cluster works again")
      network.heal()
      totals.recoveryMicrosecondsMax = max(
        totals.recoveryMicrosecondsMax, world.now - phaseStart)
      phase = .quiet
      phaseStart = world.now
      world.schedule(.phase(.over), after: 100_000)
    } else if world.now > phaseStart + options.recoveryMicrosecondsMax {
      fail(
        "liveness: \(options.recoveryMicrosecondsMax / 1000) ms after the last fault "
          + (leader == nil ? "there is no leader" : "writes do not succeed") + describeNodes())
    } else {
      world.schedule(.phase(.quiet), after: 100_000)
    }
  }

  private func checkAgreement() {
    let isIdle = clients.allSatisfy { $0.call == nil } && sessionLedger.areAllEnded
    if let leader, let overdue = overdueSession(leader) { return fail(overdue) }
    if isIdle, let leader, membersAgree(with: leader), watchersKnowAll {
      for node in nodes where node.lastApplied == leader.lastApplied {
        checker.compareState(of: node)
      }
      readFinally(from: leader)
      isOver = true
    } else if world.now > phaseStart + options.recoveryMicrosecondsMax
      // A client may still try one node after the other, most of them no members any more.
      + UInt64(Self.attemptsMax) * options.attemptMicroseconds
      + sessionLedger.most(options.sessionMicroseconds) + 2_000_000
      + (options.network.straggling > 0 ? options.network.straggleMicroseconds : 0)
    {
      fail(
        "agreement: clients stopped, and the members did not reach one state"
          + describeNodes() + describeWatchers())
    } else {
      world.schedule(.phase(.over), after: 50_000)
    }
  }

  private func membersAgree(with leader: SimulatedNode) -> Bool {
    let configuration = leader.raft.configuration
    guard configuration.outgoing.isEmpty, leader.raft.commitIndex == leader.raft.lastIndex else {
      return false
    }
    return configuration.members.allSatisfy { member in
      let node = nodes[slot(of: member.id)]
      return node.id == member.id && node.lastApplied == leader.lastApplied
    }
  }

  func describeNodes() -> String {
    nodes.map { node in
      let raft = node.raft
      return "\n  n\(node.slot + 1) \(node.isUp ? "up" : "down") \(raft.role) term \(raft.term) "
        + "leader \(raft.leader?.description ?? "-") first \(raft.firstIndex) last "
        + "\(raft.lastIndex)@\(raft.lastTerm) persisted \(raft.persistedIndex) commit "
        + "\(raft.commitIndex) applied \(node.lastApplied) voters \(raft.configuration.voters) "
        + "outgoing \(raft.configuration.outgoing) learners \(raft.configuration.learners)"
    }.joined()
  }

  /// Judges the histories: linearizability, group by group.
  private func judge() {
    for (group, recorded) in history.groups.enumerated() {
      var operations = recorded
      for i in operations.indices where operations[i].position == nil {
        operations[i].position = checker.position(ofCommand: operations[i].commandName)
      }
      switch LinearizabilityChecker.check(operations) {
      case .linearizable: break
      case .undecided: totals.undecided += 1
      case .violation(let text):
        return fail("not linearizable: group \(group), \(operations.count) operations\n  \(text)")
      }
    }
  }
}
