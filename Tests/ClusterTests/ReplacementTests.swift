import Foundation
import Harness
import RoostClient
import Testing

/// Members that are wrong, dead, removed, lost or older than they should be (fault scenarios M2 to
/// M5, D16).
@Suite(.serialized, .timeLimit(.minutes(10)))
struct ReplacementTests {
  private static func voters(_ cluster: LocalCluster, _ asked: Int) -> [RaftPeer] {
    ((try? cluster.client(asked).raftPeers()) ?? []).filter(\.isVoter)
  }

  /// M2: an address where nobody is never costs the quorum.
  @Test(arguments: [1, 3])
  func aWrongAddressChangesNothing(_ count: Int) async throws {
    try await onThread {
      let cluster = try LocalCluster(count: count)
      let wrong = try Ports.take(1)[0]
      var client = try cluster.client(0)
      client.readSeconds = 30
      #expect(throws: RoostError.self) {
        try client.addPeer(name: "nobody", address: "127.0.0.1:\(wrong)")
      }
      #expect(try client.raftPeers().count == count)
      #expect(try client.put("still", Array("1".utf8)))
      let joiner = try cluster.addJoiner()
      try cluster.wait("the right one to vote", seconds: 60) {
        Self.voters(cluster, 0).count == count + 1
      }
      #expect(try cluster.client(joiner).get("still")?.value == Array("1".utf8))
    }
  }

  /// M3: a dead member is replaced by a new one while it stays down, and then a second one.
  @Test func deadMembersAreReplacedOneAfterTheOther() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      #expect(try cluster.client(0).put("kept", Array("1".utf8)))
      for dead in [2, 1] {
        cluster.signal(dead, SIGKILL)
        let name = cluster.nodes[dead].name
        try cluster.waitForLeader(seconds: 60)
        let new = try cluster.addJoiner()
        try cluster.wait("\(cluster.nodes[new].name) to vote", seconds: 60) {
          Self.voters(cluster, 0).contains { $0.node == cluster.nodes[new].name }
        }
        try cluster.wait("\(name) to be gone", seconds: 60) {
          let peers = try? cluster.client(0).raftPeers()
          guard let peer = peers?.first(where: { $0.node == name }) else { return peers != nil }
          try? cluster.client(0).removePeer(id: peer.id)
          return false
        }
        #expect(Self.voters(cluster, 0).count == 3)
        #expect(try cluster.client(new).get("kept")?.value == Array("1".utf8))
      }
    }
  }

  /// M4: a removed node that is started again disturbs nobody.
  @Test func aRemovedNodeComesBackAndIdles() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let victim = (try cluster.waitForLeader() + 1) % 3
      let asked = (victim + 1) % 3
      let peer = try #require(
        Self.voters(cluster, asked).first { $0.node == cluster.nodes[victim].name })
      cluster.signal(victim, SIGKILL)
      try cluster.client(asked).removePeer(id: peer.id)
      try cluster.wait("two members", seconds: 30) { Self.voters(cluster, asked).count == 2 }
      let leader = try cluster.waitForLeader()
      let term = try #require(cluster.report(leader)).term
      let load = Load(writers: 2) { [cluster.nodes[leader].http] }
      load.start()
      try cluster.start(victim)
      try cluster.wait("the node to be told", seconds: 30) {
        cluster.log(victim).contains("was removed from the cluster")
      }
      // Many election timeouts of its own.
      try load.await(400, cluster)
      usleep(1_000_000)
      load.stop()
      #expect(load.failures == [])
      #expect(cluster.report(leader)?.term == term)
      #expect(cluster.report(leader)?.role == "leader")
      #expect(Self.voters(cluster, leader).count == 2)
    }
  }

  /// M5: two of three disks are gone. One guided command on the survivor; what it held is there, an
  /// old member's data are refused, emptied nodes join.
  @Test func aSurvivorStartsANewClusterAndOldMembersStayOut() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let load = Load(writers: 2) { cluster.nodes.map(\.http) }
      load.start()
      try load.await(100, cluster)
      load.stop()
      try cluster.wait("all to have it all") {
        Set((0..<3).compactMap { cluster.report($0)?.appliedIndex }).count == 1
      }
      try cluster.wait("the cluster's id everywhere") {
        (0..<3).allSatisfy { cluster.log($0).contains("the cluster's id is known") }
      }
      for i in 0..<3 { cluster.signal(i, SIGKILL) }
      try FileManager.default.removeItem(at: cluster.dataFolder(2))
      let directory = ["--data-dir", cluster.dataFolder(0).path]
      let before = try cluster.runTool(["recover"] + directory)
      #expect(before.status == 0 && before.text.contains("Nothing was changed"), "\(before.text)")
      #expect(before.text.contains("last entry") && before.text.contains("May be missing"))
      let done = try cluster.runTool(["recover", "--apply"] + directory)
      #expect(done.status == 0 && done.text.contains("cluster of its own"), "\(done.text)")
      try cluster.start(0)
      try cluster.waitForLeader(seconds: 60)
      #expect(try load.verify(cluster.client(0)) == [])
      #expect(try cluster.client(0).put("after", Array("1".utf8)))
      // Back by accident, with its old data.
      try cluster.start(1)
      try cluster.wait("the old member to be refused", seconds: 30) {
        cluster.log(1).contains("two different clusters")
          || cluster.log(0).contains("two different")
      }
      #expect(Self.voters(cluster, 0).count == 1)
      #expect(try cluster.client(1).get("after", consistency: .stale) == nil)
      cluster.signal(1, SIGKILL)
      try FileManager.default.removeItem(at: cluster.dataFolder(1))
      for i in 1..<3 { try cluster.start(i) }
      try cluster.wait("three voters", seconds: 60) { Self.voters(cluster, 0).count == 3 }
      for i in 0..<3 {
        #expect(try load.verify(cluster.client(i)) == [])
        #expect(try cluster.client(i).get("after") != nil)
      }
    }
  }

  /// D16: a node comes back on an old copy of its disk. It is refused, puts that aside by itself and
  /// is a member again, as a new one; what was acknowledged is there.
  @Test func anOldCopyOfADirectoryIsRefusedAndRebuilt() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let leader = try cluster.waitForLeader()
      let victim = (leader + 1) % 3
      let name = cluster.nodes[victim].name
      try cluster.wait("the cluster's id everywhere") {
        (0..<3).allSatisfy { cluster.log($0).contains("the cluster's id is known") }
      }
      let old = try #require(Self.voters(cluster, leader).first { $0.node == name })
      let copy = cluster.folder.appendingPathComponent("copy")
      cluster.signal(victim, SIGKILL)
      try FileManager.default.copyItem(at: cluster.dataFolder(victim), to: copy)
      try cluster.start(victim)
      let load = Load(writers: 4) { cluster.nodes.map(\.http) }
      load.start()
      try load.await(300, cluster)
      load.stop()
      try cluster.wait("the victim to have it all") {
        cluster.report(victim)?.appliedIndex == cluster.report(leader)?.appliedIndex
      }
      cluster.signal(victim, SIGKILL)
      try FileManager.default.removeItem(at: cluster.dataFolder(victim))
      try FileManager.default.copyItem(at: copy, to: cluster.dataFolder(victim))
      try cluster.start(victim)
      try cluster.wait("the old copy to be noticed", seconds: 30) {
        cluster.log(victim).contains("is an old copy")
      }
      try cluster.wait("the node to vote as a new one", seconds: 60) {
        let same = Self.voters(cluster, leader).filter { $0.node == name }
        return same.count == 1 && same[0].id != old.id
      }
      #expect(cluster.nodes[victim].process?.isRunning == true)
      #expect(cluster.log(victim).contains("the old data was put aside"))
      let aside = cluster.dataFolder(victim).appendingPathComponent("aside/log")
      #expect(try !FileManager.default.contentsOfDirectory(atPath: aside.path).isEmpty)
      for i in 0..<3 { #expect(try load.verify(cluster.client(i)) == []) }
    }
  }
}
