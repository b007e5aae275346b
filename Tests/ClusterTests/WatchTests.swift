import Foundation
import Harness
import RoostClient
import Testing

/// Watches that move between nodes, and writes that are asked for twice (fault scenarios R9, R11,
/// R12).
@Suite(.serialized, .timeLimit(.minutes(10)))
struct WatchTests {
  /// R9, R11: watchers go from node to node with the index they have, while nodes are killed and the
  /// newest key is deleted again and again: an index never falls, no change is missed.
  @Test func aWatchMovesBetweenNodesAndNeverGoesBack() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let followers = (0..<3).map { Follower(cluster, first: $0) }
      let load = Load(writers: 1, prefix: "other") { cluster.nodes.map(\.http) }
      load.start()
      var roost = try Roost(addresses: cluster.nodes.map(\.http))
      roost.readSeconds = 10
      var number = 0
      func raise(_ times: Int) throws {
        for _ in 0..<times {
          number += 1
          let text = Array("\(number)".utf8)
          try cluster.wait("write \(number)", seconds: 60) {
            ((try? roost.put("seen/counter", text)) ?? false)
              && ((try? roost.put("seen/newest", text)) ?? false)
              && ((try? roost.delete("seen/newest")) ?? false)
          }
        }
      }
      for round in 0..<max(3, FaultTests.rounds) {
        try raise(20)
        let victim = round % 2 == 0 ? try cluster.waitForLeader(seconds: 60) : round % 3
        cluster.signal(victim, SIGKILL)
        try raise(20)
        try cluster.start(victim)
        try cluster.wait("\(cluster.nodes[victim].name) to be back", seconds: 60) {
          ["follower", "leader"].contains(cluster.report(victim)?.role)
        }
      }
      load.stop()
      for follower in followers {
        try cluster.wait("a watcher to see the last change", seconds: 30) {
          follower.seen >= number
        }
        follower.stop()
        #expect(follower.faults == [])
        #expect(follower.seen == number)
      }
    }
  }

  /// R9: a node that is behind is asked with an index that it has not reached yet: it waits until
  /// it has caught up and does not answer with something older.
  @Test func anIndexFromTheFutureIsWaitedFor() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3, isProxied: true)
      let net = try #require(cluster.proxies)
      let leader = try cluster.waitForLeader()
      let behind = (leader + 1) % 3
      #expect(try cluster.client(leader).put("future", Array("old".utf8)))
      try cluster.wait("the first value everywhere") {
        try cluster.client(behind).get("future", consistency: .stale)?.value == Array("old".utf8)
      }
      net.isolate(cluster.nodes[behind].name, from: cluster.nodes.map(\.name))
      #expect(try cluster.client(leader).put("future", Array("new".utf8)))
      let index = try #require(try cluster.client(leader).get("future")).modifyIndex
      #expect(
        try cluster.client(behind).get("future", consistency: .stale)?.value == Array("old".utf8))
      let answer = Locked<RawConnection.Answer?>(nil)
      let group = DispatchGroup()
      let port = cluster.nodes[behind].httpPort
      group.enter()
      Thread.detachNewThread {
        defer { group.leave() }
        answer.value = try? RawConnection(port: port, readSeconds: 90)
          .exchange("GET", "/v1/kv/future?stale&raw&wait=60s&index=\(index - 1)")
      }
      usleep(500_000)
      #expect(answer.value == nil, "it answered from before that index")
      net.healAll()
      group.wait()
      let got = try #require(answer.value)
      #expect(got.body == Array("new".utf8), "\(got.head)")
    }
  }

  /// R12: a client hears nothing, asks again elsewhere under the same request id: applied once, and
  /// the answer is that of the first time, also at the node that hung.
  @Test func aRetriedWriteIsAppliedOnce() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      for round in 0..<max(2, FaultTests.rounds / 3) {
        let leader = try cluster.waitForLeader(seconds: 60)
        let header = "X-Roost-Request-Id: \(UUID().uuidString.lowercased())\r\n"
        let target = "/v1/kv/once/\(round)?cas=0"
        // Sent to a leader that stands still, or stopped right after it.
        let first = try RawConnection(port: cluster.nodes[leader].httpPort, readSeconds: 60)
        if round % 2 == 0 { cluster.signal(leader, SIGSTOP) }
        first.request("PUT", target, headers: header, body: Array("1".utf8))
        if round % 2 == 1 { cluster.signal(leader, SIGSTOP) }
        var body: [UInt8] = []
        try cluster.wait("the second attempt", seconds: 60) {
          let other = try RawConnection(
            port: cluster.nodes[(leader + 1) % 3].httpPort, readSeconds: 20)
          other.request("PUT", target, headers: header, body: Array("1".utf8))
          guard let answer = try? other.answer(), answer.status == 200 else { return false }
          body = answer.body
          return true
        }
        #expect(body == Array("true".utf8))
        cluster.signal(leader, SIGCONT)
        let late = try first.answer()
        #expect(late.status != 200 || late.body == body, "\(late.head)")
        let third = try RawConnection(port: cluster.nodes[leader].httpPort, readSeconds: 20)
        try cluster.wait("the old leader to follow", seconds: 60) {
          ["leader", "follower"].contains(cluster.report(leader)?.role)
        }
        third.request("PUT", target, headers: header, body: Array("1".utf8))
        let again = try third.answer()
        #expect(again.status == 200 && again.body == body, "\(again.head)")
        let pair = try #require(try cluster.client((leader + 2) % 3).get("once/\(round)"))
        #expect(pair.createIndex == pair.modifyIndex)
      }
    }
  }
}

/// Follows a prefix by blocking queries, each at the next node.
private final class Follower: @unchecked Sendable {
  // Sound: `lock` guards every mutable field.
  private let lock = NSLock()
  private let done = DispatchSemaphore(value: 0)
  private var last = 0
  private var found: [String] = []
  private var stopping = false

  init(_ cluster: LocalCluster, first: Int) {
    let addresses = cluster.nodes.map(\.http)
    Thread.detachNewThread { [self] in
      var turn = first
      var index: UInt64 = 0
      while !lock.withLock({ stopping }) {
        turn += 1
        guard var roost = try? Roost(addresses: [addresses[turn % 3]]) else { continue }
        roost.readSeconds = 12
        let query: [(String, String?)] = [
          ("recurse", nil), ("index", "\(index)"), ("wait", "1s"),
        ]
        guard let answer = try? roost.request("GET", "/v1/kv/seen/", query: query),
          answer.status == 200, let new = answer.index, let pairs = try? Watch.pairs(answer)
        else {
          usleep(5_000)
          continue
        }
        note(pairs, index, new)
        index = new
      }
      done.signal()
    }
  }

  private func note(_ pairs: [KVPair], _ index: UInt64, _ new: UInt64) {
    lock.withLock {
      if new < index { found.append("index \(new) after \(index)") }
      let counter = pairs.first { $0.key == "seen/counter" }
      let value = counter.flatMap { Int(String(decoding: $0.value, as: UTF8.self)) } ?? 0
      if value < last { found.append("\(value) after \(last)") }
      last = max(last, value)
    }
  }

  var seen: Int { lock.withLock { last } }
  var faults: [String] { lock.withLock { found } }

  func stop() {
    lock.withLock { stopping = true }
    done.wait()
  }
}
