import Raft

/// Membership, snapshots, transfers.
extension Scenario {
  static let consensus = [
    Scenario(
      "M1", "membership changes race with changes of the leader", setUp: { $0.spares = 2 },
      script: racingChanges),
    Scenario(
      "M3", "a dead member is replaced while it stays down, then a second one",
      setUp: { $0.spares = 2 }
    ) { run in
      for (dead, new) in [(0, 3), (1, 4)] {
        run.kill(run.nodes[dead])
        run.waitForLeader(within: 1_500)
        replace(dead, by: new, run)
      }
      run.waitForWrites(within: 500)
      run.startAll()
    },
    Scenario("M4", "a removed node comes back and disturbs nobody", setUp: { $0.voters = 4 }) {
      run in
      let removed = run.followers(of: run.leader)[0]
      run.isolate(removed)
      run.leader.step(.changeMembership(MembershipChange(remove: [removed.id])))
      run.wait(2_000, for: "the removal") {
        run.leader.raft.configuration.outgoing.isEmpty
          && !run.leader.raft.configuration.isMember(removed.id)
          && run.leader.raft.commitIndex >= run.leader.raft.configurationIndex
      }
      let term = run.leader.raft.term
      run.heal()
      run.run(5_000)
      run.expect(run.leader.raft.term == term, "its return disturbs nobody")
      run.expect(removed.raft.role != .leader, "it does not lead")
    },
    Scenario(
      "M6", "a snapshot arrives while entries come faster than its link",
      setUp: {
        $0.raft.trailingEntries = 5
        $0.raft.snapshotChunkBytes = 300
        $0.snapshotEntries = 40
        $0.thinkMicroseconds = 5_000
      }
    ) { run in
      let behind = run.followers(of: run.leader)[0]
      for _ in 0..<4 {
        run.kill(behind)
        run.run(3_000)
        run.start(behind)
        run.waitUntilEven(within: 3_000)
      }
      run.expect(run.cluster.totals.installs >= 4, "it was installed each time")
    },
    Scenario(
      "M7", "snapshots race with restarts, truncation and each other",
      setUp: {
        $0.raft.trailingEntries = 0
        $0.raft.snapshotChunkBytes = 300
        $0.snapshotEntries = 5
        $0.disk.snapshotMicroseconds = 50_000
      }
    ) { run in
      for round in 0..<20 {
        let behind = run.any()
        run.isolate(behind)
        run.run(run.number(300...1_500))
        run.heal()
        run.run(run.number(1...60))
        if round % 2 == 0 {
          run.cutPower(behind)
          run.start(behind)
        }
        run.waitForLeader(within: 2_000)
        run.waitUntilEven(within: 3_000)
      }
      run.expect(run.cluster.totals.installs > 5, "snapshots were installed")
    },
    Scenario("M8", "leadership goes to a node that is slow or dead: nobody waits long") { run in
      for isDead in [false, true, false, true] {
        let leader = run.waitForLeader(within: 1_500)
        let target = run.followers(of: leader)[0]
        if isDead { run.isolate(target) } else { target.diskSlowness = 50 }
        leader.step(.transferLeadership(to: target.id))
        run.waitForWrites(within: 1_500)
        target.diskSlowness = 1
        run.heal()
        run.run(500)
      }
    },
    Scenario(
      "M13", "the quorum needs a snapshot that takes longer than the leader's patience",
      setUp: {
        $0.spares = 1
        $0.snapshotEntries = 30
        $0.raft.trailingEntries = 0
        $0.raft.trailingBytes = 0
        $0.raft.snapshotChunkBytes = 50
        $0.network.latency = 4_000
        $0.valuePaddingMax = 400
      }
    ) { run in
      // Two of three are left, one of them new: nothing commits before it has the snapshot.
      run.run(3_000)
      let leader = run.leader
      let (dead, behind) = (run.followers(of: leader)[0], run.followers(of: leader)[1])
      run.isolate(behind)
      run.wait(20_000, for: "a log that is cut") {
        run.leader.raft.firstIndex.previous > behind.raft.lastIndex
      }
      run.kill(dead)
      run.heal()
      run.waitForWrites(within: 20_000)
      run.start(dead)
    },
  ]

  /// Adds the new one, waits until it is a voter, removes the dead one in the same change.
  private static func replace(_ dead: Int, by new: Int, _ run: ScenarioRun) {
    let (old, new) = (run.nodes[dead].id, run.nodes[new].id)
    run.wait(3_000, for: "a learner that caught up") {
      if !run.leader.raft.configuration.isMember(new) {
        let change = MembershipChange(addLearners: [Member(id: new, context: [])])
        run.leader.step(.changeMembership(change))
      }
      return run.leader.raft.progress.contains {
        $0.id == new && $0.matchIndex.value + 5 > run.leader.lastApplied
      }
    }
    run.wait(3_000, for: "the replacement") {
      let configuration = run.leader.raft.configuration
      if configuration.outgoing.isEmpty, configuration.isMember(old) {
        run.leader.step(.changeMembership(MembershipChange(promote: [new], remove: [old])))
      }
      return configuration.outgoing.isEmpty && configuration.voters.contains(new)
        && !configuration.isMember(old)
    }
  }

  private static func racingChanges(_ run: ScenarioRun) {
    for round in 0..<40 where !run.hasFailed {
      let leader = run.waitForLeader(within: 5_000)
      run.cluster.changeMembership()
      run.run(run.number(0...8))
      switch round % 4 {
      case 0: run.isolate(leader)
      case 1: run.cutPower(leader)
      case 2: leader.step(.transferLeadership(to: nil))
      default: run.cut(run.any(), leader)
      }
      run.run(run.number(0...400))
      run.heal()
      run.startAll()
    }
  }
}
