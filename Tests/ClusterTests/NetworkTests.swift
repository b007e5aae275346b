import Foundation
import Harness
import RoostClient
import Testing

/// Pauses and broken networks between real processes (fault scenarios T1, N1 to N4).
@Suite(.serialized, .timeLimit(.minutes(5)))
struct NetworkTests {
  /// T1: the leader stands still and comes back in the middle of its requests.
  @Test func aPausedLeaderServesNothingStale() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let paused = Locked<Int?>(nil)
      let others: @Sendable () -> [String] = {
        cluster.nodes.indices.filter { $0 != paused.value }.map { cluster.nodes[$0].http }
      }
      let load = Load(writers: 3, addresses: others)
      let counter = CounterCheck(addresses: cluster.nodes.map(\.http), writers: others)
      load.start()
      counter.start()
      var gaps: [TimeInterval] = []
      for microseconds in [3_000_000, 1_200_000, 1_200_000] as [useconds_t] {
        let leader = try cluster.waitForLeader()
        paused.value = leader
        usleep(400_000)
        load.resetGap()
        cluster.signal(leader, SIGSTOP)
        usleep(microseconds)
        gaps.append(load.longestGap)
        cluster.signal(leader, SIGCONT)
        try cluster.wait("the old leader to follow") { cluster.report(leader)?.role == "follower" }
      }
      let gap = gaps.sorted()[1]
      usleep(1_500_000)
      load.stop()
      counter.stop()
      #expect(counter.faults == [])
      #expect(counter.readCount > 20)
      for i in 0..<3 { #expect(try load.verify(cluster.client(i)) == []) }
      #expect(gap <= 0.9)
      print("paused leader: gaps \(gaps) s")
    }
  }

  /// N1.
  @Test func aLeaderCutFromBothStepsDown() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3, isProxied: true)
      let net = try #require(cluster.proxies)
      let leader = try cluster.waitForLeader()
      let others = (0..<3).filter { $0 != leader }.map { cluster.nodes[$0].http }
      let load = Load(writers: 3) { others }
      let counter = CounterCheck(addresses: cluster.nodes.map(\.http)) { others }
      load.start()
      counter.start()
      usleep(300_000)
      load.resetGap()
      net.isolate(cluster.nodes[leader].name, from: cluster.nodes.map(\.name))
      try cluster.wait("the old leader to step down", seconds: 3) {
        cluster.report(leader)?.role != "leader"
      }
      try cluster.wait("a leader on the other side", seconds: 5) {
        cluster.leader().map { $0 != leader } ?? false
      }
      let gap = load.longestGap
      let begin = Date()
      #expect(try cluster.client(leader).request("GET", "/v1/kv/counter").status == 500)
      #expect(Date().timeIntervalSince(begin) < 6)
      net.healAll()
      try cluster.wait("the old leader to follow", seconds: 8) {
        let report = cluster.report(leader)
        return report?.role == "follower" && report?.leader != ""
      }
      load.stop()
      counter.stop()
      #expect(counter.faults == [])
      #expect(try load.verify(cluster.client(leader)) == [])
      #expect(gap < 1.5)
      print("isolated leader: gap \(gap) s")
    }
  }

  /// N2.
  @Test func anIsolatedFollowerComesBackQuietly() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3, isProxied: true)
      let net = try #require(cluster.proxies)
      let leader = try cluster.waitForLeader()
      let victim = (leader + 1) % 3
      let term = try #require(cluster.report(leader)).term
      let load = Load(writers: 2) { [cluster.nodes[leader].http] }
      load.start()
      net.isolate(cluster.nodes[victim].name, from: cluster.nodes.map(\.name))
      usleep(2_500_000)
      #expect(cluster.report(victim)?.term == term)
      net.healAll()
      try cluster.wait("the follower to hear its leader again", seconds: 8) {
        cluster.report(victim)?.leader == cluster.nodes[leader].name
          || cluster.report(victim)?.lastContactMilliseconds ?? .max < 200
      }
      usleep(500_000)
      load.stop()
      let after = try #require(cluster.report(leader))
      #expect(after.role == "leader" && after.term == term)
      #expect(load.failures == [])
      try cluster.wait("the follower to have it all") {
        try load.verify(cluster.client(victim)) == []
      }
    }
  }

  /// N3: wherever a node can talk with another in both directions there is a stable leader.
  @Test func oneWayCutsLeaveALeader() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3, isProxied: true)
      let net = try #require(cluster.proxies)
      for pattern in 0..<4 {
        let leader = try cluster.waitForLeader()
        let names = (0..<3).map { cluster.nodes[(leader + $0) % 3].name }
        switch pattern {
        case 0: net.set(from: names[0], to: names[1], .cut)
        case 1: net.set(from: names[1], to: names[0], .cut)
        case 2: for name in names[1...] { net.set(from: names[0], to: name, .cut) }
        default: for name in names[1...] { net.set(from: name, to: names[0], .cut) }
        }
        var clients = try Roost(addresses: [
          cluster.nodes[(leader + 2) % 3].http, cluster.nodes[(leader + 1) % 3].http,
        ])
        clients.readSeconds = 6
        let begin = Date()
        try cluster.wait("a write in pattern \(pattern)", seconds: 8) {
          (try? clients.put("pattern", Array("\(pattern)".utf8))) ?? false
        }
        #expect(Date().timeIntervalSince(begin) < 6, "pattern \(pattern)")
        usleep(700_000)
        let terms = cluster.nodes.indices.compactMap { cluster.report($0)?.term }.max()
        usleep(700_000)
        #expect(
          terms == cluster.nodes.indices.compactMap { cluster.report($0)?.term }.max(),
          "elections go on in pattern \(pattern)")
        net.healAll()
        try cluster.wait("all three to agree", seconds: 10) {
          let reports = cluster.nodes.indices.compactMap { cluster.report($0) }
          return reports.count == 3 && Set(reports.map(\.term)).count == 1
            && reports.count { $0.role == "leader" } == 1
        }
      }
    }
  }

  /// N4: the leader and a follower do not reach each other, the third reaches both.
  @Test func aPartialPartitionServesBothSides() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3, isProxied: true)
      let net = try #require(cluster.proxies)
      let leader = try cluster.waitForLeader()
      let lost = (leader + 1) % 3
      net.setBothWays(cluster.nodes[leader].name, cluster.nodes[lost].name, .cut)
      let begin = Date()
      try cluster.wait("both sides to be served", seconds: 12) {
        try [leader, lost].allSatisfy { i in
          var client = try cluster.client(i)
          client.readSeconds = 5
          return (try? client.put("side/\(i)", [])) ?? false
        }
      }
      print("partial partition: both sides served after \(Date().timeIntervalSince(begin)) s")
      let term = try #require(cluster.report((leader + 2) % 3)).term
      usleep(1_500_000)
      #expect(cluster.report((leader + 2) % 3)?.term == term, "elections go on")
      net.healAll()
      try cluster.wait("all three to agree", seconds: 10) {
        Set(cluster.nodes.indices.compactMap { cluster.report($0)?.term }).count == 1
      }
    }
  }
}
