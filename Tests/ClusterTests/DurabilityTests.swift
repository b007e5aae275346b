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
        try load.await(50 + 31 * round, cluster)
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
      let desk = Locked(Desk())
      let stopping = Locked(false)
      let failures = Locked<[String]>([])
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
            guard desk.update({ $0.enter(node) }) else {
              kept[node] = nil
              continue
            }
            do {
              let connection = try kept[node] ?? RawConnection(port: ports[node])
              kept[node] = connection
              let answer = try connection.exchange("PUT", "/v1/kv/kept/\(writer)/\(number)?cas=0")
              if answer.status != 200 || answer.body != Array("true".utf8) {
                failures.update { $0.append("\(node): \(answer.head)") }
              }
            } catch {
              failures.update { $0.append("\(node): \(error)") }
              kept[node] = nil
            }
            desk.update { $0.leave(node) }
          }
        }
      }
      func awaitWrites(_ more: Int) throws {
        let goal = desk.value.served + more
        try cluster.wait("\(more) more writes", seconds: 60) { desk.value.served >= goal }
      }
      for i in 0..<3 {
        desk.update { $0.down = i }
        try cluster.wait("the last requests to end") { desk.value.underWay[i] == 0 }
        cluster.signal(i, SIGTERM)
        try awaitWrites(100)
        try cluster.start(i)
        try cluster.wait("\(cluster.nodes[i].name) to be back") {
          ["follower", "leader"].contains(cluster.report(i)?.role)
        }
        desk.update { $0.down = nil }
        try awaitWrites(100)
      }
      stopping.value = true
      group.wait()
      #expect(failures.value == [])
    }
  }

  /// Who is asked: nobody where a node is down, and it goes down when nobody asks it any more.
  private struct Desk {
    var down: Int?
    var underWay = [0, 0, 0]
    var served = 0

    mutating func enter(_ node: Int) -> Bool {
      guard down != node else { return false }
      underWay[node] += 1
      return true
    }

    mutating func leave(_ node: Int) {
      underWay[node] -= 1
      served += 1
    }
  }
}
