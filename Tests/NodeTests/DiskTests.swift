import EventLoop
import Registry
import Storage
import Testing

@testable import Node
@testable import Raft

@Suite(.serialized, .timeLimit(.minutes(10)))
struct DiskTests {
  /// Three nodes; the first has a disk with faults.
  private func makeCluster() throws -> (Cluster, FaultyFileSystem) {
    let cluster = try Cluster(3) { $0.raft.electionPriority = 1 }
    let disk = FaultyFileSystem(seed: 1)
    try cluster.start(0, cluster.configuration(0), files: disk)
    try cluster.start(1)
    try cluster.start(2)
    let leader = cluster.awaitLeader()
    if leader !== cluster[0] {
      leader.transferLeadership(to: cluster[0].id) { _ in }
      #expect(cluster.run { cluster[0].isEstablishedLeader })
    }
    return (cluster, disk)
  }

  @Test func aFullDiskGivesLeadershipAwayAndHeals() throws {
    let (cluster, disk) = try makeCluster()
    disk.setCapacity(disk.usedBytes)
    let value = String(repeating: "x", count: 20_000)
    for number in 0..<60 {
      #expect(cluster.put(cluster[1], "k\(number)", value) == .success(.flag(true)))
    }
    #expect(cluster.run { cluster[0].disk.isDiskFull })
    #expect(cluster.run { cluster[0].hasLeader && !cluster[0].isEstablishedLeader })
    disk.setCapacity(.max)
    #expect(cluster.run { !cluster[0].disk.isDiskFull })
    #expect(cluster.put(cluster[0], "z", "1") == .success(.flag(true)))
    #expect(cluster.get(cluster[0], "k59") == value)
    cluster.stopAll()
  }

  @Test func aFullDiskOfTheOnlyNodeRefusesClearly() throws {
    let cluster = try Cluster(1) { $0.requestTimeoutMilliseconds = 1500 }
    let disk = FaultyFileSystem(seed: 1)
    try cluster.start(0, cluster.configuration(0), files: disk)
    _ = cluster.awaitLeader()
    disk.setCapacity(disk.usedBytes)
    let value = String(repeating: "x", count: 50_000)
    var last: Result<Outcome, RequestFailure>?
    for number in 0..<40 where !cluster[0].disk.isDiskFull {
      last = cluster.put(cluster[0], "k\(number)", value)
    }
    #expect(cluster[0].disk.isDiskFull)
    if case .failure = last {} else { Issue.record("got \(last as Any)") }
    #expect(cluster.put(cluster[0], "y", "1") == .failure(.diskFull))
    disk.setCapacity(.max)
    #expect(cluster.run { !cluster[0].disk.isDiskFull })
    #expect(cluster.put(cluster[0], "z", "1") == .success(.flag(true)))
    cluster.stopAll()
  }

  @Test func aFailedSyncEndsTheNodeAndTheOthersGoOn() throws {
    let (cluster, disk) = try makeCluster()
    var message: String?
    cluster[0].onFatal = { message = $0 }
    disk.failNextSync()
    let result = cluster.put(cluster[1], "a", "1")
    #expect(result == .success(.flag(true)))
    #expect(cluster.run { message != nil })
    #expect(cluster.put(cluster[0], "b", "1") == .failure(.stopping))
    #expect(cluster.get(cluster[2], "a") == "1")
    cluster.kill(0)
    cluster.stopAll()
  }

  /// A full disk that gets room again does not end the pause that a torn tail asks for.
  @Test func aDiskEventDoesNotEndTheTornTailsPause() throws {
    let (cluster, _) = try makeCluster()
    cluster.kill(1)
    cluster.kill(2)
    let node = cluster[0]
    #expect(cluster.run { !node.hasLeader })
    node.beginTornTail()
    #expect(!node.isElectable)
    let batch = LogBatch(hardState: node.raft.hardState, entries: [], mustSync: true)
    let (ticket, _) = node.disk.add(batch, now: cluster.loop.now)
    node.receive(.failed(ticket: ticket, .diskFull(path: "data")))
    #expect(node.disk.isDiskFull && !node.isElectable)
    node.receive(.durable(ticket: ticket, microseconds: 1))
    #expect(!node.disk.isDiskFull)
    #expect(node.tornTailUntil > 0 && !node.isElectable)
    #expect(!cluster.run(seconds: 0.3) { node.raft.election.isElectable })
    node.tornTailUntil = cluster.loop.now
    #expect(cluster.run { node.isElectable && node.raft.election.isElectable })
    cluster.kill(0)
  }
}
