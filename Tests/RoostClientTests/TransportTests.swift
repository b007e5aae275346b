import Testing

@testable import RoostClient

/// What the client makes of answers, whole and broken, from a server that sends scripted bytes.
struct TransportTests {
  private static func get(
    _ steps: [ScriptedServer.Step], seconds: Int = 5
  ) async throws -> Roost.Response {
    try await onThread {
      let server = ScriptedServer(steps)
      var roost = try Roost(addresses: [server.address])
      roost.readSeconds = seconds
      return try roost.request("GET", "/")
    }
  }

  struct Row: Sendable, CustomTestStringConvertible {
    let name: String
    let bytes: String
    /// The body, or the reason why there is none.
    let result: String
    var testDescription: String { name }
  }

  private static let ok = "HTTP/1.1 200 OK\r\n"
  private static let chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"

  static let whole = [
    Row(name: "length", bytes: ok + "Content-Length: 5\r\n\r\nhello", result: "hello"),
    Row(name: "no body", bytes: ok + "Content-Length: 0\r\n\r\n", result: ""),
    Row(name: "more than the length", bytes: ok + "Content-Length: 2\r\n\r\nhello", result: "he"),
    Row(name: "to the end of the connection", bytes: ok + "\r\nhello", result: "hello"),
    Row(name: "chunks", bytes: chunked + "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", result: "hello"),
    Row(
      name: "extension", bytes: chunked + "A;x=y\r\n0123456789\r\n0\r\n\r\n", result: "0123456789"),
    Row(name: "interim", bytes: "HTTP/1.1 100 Continue\r\n\r\n" + ok + "\r\nok", result: "ok"),
  ]

  @Test(arguments: whole)
  func bodies(_ row: Row) async throws {
    let response = try await Self.get([.send(row.bytes)])
    #expect(response.status == 200)
    #expect(String(decoding: response.body, as: UTF8.self) == row.result)
    // The same bytes, one at a time.
    let dribbled = try await Self.get(row.bytes.utf8.map { .sendBytes([$0]) })
    #expect(dribbled.body == response.body)
  }

  static let broken = [
    Row(name: "nothing", bytes: "", result: "the connection was closed"),
    Row(name: "half a head", bytes: ok + "Content-", result: "the answer ended early"),
    Row(
      name: "half a body", bytes: ok + "Content-Length: 9\r\n\r\nhal",
      result: "the answer ended early"),
    Row(name: "half a chunk", bytes: chunked + "9\r\nhal", result: "the answer ended early"),
    Row(name: "no last chunk", bytes: chunked + "1\r\nh\r\n", result: "the answer ended early"),
    Row(name: "a negative chunk", bytes: chunked + "-5\r\nh\r\n", result: "a bad chunk"),
    Row(name: "an enormous chunk", bytes: chunked + "ffffffffffffffff\r\nh", result: "a bad chunk"),
    Row(name: "an unending chunk", bytes: chunked + "1\r\nhello\r\n", result: "a bad chunk"),
    Row(
      name: "a negative length", bytes: ok + "Content-Length: -5\r\n\r\nhello",
      result: "a bad Content-Length"),
    Row(
      name: "another protocol", bytes: "SSH-2.0-OpenSSH\r\n\r\n",
      result: "this is not an HTTP server"),
    Row(
      name: "an endless head", bytes: ok + "X: " + String(repeating: "x", count: 70_000),
      result: "the answer's head is too long"),
  ]

  @Test(arguments: broken)
  func brokenAnswers(_ row: Row) async throws {
    let error = await #expect(throws: RoostError.self) {
      _ = try await Self.get([.send(row.bytes)])
    }
    guard case .unreachable(_, row.result)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func aSilentServerIsLeftAfterTheTime() async throws {
    // The text names the limit that ended it; when this task is resumed says nothing, because the
    // other tests keep its threads busy.
    let error = await #expect(throws: RoostError.self) {
      _ = try await Self.get([.hang], seconds: 1)
    }
    #expect(error.map { "\($0)" }?.contains("no answer within 1 s") == true)
  }

  @Test func streamsPieces() async throws {
    let text = try await onThread {
      let server = ScriptedServer([
        .send(Self.chunked), .send("2\r\nab\r\n"), .send("2\r\ncd\r\n"), .hang,
      ])
      var bytes: [UInt8] = []
      try Roost(addresses: [server.address]).stream("/v1/agent/monitor") { piece in
        bytes += piece
        return bytes.count < 4
      }
      return String(decoding: bytes, as: UTF8.self)
    }
    #expect(text == "abcd")
  }
}
