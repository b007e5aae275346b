import Basics
import HTTP
import Node
import Registry
import Testing

@testable import ConsulAPI

/// `/v1/snapshot` (consul-api.md 14).
struct SnapshotTests {
  let harness = APIHarness()

  init() {
    for i in 0..<50 { harness.put("/v1/kv/a/\(i)", String(repeating: "v", count: i * 100)) }
    harness.put(
      "/v1/catalog/register",
      #"{"Node":"x","Address":"10.0.0.9","Service":{"Service":"web","Port":80}}"#)
    harness.put("/v1/event/fire/e", "payload")
    _ = harness.ask("POST", "/v1/query", body: #"{"Name":"q","Service":{"Service":"web"}}"#)
  }

  private func save() throws -> [UInt8] {
    let exchange = harness.send("GET", "/v1/snapshot")
    return try #require(exchange.response).body
  }

  private func restore(_ bytes: [UInt8], _ target: String = "/v1/snapshot") -> Reply {
    guard let response = harness.send("PUT", target, bytes: bytes).response else {
      Issue.record("no answer")
      return Reply(HTTPResponse(status: 0))
    }
    return Reply(response)
  }

  @Test func whatIsSavedComesBack() throws {
    let before = harness.backend.registry.stateHash()
    let bytes = try save()
    #expect(Array(bytes.prefix(3)) == [0x1F, 0x8B, 8])
    harness.put("/v1/kv/a/1", "after")
    harness.put("/v1/kv/new", "x")
    harness.put("/v1/catalog/deregister", #"{"Node":"x"}"#)
    #expect(harness.backend.registry.stateHash() != before)
    #expect(restore(bytes).line == "200 ")
    #expect(harness.get("/v1/kv/a/1?raw").text.count == 100)
    #expect(harness.get("/v1/kv/new").status == 404)
    #expect(harness.get("/v1/catalog/service/web").text.contains("10.0.0.9"))
    #expect(harness.get("/v1/query/q/execute").status == 200)
    #expect(harness.get("/v1/event/list").text.contains("\"Name\":\"e\""))
    #expect(harness.backend.registry.stagedBytes == 0)
    #expect(harness.put("/v1/kv/c", "post").text == "true")
  }

  @Test func aSummaryTellsWhatIsInIt() throws {
    let bytes = try save()
    let summary = try ArchiveSummary(verifying: bytes)
    #expect(summary.index == harness.backend.registry.stateIndex && summary.term == 2)
    #expect(summary.version == 1 && summary.id.hasPrefix("2-\(summary.index)-"))
    #expect(summary.size > 100_000)
    let counts = summary.contents.map { "\($0.type) \($0.count)" }
    #expect(
      counts == ["KVS 50", "Node 2", "Service 2", "Check 1", "PreparedQuery 1", "Event 1"])
    let cut = ArchiveSummary.Failure(message: "failed to read snapshot file: unexpected EOF")
    #expect(throws: cut) { try ArchiveSummary(verifying: Array(bytes.dropLast(9))) }
  }

  @Test func headersAreConsuls() throws {
    let reply = Reply(try #require(harness.send("GET", "/v1/snapshot").response))
    #expect(reply.headers["Content-Type"] == "application/x-gzip")
    #expect(reply.index == harness.backend.registry.stateIndex)
    #expect(reply.headers["X-Consul-Knownleader"] == "true")
  }

  @Test func aRestoreWakesEverybody() throws {
    let bytes = try save()
    harness.put("/v1/kv/a/1", "after")
    let index = harness.get("/v1/kv/a/1").index
    let waiting = harness.send("GET", "/v1/kv/a/1?index=\(index)")
    #expect(waiting.response == nil)
    #expect(restore(bytes).line == "200 ")
    #expect(waiting.response?.status == 200)
  }

  @Test func whatIsLargerThanAPieceGoesInSeveral() throws {
    for i in 0..<12 { harness.put("/v1/kv/large/\(i)", String(repeating: "y", count: 400_000)) }
    let bytes = try save()
    harness.put("/v1/kv/large/3", "small")
    #expect(restore(bytes).line == "200 ")
    #expect(harness.get("/v1/kv/large/3?raw").text.count == 400_000)
    let chunks = harness.backend.commands.filter {
      if case .restoreChunk = $0 { true } else { false }
    }
    #expect(chunks.count >= 5)
  }

  @Test(arguments: [
    ("", "500 failed to decompress snapshot: EOF"),
    ("this is no gzip at all", "500 failed to decompress snapshot: gzip: invalid header"),
  ])
  func whatIsNoArchiveIsRefused(_ row: (body: String, line: String)) {
    let hash = harness.backend.registry.stateHash()
    #expect(restore(Array(row.body.utf8)).line == row.line)
    #expect(harness.backend.registry.stateHash() == hash)
  }

  @Test func everyDamageIsRefusedAndLeavesAllUntouched() throws {
    let bytes = try save()
    let hash = harness.backend.registry.stateHash()
    var random = SplitMix(seed: 12)
    // One bit in each of 64 regions of the file, behind the head, whose time and system mean
    // nothing; and ends cut off from everywhere.
    let region = (bytes.count - 10) / 64
    for round in 0..<128 {
      var damaged = bytes
      if round.isMultiple(of: 2) {
        damaged.removeLast(Int(random.below(UInt64(bytes.count))) + 1)
      } else {
        let at = 10 + round / 2 * region + Int(random.below(UInt64(region)))
        damaged[at] ^= UInt8(1 << random.below(8))
      }
      let reply = restore(damaged)
      #expect(reply.status == 500 && !reply.text.isEmpty)
    }
    #expect(harness.backend.registry.stateHash() == hash)
    #expect(restore(bytes).status == 200)
  }

  /// An archive whose sums are right, made by something else.
  @Test func aForeignArchiveIsRefused() {
    let meta = Array(#"{"Version":1,"ID":"2-1-1","Index":1,"Term":2}"#.utf8)
    let state = Array("whatever another server keeps".utf8)
    let sums = "\(SHA256.sum(of: meta))  meta.json\n\(SHA256.sum(of: state))  state.bin\n"
    var tar: [UInt8] = []
    for (name, file) in [
      ("meta.json", meta), ("state.bin", state), ("SHA256SUMS", Array(sums.utf8)),
    ] {
      tar += Tar.header(name: name, bytes: UInt64(file.count)) + file
      tar += Tar.padding(after: UInt64(file.count))
    }
    var bytes = StoredGzip.head
    var gzip = StoredGzip()
    gzip.append(tar + Tar.end, to: &bytes)
    gzip.finish(into: &bytes)
    let line = "500 failed to restore snapshot: it was not made by Roost, or by a later one"
    #expect(restore(bytes).line == line)
  }

  @Test func staleIsForReadingOnly() throws {
    #expect(restore([], "/v1/snapshot?stale").line == "500 stale not allowed for restore")
    harness.backend.failure = .noLeader
    #expect(harness.get("/v1/snapshot").line == "500 No cluster leader")
    #expect(harness.send("GET", "/v1/snapshot?stale").response?.status == 200)
  }

  @Test func withoutALeaderARestoreIsTriedAgainAndThenGivenUp() throws {
    let bytes = try save()
    let hash = harness.backend.registry.stateHash()
    harness.backend.failure = .noLeader
    let waiting = harness.send("PUT", "/v1/snapshot", bytes: bytes)
    #expect(waiting.response == nil)
    #expect(restore(bytes).status == 503)
    for _ in 0..<205 { harness.backend.advance(milliseconds: 100) }
    #expect(waiting.response?.status == 500)
    harness.backend.failure = nil
    #expect(harness.backend.registry.stateHash() == hash)
    #expect(restore(bytes).status == 200)
  }
}
