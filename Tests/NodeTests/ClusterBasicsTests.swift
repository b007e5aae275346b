import EventLoop
import Raft
import Registry
import Testing

@testable import Node

@Suite(.serialized, .timeLimit(.minutes(10)))
struct ClusterBasicsTests {
  @Test func oneNodeInMemoryServesAtOnce() throws {
    var configuration = NodeConfiguration(nodeName: "dev")
    configuration.ports.peer = 0
    configuration.logLevel = .error
    let loop = try EventLoop()
    let node = try Node(configuration: configuration, loop: loop)
    node.start()
    #expect(loop.run(forAtMost: 60_000_000_000) { node.isEstablishedLeader })
    var outcome: Result<Outcome, RequestFailure>?
    let set = KVSet(key: Key("a"), value: [1], flags: 0, mode: .plain)
    node.propose(.kvSet(set), RequestContext()) { outcome = $0 }
    #expect(outcome == nil, "a completion must not run inside the call")
    #expect(loop.run(forAtMost: 60_000_000_000) { outcome != nil })
    #expect(outcome == .success(.flag(true)))
    #expect(node.registry.kv(Key("a"))?.value == [1])
    var isStopped = false
    node.stop { isStopped = true }
    #expect(loop.run(forAtMost: 60_000_000_000) { isStopped })
  }

  @Test func threeNodesElectCommitForwardAndRead() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    for (number, node) in cluster.running.enumerated() {
      #expect(cluster.put(node, "key\(number)", "value\(number)") == .success(.flag(true)))
    }
    for node in cluster.running {
      for number in 0..<3 { #expect(cluster.get(node, "key\(number)") == "value\(number)") }
    }
    #expect(leader.status.members.count == 3)
    #expect(leader.status.members.allSatisfy { $0.isVoter && $0.isReachable })
    cluster.stopAll()
  }

  @Test func aColdStartIsQuick() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    // Opening three nodes one after the other, unoptimised, is not what is measured.
    let start = cluster.loop.now
    #expect(cluster.put(cluster[1], "a", "1") == .success(.flag(true)))
    let milliseconds = (cluster.loop.now - start) / 1_000_000
    #expect(milliseconds < 700, "took \(milliseconds) ms")
    cluster.stopAll()
  }

  @Test func aBarrierSeesWhatAnotherNodeAcknowledged() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    _ = cluster.awaitLeader()
    for number in 0..<50 {
      let writer = cluster[number % 3]
      let reader = cluster[(number + 1) % 3]
      #expect(cluster.put(writer, "a", "\(number)") == .success(.flag(true)))
      #expect(cluster.get(reader, "a") == "\(number)")
    }
    cluster.stopAll()
  }

  @Test func aDeadLeaderDelaysButLosesNothing() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    let survivor = cluster.running.first { $0 !== leader }!
    var results: [Result<Outcome, RequestFailure>] = []
    for number in 0..<100 {
      let set = KVSet(key: Key("k\(number)"), value: [1], flags: 0, mode: .cas(0))
      survivor.propose(.kvSet(set), RequestContext()) { results.append($0) }
      if number == 50 {
        cluster.loop.runTurn(waitingAtMost: 1_000_000)
        cluster.kill(cluster.index(of: leader))
      }
    }
    #expect(cluster.run { results.count == 100 })
    // With cas 0 a second application would say false.
    #expect(results.allSatisfy { $0 == .success(.flag(true)) })
    #expect(cluster.get(survivor, "k99") != nil)
    cluster.stopAll()
  }

  @Test func withoutAMajorityRequestsFailInBoundedTime() throws {
    let cluster = try Cluster(3) { $0.requestTimeoutMilliseconds = 400 }
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    #expect(cluster.put(leader, "a", "1") == .success(.flag(true)))
    for node in cluster.running where node !== leader { cluster.kill(cluster.index(of: node)) }
    let start = cluster.loop.now
    let result = cluster.put(leader, "a", "2")
    #expect(cluster.loop.now - start < 1_000_000_000)
    if case .failure(.outcomeUnknown) = result {} else { Issue.record("got \(result as Any)") }
    #expect(cluster.get(leader, "a") == "failed: noLeader")
    #expect(cluster.run { !leader.hasLeader })
    #expect(cluster.put(leader, "a", "3") == .failure(.noLeader))
    // Stale reads go on.
    #expect(leader.registry.kv(Key("a"))?.value == Array("1".utf8))
    cluster.stopAll()
  }

  @Test func everythingIsThereAfterARestart() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    _ = cluster.awaitLeader()
    for number in 0..<20 {
      #expect(cluster.put(cluster[0], "k\(number)", "v") == .success(.flag(true)))
    }
    cluster.stopAll()
    try cluster.startAll()
    _ = cluster.awaitLeader()
    for node in cluster.running { #expect(cluster.get(node, "k19") == "v") }
    cluster.stopAll()
  }

  @Test func stoppingTheLeaderHandsOver() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    let other = cluster.running.first { $0 !== leader }!
    var isStopped = false
    let start = cluster.loop.now
    leader.stop { isStopped = true }
    #expect(cluster.run { isStopped })
    #expect(other.hasLeader && other.status.leader != leader.id)
    #expect(cluster.loop.now - start < 900_000_000)
    cluster.stopAll()
  }
}
