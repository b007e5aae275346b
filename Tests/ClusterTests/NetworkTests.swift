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
      let stalls = StallMeter()
      var gaps: [(gap: TimeInterval, stall: TimeInterval)] = []
      for _ in 0..<max(3, FaultTests.rounds) {
        let leader = try cluster.waitForLeader()
        paused.value = leader
        try load.awaitNobody(at: cluster.nodes[leader].http, cluster)
        load.resetGap()
        stalls.reset()
        cluster.signal(leader, SIGSTOP)
        try load.await(200, cluster)
        gaps.append((load.longestGap, stalls.longest))
        cluster.signal(leader, SIGCONT)
        let reads = counter.readCount
        try cluster.wait("the old leader to follow", seconds: 30) {
          cluster.report(leader)?.role == "follower"
        }
        try cluster.wait("reads through all", seconds: 30) { counter.readCount > reads + 30 }
      }
      load.stop()
      counter.stop()
      stalls.stop()
      #expect(counter.faults == [])
      for i in 0..<3 { #expect(try load.verify(cluster.client(i)) == []) }
      print("paused leader: gaps \(gaps.map(\.gap)) s")
      // The design's worst, and what this machine itself stood still meanwhile.
      for (gap, stall) in gaps {
        #expect(gap <= 0.9 + 2 * stall, "the machine stood still \(stall)")
      }
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
      try load.await(100, cluster)
      load.resetGap()
      net.isolate(cluster.nodes[leader].name, from: cluster.nodes.map(\.name))
      try cluster.wait("the old leader to step down", seconds: 20) {
        cluster.report(leader)?.role != "leader"
      }
      try cluster.wait("a leader on the other side", seconds: 20) {
        cluster.leader().map { $0 != leader } ?? false
      }
      try load.await(100, cluster)
      print("isolated leader: gap \(load.longestGap) s")
      let begin = Date()
      #expect(try cluster.client(leader).request("GET", "/v1/kv/counter").status == 500)
      #expect(Date().timeIntervalSince(begin) < 6)
      net.healAll()
      try cluster.wait("the old leader to follow", seconds: 30) {
        let report = cluster.report(leader)
        return report?.role == "follower" && report?.leader != ""
      }
      load.stop()
      counter.stop()
      #expect(counter.faults == [])
      #expect(try load.verify(cluster.client(leader)) == [])
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
      // Several of its election timeouts.
      try cluster.wait("the follower to miss its leader") { cluster.report(victim)?.leader == "" }
      usleep(2_000_000)
      try load.await(100, cluster)
      #expect(cluster.report(victim)?.term == term)
      net.healAll()
      try cluster.wait("the follower to hear its leader again", seconds: 30) {
        cluster.report(victim)?.leader == cluster.nodes[leader].name
      }
      try load.await(300, cluster)
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
        try cluster.wait("a write in pattern \(pattern)", seconds: 30) {
          (try? clients.put("pattern", Array("\(pattern)".utf8))) ?? false
        }
        try cluster.awaitQuiet("pattern \(pattern)")
        net.healAll()
        try cluster.wait("all three to agree", seconds: 30) {
          let reports = cluster.nodes.indices.compactMap { cluster.report($0) }
          return reports.count == 3 && Set(reports.map(\.term)).count == 1
            && reports.count { $0.role == "leader" } == 1
        }
      }
    }
  }

  /// N3: any of the 64 subsets of the six one-way links (all with `ROOST_ROUNDS=50`): where two
  /// nodes hear each other, they have a leader that stays.
  @Test func whereTwoNodesHearEachOtherThereIsALeader() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3, isProxied: true)
      let net = try #require(cluster.proxies)
      let links = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]
      let names = cluster.nodes.map(\.name)
      let subsets = Array(0..<64).shuffled().prefix(FaultTests.rounds >= 50 ? 64 : 4)
      for subset in subsets {
        let isCut = { (link: Int) in subset >> link & 1 == 1 }
        for (link, (from, to)) in links.enumerated() where isCut(link) {
          net.set(from: names[from], to: names[to], .cut)
        }
        let pair = [0, 2, 4].first { !isCut($0) && !isCut($0 + 1) }.map { links[$0] }
        if let pair {
          var clients = try Roost(
            addresses: [pair.0, pair.1, 3 - pair.0 - pair.1].map { cluster.nodes[$0].http })
          clients.readSeconds = 6
          try cluster.wait("a write in subset \(subset)", seconds: 40) {
            (try? clients.put("subset", Array("\(subset)".utf8))) ?? false
          }
          try cluster.awaitQuiet("subset \(subset)")
        }
        net.healAll()
        try cluster.wait("all three to agree after subset \(subset)", seconds: 40) {
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
      try cluster.wait("both sides to be served", seconds: 40) {
        try [leader, lost].allSatisfy { i in
          var client = try cluster.client(i)
          client.readSeconds = 5
          return (try? client.put("side/\(i)", [])) ?? false
        }
      }
      print("partial partition: both sides served after \(Date().timeIntervalSince(begin)) s")
      try cluster.awaitQuiet("a partial partition")
      net.healAll()
      try cluster.wait("all three to agree", seconds: 30) {
        Set(cluster.nodes.indices.compactMap { cluster.report($0)?.term }).count == 1
      }
    }
  }
}

extension LocalCluster {
  /// Waits for two seconds without any election; where they never end, this fails.
  func awaitQuiet(_ what: String, seconds: Double = 40) throws {
    var term: UInt64?
    var since = Date()
    try wait("elections to end in \(what)", seconds: seconds) {
      let now = nodes.indices.compactMap { report($0)?.term }.max()
      if now != term || now == nil {
        term = now
        since = Date()
      }
      return Date().timeIntervalSince(since) > 2
    }
  }
}
