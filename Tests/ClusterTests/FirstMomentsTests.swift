import Foundation
import Harness
import RoostClient
import Testing

/// What a client may do the moment a node answers.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct FirstMomentsTests {
  /// A node takes registrations before its own entry in the catalog was made.
  @Test func aServiceCanBeRegisteredAtOnce() async throws {
    try await onThread {
      for _ in 0..<5 {
        let cluster = try LocalCluster(count: 3, start: false)
        for i in 0..<3 { try cluster.start(i) }
        var status: Int?
        try cluster.wait("an answer") {
          let body = Array(#"{"Name":"first"}"#.utf8)
          let answer = try? cluster.client(2).request(
            "PUT", "/v1/agent/service/register", body: body)
          status = answer?.status
          return answer != nil && status != 503
        }
        #expect(status == 200)
        #expect(try cluster.client(0).health("first").count == 1)
      }
    }
  }
}
