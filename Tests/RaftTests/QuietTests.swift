import Testing

@testable import Raft

/// An idle cluster says no more than it has to.
@Suite struct QuietTests {
  /// A leader that has told everyone everything.
  private func quietCluster() -> TestCluster {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    for _ in 0..<cluster.options.electionTicks {
      cluster.tick(1)
      cluster.settle()
    }
    return cluster
  }

  /// Ticks of the leader until it sends.
  private func ticksToNextHeartbeat(_ cluster: TestCluster, max: Int = 100) -> Int? {
    for ticks in 1...max {
      cluster.tick(1)
      defer { cluster.settle() }
      if !cluster.messages(to: 2).isEmpty { return ticks }
    }
    return nil
  }

  @Test func `a quiet leader sends fewer heartbeats, often enough for every follower`() {
    let cluster = quietCluster()
    let options = cluster.options
    #expect(options.quietHeartbeatTicks > options.heartbeatTicks)
    #expect(2 * options.quietHeartbeatTicks < options.electionTicks)
    _ = ticksToNextHeartbeat(cluster)
    for _ in 0..<3 {
      #expect(cluster[1].ticksAtOnce == options.quietHeartbeatTicks)
      #expect(ticksToNextHeartbeat(cluster) == options.quietHeartbeatTicks)
    }
    cluster.run(ticks: 10 * options.electionTicks)
    #expect(cluster.leaders == [1])
  }

  @Test func `what waits for a majority, or for being told, ends the quiet`() {
    let cluster = quietCluster()
    cluster.cut(1, 2)
    cluster.cut(1, 3)
    cluster.propose(1, [7])
    #expect(cluster[1].ticksAtOnce == 1)
    cluster.flights = []
    var heartbeats = 0
    for _ in 0..<(2 * cluster.options.heartbeatTicks) {
      cluster.tick(1)
      heartbeats += cluster[1].role == .leader && cluster[1].leading.heartbeatTicks == 0 ? 1 : 0
    }
    #expect(heartbeats == 2)
  }

  @Test func `a peer that the commit index has yet to reach ends the quiet`() {
    let cluster = quietCluster()
    // The second commit within a tick is told with the next one.
    for command in [7, 8] as [UInt8] {
      cluster.propose(1, [command])
      cluster.settle()
    }
    #expect(cluster[1].commitIndex == cluster[1].lastIndex)
    #expect(cluster[1].ticksAtOnce == 1)
    cluster.tick(1)
    cluster.settle()
    #expect(cluster[1].ticksAtOnce > 1)
  }

  @Test func `a follower takes the ticks to the next heartbeat at once, until one is missed`() {
    let cluster = quietCluster()
    _ = ticksToNextHeartbeat(cluster)
    #expect(cluster[2].ticksAtOnce > cluster.options.quietHeartbeatTicks)
    #expect(cluster[2].ticksAtOnce < cluster.options.electionTicks / 2)
    cluster.tick(2, count: cluster[2].ticksAtOnce)
    #expect(cluster[2].ticksAtOnce == 1)
    cluster.tick(1, count: cluster.options.quietHeartbeatTicks)
    cluster.settle()
    #expect(cluster[2].ticksAtOnce > 1)
  }
}
