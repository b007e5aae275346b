import Raft
import Storage

/// Disks that lose, refuse, fail and hang.
extension Scenario {
  static let disks = [
    Scenario("D1", "power loss of one node at random moments") { run in
      for _ in 0..<25 {
        let node = run.any()
        run.run(run.number(1...300))
        run.cutPower(node)
        run.run(run.number(1...100))
        run.start(node)
      }
      run.waitUntilEven(within: 2_000)
    },
    Scenario("D2", "power loss of all nodes at once") { run in
      for _ in 0..<15 {
        run.run(run.number(100...800))
        let before = run.nodes.map(\.raft.commitIndex).max() ?? .zero
        for node in run.nodes { run.cutPower(node) }
        run.startAll()
        let leader = run.waitForLeader(within: 1_500)
        run.expect(leader.raft.lastIndex >= before, "nothing committed is lost (through \(before))")
      }
    },
    Scenario("D3", "torn writes are cut off, and never mistaken for damage") { run in
      let node = run.nodes[0]
      for operations in 1...40 {
        run.waitForLeader(within: 2_000)
        node.disk.powerOff(afterOperations: operations)
        run.wait(3_000, for: "the power goes") { !node.isUp }
        node.calmDisk()
        run.start(node)
        run.expect(node.isUp, "it starts")
        run.waitForWrites(within: 1_500)
      }
    },
    Scenario("D4", "bits flip in what is synced: the node refuses to start, and is replaced") {
      rot($0, in: ["log", "snapshots"])
    },
    Scenario(
      "D6", "snapshots rot: found when they are read, and the node is replaced",
      setUp: {
        $0.snapshotEntries = 20
        $0.raft.trailingEntries = 0
      }
    ) { rot($0, in: ["snapshots"]) },
    Scenario("D15", "a wiped disk: its node comes back as another one, learner first") { run in
      for node in run.nodes {
        let id = node.id
        run.kill(node)
        node.lose()
        run.start(node)
        run.expect(!node.raft.configuration.isVoter(node.id), "it has no vote")
        run.wait(6_000, for: "a voter in its place") {
          run.leader.isConfigurationSettled && run.leader.raft.configuration.isVoter(node.id)
            && !run.leader.raft.configuration.isMember(id)
        }
        run.waitForWrites(within: 2_000)
      }
    },
    Scenario("D7", "a sync fails once: the process ends, and acknowledges nothing of it") { run in
      for _ in 0..<6 {
        for victim in [run.waitForLeader(within: 1_000), run.followers(of: run.leader)[0]] {
          let life = victim.process
          victim.disk.failNextSync()
          run.wait(2_000, for: "its end") { !victim.isCurrent(life) }
          run.waitForWrites(within: 1_000)
          run.start(victim)
          run.waitUntilEven(within: 1_500)
        }
      }
    },
    Scenario("D8", "the leader's disk is full: another leads; room returns, so does it") { run in
      let old = run.leader
      old.disk.setCapacity(old.disk.usedBytes)
      old.diskFullUntil = run.cluster.world.now + 10_000_000
      run.wait(3_000, for: "another leader") { run.leader.slot != old.slot }
      run.waitForWrites(within: 900)
      run.run(2_000)
      run.expect(run.leader.slot != old.slot, "who cannot write does not lead")
      run.wait(10_000, for: "room") { old.diskFullUntil <= run.cluster.world.now }
      run.wait(2_000, for: "it catches up by itself") {
        old.isUp && old.lastApplied + 20 > run.leader.lastApplied
      }
    },
    Scenario("D10", "the leader's sync hangs: it gives way, and stays out of elections") { run in
      let old = run.leader
      old.diskSlowness = 15_000
      run.wait(2_500, for: "another leader") { run.leader.slot != old.slot }
      run.waitForWrites(within: 900)
      let term = run.leader.raft.term
      run.run(10_000)
      run.expect(run.leader.raft.term == term, "the stuck node disturbs nobody")
    },
    Scenario("D11", "the leader's disk is 50 times slower: writes go on, leadership hardly moves") {
      run in
      let old = run.leader
      let term = old.raft.term
      old.diskSlowness = 50
      for _ in 0..<60 {
        run.run(1_000)
        run.waitForWrites(within: 1_000)
      }
      run.expect(run.leader.raft.term <= Term(term.value + 2), "at most one move")
    },
    Scenario("D14", "writes are lost or go astray: found when the disk is read, or harmless") {
      run in
      var wipes: UInt64 = 0
      for round in 0..<40 {
        let node = run.any()
        let id = node.id
        run.wait(3_000, for: "a disk at rest") { node.isDiskAtRest }
        node.isDamaged = true
        let after = Int(run.number(0...3))
        if round % 2 == 0 {
          node.disk.loseNextWrite(after: after)
        } else {
          node.disk.misdirectNextWrite(after: after)
        }
        run.run(run.number(100...600))
        // The very last record cannot be told from one that was torn: others must follow it.
        run.wait(3_000, for: "a disk at rest") { !node.isUp || node.isDiskAtRest }
        run.cutPower(node)
        node.calmDisk()
        run.start(node)
        if node.id != id {
          wipes += 1
          run.wait(6_000, for: "a voter in its place") {
            run.leader.isConfigurationSettled && run.leader.raft.configuration.isVoter(node.id)
              && !run.leader.raft.configuration.isMember(id)
          }
        }
        node.isDamaged = false
        run.waitForWrites(within: 2_000)
        run.waitUntilEven(within: 3_000)
      }
      run.expect(wipes > 3, "some are found (\(wipes) of 40)")
    },
    Scenario("D12", "a follower's disk is 100 times slower: commits are not") { run in
      let term = run.leader.raft.term
      run.followers(of: run.leader)[0].diskSlowness = 100
      for _ in 0..<30 { run.waitForWrites(1, within: 150) }
      run.expect(run.leader.raft.term == term, "nobody elects")
    },
  ]

  private static func rot(_ run: ScenarioRun, in directories: [String]) {
    var attempts = 0
    while run.cluster.totals.wipes < 6, !run.hasFailed {
      attempts += 1
      let node = run.any()
      let id = node.id
      run.wait(3_000, for: "a disk at rest") { node.isDiskAtRest }
      run.cluster.damage(node, in: directories)
      run.run(50)
      if node.id == id {
        run.start(node)
      } else {
        run.wait(6_000, for: "a voter in its place") {
          run.leader.isConfigurationSettled && run.leader.raft.configuration.isVoter(node.id)
            && !run.leader.raft.configuration.isMember(id)
        }
      }
      run.waitForWrites(within: 2_000)
      run.expect(attempts < 200, "damage is noticed")
    }
  }
}
