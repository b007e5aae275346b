import Foundation
import Harness
import RoostClient
import Testing

/// What is acknowledged was synced: counted from outside the nodes, by strace.
@Suite(
  .serialized, .timeLimit(.minutes(3)),
  .enabled(if: Strace.isThere, "syncs are not counted: install strace (apt-get install strace)"))
struct SyncTests {
  /// One write at a time is one batch at a time: each was synced by two of three nodes when it was
  /// acknowledged.
  @Test func everyAcknowledgedWriteWasSyncedByAMajority() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let leader = try cluster.waitForLeader()
      var traces: [Strace] = []
      for i in 0..<3 {
        guard let trace = try Strace(cluster, i) else { return }
        traces.append(trace)
      }
      let batches = 200
      let connection = try RawConnection(port: cluster.nodes[leader].httpPort)
      for number in 0..<batches {
        let answer = try connection.exchange("PUT", "/v1/kv/synced", body: Array("\(number)".utf8))
        #expect(answer.status == 200 && answer.body == Array("true".utf8))
      }
      let syncs = try traces.map { try $0.stop()["fdatasync", default: 0] }
      print("\(batches) batches, one by one: fdatasync \(syncs) times, the leader is \(leader)")
      #expect(syncs.reduce(0, +) >= 2 * batches, "\(syncs)")
    }
  }

  /// Under load a batch is what many clients wrote. The leader and a follower count what they called
  /// durable; the kernel counts no fewer syncs.
  @Test func aNodeSyncsWheneverItSaysSo() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let load = Load(writers: 8) { cluster.nodes.map(\.http) }
      load.start()
      let leader = try cluster.waitForLeader()
      for node in [leader, (leader + 1) % 3] {
        guard let trace = try Strace(cluster, node) else { return load.stop() }
        let before = try Self.batches(cluster, node)
        try load.await(1_000, cluster)
        let after = try Self.batches(cluster, node)
        let syncs = try trace.stop()["fdatasync", default: 0]
        print("\(after - before) batches under load: fdatasync \(syncs) times")
        #expect(after - before >= 50, "the load makes batches")
        #expect(syncs >= after - before)
      }
      load.stop()
      #expect(load.failures == [])
      #expect(try load.verify(cluster.client(leader)) == [])
    }
  }

  /// Batches that this node's log has reported durable.
  private static func batches(_ cluster: LocalCluster, _ node: Int) throws -> Int {
    let connection = try RawConnection(port: cluster.nodes[node].httpPort)
    let answer = try connection.exchange("GET", "/v1/agent/metrics")
    let report = try JSONDecoder().decode(Report.self, from: Data(answer.body))
    return try #require(report.Samples.first { $0.Name == "roost.log.append" }).Count
  }

  private struct Report: Decodable {
    struct Sample: Decodable {
      let Name: String
      let Count: Int
    }
    let Samples: [Sample]
  }
}
