import Raft

/// Links that are cut, one-way, lossy or slow.
extension Scenario {
  static let networks = [
    Scenario("N1", "the leader is cut off: it steps down, the others go on") { run in
      for _ in 0..<3 {
        let old = run.waitForLeader(within: 1_000)
        run.isolate(old)
        run.wait(1_000, for: "a leader of the majority") { run.leader.slot != old.slot }
        run.wait(600, for: "the old leader steps down") { old.raft.role != .leader }
        run.waitForWrites(within: 900)
        let term = run.leader.raft.term
        run.heal()
        run.wait(500, for: "the old leader follows") { old.raft.leader == run.leader.id }
        run.expect(run.leader.raft.term == term, "its return disturbs nobody")
      }
    },
    Scenario("N2", "a follower is away for a minute: no term inflation, no election") { run in
      let leader = run.leader
      let away = run.followers(of: leader)[0]
      let term = leader.raft.term
      run.isolate(away)
      run.run(60_000)
      run.expect(away.raft.term == term, "the lonely node keeps its term")
      run.heal()
      run.waitUntilEven(within: 2_000)
      run.run(1_000)
      run.expect(run.leader.slot == leader.slot, "the leader stays")
      run.expect(run.leader.raft.term == term, "the term stays")
    },
    Scenario("N3", "all 64 subsets of the one-way links of three nodes", script: oneWaySubsets),
    Scenario("N4", "two nodes cannot see each other, both see the third") { run in
      for _ in 0..<3 {
        let leader = run.waitForLeader(within: 1_000)
        let other = run.followers(of: leader)[0]
        run.cutBoth(leader, other)
        run.run(1_500)
        let term = run.waitForLeader(within: 500).raft.term
        let before = run.writes
        run.run(5_000)
        run.expect(run.leader.raft.term == term, "one leader stays")
        run.expect(run.writes > before + 100, "writes go on: \(run.writes - before) in 5 s")
        run.heal()
        run.run(1_000)
        run.expect(run.leader.raft.term == term, "healing disturbs nobody")
      }
    },
    Scenario("N5", "five nodes, one sees a majority: it leads and stays", setUp: { $0.voters = 5 })
    {
      run in
      let center = run.followers(of: run.leader)[1]
      run.wait(5_000, for: "a center with the longest log") {
        run.nodes.allSatisfy { $0.raft.lastIndex <= center.raft.lastIndex }
      }
      for a in run.nodes {
        for b in run.nodes where a.slot < b.slot && a.slot != center.slot && b.slot != center.slot {
          run.cutBoth(a, b)
        }
      }
      run.wait(5_000, for: "one leader") { run.nodes.filter { $0.raft.role == .leader }.count == 1 }
      run.run(1_500)
      let term = run.waitForLeader(within: 500).raft.term
      run.run(5_000)
      run.expect(run.leader.raft.term == term, "the leader stays")
      run.waitForWrites(within: 500)
    },
    Scenario("N6", "partitions that flip every 0.1 to 3 s") { run in
      for _ in 0..<40 {
        run.heal()
        let alone = run.any()
        if run.number(0...2) > 0 { run.isolate(alone) } else { run.cut(alone, run.any()) }
        run.run(run.number(100...3_000))
      }
      run.heal()
      run.waitForLeader(within: 1_500)
      run.waitForWrites(within: 900)
    },
    Scenario("N7", "loss, jitter, reordering, duplicates", script: badNetworks),
    Scenario("N10", "a follower 200 ms away: no slower commits") { run in
      let leader = run.leader
      let term = leader.raft.term
      var before = run.writes
      run.run(4_000)
      let usual = run.writes - before
      let slow = run.followers(of: leader)[0]
      run.cluster.network.slow(from: slow.slot, to: leader.slot, by: 200_000)
      run.cluster.network.slow(from: leader.slot, to: slow.slot, by: 200_000)
      // Its own clients wait for it; they move on, or all would measure the distance.
      for client in run.cluster.clients.indices { run.cluster.clients[client].node = leader.slot }
      before = run.writes
      run.run(4_000)
      run.expect(
        run.writes - before > usual / 4, "\(run.writes - before) writes, usually \(usual)")
      run.expect(run.leader.raft.term == term, "nobody elects")
    },
    Scenario(
      "M9", "messages that arrive after two elections change nothing",
      setUp: {
        $0.network.straggling = 50
        $0.network.straggleMicroseconds = 10_000_000
      }
    ) { run in
      for _ in 0..<8 {
        let old = run.waitForLeader(within: 2_000)
        run.isolate(old)
        run.wait(2_500, for: "another leader") { run.leader.slot != old.slot }
        run.heal()
        run.run(500)
      }
      run.run(10_000)
    },
  ]

  private static func oneWaySubsets(_ run: ScenarioRun) {
    let links = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]
    for subset in 0..<64 where !run.hasFailed {
      run.heal()
      run.waitForLeader(within: 2_000)
      run.waitUntilEven(within: 2_000)
      for (bit, (from, to)) in links.enumerated() where subset >> bit & 1 == 1 {
        run.cluster.network.cut(from: from, to: to)
      }
      let hasPair = [0b11, 0b1100, 0b110000].contains { subset & $0 == 0 }
      guard hasPair else {
        run.run(500)
        continue
      }
      run.run(3_000)
      let term = run.waitForLeader(within: 500).raft.term
      run.waitForWrites(within: 2_500)
      run.run(2_000)
      run.expect(run.leader.raft.term == term, "subset \(subset): the leader stays")
    }
  }

  private static func badNetworks(_ run: ScenarioRun) {
    for (loss, jitter) in [(10, 500), (100, 20_000), (300, 50_000)] as [(UInt64, UInt64)] {
      run.cluster.network.options.loss = loss
      run.cluster.network.options.jitter = jitter
      run.cluster.network.options.reordering = 50
      run.cluster.network.options.duplication = 50
      let before = run.writes
      run.run(10_000)
      run.expect(run.writes > before + 10, "writes go on with \(loss) per mille lost")
    }
  }
}
