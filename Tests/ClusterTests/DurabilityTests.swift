import Foundation
import Harness
import Glibc
import RoostClient
import Testing

/// Power-loss-like damage at the end of a log, and clients that keep their connections.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct DurabilityTests {
  @Test func aTornLastRecordIsCutAndNothingAcknowledgedIsLost() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      for round in 0..<3 {
        let load = Load(writers: 4, prefix: "torn\(round)") { cluster.nodes.map(\.http) }
        load.start()
        usleep(400_000)
        for i in 0..<3 { cluster.signal(i, SIGKILL) }
        load.stop()
        try Self.tearLastRecord(cluster.dataFolder(round))
        for i in 0..<3 { try cluster.start(i) }
        try cluster.waitForLeader()
        try cluster.wait("all three to serve") {
          (0..<3).allSatisfy { ["leader", "follower"].contains(cluster.report($0)?.role) }
        }
        #expect(load.count > 20)
        for i in 0..<3 { #expect(try load.verify(cluster.client(i)) == [], "round \(round)") }
      }
    }
  }

  /// Zeroes the last bytes that were written to the newest segment, as a torn sector would be.
  private static func tearLastRecord(_ folder: URL) throws {
    let segments = try FileManager.default.subpathsOfDirectory(atPath: folder.path)
      .filter { $0.contains("log") }.map { folder.appendingPathComponent($0) }
    var newest: (url: URL, end: Int, changed: Date)?
    for url in segments {
      let attributes = try FileManager.default.attributesOfItem(atPath: url.path)
      guard let changed = attributes[.modificationDate] as? Date,
        attributes[.type] as? FileAttributeType == .typeRegular
      else { continue }
      let bytes = try Data(contentsOf: url)
      guard let end = bytes.lastIndex(where: { $0 != 0 }) else { continue }
      if newest.map({ changed > $0.changed }) ?? true { newest = (url, end, changed) }
    }
    let (url, end, _) = try #require(newest)
    let handle = try FileHandle(forUpdating: url)
    try handle.seek(toOffset: UInt64(max(0, end - 4)))
    try handle.write(contentsOf: Data(count: min(5, end + 1)))
    try handle.close()
  }

  /// One connection per writer and node, kept through the whole roll.
  @Test func keptConnectionsSeeNoFailureWhileOthersRestart() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let down = Locked<Int?>(nil)
      let stopping = Locked(false)
      let failures = Locked<[String]>([])
      let written = Locked(0)
      let group = DispatchGroup()
      let ports = cluster.nodes.map(\.httpPort)
      for writer in 0..<4 {
        group.enter()
        Thread.detachNewThread {
          defer { group.leave() }
          var kept: [RawConnection?] = [nil, nil, nil]
          var number = 0
          while !stopping.value {
            number += 1
            let node = (writer + number) % 3
            guard down.value != node else {
              kept[node] = nil
              continue
            }
            do {
              let connection = try kept[node] ?? RawConnection(port: ports[node])
              kept[node] = connection
              let answer = try connection.exchange("PUT", "/v1/kv/kept/\(writer)/\(number)?cas=0")
              if answer.status != 200 || answer.body != Array("true".utf8) {
                failures.value = failures.value + ["\(node): \(answer.head)"]
              }
              written.value = written.value + 1
            } catch {
              // Only what happens at a node that is up counts.
              if down.value != node { failures.value = failures.value + ["\(node): \(error)"] }
              kept[node] = nil
            }
          }
        }
      }
      usleep(300_000)
      for i in 0..<3 {
        down.value = i
        usleep(250_000)
        cluster.signal(i, SIGTERM)
        usleep(300_000)
        try cluster.start(i)
        try cluster.wait("\(cluster.nodes[i].name) to be back") {
          ["follower", "leader"].contains(cluster.report(i)?.role)
        }
        down.value = nil
        usleep(200_000)
      }
      stopping.value = true
      group.wait()
      #expect(failures.value == [])
      #expect(written.value > 300)
    }
  }
}
