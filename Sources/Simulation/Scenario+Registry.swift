import Node
import Raft
import Registry
import Storage

/// Sessions, locks, watches, health deadlines, retried writes.
extension Scenario {
  static let registry = [
    Scenario("R1", "an instance, its host and the leader die at once: critical after its TTL") {
      run in
      run.register(instances: 1)
      run.renewChecks(for: 1_000)
      run.kill(run.leader)
      let died = run.now
      run.waitForLeader(within: 1_500)
      run.wait(5_000, for: "the end of its TTL") { run.criticalChecks == 1 }
      run.expect(run.now >= died + 2_000, "not before its TTL")
      run.startAll()
    },
    Scenario("R4", "half of all instances fall silent at once: the brake holds, and ends") { run in
      run.register(instances: 400)
      run.renewChecks(for: 1_000)
      // All of them: a leader that nobody reaches looks like that.
      run.run(5_000)
      let leader = run.leader
      run.expect(leader.sessions.deadlines.brakedUntil != nil, "the brake holds")
      run.expect(run.criticalChecks <= 100, "\(run.criticalChecks) of 400 ran out at first")
      run.renewChecks(for: 30_000, from: 200)
      run.wait(20_000, for: "the dead ones run out") { run.criticalChecks >= 200 - 1 }
      run.renewChecks(for: 3_000, from: 200)
      run.expect(run.criticalChecks <= 300, "the living ones stay: \(run.criticalChecks) of 400")
    },
    Scenario(
      "R5", "all nodes are down for longer than every TTL: nothing ends before they are back",
      setUp: keepOneSession
    ) { run in
      for _ in 0..<3 {
        let session = run.waitForHeldSession()
        for node in run.nodes { run.cutPower(node) }
        run.run(10_000)
        run.startAll()
        run.waitForLeader(within: 2_000)
        run.run(8_000)
        run.expect(run.isAlive(session), "the session that is renewed lives on")
      }
    },
    Scenario(
      "R8", "holders away for longer than their TTL write under an old token: refused",
      setUp: { options in
        options.lockers = 4
        options.sessionMicroseconds = 1_000_000
      }
    ) { run in
      run.run(60_000)
      let ledger = run.cluster.sessionLedger
      run.expect(ledger.expiries > 10, "sessions ran out (\(ledger.expiries))")
      run.expect(ledger.lateWrites > 5, "late writes were refused (\(ledger.lateWrites))")
    },
    Scenario(
      "R9", "watchers resume on nodes that are behind, or whose history is gone",
      setUp: { options in
        options.watchers = 4
        options.changeLogEntriesMax = 30
        options.watchMicroseconds = 50_000
        options.snapshotEntries = 30
        options.raft.trailingEntries = 0
        options.raft.trailingBytes = 0
      }
    ) { run in
      for round in 0..<40 {
        let behind = run.followers(of: run.waitForLeader(within: 1_500))[0]
        run.isolate(behind)
        run.run(run.number(100...900))
        for watcher in run.cluster.watchers.indices { run.cluster.connect(watcher, to: behind) }
        run.run(run.number(0...100))
        run.heal()
        if round % 3 == 0 { run.kill(behind) }
        run.run(300)
        run.startAll()
      }
      let resyncs = run.cluster.watchers.reduce(0) { $0 + $1.resyncs }
      run.expect(resyncs > 5, "some start again (\(resyncs))")
    },
    Scenario(
      "R11",
      "nodes restart and keys go while clients wait: no index goes back, no change is missed",
      setUp: { options in
        options.watchers = 3
        options.clients = 6
        options.snapshotEntries = 20
      }
    ) { run in
      for _ in 0..<30 {
        let node = run.any()
        if run.number(0...1) == 0 { run.cutPower(node) } else { run.kill(node) }
        run.run(run.number(10...500))
        run.start(node)
        run.run(run.number(10...500))
      }
      run.waitUntilEven(within: 2_000)
    },
    Scenario(
      "R12", "clients give up early and write again through another node: done once",
      setUp: { options in
        options.attemptMicroseconds = 30_000
        options.clients = 6
      }
    ) { run in
      for _ in 0..<20 {
        let leader = run.waitForLeader(within: 1_500)
        for node in run.nodes { node.diskSlowness = run.number(20...60) }
        run.run(1_000)
        if run.number(0...1) == 0 { run.pause(leader, 700) }
        for node in run.nodes { node.diskSlowness = 1 }
        run.run(1_000)
      }
      run.expect(run.cluster.totals.unknownOutcomes > 0, "some never hear")
    },
    Scenario(
      "R13", "large transactions while leadership moves: all or nothing",
      setUp: { options in
        options.valuePaddingMax = 60_000
        options.log.segmentBytes = 1 << 20
        options.clients = 6
        options.registerGroups = 1
        options.thinkMicroseconds = 2_000
      }
    ) { run in
      for _ in 0..<10 {
        run.waitForLeader(within: 1_500).step(.transferLeadership(to: nil))
        run.run(run.number(50...600))
      }
      run.waitForWrites(within: 1_500)
    },
    Scenario(
      "T3", "wall clocks jump by an hour and by a day: nothing ends early, nobody elects",
      setUp: keepOneSession
    ) { run in
      let session = run.waitForHeldSession()
      let term = run.leader.raft.term
      for milliseconds in [3_600_000, 0, 86_400_000, 0] as [UInt64] {
        for node in run.nodes {
          node.wallSkew = milliseconds
          run.run(2_000)
        }
      }
      run.expect(run.isAlive(session), "the session lives on")
      run.expect(run.leader.raft.term == term, "nobody elects")
    },
    Scenario(
      "T8", "200 leaders, one after the other: a session that is renewed lives, and then ends",
      setUp: keepOneSession, script: manyLeaders),
  ]

  private static func keepOneSession(_ options: inout SimulationOptions) {
    options.lockers = 1
    options.keepsSessions = true
    options.sessionMicroseconds = 3_000_000
    options.attemptMicroseconds = 300_000
  }

  private static func manyLeaders(_ run: ScenarioRun) {
    let session = run.waitForHeldSession()
    var leaders = 0
    while leaders < 200, !run.hasFailed {
      let old = run.waitForLeader(within: 3_000)
      switch leaders % 4 {
      case 0: run.kill(old)
      case 1: run.cutPower(old)
      case 2: run.isolate(old)
      default: run.pause(old, 1_500)
      }
      run.wait(3_000, for: "another leader") {
        run.cluster.leader.map { $0.slot != old.slot } ?? false
      }
      leaders += 1
      run.run(run.number(0...300))
      run.heal()
      run.startAll()
      run.run(run.number(200...600))
      run.expect(run.isAlive(session), "the session lives after \(leaders) leaders")
    }
    // That it ends in time once nobody renews it is checked at the end of every run.
  }
}

/// What scripts do with sessions and checks.
extension ScenarioRun {
  /// The session of the first client that holds a lock.
  func waitForHeldSession() -> UniqueID {
    wait(5_000, for: "a session with a lock") { heldSession != nil }
    return heldSession ?? UniqueID(high: 0, low: 0)
  }

  private var heldSession: UniqueID? {
    cluster.clients.first { $0.lock.token != nil }?.lock.session
  }

  func isAlive(_ session: UniqueID) -> Bool {
    hasFailed || cluster.sessionLedger.known[session]?.endedAt == nil
  }

  /// Instances with a check of 2 s, all on the host "n1".
  func register(instances: Int) {
    var host = NodeRecord(name: "n1", address: "127.0.0.1")
    host.isHost = true
    propose(.hostJoin(HostRegistration(node: host, port: 8300)))
    for number in 0..<instances {
      let service = ServiceRecord(node: "n1", id: "i\(number)", name: "instance")
      var check = CheckRecord(node: "n1", id: "c\(number)", name: "alive")
      check.status = "passing"
      check.type = "ttl"
      check.serviceID = service.id
      check.definition.ttl = 2_000_000_000
      propose(
        .agentRegister(
          AgentRegistration(
            host: "n1", service: service, checks: [check], replaceExistingChecks: true)))
    }
    wait(5_000, for: "the registrations") { leader.registry.agentChecks().count == instances }
  }

  func propose(_ command: Command) {
    propose(CommandEnvelope(time: 0, requestID: nil, command: command))
  }

  func propose(_ envelope: CommandEnvelope) {
    var payload = envelope.encoded()
    CommandEnvelope.stamp(&payload, time: cluster.wallMilliseconds)
    leader.proposeDirectly(payload)
  }

  /// Those from the given number on are renewed at the leader, as through the API.
  func renewChecks(for milliseconds: UInt64, from first: Int = 0) {
    let end = now + milliseconds
    while now < end, !hasFailed {
      let leader = leader
      for check in leader.registry.agentChecks() {
        guard let number = Int(check.id.dropFirst()), number >= first else { continue }
        leader.sessions.deadlines.renew(check, now: leader.clock)
      }
      run(500)
    }
  }

  var criticalChecks: Int {
    leader.registry.agentChecks().filter { $0.status == "critical" }.count
  }
}
