import Basics
import Foundation
import Testing

@testable import Raft

/// Whole clusters under loss, doubling, reordering, crashes, partitions, slow disks, compaction,
/// membership changes. `TestCluster` checks safety in every step; at the end all must agree.
@Suite struct RandomisedTests {
  /// More of them: `RAFT_SEEDS=1000 swift test -c release --filter RandomisedTests`.
  static let seedsPerGroup =
    UInt64(ProcessInfo.processInfo.environment["RAFT_SEEDS"] ?? "") ?? 3

  @Test(arguments: UInt64(0)..<8)
  func `figure 3 holds under faults, and a healed cluster makes progress`(_ group: UInt64) {
    let first = group * Self.seedsPerGroup
    for seed in first..<(first + Self.seedsPerGroup) { Self.run(seed: seed) }
  }

  static func options(_ random: inout SplitMix) -> RaftOptions {
    var options = RaftOptions()
    options.heartbeatTicks = 2
    options.electionTicks = 8 + Int(random.below(8))
    options.stallTicks = 30 + Int(random.below(60))
    options.appendEntriesMax = 1 + Int(random.below(5))
    options.inflightMessagesMax = 1 + Int(random.below(4))
    options.trailingEntries = random.below(6)
    options.catchUpBytesMax = random.chance(1, in: 2) ? 0 : 1 << 20
    options.snapshotChunkBytes = 20 + Int(random.below(100))
    options.caughtUpEntries = 10
    return options
  }

  static func run(seed: UInt64) {
    var random = SplitMix(seed: seed)
    let count = 3 + Int(random.below(3))
    let cluster = TestCluster(
      voters: count, learners: Int(random.below(2)), spare: 1, options: options(&random), seed: seed
    )
    cluster.syncsAtOnce = random.chance(1, in: 3)
    let network = Network(&random)
    for round in 0..<400 {
      for id in 1...UInt64(cluster.nodes.count) where random.chance(9, in: 10) {
        cluster.step(id, .tick)
      }
      network.deliver(cluster, &random)
      for id in 1...UInt64(cluster.nodes.count) where random.chance(network.syncs, in: 10) {
        cluster.sync(id, count: 1 + Int(random.below(4)))
      }
      use(cluster, &random, round: UInt64(round))
      if random.chance(network.faults, in: 100) { disturb(cluster, &random) }
    }
    recover(cluster)
  }

  /// How bad this run's network and disks are, in chances of 100 (syncs: of 10).
  struct Network {
    var loss: UInt64
    var doubling: UInt64
    var delay: UInt64
    var syncs: UInt64
    var faults: UInt64

    init(_ random: inout SplitMix) {
      loss = random.below(3) * random.below(10)
      doubling = random.below(8)
      delay = random.below(3) * random.below(25)
      syncs = 2 + random.below(9)
      faults = random.below(12)
    }

    /// What was there at the start is delivered, lost, doubled or left for later.
    func deliver(_ cluster: TestCluster, _ random: inout SplitMix) {
      for _ in 0..<3 {
        var left = cluster.flights.count
        var position = 0
        while left > 0, position < cluster.flights.count {
          left -= 1
          if random.chance(delay, in: 100) {
            position += 1
          } else if random.chance(loss, in: 100) {
            cluster.flights.remove(at: position)
          } else {
            if random.chance(doubling, in: 100) {
              cluster.flights.append(cluster.flights[position])
            }
            cluster.deliver(position)
          }
        }
      }
    }
  }

  private static func use(_ cluster: TestCluster, _ random: inout SplitMix, round: UInt64) {
    let id = 1 + random.below(UInt64(cluster.nodes.count))
    let leader = cluster.leaders.randomElement(using: &random) ?? id
    if random.chance(4, in: 10) {
      let count = 1 + random.below(4)
      cluster.step(leader, .propose((0..<count).map { [UInt8($0), UInt8(round % 256)] }))
    }
    if random.chance(4, in: 10) { cluster.read(id, round) }
    if random.chance(3, in: 100) { cluster.compact(id) }
    if random.chance(3, in: 100) { changeMembership(cluster, &random) }
    if random.chance(1, in: 100) { cluster.step(leader, .transferLeadership(to: nil)) }
  }

  private static func disturb(_ cluster: TestCluster, _ random: inout SplitMix) {
    let count = UInt64(cluster.nodes.count)
    let id = 1 + random.below(count)
    let other = 1 + random.below(count)
    for position in cluster.nodes.indices
    where !cluster.nodes[position].isUp && random.chance(1, in: 2) {
      cluster.restart(UInt64(position) + 1)
    }
    switch random.below(10) {
    case 0: cluster.crash(id)
    case 1, 2: cluster.kill(id)
    case 3: cluster.kill(cluster.leaders.last ?? id)
    case 4: cluster.cuts.insert([id, other])
    case 5: cluster.cut(id, other)
    case 6: cluster.step(id, .linkRestored(NodeID(other)))
    case 7: cluster.nodes[Int(id) - 1].isDiskStuck.toggle()
    default: cluster.heal()
    }
  }

  private static func changeMembership(_ cluster: TestCluster, _ random: inout SplitMix) {
    guard let leader = cluster.leaders.last else { return }
    let id = NodeID(1 + random.below(UInt64(cluster.nodes.count)))
    var change = MembershipChange()
    switch random.below(3) {
    case 0: change.addLearners = [Member(id: id, context: [UInt8(id.value)])]
    case 1: change.promote = [id]
    default: if cluster[leader].configuration.voters.count > 2 { change.remove = [id] }
    }
    cluster.step(leader, .changeMembership(change))
  }

  /// Everything works again: one leader, a new commit everywhere, equal logs.
  private static func recover(_ cluster: TestCluster) {
    cluster.heal()
    for position in cluster.nodes.indices where !cluster.nodes[position].isUp {
      cluster.restart(UInt64(position) + 1)
    }
    cluster.syncsAtOnce = true
    for id in 1...UInt64(cluster.nodes.count) {
      cluster.nodes[Int(id) - 1].isDiskStuck = false
      cluster.sync(id)
      for other in 1...UInt64(cluster.nodes.count) {
        cluster.step(id, .linkRestored(NodeID(other)))
      }
    }
    cluster.settle()
    cluster.run(until: { cluster.leader != nil }, "a leader after healing")
    cluster.run(ticks: 100)
    guard let leader = cluster.leader else { return }
    cluster.propose(leader, [99])
    cluster.run(
      until: {
        guard let leader = cluster.leader else { return false }
        let last = cluster[leader].lastIndex
        let members = cluster[leader].configuration.members
        return cluster[leader].commitIndex == last
          && members.allSatisfy { cluster[$0.id.value].commitIndex == last }
      }, "all members have everything")
    checkLogMatching(cluster)
  }

  /// Log Matching: an equal term at an index means equal entries there and before.
  private static func checkLogMatching(_ cluster: TestCluster) {
    for a in cluster.nodes {
      for b in cluster.nodes where a.core.id < b.core.id {
        var isEqual = false
        for entry in a.core.entries(from: .zero, through: a.core.lastIndex).reversed() {
          let other = b.core.entries(from: entry.index, through: entry.index).first
          if other?.term == entry.term { isEqual = true }
          if isEqual, let other { #expect(other == entry, "seed \(cluster.seed)") }
        }
      }
    }
  }
}
