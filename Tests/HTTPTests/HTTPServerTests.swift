import EventLoop
import Testing

@testable import HTTP

private let seconds: UInt64 = 1_000_000_000

/// A client that sends bytes as they are and keeps all it receives.
private final class RawClient: TCPConnectionDelegate {
  var received = ""
  var isConnected = false
  var isClosed = false
  private(set) var connection: TCPConnection?

  init(_ server: HTTPServer, _ loop: EventLoop) {
    connection = TCPConnection(
      connectingTo: server.localAddress, loop: loop, options: TCPConnection.Options(),
      delegate: self)
  }

  func send(_ text: String) {
    connection?.output.append(Array(text.utf8))
    connection?.flushAtTurnEnd()
  }
  func connectionDidConnect(_ connection: TCPConnection) { isConnected = true }
  func connectionDidRead(_ connection: TCPConnection) {
    let queue = connection.input
    received += String(decoding: queue.storage[queue.readableRange], as: UTF8.self)
    connection.input.removeAll()
  }
  func connectionDidReachEOF(_ connection: TCPConnection) {
    isClosed = true
    connection.close()
  }
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) { isClosed = true }
}

/// A server whose handler is a closure, and a loop that the test turns itself.
private final class Fixture {
  let loop: EventLoop
  private(set) var server: HTTPServer!
  var handler: (HTTPRequest, HTTPResponder) -> Void = { _, _ in }
  var bodyLimit: (HTTPRequest) -> HTTPResponse? = { _ in nil }
  private var clients: [RawClient] = []

  init(_ limits: HTTPLimits = HTTPLimits()) throws {
    loop = try EventLoop()
    handler = { request, responder in
      let body = Array(request.rawPath) + Array(request.body)
      responder.respond(HTTPResponse(status: 200, contentType: "text/plain", body: body))
    }
    server = try HTTPServer(
      address: SocketAddress(ip: [127, 0, 0, 1], port: 0), loop: loop, limits: limits,
      bodyLimit: { [weak self] head in self?.bodyLimit(head) },
      handler: { [weak self] request, responder in self?.handler(request, responder) })
  }

  deinit { server.close() }

  func client(_ text: String = "") -> RawClient {
    let client = RawClient(server, loop)
    if !text.isEmpty { client.send(text) }
    clients.append(client)
    return client
  }

  func wait(_ condition: () -> Bool) -> Bool { loop.run(forAtMost: 60 * seconds, until: condition) }
}

private func get(_ path: String, _ more: String = "") -> String {
  "GET \(path) HTTP/1.1\r\nHost: a\r\n\(more)\r\n"
}

/// The bodies, one after the other, of answers with a Content-Length, and their statuses.
private func bodies(_ text: String) -> [String] {
  let bytes = Array(text.utf8)
  var all: [String] = []
  var offset = 0
  while offset < bytes.count {
    var parser = ResponseParser(isHead: false, bodyBytesMax: 1 << 30)
    guard parser.next(bytes, &offset, bytes.count) == .complete else { return all + ["incomplete"] }
    all.append("\(parser.status) \(String(decoding: parser.body, as: UTF8.self))")
  }
  return all
}

@Suite(.serialized, .timeLimit(.minutes(10))) struct HTTPServerTests {
  @Test func keepsAliveAndAnswersHead() throws {
    let fixture = try Fixture()
    let client = fixture.client(get("/one"))
    #expect(fixture.wait { client.received.hasSuffix("/one") })
    #expect(client.received.hasPrefix("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: "))
    #expect(client.received.contains(" GMT\r\nContent-Length: 4\r\n\r\n"))
    client.received = ""
    client.send("PUT /two HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    #expect(fixture.wait { client.received.hasSuffix("/twoabc") })
    client.received = ""
    client.send("HEAD /three HTTP/1.1\r\nHost: a\r\n\r\n" + get("/4", "Connection: close\r\n"))
    #expect(fixture.wait { client.isClosed })
    #expect(client.received.contains("Content-Length: 6\r\n\r\nHTTP/1.1 200 OK\r\n"))
    #expect(client.received.hasSuffix("Connection: close\r\n\r\n/4"))
    #expect(fixture.server.counters.requests == 4)
    #expect(fixture.server.counters.connectionsTotal == 1)
    #expect(fixture.server.counters.bytesIn > 0 && fixture.server.counters.bytesOut > 0)
    #expect(fixture.wait { fixture.server.counters.connectionsOpen == 0 })
  }

  @Test func oneByteAtATime() throws {
    let fixture = try Fixture()
    let client = fixture.client()
    for byte in get("/slow").utf8 {
      client.send(String(decoding: [byte], as: UTF8.self))
      fixture.loop.runTurn(waitingAtMost: 1_000_000)
    }
    #expect(fixture.wait { bodies(client.received) == ["200 /slow"] })
  }

  @Test func delayedAnswersLeaveInOrder() throws {
    let fixture = try Fixture()
    var waiting: [(String, HTTPResponder)] = []
    fixture.handler = { request, responder in
      waiting.append((String(decoding: request.rawPath, as: UTF8.self), responder))
    }
    let client = fixture.client((0..<5).map { get("/\($0)") }.joined())
    #expect(fixture.wait { waiting.count == 5 })
    for index in [3, 1, 4] {
      waiting[index].1.respond(.text(200, waiting[index].0))
      waiting[index].1.respond(.text(500, "a second answer does not count"))
    }
    #expect(!waiting[3].1.isOpen && waiting[0].1.isOpen)
    fixture.loop.runTurn(waitingAtMost: 10_000_000)
    #expect(client.received.isEmpty)
    waiting[0].1.respond(.text(200, "/0"))
    #expect(fixture.wait { bodies(client.received) == ["200 /0", "200 /1"] })
    // Dropped without an answer.
    waiting.remove(at: 2)
    #expect(fixture.wait { bodies(client.received).count == 5 })
    let dropped = "500 the request was dropped without an answer"
    #expect(bodies(client.received) == ["200 /0", "200 /1", dropped, "200 /3", "200 /4"])
  }

  @Test func pipelineIsBounded() throws {
    var limits = HTTPLimits()
    limits.pipelineMax = 4
    let fixture = try Fixture(limits)
    var waiting: [HTTPResponder] = []
    fixture.handler = { _, responder in waiting.append(responder) }
    let client = fixture.client((0..<20).map { get("/\($0)") }.joined())
    #expect(fixture.wait { waiting.count == 4 })
    for count in 1...20 {
      #expect(fixture.wait { !waiting.isEmpty })
      #expect(waiting.count <= 4)
      waiting.removeFirst().respond(.text(200, "ok"))
      #expect(fixture.wait { bodies(client.received).count == count })
    }
  }

  @Test func pausesForASlowReader() throws {
    var limits = HTTPLimits()
    limits.outputHighWater = 64 << 10
    let fixture = try Fixture(limits)
    let large = [UInt8](repeating: 0x61, count: 1 << 20)
    fixture.handler = { _, responder in
      responder.respond(HTTPResponse(status: 200, body: large))
    }
    let client = fixture.client()
    #expect(fixture.wait { client.isConnected })
    client.connection?.pauseReading()
    client.send((0..<50).map { get("/\($0)") }.joined())
    for _ in 0..<50 { fixture.loop.runTurn(waitingAtMost: 2_000_000) }
    #expect(fixture.server.counters.requests < 30)
    client.connection?.resumeReading()
    #expect(fixture.wait { client.received.utf8.count > 50 << 20 })
    #expect(fixture.server.counters.requests == 50)
  }

  @Test func onCloseWhenTheClientGoes() throws {
    let fixture = try Fixture()
    var waiting: [HTTPResponder] = []
    var closed = 0
    fixture.handler = { _, responder in
      responder.onClose = { closed += 1 }
      waiting.append(responder)
    }
    let client = fixture.client(get("/a") + get("/b"))
    #expect(fixture.wait { waiting.count == 2 })
    waiting[0].respond(.text(200, "a"))
    client.connection?.close()
    #expect(fixture.wait { closed == 1 })
    #expect(!waiting[1].isOpen)
    waiting[1].respond(.text(200, "into the void"))
    #expect(fixture.wait { fixture.server.counters.connectionsOpen == 0 })
    #expect(closed == 1)
  }

  @Test func aHalfClosedClientStillGetsItsAnswer() throws {
    let fixture = try Fixture()
    var waiting: [HTTPResponder] = []
    fixture.handler = { _, responder in waiting.append(responder) }
    let client = fixture.client(get("/a", "Connection: close\r\n"))
    #expect(fixture.wait { waiting.count == 1 })
    client.connection?.finishWriting()
    for _ in 0..<5 { fixture.loop.runTurn(waitingAtMost: 2_000_000) }
    waiting[0].respond(.text(200, "late"))
    #expect(fixture.wait { client.isClosed })
    #expect(bodies(client.received) == ["200 late"])
  }

  @Test func continueIsAskedForAndBodiesRefused() throws {
    let fixture = try Fixture()
    fixture.bodyLimit = { head in
      (head.contentLength ?? 0) > 100 ? .text(413, "at most 100 bytes") : nil
    }
    let head = "PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
    let client = fixture.client(head + "3\r\n\r\n")
    #expect(fixture.wait { client.received == "HTTP/1.1 100 Continue\r\n\r\n" })
    client.send("abc")
    #expect(fixture.wait { client.received.hasSuffix("/aabc") })
    let refused = fixture.client(head + "101\r\n\r\n")
    #expect(fixture.wait { refused.isClosed })
    #expect(bodies(refused.received) == ["413 at most 100 bytes"])
    #expect(refused.received.contains("Connection: close\r\n"))
    #expect(fixture.server.counters.requests == 1)
  }

  @Test func faultsAreAnsweredAfterEarlierRequests() throws {
    let fixture = try Fixture()
    var waiting: [HTTPResponder] = []
    fixture.handler = { _, responder in waiting.append(responder) }
    let client = fixture.client(get("/a") + "BAD\r\n" + get("/never"))
    #expect(fixture.wait { waiting.count == 1 })
    waiting.removeFirst().respond(.text(200, "a"))
    #expect(fixture.wait { client.isClosed })
    #expect(bodies(client.received) == ["200 a", "400 malformed request line"])
    #expect(waiting.isEmpty)
  }

  @Test func streamsInChunks() throws {
    let fixture = try Fixture()
    var responders: [HTTPResponder] = []
    fixture.handler = { _, responder in responders.append(responder) }
    let client = fixture.client(get("/a") + get("/b"))
    #expect(fixture.wait { responders.count == 2 })
    responders[1].begin(HTTPResponse(status: 200))
    #expect(responders[1].write([0x62]))
    responders[0].begin(HTTPResponse(status: 200))
    #expect(responders[0].write([0x61]))
    #expect(fixture.wait { client.received.hasSuffix("1\r\na\r\n") })
    responders[0].end()
    #expect(fixture.wait { client.received.hasSuffix("1\r\nb\r\n") })
    responders[1].end()
    #expect(fixture.wait { bodies(client.received) == ["200 a", "200 b"] })
    // One that is given up halfway can only be cut.
    client.send(get("/c"))
    #expect(fixture.wait { responders.count == 3 })
    responders[2].begin(HTTPResponse(status: 200, body: [0x63]))
    #expect(fixture.wait { client.received.hasSuffix("1\r\nc\r\n") })
    responders.removeAll()
    #expect(fixture.wait { client.isClosed })
    #expect(!client.received.hasSuffix("0\r\n\r\n"))
  }

  @Test func streamWaitsForDrain() throws {
    var limits = HTTPLimits()
    limits.outputHighWater = 64 << 10
    let fixture = try Fixture(limits)
    let piece = [UInt8](repeating: 0x61, count: 32 << 10)
    var sent = 0
    var stops = 0
    var responder: HTTPResponder?
    func pump() {
      while sent < 400 {
        sent += 1
        if responder?.write(piece) == false {
          stops += 1
          return
        }
      }
      responder?.end()
      responder = nil
    }
    fixture.handler = { _, its in
      responder = its
      its.begin(HTTPResponse(status: 200))
      its.onDrain = { pump() }
      pump()
    }
    let client = fixture.client("GET /a HTTP/1.0\r\n\r\n")
    #expect(fixture.wait { client.isClosed })
    #expect(stops > 0 && sent == 400)
    #expect(!client.received.contains("Transfer-Encoding"))
    let start = client.received.utf8.count - 400 * piece.count
    #expect(start > 0 && start < 300)
  }

  @Test func connectionsAreLimited() throws {
    var limits = HTTPLimits()
    limits.connectionsPerClientMax = 2
    let fixture = try Fixture(limits)
    let first = fixture.client(get("/a"))
    let second = fixture.client(get("/b"))
    #expect(fixture.wait { !first.received.isEmpty && !second.received.isEmpty })
    let third = fixture.client()
    #expect(fixture.wait { third.isClosed })
    #expect(bodies(third.received) == ["429 too many connections from this address"])
    first.connection?.close()
    #expect(fixture.wait { fixture.server.counters.connectionsOpen == 1 })
    let fourth = fixture.client(get("/d"))
    #expect(fixture.wait { bodies(fourth.received) == ["200 /d"] })
    #expect(fixture.server.counters.refused == 1)
  }

  @Test func slowClientsAreCutOff() throws {
    var limits = HTTPLimits()
    limits.headerSeconds = 1
    limits.idleSeconds = 1
    limits.bodyGraceSeconds = 0
    let fixture = try Fixture(limits)
    let idle = fixture.client(get("/a"))
    let head = fixture.client("GET / HT")
    let body = fixture.client("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nabc")
    #expect(fixture.wait { idle.isClosed && head.isClosed && body.isClosed })
    #expect(bodies(idle.received) == ["200 /a"])
    #expect(bodies(head.received) == ["408 request headers took too long"])
    #expect(bodies(body.received) == ["408 request body took too long"])
  }

  @Test func aClientThatTakesNothingIsCutOff() throws {
    var limits = HTTPLimits()
    limits.stallSeconds = 1
    let fixture = try Fixture(limits)
    let large = [UInt8](repeating: 0x61, count: 32 << 20)
    fixture.handler = { _, responder in
      responder.respond(HTTPResponse(status: 200, body: large))
    }
    let client = fixture.client(get("/large"))
    client.connection?.pauseReading()
    #expect(fixture.wait { fixture.server.counters.requests == 1 })
    #expect(fixture.wait { fixture.server.counters.connectionsOpen == 0 })
  }

  @Test func drainFinishesWhatIsUnderWay() throws {
    let fixture = try Fixture()
    var waiting: [HTTPResponder] = []
    fixture.handler = { request, responder in
      if request.rawPath.elementsEqual("/poll".utf8) {
        waiting.append(responder)
      } else {
        responder.respond(.text(200, "ok"))
      }
    }
    let idle = fixture.client(get("/a"))
    let polling = fixture.client(get("/poll"))
    #expect(fixture.wait { waiting.count == 1 && !idle.received.isEmpty })
    var isDone = false
    fixture.server.drain(graceNanoseconds: 30 * seconds) { isDone = true }
    #expect(fixture.wait { idle.isClosed })
    #expect(!isDone)
    let late = fixture.client()
    #expect(fixture.wait { late.isClosed })
    waiting.removeFirst().respond(.text(200, "done"))
    #expect(fixture.wait { polling.isClosed && isDone })
    #expect(polling.received.contains("Connection: close\r\n"))
    #expect(bodies(polling.received) == ["200 done"])
  }

  /// The connection whose handler asks for it is in the middle of its own bytes then.
  @Test func aHandlerMayAnswerAndDrain() throws {
    let fixture = try Fixture()
    var isDrained = false
    fixture.handler = { [unowned fixture] request, responder in
      responder.respond(.text(200, "leaving"))
      fixture.server.drain(graceNanoseconds: 30 * seconds) { isDrained = true }
    }
    let client = fixture.client(get("/leave"))
    let start = fixture.loop.now
    #expect(fixture.wait { client.isClosed && isDrained })
    #expect(bodies(client.received) == ["200 leaving"])
    #expect(fixture.loop.now - start < 25 * seconds)
  }

  @Test func drainEndsAfterItsGrace() throws {
    let fixture = try Fixture()
    var waiting: [HTTPResponder] = []
    fixture.handler = { _, responder in waiting.append(responder) }
    let client = fixture.client(get("/poll"))
    #expect(fixture.wait { waiting.count == 1 })
    var isDone = false
    fixture.server.drain(graceNanoseconds: 1_000_000) { isDone = true }
    #expect(fixture.wait { isDone && client.isClosed })
    #expect(!waiting[0].isOpen)
  }

  @Test func parkedRequestsHoldLittle() throws {
    let fixture = try Fixture()
    var waiting: [(HTTPRequest, HTTPResponder)] = []
    fixture.handler = { waiting.append(($0, $1)) }
    let client = fixture.client(get("/a") + get("/b") + get("/c"))
    #expect(fixture.wait { waiting.count == 3 })
    #expect(waiting.allSatisfy { $0.0.bytes.capacity <= 1024 })
    let paths = waiting.map { String(decoding: $0.0.rawPath, as: UTF8.self) }
    #expect(paths == ["/a", "/b", "/c"])
    for (_, responder) in waiting { responder.respond(.text(200, "x")) }
    #expect(fixture.wait { bodies(client.received).count == 3 })
  }
}

@Suite struct HandMadeResponderTests {
  @Test func collectsAnswers() {
    var answers: [HTTPResponse] = []
    let plain = HTTPResponder { answers.append($0) }
    plain.respond(.text(200, "a"))
    plain.respond(.text(200, "b"))
    let streamed = HTTPResponder { answers.append($0) }
    streamed.begin(HTTPResponse(status: 201))
    _ = streamed.write([1])
    _ = streamed.write([2])
    #expect(answers.count == 1)
    streamed.end()
    _ = HTTPResponder { answers.append($0) }
    let gone = HTTPResponder { answers.append($0) }
    var closed = 0
    gone.onClose = { closed += 1 }
    gone.disconnect()
    gone.disconnect()
    gone.respond(.text(200, "c"))
    #expect(answers.map(\.status) == [200, 201, 500])
    #expect(answers[1].body == [1, 2])
    #expect(closed == 1 && !gone.isOpen)
  }
}
