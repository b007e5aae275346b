import Foundation
import Glibc
import Harness
import RoostClient
import Testing

/// Disks that fail, hang, are full or lose what was not synced (fault scenarios D2, D7, D8, D10, P6),
/// by a library between the node and its C library; skipped where there is no C compiler.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct DiskFaultTests {
  private static func makeCluster() throws -> (LocalCluster, DiskFaults)? {
    let cluster = try LocalCluster(
      count: 3, settings: ["raft": ["snapshot_after_entries": 300]], hasDiskFaults: true)
    guard let disks = cluster.disks else {
      print("SKIPPED: faults of disks need a C compiler (cc, clang or gcc)")
      return nil
    }
    return (cluster, disks)
  }

  private static func awaitFollowing(_ cluster: LocalCluster, _ i: Int) throws {
    try cluster.wait("\(cluster.nodes[i].name) to have it all", seconds: 60) {
      guard let report = cluster.report(i), ["leader", "follower"].contains(report.role),
        let leader = cluster.leader().flatMap({ cluster.report($0) })
      else { return false }
      return report.appliedIndex + 100 >= leader.commitIndex
    }
  }

  /// D7: the leader's sync fails once. Nothing of that batch is trusted: the process ends and says
  /// why, the others go on.
  @Test func aFailedSyncEndsTheProcessAndLosesNothing() async throws {
    try await onThread {
      guard let (cluster, disks) = try Self.makeCluster() else { return }
      let load = Load(writers: 4) { cluster.nodes.map(\.http) }
      load.start()
      let leader = try cluster.waitForLeader()
      try load.await(50, cluster)
      try disks.set(.syncErrno, Int(EIO), of: leader)
      #expect(cluster.exitStatus(leader, within: 20) == 1)
      #expect(cluster.log(leader).contains("input/output error"), "\(cluster.tails())")
      try load.await(50, cluster)
      try cluster.start(leader)
      try Self.awaitFollowing(cluster, leader)
      load.stop()
      for i in 0..<3 { #expect(try load.verify(cluster.client(i)) == []) }
      #expect(load.failures.filter { $0.contains("applied twice") } == [])
    }
  }

  /// D10: the leader's syncs do not return. It leads no more while its disk hangs, and is one of
  /// three again when it does not.
  @Test func aHangingDiskGivesLeadershipAway() async throws {
    try await onThread {
      guard let (cluster, disks) = try Self.makeCluster() else { return }
      let leader = try cluster.waitForLeader()
      let others = (0..<3).filter { $0 != leader }.map { cluster.nodes[$0].http }
      let load = Load(writers: 4) { others }
      load.start()
      try load.await(50, cluster)
      try disks.set(.hang, 1, of: leader)
      try cluster.wait("another leader", seconds: 20) {
        cluster.leader().map { $0 != leader } ?? false
      }
      try load.await(200, cluster)
      #expect(cluster.report(leader)?.role != "leader")
      try disks.set(.hang, 0, of: leader)
      try Self.awaitFollowing(cluster, leader)
      load.stop()
      #expect(load.failures == [])
      for i in 0..<3 { #expect(try load.verify(cluster.client(i)) == []) }
    }
  }

  /// A node whose disk hangs can still be stopped.
  @Test func aHangingDiskDoesNotHoldUpAStop() async throws {
    try await onThread {
      guard let (cluster, disks) = try Self.makeCluster() else { return }
      let victim = (try cluster.waitForLeader() + 1) % 3
      // The last thing that the main thread itself writes.
      try cluster.wait("the cluster's id to be written") {
        cluster.log(victim).contains("the cluster's id is known")
      }
      try disks.set(.hang, 1, of: victim)
      for number in 0..<5 { #expect(try cluster.client((victim + 1) % 3).put("h/\(number)", [])) }
      guard let process = cluster.nodes[victim].process else { return }
      kill(process.processIdentifier, SIGTERM)
      #expect(cluster.exitStatus(victim, within: 30) == 1)
    }
  }

  /// D2, D1: power fails everywhere in the same moment, and of what was not synced any part is gone.
  @Test func aPowerCutOfAllLosesNothingAcknowledged() async throws {
    try await onThread {
      guard let (cluster, disks) = try Self.makeCluster() else { return }
      for round in 0..<max(3, FaultTests.rounds) {
        let load = Load(writers: 4, prefix: "cut\(round)") { cluster.nodes.map(\.http) }
        load.start()
        try load.await(60 + 37 * round, cluster)
        let seed = Int.random(in: 1..<1 << 30)
        for i in 0..<3 { try disks.set(.powerCut, seed + i, of: i) }
        for i in 0..<3 where cluster.exitStatus(i, within: 5) == nil { cluster.signal(i, SIGKILL) }
        load.stop()
        for i in 0..<3 { try cluster.start(i) }
        try cluster.waitForLeader(seconds: 60)
        for i in 0..<3 {
          try Self.awaitFollowing(cluster, i)
          #expect(try load.verify(cluster.client(i)) == [], "round \(round), seed \(seed)")
        }
        #expect(load.failures.filter { $0.contains("applied twice") } == [])
      }
      for i in 0..<3 { #expect(!cluster.log(i).contains("old copy"), "\(cluster.tails())") }
    }
  }

  /// P6: killed before and after every kind of call of the write path: append and vote (write), sync,
  /// the renames of segments, snapshots and identity, messages and answers (send).
  @Test func killedAtEveryPointOfTheWritePathNothingIsLost() async throws {
    try await onThread {
      guard let (cluster, disks) = try Self.makeCluster() else { return }
      let load = Load(writers: 6) { cluster.nodes.map(\.http) }
      load.start()
      for round in 0..<max(1, FaultTests.rounds / 5) {
        for (number, point) in DiskFaults.Point.allCases.enumerated() {
          let victim = number % 2 == 0 ? try cluster.waitForLeader(seconds: 60) : number % 3
          let isRare = [.beforeRename, .afterRename, .beforeDirectorySync, .afterDirectorySync]
            .contains(point)
          let count = isRare ? 1 + round % 3 : Int.random(in: 1...200)
          try disks.kill(at: point, count: count, of: victim)
          try load.awaitEnd(of: victim, cluster, "to reach \(point) \(count) times")
          try cluster.start(victim)
          try Self.awaitFollowing(cluster, victim)
        }
      }
      load.stop()
      for i in 0..<3 { #expect(try load.verify(cluster.client(i)) == []) }
      #expect(load.failures.filter { $0.contains("applied twice") } == [])
    }
  }

  /// D8 without any rights: no write fits. The leader hands over, may even be started again
  /// meanwhile, and follows when there is room.
  @Test func withoutRoomALeaderHandsOverAndComesBack() async throws {
    try await onThread {
      guard let (cluster, disks) = try Self.makeCluster() else { return }
      let leader = try cluster.waitForLeader()
      let others = (0..<3).filter { $0 != leader }.map { cluster.nodes[$0].http }
      let load = Load(writers: 4) { others }
      load.start()
      try load.await(50, cluster)
      try disks.set(.writeErrno, Int(ENOSPC), of: leader)
      try cluster.wait("another leader", seconds: 20) {
        cluster.leader().map { $0 != leader } ?? false
      }
      try load.await(200, cluster)
      #expect(cluster.log(leader).contains("the disk is full"))
      #expect(cluster.nodes[leader].process?.isRunning == true)
      try disks.set(.writeErrno, 0, of: leader)
      try Self.awaitFollowing(cluster, leader)
      load.stop()
      #expect(load.failures == [])
      for i in 0..<3 { #expect(try load.verify(cluster.client(i)) == []) }
    }
  }
}
