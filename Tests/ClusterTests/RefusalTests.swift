import Foundation
import Harness
import RoostClient
import Testing

/// Bad input of every kind: a clear error, the node lives (or, at start, exits 1), nothing is lost.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct RefusalTests {
  @Test func badConfigurationsEndTheStart() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 1, start: false)
      for (text, expected) in [
        ("{", "line 1"), (#"{"nodename": 1}"#, "nodename (line 1): unknown key"),
        (#"{"node_name": 5}"#, "node_name (line 1): must be a text"),
      ] {
        try Data(text.utf8).write(to: cluster.configurationFile(0))
        try cluster.start(0)
        #expect(cluster.exitStatus(0, within: 5) == 1)
        #expect(cluster.log(0).contains(expected), "\(cluster.log(0))")
      }
    }
  }

  @Test func aPortInUseOrADirectoryInUseEndsTheStart() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 1)
      let second = Process()
      second.executableURL = LocalCluster.binary
      second.arguments = ["agent", "--config", cluster.configurationFile(0).path]
      let pipe = Pipe()
      second.standardError = pipe
      second.standardOutput = pipe
      try second.run()
      let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      second.waitUntilExit()
      #expect(second.terminationStatus == 1)
      #expect(text.contains(cluster.dataFolder(0).path), "\(text)")
      #expect(try cluster.client(0).put("alive", []))
    }
  }

  @Test func aFlippedByteIsRefusedAndTheNodeRejoinsEmpty() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let load = Load(writers: 4) { cluster.nodes.map(\.http) }
      load.start()
      try cluster.wait("some writes", seconds: 30) { load.count > 500 }
      load.stop()
      let victim = (try cluster.waitForLeader() + 1) % 3
      cluster.signal(victim, SIGKILL)
      let segment = try #require(try Self.firstSegment(cluster.dataFolder(victim)))
      try Self.flip(segment, at: 20_000)
      try cluster.start(victim)
      #expect(cluster.exitStatus(victim, within: 5) == 1, "\(cluster.tails())")
      let log = cluster.log(victim)
      #expect(log.contains(segment.lastPathComponent) && log.contains("damaged at byte"), "\(log)")
      try FileManager.default.removeItem(at: cluster.dataFolder(victim))
      try cluster.start(victim)
      try cluster.wait("the node to vote again", seconds: 30) {
        cluster.report(victim)?.role == "follower"
      }
      #expect(try load.verify(cluster.client(victim)) == [])
    }
  }

  private static func firstSegment(_ folder: URL) throws -> URL? {
    try FileManager.default.subpathsOfDirectory(atPath: folder.path)
      .filter { $0.contains("log") }.sorted()
      .map { folder.appendingPathComponent($0) }
      .first { url in
        let size = (try? FileManager.default.attributesOfItem(atPath: url.path)[.size]) as? Int
        return (size ?? 0) > 100_000
      }
  }

  private static func flip(_ file: URL, at offset: UInt64) throws {
    let handle = try FileHandle(forUpdating: file)
    try handle.seek(toOffset: offset)
    let byte = try #require(try handle.read(upToCount: 1)?.first)
    try handle.seek(toOffset: offset)
    try handle.write(contentsOf: Data([byte ^ 0xFF]))
    try handle.close()
  }

  @Test func garbageOnThePeerPortHurtsNobody() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      var state: UInt64 = 42
      for i in 0..<3 {
        for length in [1, 7, 64, 4096, 100_000] {
          let connection = try RawConnection(port: cluster.nodes[i].peerPort, readSeconds: 1)
          let bytes = (0..<length).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1
            return UInt8(truncatingIfNeeded: state >> 40)
          }
          connection.send(bytes)
        }
        let web = try RawConnection(port: cluster.nodes[i].peerPort, readSeconds: 1)
        web.send(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
      }
      for i in 0..<3 { #expect(try cluster.client(i).put("after-\(i)", [])) }
    }
  }

  @Test(arguments: [
    ("GET / HTTP/1.1\nHost: x\n\n", 400), ("GET /v1/kv/a HTTP/1.1\r\n\r\n", 400),
    ("PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    ("PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde", 400),
    ("PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 524289\r\n\r\n", 413),
    ("PUT /v1/agent/service/register HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{\"N", 400),
    ("GET /v1/kv/a HTTP/9.9\r\nHost: x\r\n\r\n", 505),
  ])
  func malformedRequestsGetAClearAnswer(_ request: String, _ status: Int) async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 1)
      let connection = try RawConnection(port: cluster.nodes[0].httpPort, readSeconds: 5)
      connection.send(Array(request.utf8))
      let answer = try connection.answer()
      #expect(answer.status == status, "\(answer.head)")
      #expect(!answer.body.isEmpty)
      #expect(try cluster.client(0).put("alive", []))
    }
  }
}
