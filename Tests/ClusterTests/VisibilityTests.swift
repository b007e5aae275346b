import Foundation
import Harness
import RoostClient
import Testing

@Suite(.serialized, .timeLimit(.minutes(5)))
struct VisibilityTests {
  /// Written through one node, read through the others at once, by default reads.
  @Test func whatOneNodeTakesAllNodesShow() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      for round in 0..<30 {
        for i in 0..<3 {
          let service = ServiceRegistration(name: "web-\(round)-\(i)")
          try cluster.client(i).register(service)
          for j in 0..<3 where j != i {
            let found = try cluster.client(j).health(service.name)
            #expect(found.count == 1, "round \(round): through \(i), asked \(j)")
          }
          #expect(try cluster.client(i).put("k\(i)", Array("\(round)".utf8)))
          for j in 0..<3 {
            let value = try cluster.client(j).get("k\(i)")?.value
            #expect(value == Array("\(round)".utf8), "round \(round): through \(i), asked \(j)")
          }
        }
      }
      let owner = try cluster.client(2).health("web-3-0").first?.node
      #expect(owner == "node1")
      try cluster.client(1).deregister(serviceID: "web-3-0")
      #expect(try cluster.client(0).health("web-3-0").isEmpty)
    }
  }

  @Test func aSecondStartFindsTheData() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      #expect(try cluster.client(1).put("kept", Array("x".utf8)))
      for i in 0..<3 { cluster.signal(i, SIGTERM) }
      for i in 0..<3 { #expect(cluster.exitStatus(i, within: 5) == 0, "\(cluster.tails())") }
      for i in 0..<3 { try cluster.start(i) }
      try cluster.waitForLeader()
      for i in 0..<3 { #expect(try cluster.client(i).get("kept")?.value == Array("x".utf8)) }
    }
  }
}
