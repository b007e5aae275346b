import EventLoop
import Testing

@testable import HTTP

private let seconds: UInt64 = 1_000_000_000

/// A server that says the same bytes to everybody, and perhaps closes.
private final class Speaker {
  let loop: EventLoop
  private var listener: TCPListener?
  private var connections: [TCPConnection] = []
  var address: SocketAddress {
    listener?.localAddress ?? SocketAddress(ip: [127, 0, 0, 1], port: 1)
  }

  init(_ text: String, closes: Bool) throws {
    loop = try EventLoop()
    listener = try TCPListener(
      address: SocketAddress(ip: [127, 0, 0, 1], port: 0), loop: loop,
      options: TCPConnection.Options()
    ) { [weak self] connection in
      connection.output.append(Array(text.utf8))
      if closes { connection.closeAfterFlush() } else { connection.flushAtTurnEnd() }
      self?.connections.append(connection)
    }
  }

  func ask(
    _ request: HTTPClient.Request? = nil, timeout: UInt64 = 5 * seconds, max: Int = 100
  ) -> Result<HTTPClient.Response, HTTPClient.Failure>? {
    var result: Result<HTTPClient.Response, HTTPClient.Failure>?
    let request =
      request ?? HTTPClient.Request(method: "GET", address: address, host: "a", target: "/")
    _ = HTTPClient.send(request, loop: loop, timeoutNanoseconds: timeout, bodyBytesMax: max) {
      result = $0
    }
    _ = loop.run(forAtMost: 60 * seconds) { result != nil }
    return result
  }
}

@Suite(.serialized, .timeLimit(.minutes(10))) struct HTTPClientTests {
  private func outcome(_ text: String, closes: Bool, timeout: UInt64 = 5 * seconds) throws -> String
  {
    switch try Speaker(text, closes: closes).ask(timeout: timeout) {
    case .success(let response)?:
      return "\(response.status) \(String(decoding: response.body, as: UTF8.self))"
    case .failure(let failure)?: return "\(failure)"
    case nil: return "nothing"
    }
  }

  @Test func outcomes() throws {
    let ok = "HTTP/1.1 200 OK\r\n"
    #expect(try outcome(ok + "Content-Length: 2\r\n\r\nab", closes: false) == "200 ab")
    #expect(try outcome(ok + "\r\nab", closes: true) == "200 ab")
    #expect(try outcome(ok + "Content-Length: 9\r\n\r\nab", closes: true).hasPrefix("incomplete"))
    #expect(try outcome("", closes: true) == "closed")
    #expect(try outcome("nonsense\r\n", closes: false).hasPrefix("malformed"))
    #expect(try outcome(ok, closes: false, timeout: 50_000_000) == "timeout")
  }

  @Test func refusedConnection() throws {
    let speaker = try Speaker("", closes: true)
    let nobody = SocketAddress(ip: [127, 0, 0, 1], port: 1)
    let request = HTTPClient.Request(method: "GET", address: nobody, host: "a", target: "/")
    guard case .failure(.connect(let error))? = speaker.ask(request) else {
      Issue.record("connected")
      return
    }
    #expect(error.code == 111)
  }

  @Test func againstOurServer() throws {
    let loop = try EventLoop()
    var seen: HTTPRequest?
    let server = try HTTPServer(
      address: SocketAddress(ip: [127, 0, 0, 1], port: 0), loop: loop, limits: HTTPLimits(),
      bodyLimit: { _ in nil },
      handler: { request, responder in
        seen = request
        responder.begin(HTTPResponse(status: 503, headers: [("X-A", .fixed("b"))]))
        _ = responder.write(Array("partly ".utf8))
        _ = responder.write(Array("cloudy".utf8))
        responder.end()
      })
    let request = HTTPClient.Request(
      method: "PUT", address: server.localAddress, host: "example:8", target: "/a b\r\nX: y",
      headers: [("X-Multi", "a\r\nEvil: 1"), ("bad name", "x"), ("Accept", "*/*")],
      body: Array("hello".utf8))
    var result: Result<HTTPClient.Response, HTTPClient.Failure>?
    _ = HTTPClient.send(request, loop: loop, timeoutNanoseconds: 5 * seconds, bodyBytesMax: 10) {
      result = $0
    }
    #expect(loop.run(forAtMost: 60 * seconds) { result != nil })
    let response = try #require(try result?.get())
    #expect(response.status == 503 && response.header("x-a") == "b")
    #expect(response.body == Array("partly clo".utf8))
    let request2 = try #require(seen)
    #expect(request2.rawPath.elementsEqual("/a%20b%0d%0aX:%20y".utf8))
    #expect(request2.header("host").map(Array.init) == Array("example:8".utf8))
    #expect(request2.header("x-multi").map(Array.init) == Array("a  Evil: 1".utf8))
    #expect(request2.header("evil") == nil && request2.headers.count == 5)
    #expect(request2.body.elementsEqual("hello".utf8))
    server.close()
  }

  @Test func cancelledIsSilent() throws {
    let speaker = try Speaker("HTTP/1.1 200 OK\r\n\r\n", closes: true)
    let request = HTTPClient.Request(
      method: "GET", address: speaker.address, host: "a", target: "/")
    var isDone = false
    let cancel = HTTPClient.send(
      request, loop: speaker.loop, timeoutNanoseconds: seconds, bodyBytesMax: 1
    ) { _ in isDone = true }
    cancel()
    _ = speaker.loop.run(forAtMost: 50_000_000) { false }
    #expect(!isDone)
    #expect(speaker.loop.timerCount == 0)
  }
}
