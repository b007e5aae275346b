package import Checks
internal import EventLoop
package import Registry

/// What a node does for the registry beside replicating it.
///
/// Every node: keeps its own entry in the catalog right (`HostDuty`), runs the checks of the
/// services it hosts (`CheckDuty`). The leader, while it leads: times TTLs, sessions and services
/// that stay critical (`LeaderDeadlines`), finds dead hosts (`HostWatch`), drops old tombstones.
///
/// Nothing here is needed for consistency: all of it proposes commands, like any client. A proposal
/// that fails is made again as long as its reason holds.
///
/// Thread rule: the loop's thread.
package final class Duties {
  /// Tests shorten these.
  package struct Options {
    package var deregisterLeastNanoseconds = LeaderDeadlines.deregisterLeastNanoseconds
    package var checkLimits = CheckLimits()
    /// What the node's configuration defines; registered once this node is in the catalog.
    package var registrations: [Command] = []
    package init() {}
  }
  unowned let node: Node
  var deadlines: LeaderDeadlines
  /// Of the updates of TTL checks; the probes have their own.
  var budget = OutputBudget()
  private var hostWatch: HostWatch
  private let checkDuty: CheckDuty
  private let hostDuty: HostDuty
  private var tombstones = TombstoneClock()
  private(set) var isLeading = false
  /// A new leader looks at everything once.
  private var isFullLookDue = false
  private var hostsChanged = true
  private var ticks = 0
  private var loggedBrake: UInt64?
  /// Proposed and not yet answered: not proposed again meanwhile.
  private var condemned: Set<String> = []
  var endingSessions: Set<UniqueID> = []
  /// How many statuses of a check are proposed and not applied yet.
  var proposed: [LeaderDeadlines.CheckKey: Int] = [:]
  /// Counts leaderships, so that what an earlier one began is not taken for this one's.
  private(set) var leadership = 0

  /// Of `tick`: between two looks at the members, and two at every host of the catalog.
  private static let judgeHostsTicks = 5
  private static let allHostsTicks = 20
  static let retryNanoseconds: UInt64 = 1_000_000_000
  /// Of `tick`.
  private static let tickNanoseconds: UInt64 = 100_000_000
  /// One timer at a time.
  private var isExpiryTimed = false

  /// Hangs itself on to the node's hooks; call before `Node.start`, and keep it as long as the node.
  package init(node: Node, options: Options = Options()) {
    self.node = node
    let milliseconds = UInt64(node.configuration.nodeDeadAfterMilliseconds)
    hostWatch = HostWatch(deadAfter: milliseconds * 1_000_000)
    deadlines = LeaderDeadlines(deregisterLeast: options.deregisterLeastNanoseconds)
    var limits = options.checkLimits
    limits.allowsScripts =
      node.configuration.enableScriptChecks || node.configuration.enableLocalScriptChecks
    let scripts = ScriptRule(node.configuration, options.registrations)
    checkDuty = CheckDuty(node: node, limits: limits, scripts: scripts)
    hostDuty = HostDuty(node: node, registrations: options.registrations)
    node.hooks.leadershipChanged.append { [unowned self] in leadershipChanged($0) }
    node.hooks.registryChanged.append { [unowned self] in registryChanged($0) }
    node.hooks.membershipChanged.append { [unowned self] _ in hostsChanged = true }
    node.hooks.coarseTick.append { [unowned self] in tick() }
    node.hooks.beforeHostCommand = { [unowned self] in hostDuty.joinNow() }
    installRenewals()
  }

  /// Ends the probes; the hooks fall silent with the node.
  package func stop() { checkDuty.stop() }

  /// For metrics: checks that this host runs.
  package var probeCount: Int { checkDuty.count }

  static var asLeader: RequestContext {
    var context = RequestContext()
    context.isLeadersOwn = true
    return context
  }

  private func leadershipChanged(_ isEstablishedLeader: Bool) {
    isLeading = isEstablishedLeader
    leadership += 1
    deadlines.reset()
    condemned.removeAll()
    endingSessions.removeAll()
    proposed.removeAll()
    budget.removeAll()
    tombstones = TombstoneClock()
    guard isEstablishedLeader else { return }
    hostWatch.startLeading(now: node.loop.now)
    isFullLookDue = true
    hostsChanged = true
  }

  private func registryChanged(_ changes: ChangeSet) {
    checkDuty.note(changes)
    if changes.everything { hostsChanged = true }
    guard isLeading else { return }
    if changes.everything {
      deadlines.reset()
      isFullLookDue = true
      return
    }
    let now = node.loop.now
    for change in changes.agentChecks { follow(change, now: now) }
    for id in changes.sessionIDs {
      if let session = node.registry.session(id) {
        deadlines.follow(session, now: now)
      } else {
        deadlines.forget(id)
      }
    }
  }

  private func follow(_ change: AgentCheckChange, now: UInt64) {
    let check = node.registry.agentCheck(change.id, host: change.node)
    if check.map({ foldedName($0.node) != change.node }) ?? true { budget.forget(change.id) }
    deadlines.follow(change, check, now: now)
  }

  func tick() {
    ticks += 1
    checkDuty.tick()
    hostDuty.tick()
    guard isLeading else { return }
    let now = node.loop.now
    if isFullLookDue {
      isFullLookDue = false
      for check in node.registry.agentChecks() { deadlines.follow(check, now: now) }
      for session in node.registry.sessions() { deadlines.follow(session, now: now) }
    }
    expire()
    logBrake()
    if hostsChanged || ticks % Self.judgeHostsTicks == 0 { judgeHosts(now: now) }
    if let index = tombstones.due(now: now, applied: node.registry.stateIndex) {
      node.propose(.reapTombstones(through: index), Self.asLeader) { _ in }
    }
  }

  /// What has run out, and on time what runs out before the next tick.
  private func expire() {
    let now = node.loop.now
    for expired in deadlines.takeExpired(now: now, registry: node.registry) { act(on: expired) }
    guard !isExpiryTimed, let next = deadlines.earliest(), next > now,
      next - now < Self.tickNanoseconds
    else { return }
    isExpiryTimed = true
    node.loop.schedule(after: next - now) { [weak self] in
      guard let self else { return }
      isExpiryTimed = false
      if isLeading { expire() }
    }
  }

  private func logBrake() {
    guard deadlines.brakedUntil != loggedBrake else { return }
    loggedBrake = deadlines.brakedUntil
    guard loggedBrake != nil else { return }
    node.logger.log(
      .error, "checks",
      "very many TTL checks run out at once: the others get more time, in case it is the network",
      [("seconds", String(ExpiryBrake.pause / 1_000_000_000))])
  }

  // MARK: Deadlines

  private func act(on expired: LeaderDeadlines.Expired) {
    switch expired {
    case .ttl(let check):
      node.logger.log(
        .info, "checks", "TTL of a check ran out", [("check", check.id), ("node", check.node)])
      let update = CheckUpdate(
        checkID: check.id, fromHost: nil, node: check.node, status: "critical",
        output: LeaderDeadlines.expiredOutput)
      propose(update, check) { [weak self] _ in self?.settle(.ttl(check)) }
    case .session(let id):
      node.logger.log(.info, "sessions", "a session ran out", [("session", id.description)])
      endingSessions.insert(id)
      node.propose(.sessionDestroy(id), Self.asLeader) { [weak self, leadership] _ in
        guard let self, leadership == self.leadership else { return }
        endingSessions.remove(id)
        settle(.session(id))
      }
    case .deregister(let check, let serviceID, let condition):
      node.logger.log(
        .info, "checks", "a service stayed critical for too long and is deregistered",
        [("service", serviceID), ("check", condition.checkID)])
      let command = Command.agentDeregister(serviceID: serviceID, onlyIf: condition)
      node.propose(command, Self.asLeader) { [weak self, leadership] _ in
        guard let self, leadership == self.leadership else { return }
        settle(.deregister(check))
      }
    }
  }

  private func settle(_ key: LeaderDeadlines.Key) {
    deadlines.settle(key, retryAt: node.loop.now + Self.retryNanoseconds)
  }

  /// Proposes a status as leader, and knows until it is applied that the registry is behind.
  func propose(
    _ update: CheckUpdate, _ key: LeaderDeadlines.CheckKey,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void
  ) {
    proposed[key, default: 0] += 1
    node.propose(.checkUpdate(update), Self.asLeader) { [weak self, leadership] result in
      if let self, leadership == self.leadership, let count = proposed[key] {
        proposed[key] = count > 1 ? count - 1 : nil
      }
      completion(result)
    }
  }

  // MARK: Hosts

  private func judgeHosts(now: UInt64) {
    let members = node.status.members.map { member in
      HostWatch.Member(
        name: member.name,
        lastContact: member.lastContactMilliseconds.map { now - min(now, $0 * 1_000_000) },
        isSelf: member.id == node.id)
    }
    let isFullLook = hostsChanged || ticks % Self.allHostsTicks == 0
    hostsChanged = false
    let names =
      isFullLook ? node.registry.nodes().filter(\.isHost).map(\.name) : members.map(\.name)
    let hosts = names.compactMap { name -> HostWatch.Host? in
      guard let record = node.registry.node(named: name), record.isHost else { return nil }
      let checks = node.registry.nodeLevelChecks(onNode: name)
      let isPassing = checks.first { $0.id == HostDuty.healthCheckID }?.isPassing ?? false
      var host = HostWatch.Host(name: record.name, isPassing: isPassing)
      if isFullLook, !isPassing {
        host.services = node.registry.services(onNode: name).filter { $0.origin == .agent }
          .map(\.id)
      }
      return host
    }
    for verdict in hostWatch.judge(members: members, hosts: hosts, now: now) { carryOut(verdict) }
  }

  private func carryOut(_ verdict: HostWatch.Verdict) {
    let (host, command): (String, Command) =
      switch verdict {
      case .down(let host, let live): (host, .hostDown(host: host, liveHosts: live))
      case .gone(let host, let live): (host, .hostLeave(host: host, liveHosts: live))
      }
    guard condemned.insert(host).inserted else { return }
    node.logger.log(
      .warning, "hosts",
      "no contact with a node for too long: its services and checks move to the others",
      [("node", host)])
    node.propose(command, Self.asLeader) { [weak self, leadership] _ in
      guard let self, leadership == self.leadership else { return }
      condemned.remove(host)
      hostsChanged = true
    }
  }
}

/// Says once a minute up to which index tombstones are older than a quarter of an hour (Consul's
/// time). Pure.
struct TombstoneClock {
  static let ageMinutes = 15
  private static let minute: UInt64 = 60_000_000_000
  /// The applied index of each of the last minutes, oldest first.
  private var samples: [UInt64] = []
  private var nextSample: UInt64 = 0
  private var reaped: UInt64 = 0

  mutating func due(now: UInt64, applied: UInt64) -> UInt64? {
    if nextSample == 0 { nextSample = now + Self.minute }
    guard now >= nextSample else { return nil }
    nextSample = now + Self.minute
    samples.append(applied)
    guard samples.count > Self.ageMinutes else { return nil }
    let index = samples.removeFirst()
    // The reaping itself is an entry: without other writes there is nothing to reap.
    guard index > reaped + 1 else { return nil }
    reaped = index
    return index
  }
}
