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
      "D5", "another entry rots on each node: refused at the next start, learned from the others",
      setUp: { $0.snapshotEntries = 1_000_000 }, script: rotEverywhere),
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
        run.waitForVoter(node, insteadOf: id)
        run.waitForWrites(within: 2_000)
      }
    },
    Scenario(
      "D16", "an old copy of a disk: who knows better refuses it and says why; it is rebuilt",
      setUp: {
        $0.knowsOldCopies = true
        $0.snapshotEntries = 200
      }, script: oldCopies),
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
          run.waitForVoter(node, insteadOf: id)
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
        run.waitForVoter(node, insteadOf: id)
      }
      run.waitForWrites(within: 2_000)
      run.expect(attempts < 200, "damage is noticed")
    }
  }

  /// D5: while all run, and then while none does.
  private static func rotEverywhere(_ run: ScenarioRun) {
    for _ in 0..<3 {
      _ = run.flipEverywhere()
      for node in run.nodes {
        let id = node.id
        run.kill(node)
        run.start(node)
        run.expect(node.id != id, "\(id) does not use a damaged log")
        run.waitForVoter(node, insteadOf: id)
        run.waitForWrites(within: 2_000)
      }
    }
    // The copies that were made anew are whole, and no node makes do with a part of its log.
    for node in run.nodes { node.keepsDisk = true }
    let flips = run.flipEverywhere()
    let before = run.nodes.map(\.raft.commitIndex).max() ?? .zero
    for node in run.nodes { run.kill(node) }
    run.startAll()
    run.run(5_000)
    run.expect(!run.nodes.contains(where: \.isUp), "nobody serves what may be wrong")
    for (node, flip) in zip(run.nodes, flips) { run.undo(flip, of: node) }
    run.startAll()
    let leader = run.waitForLeader(within: 3_000)
    run.expect(leader.raft.lastIndex >= before, "nothing committed is lost (through \(before))")
    for node in run.nodes { node.keepsDisk = false }
  }

  /// D16: one of three, which the others can do without, and one that they would need.
  private static func oldCopies(_ run: ScenarioRun) {
    for round in 0..<6 {
      let node = run.any()
      let id = node.id
      run.wait(6_000, for: "whole membership") { run.leader.isConfigurationSettled }
      let copy = run.copyDisk(of: node)
      run.waitUntilEven(within: 2_000)
      run.run(3_000)
      // Another start shows as well as what the log lacks.
      if round % 2 == 0 {
        run.kill(node)
        run.start(node)
        run.run(500)
      }
      run.kill(node)
      node.disk = copy
      run.start(node)
      run.wait(1_500, for: "a refusal") { node.diskIdentity.refusal != nil }
      let reason = node.diskIdentity.refusal ?? ""
      run.expect(reason.contains("old copy"), "it is told why: \(reason)")
      run.expect(run.followers(of: node).allSatisfy { !$0.isAcquainted(with: node) }, "no vote")
      run.wait(6_000, for: "its disk put aside") { node.id != id }
      run.waitForVoter(node, insteadOf: id)
      run.waitForWrites(within: 2_000)
    }
    oldCopyOfTheLast(run)
  }

  /// With an old copy and a node that was cut off there are two of three, and neither has what was
  /// acknowledged meanwhile: they must not lead.
  private static func oldCopyOfTheLast(_ run: ScenarioRun) {
    run.waitUntilEven(within: 2_000)
    let (old, whole, behind) = (run.nodes[0], run.nodes[1], run.nodes[2])
    let id = old.id
    let copy = run.copyDisk(of: old)
    run.run(5_000)
    run.waitUntilEven(within: 2_000)
    run.isolate(behind)
    run.waitForWrites(20, within: 10_000)
    run.kill(old)
    run.kill(whole)
    run.heal()
    old.disk = copy
    run.start(old)
    run.run(10_000)
    run.expect(run.cluster.leader == nil, "nobody leads without what was acknowledged")
    run.expect(old.diskIdentity.refusal?.contains("old copy") == true, "it is told why")
    run.expect(old.id == id, "its data may be the last there are: it stays")
    run.start(whole)
    run.waitForLeader(within: 3_000)
    run.wait(6_000, for: "its disk put aside") { old.id != id }
    run.waitForVoter(old, insteadOf: id)
  }
}

/// What scripts do with disks.
extension ScenarioRun {
  struct Flip {
    var path: String
    var offset: Int
  }

  /// The node that came back with an empty disk has taken its predecessor's place.
  func waitForVoter(_ node: SimulatedNode, insteadOf id: NodeID) {
    wait(6_000, for: "a voter in its place") {
      leader.isConfigurationSettled && leader.raft.configuration.isVoter(node.id)
        && !leader.raft.configuration.isMember(id)
    }
  }

  /// Of a node that stops for it.
  func copyDisk(of node: SimulatedNode) -> FaultyFileSystem {
    kill(node)
    let copy = node.disk.copy(seed: number(0...UInt64(UInt32.max)))
    start(node)
    return copy
  }

  /// One bit of one entry, of another one on each node, in what is synced. They run on: what they
  /// have in memory is right.
  func flipEverywhere() -> [Flip] {
    waitForWrites(30, within: 20_000)
    waitUntilEven(within: 2_000)
    return nodes.map { node in
      wait(3_000, for: "a disk at rest") { node.isDiskAtRest }
      let commands = node.raft.entries(from: node.raft.firstIndex, through: node.raft.commitIndex)
        .filter { $0.kind == .command && $0.payload.count >= 16 }
      // The newest are left alone: the very last cannot be told from a torn one.
      let count = max(0, commands.count - 5)
      guard count >= nodes.count else {
        fail("too few entries")
        return Flip(path: "", offset: 0)
      }
      let part = count / nodes.count
      let entry = commands[part * node.slot + Int(number(0...UInt64(part - 1)))]
      let found = place(of: entry.payload, on: node.disk)
      expect(found != nil, "entry \(entry.index) is in the log of \(node.id)")
      let flip = found ?? Flip(path: "", offset: 0)
      cluster.note("flips a bit of entry \(entry.index) in \(flip.path)", node.slot)
      node.disk.corrupt(flip.path, offset: flip.offset)
      node.isDamaged = true
      return flip
    }
  }

  func undo(_ flip: Flip, of node: SimulatedNode) {
    node.disk.corrupt(flip.path, offset: flip.offset)
    node.isDamaged = false
  }

  private func place(of payload: [UInt8], on disk: FaultyFileSystem) -> Flip? {
    for name in (try? disk.list("log")) ?? [] {
      let path = "log/" + name
      guard let file = try? disk.open(path, .readOnly), let size = try? file.size(),
        let bytes = try? file.read(at: 0, count: size)
      else { continue }
      var start = 0
      while let first = bytes[start...].firstIndex(of: payload[0]) {
        if bytes[first...].starts(with: payload) {
          return Flip(path: path, offset: first + payload.count / 2)
        }
        start = first + 1
      }
    }
    return nil
  }
}
