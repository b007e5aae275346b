import Raft
import Storage

/// Processes that die, restart and pause.
extension Scenario {
  static let processes = [
    Scenario("P1", "kill -9 of the leader under load: writes go on within 500 ms") { run in
      for _ in 0..<5 {
        let old = run.waitForLeader(within: 1_000)
        let term = old.raft.term
        run.kill(old)
        run.waitForWrites(within: 500)
        run.expect(run.leader.raft.term <= Term(term.value + 3), "the term grows a little only")
        run.start(old)
        run.wait(500, for: "the old leader follows") { old.raft.leader == run.leader.id }
      }
    },
    Scenario("P2", "kill -9 of followers: no election, no pause of writes") { run in
      let leader = run.leader
      let term = leader.raft.term
      for follower in run.followers(of: leader) {
        run.kill(follower)
        for _ in 0..<5 { run.waitForWrites(1, within: 150) }
        run.start(follower)
        run.waitUntilEven(within: 500)
      }
      run.expect(run.leader.raft.term == term, "the leader of term \(term) still leads")
    },
    Scenario("P3", "rolling restart: leadership is handed over before each") { run in
      for node in run.nodes {
        if run.leader.slot == node.slot {
          node.step(.transferLeadership(to: nil))
          run.wait(200, for: "a hand-over") {
            run.cluster.leader.map { $0.slot != node.slot } ?? false
          }
        }
        let term = run.leader.raft.term
        run.kill(node)
        run.run(300)
        run.expect(run.leader.raft.term == term, "nobody elects when a follower restarts")
        run.start(node)
        run.waitUntilEven(within: 500)
      }
    },
    Scenario("P4", "all lose power; any majority, in any order, forms by itself") { run in
      for late in 0..<3 {
        run.run(300)
        for node in run.nodes { run.cutPower(node) }
        run.run(200)
        for node in run.nodes.reversed() where node.slot != late {
          run.start(node)
          run.run(run.number(0...300))
        }
        run.waitForLeader(within: 1_500)
        run.waitForWrites(within: 500)
        run.start(run.nodes[late])
        run.waitUntilEven(within: 1_000)
      }
    },
    Scenario("P5", "a crash loop: writes whenever a majority was up for 2 s", script: crashLoop),
    Scenario("P6", "death at every named point of the write path", script: deathAtEveryPoint),
    Scenario("P7", "death again and again while starting") { run in
      for node in run.nodes {
        for operations in 0..<25 {
          run.cutPower(node)
          node.disk.powerOff(afterOperations: operations)
          run.start(node)
          run.run(operations < 5 ? 3 : run.number(5...60))
        }
        node.crash(losingPower: true)
        node.calmDisk()
        run.start(node)
        run.waitUntilEven(within: 1_500)
      }
    },
    Scenario(
      "T1", "a paused leader that wakes up serves nothing old, does nothing twice, and follows",
      setUp: { $0.requestIDsMax = 100 }
    ) { run in
      for pause in [200, 1_000, 5_000, 60_000] as [UInt64] {
        let old = run.waitForLeader(within: 1_500)
        run.pause(old, pause)
        if pause >= 1_000 {
          run.wait(1_000, for: "another leader") { run.leader.slot != old.slot }
          run.waitForWrites(within: 900)
        }
        run.wait(pause + 100, for: "the end of the pause") {
          old.pausedUntil <= run.cluster.world.now
        }
        run.wait(300, for: "one leader") {
          run.nodes.filter { $0.raft.role == .leader }.count == 1
        }
        run.waitForWrites(within: 900)
      }
    },
    Scenario("T2", "a leader pauses between the confirmation of a read and its answer") { run in
      for _ in 0..<20 {
        let old = run.waitForLeader(within: 1_500)
        old.nextReadPause = run.number(100...3_000) * 1_000
        run.wait(3_000, for: "a pause") { old.nextReadPause == 0 }
        run.wait(5_000, for: "its end") { old.pausedUntil <= run.cluster.world.now }
        run.waitForWrites(within: 1_500)
      }
    },
    Scenario("T5", "all nodes are suspended for two minutes, then one alone") { run in
      for alone in [false, true] {
        let old = run.waitForLeader(within: 1_500)
        for node in run.nodes where !alone || node.slot == old.slot { run.pause(node, 120_000) }
        run.run(120_100)
        run.waitForLeader(within: 2_000)
        run.waitForWrites(within: 1_500)
      }
    },
    Scenario("T4", "clocks that run 5 % apart change nothing", setUp: { $0.driftPermille = 50 }) {
      run in
      let term = run.leader.raft.term
      run.run(20_000)
      run.expect(run.leader.raft.term == term, "nobody elects")
    },
    Scenario("T7", "stalls of 50 to 200 ms every few seconds: no election") { run in
      let term = run.leader.raft.term
      for _ in 0..<30 {
        run.pause(run.any(), run.number(50...200))
        run.run(1_000)
      }
      run.expect(run.leader.raft.term == term, "nobody elects")
    },
  ]

  private static func crashLoop(_ run: ScenarioRun) {
    var startAt: [UInt64] = run.nodes.map { _ in 0 }
    var majoritySince = run.now
    var writesThen = run.writes
    for _ in 0..<600 where !run.hasFailed {
      run.run(100)
      for node in run.nodes {
        if !node.isUp, run.now >= startAt[node.slot] { run.start(node) }
        if node.isUp, run.number(0...29) == 0 {
          node.crash(losingPower: run.number(0...1) == 0)
          startAt[node.slot] = run.now + run.number(50...2_000)
        }
      }
      if run.nodes.filter(\.isUp).count < 2 || run.cluster.leader == nil {
        if run.nodes.filter(\.isUp).count < 2 { majoritySince = run.now }
      }
      if run.writes > writesThen {
        writesThen = run.writes
        majoritySince = run.now
      }
      run.expect(run.now < majoritySince + 3_000, "writes go on when a majority is up for 3 s")
    }
  }

  private static func deathAtEveryPoint(_ run: ScenarioRun) {
    for point in SimulatedNode.CrashPoint.allCases where !run.hasFailed {
      for _ in 0..<3 {
        var victim = run.waitForLeader(within: 2_000)
        let isVoter = point == .afterVote || point == .beforeVoteSync
        if isVoter || point == .afterInstall { victim = run.followers(of: victim)[0] }
        if point == .afterInstall {
          run.kill(victim)
          run.wait(20_000, for: "a log that is cut") {
            run.leader.raft.firstIndex.previous > victim.raft.lastIndex
          }
          run.start(victim)
        }
        victim.nextDeath = point
        if isVoter {
          run.leader.step(
            .transferLeadership(
              to: run.followers(of: victim).first { $0.slot != run.leader.slot }?.id))
        }
        let life = victim.process
        run.wait(20_000, for: "death \(point)") { !victim.isCurrent(life) }
        run.wait(5_000, for: "its return") { victim.isUp }
        run.waitForWrites(within: 1_500)
      }
    }
  }
}
