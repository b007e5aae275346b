import Foundation
import Harness
import RoostClient
import Testing

/// Nodes that serve HTTP on threads of their own (`io_threads`). All of this target can be run so:
/// `ROOST_IO_THREADS=2`.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct IOThreadsTests {
  /// Leaders are killed under load: nothing acknowledged is lost, no read goes back, no watcher
  /// misses a change, and the survivors fail nothing.
  @Test func killedLeadersLoseNothing() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3, settings: ["io_threads": 2])
      let dead = Locked<Int?>(nil)
      let alive: @Sendable () -> [String] = {
        cluster.nodes.indices.filter { $0 != dead.value }.map { cluster.nodes[$0].http }
      }
      let load = Load(writers: 6, addresses: alive)
      let counter = CounterCheck(addresses: cluster.nodes.map(\.http), writers: alive)
      load.start()
      counter.start()
      let watched = try Watched(cluster)
      for round in 0..<3 {
        let leader = try cluster.waitForLeader()
        dead.value = leader
        try load.awaitNobody(at: cluster.nodes[leader].http, cluster)
        cluster.signal(leader, SIGKILL)
        try load.await(200, cluster)
        #expect(try watched.raise(round, at: (0..<3).filter { $0 != leader }))
        try cluster.start(leader)
        try cluster.wait("\(cluster.nodes[leader].name) to be back") {
          ["follower", "leader"].contains(cluster.report(leader)?.role)
        }
        dead.value = nil
      }
      counter.stop()
      load.stop()
      #expect(counter.faults == [])
      #expect(counter.value > 0 && counter.readCount > 0)
      #expect(load.failures == [], "requests through the survivors failed")
      for i in 0..<3 { #expect(try load.verify(cluster.client(i)) == []) }
    }
  }

  @Test func aRollingRestartFailsNothing() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3, settings: ["io_threads": 2])
      let down = Locked<Int?>(nil)
      let alive: @Sendable () -> [String] = {
        cluster.nodes.indices.filter { $0 != down.value }.map { cluster.nodes[$0].http }
      }
      let load = Load(writers: 6, addresses: alive)
      let counter = CounterCheck(addresses: cluster.nodes.map(\.http), writers: alive)
      load.start()
      counter.start()
      try load.restartOneByOne(cluster, down)
      counter.stop()
      load.stop()
      #expect(load.failures == [])
      #expect(counter.faults == [])
      #expect(try load.verify(cluster.client(0)) == [])
    }
  }

  /// Blocking queries at every live node, on connections that its threads share, all woken by one
  /// write through one of them.
  private struct Watched {
    let cluster: LocalCluster
    private static let perNode = 4

    init(_ cluster: LocalCluster) throws {
      self.cluster = cluster
      _ = try cluster.client(0).put("watched", Array("start".utf8))
    }

    func raise(_ round: Int, at nodes: [Int]) throws -> Bool {
      let value = Array("round \(round)".utf8)
      let writer = try cluster.client(nodes[0])
      let index = try writer.get("watched")?.modifyIndex ?? 0
      let ports = nodes.map { cluster.nodes[$0].httpPort }
      var queries: [RawConnection] = []
      for port in ports {
        for _ in 0..<Self.perNode {
          let query = try RawConnection(port: port, readSeconds: 30)
          query.request(
            "GET", "/v1/kv/watched?raw&index=\(index)&wait=60s", headers: "", body: [])
          queries.append(query)
        }
      }
      for port in ports {
        try cluster.wait("queries to be parked") { try Self.watches(port) >= Self.perNode }
      }
      guard try writer.put("watched", value) else { return false }
      return try queries.allSatisfy { try $0.answer().body == value }
    }

    private static func watches(_ port: UInt16) throws -> Int {
      let answer = try RawConnection(port: port)
        .exchange("GET", "/v1/agent/metrics?format=prometheus")
      let line = String(decoding: answer.body, as: UTF8.self).split(separator: "\n")
        .first { $0.hasPrefix("roost_watches ") }
      return line?.split(separator: " ").last.flatMap { Double($0) }.map { Int($0) } ?? 0
    }
  }
}
