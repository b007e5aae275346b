import EventLoop
import Peer
import Raft
import Registry
import Storage
import Testing
import Wire

@testable import Node

/// Nodes that must not meet: other clusters of the same name, old copies of a disk, states that
/// differ (fault scenarios D15, D16, M11).
@Suite(.serialized, .timeLimit(.minutes(2)))
struct IdentityTests {
  private func awaitClusterID(_ cluster: Cluster) {
    #expect(
      cluster.run {
        cluster.running.allSatisfy { $0.identity?.clusterInstance != nil }
      }, "the cluster's id is not known everywhere")
  }

  private func write(_ count: Int, _ node: Node, _ cluster: Cluster) {
    var left = count
    for number in 0..<count {
      let set = KVSet(key: Key("w/\(number)"), value: [1], flags: 0, mode: .plain)
      node.propose(.kvSet(set), RequestContext()) { _ in left -= 1 }
    }
    #expect(cluster.run { left == 0 })
  }

  @Test func theFirstLeaderNamesTheCluster() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    _ = cluster.awaitLeader()
    awaitClusterID(cluster)
    #expect(Set(cluster.running.map { $0.identity?.clusterInstance }).count == 1)
    let known = cluster[1].identity?.clusterInstance
    cluster.kill(1)
    try cluster.start(1)
    #expect(cluster[1].identity?.clusterInstance == known)
    #expect(cluster[1].identity?.incarnation == 2)
    #expect(
      cluster.run {
        cluster.running.allSatisfy { node in
          node.registry.cluster.mark(of: cluster[1].id.value)?.incarnation == 2
        }
      })
    cluster.stopAll()
  }

  @Test func aClusterFormedByAccidentIsRefused() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    #expect(cluster.put(leader, "old", "1") == .success(.flag(true)))
    awaitClusterID(cluster)
    // That it is committed must be on the disk too: alone, the node cannot learn it again.
    #expect(
      cluster.run {
        cluster[0].registry.kv(Key("old")) != nil && cluster[0].disk.commitOnly == nil
          && cluster[0].disk.isEmpty
      })
    for index in 0..<3 { cluster.kill(index) }
    cluster.wipe(1)
    cluster.wipe(2)
    try cluster.start(1)
    try cluster.start(2)
    _ = cluster.awaitLeader()
    awaitClusterID(cluster)
    try cluster.start(0)
    #expect(cluster.run { cluster[0].transport.rejections > 0 })
    #expect(!cluster.run(seconds: 1) { cluster[0].hasLeader })
    #expect(cluster[0].registry.kv(Key("old")) != nil)
    #expect(cluster.put(cluster[1], "new", "1") == .success(.flag(true)))
    #expect(cluster[0].registry.kv(Key("new")) == nil)
    cluster.stopAll()
  }

  @Test func anOldCopyOfADiskMayNotVoteAndJoinsAnew() throws {
    let cluster = try Cluster(3)
    let disk = FaultyFileSystem(seed: 3)
    try cluster.start(0)
    try cluster.start(1)
    try cluster.start(2, cluster.configuration(2), files: disk)
    let leader = cluster.awaitLeader()
    if leader !== cluster[0] {
      leader.transferLeadership(to: cluster[0].id) { _ in }
      #expect(cluster.run { cluster[0].isEstablishedLeader })
    }
    awaitClusterID(cluster)
    let copy = disk.copy(seed: 4)
    write(50, cluster[0], cluster)
    let oldID = cluster[2].id
    // Acknowledged by this disk, and heard by the leader.
    #expect(
      cluster.run {
        let match = cluster[0].raft.progress.first { $0.id == oldID }?.matchIndex
        return match == cluster[0].raft.lastIndex && match == cluster[0].raft.commitIndex
      })
    cluster.kill(2)
    let restored = try cluster.start(2, cluster.configuration(2), files: copy)
    var reason: String?
    restored.onRebuild = { reason = $0 }
    #expect(cluster.run { reason != nil }, "the old copy was not noticed")
    #expect(reason?.contains("old copy") == true)
    #expect(cluster[0].hasLeader || cluster[1].hasLeader)
    cluster.kill(2)
    try cluster.start(2, cluster.configuration(2), files: copy)
    #expect(cluster[2].id != oldID)
    #expect(
      cluster.run(seconds: 20) { cluster[2].raft.configuration.voters.contains(cluster[2].id) })
    #expect(cluster.run { cluster[2].registry.kv(Key("w/49")) != nil })
    #expect(cluster.run { cluster[0].raft.configuration.members.count == 3 })
    cluster.stopAll()
  }

  /// A hello that acknowledgements have overtaken looks like an old copy; the refused node knows
  /// better. Nor does it believe those who have no leader.
  @Test func onlyWhatANodeLacksCountsAgainstIt() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    awaitClusterID(cluster)
    write(5, leader, cluster)
    let node = try #require(cluster.running.first { $0 !== leader })
    var hello = node.transport.identity
    hello.persistedIndex = 1
    #expect(cluster.run { (leader.doubts(about: hello)?.heldIndex ?? 0) > 5 })
    var isRebuilt = false
    node.onRebuild = { _ in isRebuilt = true }
    func accuse(heldIndex: UInt64) {
      var rejection = PeerRejection(
        reason: .oldCopy, address: "test", nodeID: leader.id, text: "test", isOurs: false)
      rejection.heldIndex = heldIndex
      node.accused(rejection)
      for index in node.clusterWatch.accusers.indices {
        node.clusterWatch.accusers[index].since = 0
      }
      node.accused(rejection)
    }
    accuse(heldIndex: leader.doubts(about: hello)?.heldIndex ?? 0)
    accuse(heldIndex: 0)
    #expect(!isRebuilt && node.clusterWatch.accusers.isEmpty)
    hello.nodeID = leader.id
    #expect(leader.doubts(about: hello)?.heldIndex ?? 0 == 0)
    accuse(heldIndex: node.raft.lastIndex.value + 1)
    #expect(isRebuilt)
    cluster.kill(cluster.index(of: node))
    cluster.stopAll()
  }

  @Test func aStateThatDiffersIsRebuilt() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    awaitClusterID(cluster)
    let victim = try #require(cluster.running.first { $0 !== leader })
    let index = cluster.index(of: victim)
    var reason: String?
    victim.onRebuild = { reason = $0 }
    victim.registry.runningHash ^= 1
    write(600, leader, cluster)
    #expect(cluster.run { reason != nil }, "the difference was not noticed")
    #expect(reason?.contains("differs") == true)
    cluster.kill(index)
    try cluster.start(index)
    #expect(
      cluster.run(seconds: 20) {
        cluster[index].raft.configuration.voters.contains(cluster[index].id)
          && cluster[index].raft.lastApplied == leader.raft.lastApplied
      })
    #expect(cluster[index].registry.runningHash == leader.registry.runningHash)
    cluster.stopAll()
  }

  /// Without room for its identity a node goes on, and writes it down when there is some.
  @Test func aFullDiskOnlyDelaysTheClustersID() throws {
    let cluster = try Cluster(3)
    let disk = FaultyFileSystem(seed: 5)
    try cluster.start(0, cluster.configuration(0), files: disk)
    try cluster.start(1)
    try cluster.start(2)
    #expect(cluster.run { cluster.running.allSatisfy { $0.phase == .running } })
    disk.setCapacity(disk.usedBytes)
    _ = cluster.awaitLeader()
    #expect(cluster.run { cluster[1].identity?.clusterInstance != nil })
    #expect(!cluster.run(seconds: 0.5) { cluster[0].isStopped })
    disk.setCapacity(.max)
    awaitClusterID(cluster)
    let own = try #require(try NodeIdentity.read(disk, directory: "data"))
    #expect(own.clusterInstance == cluster[1].identity?.clusterInstance)
    cluster.kill(0)
    // A start is not counted there, and succeeds.
    disk.setCapacity(disk.usedBytes)
    try cluster.start(0, cluster.configuration(0), files: disk)
    #expect(cluster[0].identity?.incarnation == own.incarnation)
    #expect(cluster.run { cluster[0].hasLeader })
    disk.setCapacity(.max)
    cluster.stopAll()
  }

  @Test func aRebuildWaitsForRoomToBeWrittenDown() throws {
    let cluster = try Cluster(3)
    let disk = FaultyFileSystem(seed: 6)
    try cluster.start(0, cluster.configuration(0), files: disk)
    try cluster.start(1)
    try cluster.start(2)
    _ = cluster.awaitLeader()
    awaitClusterID(cluster)
    var ends = 0
    var isFatal = false
    cluster[0].onRebuild = { _ in ends += 1 }
    cluster[0].onFatal = { _ in isFatal = true }
    disk.setCapacity(disk.usedBytes)
    cluster[0].rebuild("a test")
    #expect(!cluster.run(seconds: 0.5) { ends > 0 || isFatal })
    #expect(cluster.put(cluster[0], "a", "1") == .failure(.stopping))
    disk.setCapacity(.max)
    #expect(cluster.run { ends == 1 })
    #expect(try NodeIdentity.read(disk, directory: "data")?.mustRebuild == true)
    cluster.kill(0)
    cluster.stopAll()
  }

  /// As written before clusters had an id of their own.
  @Test func anIdentityOfVersionOneStillStarts() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    _ = cluster.awaitLeader()
    #expect(cluster.put(cluster[0], "a", "1") == .success(.flag(true)))
    awaitClusterID(cluster)
    let ids = cluster.running.map(\.id)
    let founding = try #require(cluster[0].identity?.founding)
    for index in 0..<3 {
      cluster.kill(index)
      var writer = Writer()
      writer.u64(0x4E44_4954_534F_4F52)
      writer.u32(1)
      writer.u32(0)
      writer.text(cluster.configuration(index).cluster)
      writer.text(cluster.configuration(index).nodeName)
      writer.u64(ids[index].value)
      writer.flag(true)
      writer.flag(true)
      writer.raw(founding)
      writer.patchU32(at: 12, Checksum.crc32c(writer.bytes, in: 16..<writer.bytes.count))
      let files = cluster.places[index].files
      try files.remove("data/identity")
      let file = try files.open("data/identity", .create)
      try file.write(writer.bytes, at: 0)
      file.close()
    }
    try cluster.startAll()
    _ = cluster.awaitLeader()
    #expect(cluster.running.map(\.id) == ids)
    #expect(cluster.get(cluster[2], "a") == "1")
    #expect(cluster[0].identity?.founding == founding)
    awaitClusterID(cluster)
    cluster.stopAll()
  }
}
