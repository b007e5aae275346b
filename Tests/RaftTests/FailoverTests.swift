import Basics
import Testing

@testable import Raft

/// How long a cluster is without a leader, with messages that take a tick.
@Suite struct FailoverTests {
  /// Ticks from the last sign of life of a leader until another one has committed in its term.
  private func gap(voters: Int, seed: UInt64, delay: Int = 1) -> (ticks: Int, elections: Int) {
    let cluster = TestCluster(voters: voters, seed: seed)
    let old = cluster.elect()
    var random = SplitMix(seed: seed)
    cluster.run(ticks: 20 + Int(random.below(4)))
    cluster.isolate(old)
    cluster.flights = []
    let term = cluster[old].term.value
    var slots: [[TestCluster.Flight]] = Array(repeating: [], count: delay)
    for tick in 1...400 {
      let arriving = slots[tick % delay]
      slots[tick % delay] = []
      for position in cluster.nodes.indices.shuffled(using: &random) {
        let id = UInt64(position) + 1
        for flight in arriving where flight.to.value == id {
          guard !cluster.cuts.contains([flight.from.value, id]) else { continue }
          cluster.step(id, .message(flight.message, from: flight.from))
        }
        cluster.tick(id)
      }
      slots[tick % delay] = cluster.flights
      cluster.flights = []
      if let leader = cluster.leader, leader != old {
        return (tick, Int(cluster[leader].term.value - term))
      }
    }
    return (400, 0)
  }

  private func measure(voters: Int, delay: Int = 1) -> (median: Int, worst: Int, splits: Int) {
    let results = (UInt64(0)..<200).map { gap(voters: voters, seed: $0, delay: delay) }
    let gaps = results.map(\.ticks).sorted()
    let splits = results.count { $0.elections > 1 }
    print(
      "voters \(voters), delay \(delay): median \(gaps[100]), worst \(gaps[199]), splits \(splits)")
    return (gaps[100], gaps[199], splits)
  }

  @Test func `a silent leader of three nodes is replaced in time`() {
    let gap = measure(voters: 3)
    #expect(gap.median <= 45 && gap.worst <= 90)
  }

  @Test func `a silent leader of five nodes is replaced in time`() {
    let gap = measure(voters: 5)
    #expect(gap.median <= 45 && gap.worst <= 90)
  }

  @Test func `a network on which a round trip takes most of a retry elects leaders too`() {
    let gap = measure(voters: 3, delay: 6)
    #expect(gap.median <= 100 && gap.worst <= 250)
  }
}
