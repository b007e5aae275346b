import Foundation
import Glibc
import Harness
import RoostClient
import Testing

/// A disk that is full (fault scenario D8), on a small file system of its own.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct SmallDiskTests {
  @Test func aFullDiskOfTheLeaderHandsOverAndHeals() async throws {
    try await onThread {
      let place = FileManager.default.temporaryDirectory
        .appendingPathComponent("roost-disk-\(UUID().uuidString.prefix(8))")
      try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: place) }
      // Sound: the texts live for the call.
      guard unsafe mount("tmpfs", place.path, "tmpfs", 0, "size=320m") == 0 else {
        print("SKIPPED: D8 on a real file system needs the right to mount (run as root)")
        return
      }
      defer { unsafe umount2(place.path, Int32(MNT_DETACH)) }
      try Self.run(on: place)
    }
  }

  private static func run(on place: URL) throws {
    let cluster = try LocalCluster(count: 3, dataFolders: [0: place.appendingPathComponent("data")])
    try cluster.wait("node1 to lead") {
      guard cluster.leader() != 0 else { return true }
      guard let id = try? cluster.client(1).raftPeers().first(where: { $0.node == "node1" })?.id
      else { return false }
      try? cluster.client(1).transferLeadership(to: id)
      return false
    }
    let filler = place.appendingPathComponent("filler")
    try fill(filler)
    let value = [UInt8](repeating: 0x78, count: 400_000)
    var written = 0
    try cluster.wait("node1's disk to be full", seconds: 60) {
      let isWritten = try cluster.client(1).put("fill/\(written % 20)", value)
      #expect(isWritten)
      written += 1
      return cluster.log(0).contains("the disk is full")
    }
    try cluster.wait("another leader") { cluster.leader().map { $0 != 0 } ?? false }
    #expect(try cluster.client(0).put("through the full one", []))
    try FileManager.default.removeItem(at: filler)
    try cluster.wait("node1 to have room again") { cluster.log(0).contains("has room again") }
    try cluster.wait("node1 to have it all") {
      cluster.report(0)?.appliedIndex == cluster.report(1)?.appliedIndex
    }
    #expect(cluster.log(0).split(separator: "\n").count < 200, "a storm of log lines")
    #expect(try cluster.client(0).get("fill/0", consistency: .stale)?.value == value)
  }

  private static func fill(_ file: URL) throws {
    _ = FileManager.default.createFile(atPath: file.path, contents: nil)
    let handle = try FileHandle(forWritingTo: file)
    for size in [1 << 20, 4096] {
      let piece = Data(repeating: 1, count: size)
      while (try? handle.write(contentsOf: piece)) != nil {}
    }
    try handle.close()
  }
}
