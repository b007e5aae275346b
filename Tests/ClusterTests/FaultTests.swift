import Foundation
import Harness
import RoostClient
import Testing

/// Kills, restarts and lost quorums of real processes (fault scenarios P1 to P4).
@Suite(.serialized, .timeLimit(.minutes(10)))
struct FaultTests {
  /// More rounds by hand: `ROOST_ROUNDS=50 swift test --filter FaultTests`.
  static let rounds =
    Int(ProcessInfo.processInfo.environment["ROOST_ROUNDS"] ?? "") ?? 5

  @Test func killingTheLeaderLosesNothing() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let dead = Locked<Int?>(nil)
      let load = Load(writers: 4) {
        cluster.nodes.indices.filter { $0 != dead.value }.map { cluster.nodes[$0].http }
      }
      load.start()
      var gaps: [TimeInterval] = []
      for _ in 0..<Self.rounds {
        let leader = try cluster.waitForLeader()
        dead.value = leader
        try load.awaitNobody(at: cluster.nodes[leader].http, cluster)
        load.resetGap()
        cluster.signal(leader, SIGKILL)
        try load.await(200, cluster)
        gaps.append(load.longestGap)
        try cluster.start(leader)
        try cluster.wait("\(cluster.nodes[leader].name) to be back") {
          // The gap of a whole cluster is measured: all three hear each other again.
          cluster.report(leader)?.leader.isEmpty == false
            && cluster.nodes.indices.allSatisfy { index in
              cluster.report(index)?.members.allSatisfy(\.isReachable) == true
            }
        }
        dead.value = nil
      }
      load.stop()
      let sorted = gaps.sorted()
      print("failover gaps: median \(sorted[sorted.count / 2]) s, worst \(sorted.last ?? 0) s")
      #expect(try load.verify(cluster.client(0)) == [])
      #expect(load.failures == [], "requests through the survivors failed")
      #expect(load.count > 100)
      // The design asks for 50 and 250 ms; a busy machine gets slack here, `roost bench` measures.
      #expect(sorted[sorted.count / 2] < 0.5)
    }
  }

  /// P2: a follower dies under load. Nobody else notices, and a client that was connected to it is
  /// served by the next node at its first try.
  @Test func killingAFollowerDisturbsNobody() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let dead = Locked<Int?>(nil)
      let load = Load(writers: 4) {
        cluster.nodes.indices.filter { $0 != dead.value }.map { cluster.nodes[$0].http }
      }
      load.start()
      for round in 0..<max(2, Self.rounds / 3) {
        let leader = try cluster.waitForLeader()
        let victim = (leader + 1 + round % 2) % 3
        let term = cluster.report(leader)?.term
        dead.value = victim
        try load.awaitNobody(at: cluster.nodes[victim].http, cluster)
        cluster.signal(victim, SIGKILL)
        let order = [victim, leader, 3 - victim - leader].map { cluster.nodes[$0].http }
        #expect(try Roost(addresses: order).put("moved/\(round)", []))
        #expect(try Roost(addresses: order).get("moved/\(round)") != nil)
        try load.await(200, cluster)
        #expect(cluster.report(leader)?.term == term, "an election for a follower")
        try cluster.start(victim)
        try cluster.wait("\(cluster.nodes[victim].name) to be back") {
          cluster.report(victim)?.role == "follower"
        }
        dead.value = nil
      }
      load.stop()
      #expect(load.failures == [])
      #expect(try load.verify(cluster.client(0)) == [])
    }
  }

  @Test func aMinorityRefusesAndComesBack() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      #expect(try cluster.client(0).put("a", Array("1".utf8)))
      let survivor = try cluster.waitForLeader()
      let others = (0..<3).filter { $0 != survivor }
      try cluster.wait("the write on all nodes") {
        try cluster.client(survivor).get("a", consistency: .stale) != nil
      }
      for i in others { cluster.signal(i, SIGKILL) }
      try cluster.wait("the survivor to miss the others") { cluster.report(survivor)?.leader == "" }
      for method in ["PUT", "GET"] {
        let begin = Date()
        let answer = try cluster.client(survivor).request(method, "/v1/kv/a")
        #expect(answer.status == 500)
        #expect(!answer.body.isEmpty)
        #expect(Date().timeIntervalSince(begin) < 5)
      }
      let stale = try RawConnection(port: cluster.nodes[survivor].httpPort)
        .exchange("GET", "/v1/kv/a?stale")
      #expect(stale.status == 200)
      #expect(stale.head.lowercased().contains("x-consul-knownleader: false"))
      try cluster.start(others[0])
      try cluster.waitForLeader()
      #expect(try cluster.client(others[0]).get("a")?.value == Array("1".utf8))
      try cluster.start(others[1])
      try cluster.wait("the third node") { cluster.report(others[1])?.role == "follower" }
    }
  }

  @Test func allKilledAtOnceAndStartedInAnyOrder() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      for round in 0..<max(3, Self.rounds / 5) {
        let load = Load(writers: 4, prefix: "load\(round)") { cluster.nodes.map(\.http) }
        load.start()
        try load.await(50 + 31 * round, cluster)
        for i in 0..<3 { cluster.signal(i, SIGKILL) }
        load.stop()
        for i in [round % 3, (round + 2) % 3, (round + 1) % 3] {
          try cluster.start(i)
          // One of them late.
          if round > 0 { usleep(useconds_t(round % 4) * 100_000) }
        }
        try cluster.waitForLeader()
        #expect(try load.verify(cluster.client(round % 3)) == [], "round \(round)")
        #expect(load.count > 20)
      }
    }
  }

  /// A rolling restart fails no request of clients that keep their connection to a live node.
  @Test func aRollingRestartFailsNothing() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let down = Locked<Int?>(nil)
      let load = Load(writers: 4) {
        cluster.nodes.indices.filter { $0 != down.value }.map { cluster.nodes[$0].http }
      }
      load.start()
      try load.restartOneByOne(cluster, down)
      load.stop()
      #expect(load.failures == [])
      #expect(try load.verify(cluster.client(0)) == [])
    }
  }
}

/// A value that two threads share.
final class Locked<Value: Sendable>: @unchecked Sendable {
  // Sound: `lock` guards the only mutable field.
  private let lock = NSLock()
  private var stored: Value
  init(_ value: Value) { stored = value }
  var value: Value {
    get { lock.withLock { stored } }
    set { lock.withLock { stored = newValue } }
  }
  func update<Result>(_ body: (inout Value) -> Result) -> Result {
    lock.withLock { body(&stored) }
  }
}
