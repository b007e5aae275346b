import Foundation
import Harness
import RoostClient
import Testing

/// Joining, leaving, replacing: under write load, with no failed request at the others.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct MembershipTests {
  @Test func nodesJoinLeadAndLeaveUnderLoad() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let usable = Locked<[String]>(cluster.nodes.map(\.http))
      let load = Load(writers: 3) { usable.value }
      load.start()
      for _ in 0..<2 {
        let i = try cluster.addJoiner()
        try cluster.wait("\(cluster.nodes[i].name) to vote", seconds: 20) {
          try cluster.client(0).raftPeers().contains {
            $0.node == cluster.nodes[i].name && $0.isVoter
          }
        }
        usable.value = usable.value + [cluster.nodes[i].http]
      }
      let peers = try cluster.client(4).raftPeers()
      #expect(peers.count == 5)
      let target = try #require(peers.first { $0.node == "node5" })
      try cluster.client(1).transferLeadership(to: target.id)
      try cluster.wait("node5 to lead") { cluster.leader() == 4 }
      for name in ["node5", "node4"] {
        let i = try #require(cluster.nodes.firstIndex { $0.name == name })
        usable.value = usable.value.filter { $0 != cluster.nodes[i].http }
        try load.awaitNobody(at: cluster.nodes[i].http, cluster)
        let peer = try #require(try cluster.client(0).raftPeers().first { $0.node == name })
        try cluster.client(0).removePeer(id: peer.id)
        try cluster.wait("\(name) to be gone") {
          try !cluster.client(0).raftPeers().contains { $0.node == name }
        }
        cluster.signal(i, SIGTERM)
      }
      load.stop()
      #expect(load.failures == [])
      #expect(try load.verify(cluster.client(0)) == [])
    }
  }

  @Test func aWipedNodeComesBackAsALearnerAndIsPromoted() async throws {
    try await onThread {
      let cluster = try LocalCluster(
        count: 3, settings: ["raft": ["snapshot_after_entries": 1000]])
      let load = Load(writers: 8) { [cluster.nodes[0].http, cluster.nodes[1].http] }
      load.start()
      try cluster.wait("a snapshot", seconds: 60) { load.count > 5_000 }
      let before = try #require(try cluster.client(0).raftPeers().first { $0.node == "node3" })
      cluster.signal(2, SIGKILL)
      try FileManager.default.removeItem(at: cluster.dataFolder(2))
      try cluster.start(2)
      try cluster.wait("node3 to vote again", seconds: 30) {
        let peers = try cluster.client(0).raftPeers().filter { $0.node == "node3" }
        return peers.count == 1 && peers[0].isVoter && peers[0].id != before.id
      }
      load.stop()
      #expect(load.failures == [])
      try cluster.wait("node3 to have it all") {
        try load.verify(cluster.client(2)) == []
      }
      for i in 0..<3 {
        let bytes = try size(of: cluster.dataFolder(i))
        #expect(bytes < 200 << 20, "\(cluster.nodes[i].name) holds \(bytes) bytes")
      }
    }
  }

  private func size(of folder: URL) throws -> Int {
    let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path)
    return names.reduce(0) { total, name in
      let path = folder.appendingPathComponent(name).path
      let attributes = try? FileManager.default.attributesOfItem(atPath: path)
      return total + (attributes?[.size] as? Int ?? 0)
    }
  }
}
