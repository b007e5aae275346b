import Basics
import Testing

@testable import Raft

/// Whole clusters under loss, doubling, reordering, crashes, partitions, slow disks, compaction,
/// membership changes. `TestCluster` checks safety in every step; at the end all must agree.
@Suite struct RandomisedTests {
  @Test(arguments: 0..<12)
  func `figure 3 holds under faults, and a healed cluster makes progress`(_ group: Int) {
    for seed in UInt64(group * 25)..<UInt64(group * 25 + 25) { Self.run(seed: seed) }
  }

  static func options(_ random: inout SplitMix) -> RaftOptions {
    var options = RaftOptions()
    options.heartbeatTicks = 2
    options.electionTicks = 8 + Int(random.below(8))
    options.stallTicks = 30 + Int(random.below(60))
    options.appendEntriesMax = 1 + Int(random.below(5))
    options.inflightMessagesMax = 1 + Int(random.below(4))
    options.trailingEntries = random.below(6)
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
    let loss = random.below(30)
    for round in 0..<1500 { act(cluster, &random, loss: loss, round: UInt64(round)) }
    recover(cluster)
  }

  private static func act(
    _ cluster: TestCluster, _ random: inout SplitMix, loss: UInt64, round: UInt64
  ) {
    let id = 1 + random.below(UInt64(cluster.nodes.count))
    switch random.below(1000) {
    case 0..<250: cluster.step(id, .tick)
    case 250..<750: deliver(cluster, &random, loss: loss)
    case 750..<850: cluster.sync(id, count: 1 + Int(random.below(3)))
    case 850..<920:
      let leader = cluster.leaders.last ?? id
      cluster.step(leader, .propose((0...random.below(3)).map { [UInt8($0), UInt8(round % 256)] }))
    case 920..<950: cluster.read(id, round)
    case 950..<958: cluster.compact(id)
    case 958..<966: cluster.crash(id)
    case 966..<976: if !cluster.nodes[Int(id) - 1].isUp { cluster.restart(id) }
    case 976..<980: cluster.kill(id)
    case 980..<985: cluster.cuts.insert([id, 1 + random.below(UInt64(cluster.nodes.count))])
    case 985..<989: cluster.heal()
    case 989..<992: cluster.step(id, .linkRestored(NodeID(1 + random.below(5))))
    case 992..<995: cluster.step(cluster.leaders.last ?? id, .transferLeadership(to: nil))
    default: changeMembership(cluster, &random)
    }
  }

  private static func deliver(_ cluster: TestCluster, _ random: inout SplitMix, loss: UInt64) {
    guard !cluster.flights.isEmpty else { return }
    let isOrdered = random.chance(2, in: 3)
    let position = isOrdered ? 0 : Int(random.below(UInt64(cluster.flights.count)))
    if random.chance(loss, in: 100) {
      cluster.flights.remove(at: position)
    } else {
      if random.chance(5, in: 100) { cluster.flights.append(cluster.flights[position]) }
      cluster.deliver(position)
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
