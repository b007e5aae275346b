import EventLoop
import Raft
import Registry
import Storage
import Testing

@testable import Node

@Suite(.serialized, .timeLimit(.minutes(2)))
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
}
