import Checks
import Node
import Raft
import Registry

/// Instances that are seen differently from different hosts, and that come back as new ones.
extension Scenario {
  static let instances = [
    Scenario(
      "R3", "one host reaches an instance and the others do not, and the reverse: one status",
      setUp: beQuiet, script: differentViews),
    Scenario(
      "R6", "what was meant for an old instance comes late: the new one of its id stays",
      setUp: beQuiet, script: lateWords),
  ]

  /// These take minutes, in which writes show nothing.
  private static func beQuiet(_ options: inout SimulationOptions) {
    options.thinkMicroseconds = 400_000
  }

  private static func differentViews(_ run: ScenarioRun) {
    run.joinHosts()
    run.register(InstanceProbes.service, on: 0)
    let probes = InstanceProbes(run)
    for reaching in [[true, false, false], [false, true, true], [true, true, false]] {
      probes.isReached = reaching
      probes.run(3_000)
      run.expectOneCheck(reaching[0] ? "passing" : "critical", on: 0)
    }
    // Quick changes of the path: no status lasts for less than its threshold.
    for _ in 0..<200 {
      probes.isReached[0].toggle()
      probes.run(run.number(20...700))
    }
    let times = probes.changes
    let shortest = zip(times, times.dropFirst()).map { $1 - $0 }.min() ?? 0
    run.expect(times.count > 10, "it changes now and then (\(times.count) times)")
    run.expect(shortest >= InstanceProbes.leastMilliseconds, "not faster than every \(shortest) ms")
    // Its host goes: another one's view counts from then on, and the old one's no more.
    probes.isReached = [false, true, true]
    probes.run(3_000)
    run.propose(.hostDown(host: "n1", liveHosts: ["n2", "n3"]))
    probes.run(3_000)
    let host = run.host(of: "probed")
    run.expect(host != 0, "another host runs its check")
    run.expectOneCheck("passing", on: host)
    let changes = probes.changes.count
    for _ in 0..<20 {
      run.propose(.checkUpdate(InstanceProbes.report("critical", from: "n1")))
      probes.run(100)
    }
    run.expectOneCheck("passing", on: host)
    run.expect(probes.changes.count == changes, "the host that was left has no say")
  }

  private static func lateWords(_ run: ScenarioRun) {
    run.joinHosts()
    run.register(InstanceProbes.service, on: 0)
    for round in 0..<24 {
      let old = run.host(of: "probed")
      let new = (old + 1 + Int(run.number(0...1))) % run.nodes.count
      let (name, next) = ("n\(old + 1)", "n\(new + 1)")
      // The old instance dies, which is noticed; its deregistration is asked for and answered.
      run.propose(.checkUpdate(InstanceProbes.report("critical", from: name)))
      run.wait(2_000, for: "a critical check") { run.probedCheck?.status == "critical" }
      guard let seen = run.probedCheck else { return }
      let stamp = OriginStamp(
        origin: 7, sequence: UInt64(round) + 1, acknowledgedThrough: UInt64(round))
      let deregistration = CommandEnvelope(
        time: 0, requestID: nil, origin: stamp,
        command: .agentDeregister(serviceID: "probed", onlyIf: nil))
      if round % 2 == 0 {
        run.propose(deregistration)
        run.wait(2_000, for: "its end") { run.probedCheck == nil }
      }
      run.register(InstanceProbes.service, on: new)
      run.propose(.checkUpdate(InstanceProbes.report("passing", from: next)))
      run.wait(2_000, for: "the new one") { run.probedCheck?.status == "passing" }
      let before = run.probedCheck
      if round % 3 == 0 { run.changeLeader() }
      let unchanged = CheckUnchanged(checkID: seen.id, modifyIndex: seen.modifyIndex)
      var late: [CommandEnvelope] = [
        // A probe of the host that it left, and the leader's words about what it saw there.
        .init(.checkUpdate(InstanceProbes.report("critical", from: name))),
        .init(.checkUpdate(InstanceProbes.report("critical", from: name, isOfHost: false))),
        .init(.checkUpdate(InstanceProbes.expiry(on: name))),
        .init(.agentDeregister(serviceID: "probed", onlyIf: unchanged)),
        .init(.hostDown(host: name, liveHosts: [name, "n\(3 - old - new + 1)"])),
      ]
      // A second copy, from a node that did not hear the answer to the first.
      if round % 2 == 0 { late.append(deregistration) }
      while !late.isEmpty {
        run.propose(late.remove(at: Int(run.number(0...UInt64(late.count - 1)))))
        run.run(run.number(0...100))
      }
      run.run(300)
      run.expect(run.probedCheck == before, "nothing of it concerns the new one")
      run.expectOneCheck("passing", on: new)
      run.propose(.hostJoin(ScenarioRun.host(old)))
    }
    newInstanceOfAMissedOne(run)
  }

  /// The old one was critical for almost too long; that time is not the new one's.
  private static func newInstanceOfAMissedOne(_ run: ScenarioRun) {
    let least = LeaderDeadlines.deregisterLeastNanoseconds
    var service = InstanceProbes.service
    service.checks[0].definition.deregisterCriticalServiceAfter = Int64(least)
    let slot = run.host(of: "probed")
    run.register(service, on: slot)
    let report = InstanceProbes.report("critical", from: "n\(slot + 1)")
    run.propose(.checkUpdate(report))
    run.run(least / 1_000_000 - 5_000)
    run.expectOneCheck("critical", on: slot)
    run.register(service, on: slot)
    run.run(20_000)
    run.expectOneCheck("critical", on: slot)
    let time = run.wait(60_000, for: "the end of one that stays critical") {
      run.probedCheck == nil
    }
    run.expect(time >= 30_000, "not before its time (\(time) ms)")
  }
}

extension CommandEnvelope {
  fileprivate init(_ command: Command) {
    self.init(time: 0, requestID: nil, command: command)
  }
}

/// The probes of one check, made by whichever host has to run it and as seen from there.
///
/// Says what is found as the node's `CheckDuty` does: through the production thresholds, and when it
/// differs from the registry's. The threshold's memory goes with the check's move.
private final class InstanceProbes {
  static let intervalMilliseconds: UInt64 = 100
  static let threshold = 3
  /// A change, and as many results to the contrary as the next one needs.
  static let leastMilliseconds = intervalMilliseconds * UInt64(threshold - 1)

  static var service: AgentRegistration {
    let service = ServiceRecord(node: "", id: "probed", name: "probed")
    var check = CheckRecord(node: "", id: "probe", name: "probe")
    check.type = "tcp"
    check.definition.tcp = "192.0.2.1:80"
    check.definition.interval = Int64(intervalMilliseconds) * 1_000_000
    check.definition.successBeforePassing = threshold
    check.definition.failuresBeforeCritical = threshold
    return AgentRegistration(
      host: "", service: service, checks: [check], replaceExistingChecks: true)
  }

  /// - Parameter isOfHost: the check is looked for on that host only.
  static func report(
    _ status: String, from host: String, isOfHost: Bool = true
  ) -> CheckUpdate {
    CheckUpdate(
      checkID: "probe", fromHost: host, node: isOfHost ? host : nil, status: status, output: "")
  }

  static func expiry(on host: String) -> CheckUpdate {
    CheckUpdate(
      checkID: "probe", fromHost: nil, node: host, status: "critical",
      output: LeaderDeadlines.expiredOutput)
  }

  /// From each host.
  var isReached = [false, false, false]
  /// When the status changed, in milliseconds.
  private(set) var changes: [UInt64] = []
  private let run: ScenarioRun
  private var host = -1
  private var threshold = InstanceProbes.newThreshold
  private var status: String?
  private var nextAt: UInt64 = 0

  init(_ run: ScenarioRun) { self.run = run }

  private static var newThreshold: StatusThreshold {
    StatusThreshold(successBeforePassing: threshold, failuresBeforeCritical: threshold)
  }

  func run(_ milliseconds: UInt64) {
    let end = run.now + milliseconds
    while run.now < end, !run.hasFailed {
      if run.now >= nextAt {
        nextAt = run.now + Self.intervalMilliseconds
        probe()
      }
      run.run(min(10, end - run.now))
      guard let now = run.probedCheck?.status else { continue }
      if let status, status != now { changes.append(run.now) }
      status = now
    }
  }

  private func probe() {
    let hosts = run.nodes.indices.filter { slot in
      !run.leader.registry.agentChecks(onHost: "n\(slot + 1)").isEmpty
    }
    run.expect(hosts.count == 1, "one host runs the check, not \(hosts)")
    guard let now = hosts.first, let check = run.probedCheck else { return }
    if now != host { threshold = Self.newThreshold }
    host = now
    guard let said = threshold.admit(isReached[now] ? .passing : .critical),
      said.rawValue != check.status
    else { return }
    run.propose(.checkUpdate(Self.report(said.rawValue, from: "n\(now + 1)")))
  }
}

/// What these scripts do.
extension ScenarioRun {
  static func host(_ slot: Int) -> HostRegistration {
    var node = NodeRecord(name: "n\(slot + 1)", address: "192.0.2.\(slot + 10)")
    node.isHost = true
    return HostRegistration(node: node, port: 8300)
  }

  func joinHosts() {
    for slot in nodes.indices { propose(.hostJoin(Self.host(slot))) }
  }

  func register(_ registration: AgentRegistration, on slot: Int) {
    var registration = registration
    registration.host = "n\(slot + 1)"
    propose(.agentRegister(registration))
    wait(2_000, for: "the registration") {
      leader.registry.agentService(registration.service.id)?.node == registration.host
    }
  }

  /// As the leader has it.
  var probedCheck: CheckRecord? {
    leader.registry.agentChecks().first { $0.serviceID == "probed" }
  }

  /// Where the service is registered; 0 while it is not.
  func host(of service: String) -> Int {
    let node = leader.registry.agentService(service)?.node
    return nodes.indices.first { "n\($0 + 1)" == node } ?? 0
  }

  func changeLeader() {
    let old = waitForLeader(within: 2_000)
    old.step(.transferLeadership(to: nil))
    wait(2_000, for: "another leader") { cluster.leader.map { $0.slot != old.slot } ?? false }
  }

  /// Every node says the same of it, and where that is from.
  func expectOneCheck(_ status: String, on slot: Int) {
    waitUntilEven(within: 2_000)
    wait(1_000, for: "the status \(status) from n\(slot + 1) on every node") {
      nodes.allSatisfy { node in
        let checks = node.registry.agentChecks().filter { $0.serviceID == "probed" }
        return checks.count == 1 && checks[0].status == status && checks[0].node == "n\(slot + 1)"
      }
    }
  }
}
