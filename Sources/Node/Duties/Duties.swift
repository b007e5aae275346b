internal import Checks
internal import EventLoop
internal import Registry

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
  unowned let node: Node
  var deadlines = LeaderDeadlines()
  var budget = OutputBudget()
  private var hostWatch: HostWatch
  private let checkDuty: CheckDuty
  private let hostDuty: HostDuty
  private var tombstones = TombstoneClock()
  private(set) var isLeading = false
  private var checksChanged = true
  private var sessionsChanged = true
  private var hostsChanged = true
  private var ticks = 0
  /// Proposed and not yet answered: not proposed again meanwhile.
  private var condemned: Set<String> = []
  var endingSessions: Set<UniqueID> = []

  private static let hostTicks = 2
  private static let allHostsTicks = 50
  static let retryNanoseconds: UInt64 = 1_000_000_000

  /// Hangs itself on to the node's hooks; call before `Node.start`.
  package init(node: Node) {
    self.node = node
    let milliseconds = UInt64(node.configuration.nodeDeadAfterMilliseconds)
    hostWatch = HostWatch(deadAfter: milliseconds * 1_000_000)
    checkDuty = CheckDuty(node: node)
    hostDuty = HostDuty(node: node)
    node.hooks.leadershipChanged.append { [unowned self] in leadershipChanged($0) }
    node.hooks.registryChanged.append { [unowned self] in registryChanged($0) }
    node.hooks.membershipChanged.append { [unowned self] _ in hostsChanged = true }
    node.hooks.coarseTick.append { [unowned self] in tick() }
    installRenewals()
  }

  /// Ends the probes; the hooks fall silent with the node.
  package func stop() { checkDuty.stop() }

  /// For metrics: probes that this host runs.
  package var probeCount: Int { checkDuty.count }

  private func leadershipChanged(_ isEstablishedLeader: Bool) {
    isLeading = isEstablishedLeader
    deadlines.reset()
    condemned.removeAll()
    endingSessions.removeAll()
    tombstones = TombstoneClock()
    guard isEstablishedLeader else { return }
    hostWatch.startLeading(now: node.loop.now)
    checksChanged = true
    sessionsChanged = true
    hostsChanged = true
  }

  private func registryChanged(_ changes: ChangeSet) {
    if changes.agentWorkChanged || changes.everything { checkDuty.setChanged() }
    if changes.agentWorkChanged || changes.everything || changes.topics.contains(.checks) {
      checksChanged = true
    }
    if changes.sessionsChanged || changes.everything { sessionsChanged = true }
    if changes.everything { hostsChanged = true }
  }

  private func tick() {
    ticks += 1
    checkDuty.tick(budget: &budget)
    hostDuty.tick()
    guard isLeading else { return }
    let now = node.loop.now
    followState(now: now)
    for expired in deadlines.takeExpired(now: now, registry: node.registry) { act(on: expired) }
    if ticks % Self.hostTicks == 0 { judgeHosts(now: now) }
    if let index = tombstones.due(now: now, applied: node.registry.lastIndex) {
      node.propose(.reapTombstones(through: index), RequestContext()) { _ in }
    }
  }

  private func followState(now: UInt64) {
    if checksChanged {
      checksChanged = false
      let checks = node.registry.agentChecks()
      deadlines.follow(checks: checks, now: now)
      let ids = Set(checks.map(\.id))
      budget.keepOnly { ids.contains($0) }
    }
    if sessionsChanged {
      sessionsChanged = false
      deadlines.follow(sessions: node.registry.sessions(), now: now)
    }
  }

  // MARK: Deadlines

  private func act(on expired: LeaderDeadlines.Expired) {
    let now = node.loop.now
    switch expired {
    case .ttl(let checkID, let host):
      node.logger.log(
        .info, "checks", "TTL of a check ran out", [("check", checkID), ("node", host)])
      let update = CheckUpdate(
        checkID: checkID, fromHost: host, node: host, status: "critical",
        output: LeaderDeadlines.expiredOutput)
      propose(.checkUpdate(update), orRetry: .ttl(checkID: checkID, node: host), now: now)
    case .session(let id):
      node.logger.log(.info, "sessions", "a session ran out", [("session", id.description)])
      endingSessions.insert(id)
      propose(.sessionDestroy(id), orRetry: .session(id), now: now)
    case .deregister(let serviceID, let condition):
      node.logger.log(
        .info, "checks", "a service stayed critical for too long and is deregistered",
        [("service", serviceID), ("check", condition.checkID)])
      node.propose(
        .agentDeregister(serviceID: serviceID, onlyIf: condition), RequestContext()
      ) { [weak self] _ in
        // Still there and still critical: it gets its time again.
        self?.checksChanged = true
      }
    }
  }

  private func propose(_ command: Command, orRetry key: LeaderDeadlines.Key, now: UInt64) {
    node.propose(command, RequestContext()) { [weak self] result in
      guard let self, isLeading else { return }
      if case .session(let id) = key { endingSessions.remove(id) }
      if case .failure = result { deadlines.retry(key, at: node.loop.now + Self.retryNanoseconds) }
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
      isFullLook
      ? node.registry.nodes().filter(\.isHost).map(\.name) : members.map(\.name)
    let hosts = names.compactMap { name -> (name: String, isPassing: Bool)? in
      guard node.registry.node(named: name)?.isHost == true else { return nil }
      let checks = node.registry.nodeLevelChecks(onNode: name)
      return (name, checks.first { $0.id == HostDuty.healthCheckID }?.isPassing ?? false)
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
    node.propose(command, RequestContext()) { [weak self] _ in
      self?.condemned.remove(host)
      self?.hostsChanged = true
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
