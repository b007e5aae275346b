import EventLoop
import Testing

@testable import DNS

/// The server on real sockets of the loopback interface.
@Suite(.serialized) struct ServerTests {
  final class Fixture {
    let loop: EventLoop
    let source: FakeSource
    let server: DNSServer
    let udp: UDPSocket
    let box = Received()

    final class Received { var messages: [[UInt8]] = [] }

    init(
      _ source: FakeSource = .small(), limits: DNSLimits = DNSLimits(),
      _ set: (inout DNSOptions) -> Void = { _ in }
    ) throws {
      loop = try EventLoop()
      self.source = source
      var options = DNSOptions(domain: DNSName("consul")!)
      set(&options)
      server = try DNSServer(
        address: anyPort, loop: loop, options: options, limits: limits, source: source)
      let box = box
      udp = try UDPSocket(
        connectingTo: server.localAddress, loop: loop, datagramBytesMax: 65_535
      ) { bytes, _ in box.messages.append(Array(bytes)) }
    }

    func send(_ bytes: [UInt8]) { udp.send(bytes) }

    func ask(_ bytes: [UInt8]) throws -> Reply {
      box.messages = []
      udp.send(bytes)
      try #require(loop.run(forAtMost: 60 * second) { !box.messages.isEmpty })
      return try Reply(box.messages[0])
    }

    func connect() -> Client { Client(server.localAddress, loop) }
  }

  /// A TCP client that takes messages apart.
  final class Client: TCPConnectionDelegate {
    var messages: [[UInt8]] = []
    var isClosed = false
    private var tcp: TCPConnection?

    init(_ address: SocketAddress, _ loop: EventLoop) {
      tcp = TCPConnection(connectingTo: address, loop: loop, options: .init(), delegate: self)
    }

    func send(_ message: [UInt8]) {
      sendRaw([UInt8(message.count >> 8), UInt8(truncatingIfNeeded: message.count)] + message)
    }

    func sendRaw(_ bytes: [UInt8]) {
      tcp?.output.append(bytes)
      tcp?.flushAtTurnEnd()
    }

    func finish() { tcp?.finishWriting() }

    func connectionDidConnect(_ connection: TCPConnection) {}
    func connectionDidRead(_ connection: TCPConnection) {
      while connection.input.count >= 2 {
        let bytes = Array(connection.input.storage[connection.input.readableRange])
        let count = Int(bytes[0]) << 8 | Int(bytes[1])
        guard bytes.count >= 2 + count else { return }
        messages.append(Array(bytes[2..<(2 + count)]))
        connection.input.consume(2 + count)
      }
    }
    func connectionDidReachEOF(_ connection: TCPConnection) { connection.close() }
    func connectionDidDrain(_ connection: TCPConnection) {}
    func connectionDidClose(_ connection: TCPConnection, error: SystemError?) { isClosed = true }
  }

  @Test func answersOverUDP() throws {
    let fixture = try Fixture()
    let reply = try fixture.ask(question("web.service.consul"))
    #expect(reply.id == 0x1234)
    #expect(Set(reply.addresses) == [[10, 0, 0, 1], [10, 0, 0, 102]])
    #expect(fixture.server.counters.questions == 1)
  }

  @Test func whatClientsWereToldOfIsWaitedFor() throws {
    let source = FakeSource.small()
    source.mayLackAnsweredWrites = true
    let fixture = try Fixture(source)
    fixture.send(question("web.service.consul"))
    #expect(fixture.loop.run(forAtMost: 10 * second) { source.catchUps.count == 1 })
    #expect(fixture.box.messages.isEmpty)
    source.services["web"]?.removeLast()
    source.catchUps[0]()
    #expect(fixture.loop.run(forAtMost: 10 * second) { fixture.box.messages.count == 1 })
    #expect(try Reply(fixture.box.messages[0]).addresses == [[10, 0, 0, 1]])
  }

  @Test func malformedQuestionsGetACodeAndAnswersNothing() throws {
    let fixture = try Fixture()
    fixture.send([1, 2, 3])
    fixture.send(question("web.service.consul", flags: DNSFlags.response))
    fixture.send([UInt8](repeating: 0, count: 5000))
    let reply = try fixture.ask(question("web.service.consul") + [0])
    #expect(reply.code == DNSCode.formatError.rawValue)
    #expect(reply.question == nil)
    #expect(fixture.box.messages.count == 1)
    #expect(fixture.server.counters.malformed == 3)
  }

  @Test func manyQuestionsOverOneConnection() throws {
    let source = FakeSource.small()
    source.addMany(5000)
    let fixture = try Fixture(source)
    let client = fixture.connect()
    // Far more than may wait to be sent: the server reads on as its output drains.
    for id in 0..<100 {
      client.send(question("many.service.consul", DNSType.srv, id: UInt16(id)))
    }
    // Its sending side ends long before the answers do.
    client.finish()
    #expect(fixture.loop.run(forAtMost: 60 * second) { client.messages.count == 100 })
    let replies = try client.messages.map { try Reply($0) }
    #expect(replies.map(\.id) == (0..<100).map { UInt16($0) })
    #expect(replies.allSatisfy { $0.answers.count > 900 })
    #expect(
      fixture.loop.run(forAtMost: 60 * second) {
        client.isClosed && fixture.server.counters.connectionsOpen == 0
      })
  }

  @Test func aMessageMayArriveByteByByte() throws {
    let fixture = try Fixture()
    let client = fixture.connect()
    let message = question("web.service.consul")
    for byte in [0, UInt8(message.count)] + message {
      client.sendRaw([byte])
      fixture.loop.runTurn(waitingAtMost: 1_000_000)
    }
    #expect(fixture.loop.run(forAtMost: 60 * second) { client.messages.count == 1 })
    #expect(!client.isClosed)
  }

  @Test(arguments: [[0, 0], [0, 11], [0xFF, 0xFF], [0x10, 0x01]] as [[UInt8]])
  func lengthsThatNoQuestionHasClose(_ prefix: [UInt8]) throws {
    let fixture = try Fixture()
    let client = fixture.connect()
    client.sendRaw(prefix + [1, 2, 3])
    #expect(fixture.loop.run(forAtMost: 60 * second) { client.isClosed })
    #expect(client.messages.isEmpty)
  }

  @Test func connectionsAreLimitedAndIdleOnesClosed() throws {
    var limits = DNSLimits()
    limits.connectionsPerClientMax = 2
    limits.idleNanoseconds = 50_000_000
    let fixture = try Fixture(limits: limits)
    let clients = (0..<3).map { _ in fixture.connect() }
    #expect(fixture.loop.run(forAtMost: 60 * second) { clients.contains(where: \.isClosed) })
    #expect(fixture.server.counters.connectionsRefused == 1)
    #expect(fixture.loop.run(forAtMost: 60 * second) { clients.allSatisfy(\.isClosed) })
    // They linger until the client's own close has come.
    #expect(
      fixture.loop.run(forAtMost: 60 * second) { fixture.server.counters.connectionsOpen == 0 })
    let later = fixture.connect()
    later.send(question("web.service.consul"))
    #expect(fixture.loop.run(forAtMost: 60 * second) { later.messages.count == 1 })
  }

  @Test func consistentAnswersWaitForTheBarrier() throws {
    let source = FakeSource.small()
    source.confirms = nil
    var limits = DNSLimits()
    limits.pendingMax = 2
    let fixture = try Fixture(source, limits: limits) { $0.isStaleAllowed = false }
    for id in 1...3 { fixture.send(question("web.service.consul", id: UInt16(id))) }
    // The third finds no room to wait.
    #expect(fixture.loop.run(forAtMost: 60 * second) { fixture.box.messages.count == 1 })
    #expect(try Reply(fixture.box.messages[0]).code == DNSCode.serverFailure.rawValue)
    #expect(source.confirmations.count == 2)
    for (done, isConfirmed) in zip(source.confirmations, [true, false]) { done(isConfirmed) }
    #expect(fixture.loop.run(forAtMost: 60 * second) { fixture.box.messages.count == 3 })
    let replies = try fixture.box.messages.map { try Reply($0) }
    #expect(replies.map(\.id) == [3, 1, 2])
    #expect(replies.map(\.code) == [2, 0, 2])
  }

  // MARK: Recursors

  /// A recursor that answers with what `respond` makes of a question's bytes.
  func recursor(
    _ loop: EventLoop, _ respond: @escaping ([UInt8]) -> [[UInt8]]
  ) throws -> UDPSocket {
    final class Box { weak var socket: UDPSocket? }
    let box = Box()
    let socket = try UDPSocket(address: anyPort, loop: loop, datagramBytesMax: 4096) {
      for answer in respond(Array($0)) { box.socket?.send(answer, to: $1) }
    }
    box.socket = socket
    return socket
  }

  func answer(_ query: [UInt8], _ ip: [UInt8]? = nil, code: DNSCode = .noError) -> [UInt8] {
    guard let parsed = try? DNSQuery(parsing: query) else { return [] }
    var writer = DNSWriter()
    writer.begin(id: parsed.id, flags: DNSFlags.response | code.rawValue)
    writer.question(parsed.question)
    if let ip { writer.address(.answer, parsed.question.name, ip, ttl: 60) }
    writer.finish()
    return writer.bytes
  }

  @Test func otherNamesAreForwarded() throws {
    // Two loops in one would need a second fixture: the recursor lives on the server's loop.
    let loop = try EventLoop()
    var ids: [UInt16] = []
    let upstream = try recursor(loop) { query in
      var forged = self.answer(query, [6, 6, 6, 6])
      forged[0] ^= 1
      let other = question("other.example")
      ids.append(UInt16(query[0]) << 8 | UInt16(query[1]))
      // Wrong id, wrong question, garbage, then the true one.
      return [
        forged, self.answer(Array(query.prefix(2)) + other.dropFirst(2), [6, 6, 6, 7]), [1, 2],
        self.answer(query, [192, 0, 2, 1]),
      ]
    }
    let (reply, server) = try exchange(loop, [upstream.localAddress], question("www.example.com"))
    #expect(reply.addresses == [[192, 0, 2, 1]])
    #expect(reply.id == 0x1234)
    #expect(reply.question?.name.description == "www.example.com.")
    #expect(server.counters.forwarded == 1)
    #expect(ids.count == 1)
  }

  @Test func theNextRecursorIsAskedWhenOneFails() throws {
    let loop = try EventLoop()
    let failing = try recursor(loop) { [self.answer($0, code: .serverFailure)] }
    let silent = try recursor(loop) { _ in [] }
    let closed = try recursor(loop) { _ in [] }
    let gone = closed.localAddress
    closed.close()
    let good = try recursor(loop) { [self.answer($0, [192, 0, 2, 1])] }
    let all = [failing.localAddress, silent.localAddress, gone, good.localAddress]
    let (reply, _) = try exchange(loop, all, question("www.example.com"))
    #expect(reply.addresses == [[192, 0, 2, 1]])
    let (failed, server) = try exchange(loop, [failing.localAddress, gone], question("a.example"))
    #expect(failed.code == DNSCode.serverFailure.rawValue)
    #expect(failed.has(DNSFlags.recursionAvailable))
    #expect(server.counters.failures == 1)
  }

  @Test func hostNamesOfServicesAreResolved() throws {
    let loop = try EventLoop()
    var asked: [String] = []
    let upstream = try recursor(loop) { query in
      asked.append((try? DNSQuery(parsing: query))?.question.name.description ?? "")
      return [self.answer(query, [192, 0, 2, 1])]
    }
    let (reply, _) = try exchange(loop, [upstream.localAddress], question("cn.service.consul"))
    #expect(asked == ["a.example.org."])
    #expect(reply.answers.map(\.type) == [DNSType.cname, DNSType.a])
    #expect(reply.answers.map(\.name) == ["cn.service.consul.", "a.example.org."])
    #expect(reply.has(DNSFlags.authoritative))
  }

  /// One question to a server with recursors, over UDP.
  private func exchange(
    _ loop: EventLoop, _ recursors: [SocketAddress], _ message: [UInt8]
  ) throws -> (Reply, DNSServer) {
    var options = DNSOptions(domain: DNSName("consul")!)
    options.recursors = recursors
    options.recursorTimeoutNanoseconds = 50_000_000
    let source = FakeSource.small()
    source.services["cn"] = [DNSInstance(node: "n", address: .name("a.example.org"), port: 1)]
    let server = try DNSServer(address: anyPort, loop: loop, options: options, source: source)
    var received: [[UInt8]] = []
    let client = try UDPSocket(
      connectingTo: server.localAddress, loop: loop, datagramBytesMax: 4096
    ) { bytes, _ in received.append(Array(bytes)) }
    client.send(message)
    try #require(loop.run(forAtMost: 60 * second) { !received.isEmpty })
    defer { server.close() }
    return (try Reply(received[0]), server)
  }

  @Test func forwardingOverTCP() throws {
    // A DNS server for example.com plays the recursor.
    let loop = try EventLoop()
    let upstreamSource = FakeSource()
    upstreamSource.addMany(2000)
    let upstream = try DNSServer(
      address: anyPort, loop: loop, options: DNSOptions(domain: DNSName("example")!),
      source: upstreamSource)
    var options = DNSOptions(domain: DNSName("consul")!)
    options.recursors = [upstream.localAddress]
    let server = try DNSServer(
      address: anyPort, loop: loop, options: options, source: FakeSource.small())
    let client = Client(server.localAddress, loop)
    client.send(question("many.service.example"))
    #expect(loop.run(forAtMost: 60 * second) { client.messages.count == 1 })
    let reply = try Reply(try #require(client.messages.first))
    #expect(reply.answers.count == 2000)
    #expect(reply.id == 0x1234)
  }
}

struct RateLimitTests {
  @Test func longAnswersAreRationedPerNetwork() {
    var limit = DNSRateLimit(bytesPerSecond: 1000, seed: 1, now: 0)
    let victim = SocketAddress(ip: [192, 0, 2, 1], port: 53)
    let neighbour = SocketAddress(ip: [192, 0, 2, 99], port: 53)
    let stranger = SocketAddress(ip: [198, 51, 100, 1], port: 53)
    func allows(_ bytes: Int, _ remote: SocketAddress, _ now: UInt64) -> Bool {
      limit.allows(bytes, to: remote, questionBytes: 100, now: now)
    }
    #expect(allows(4300, victim, 0))
    #expect(!allows(301, victim, 0))
    #expect(!allows(301, neighbour, 0))
    // Up to three times the question is free.
    #expect(allows(300, victim, 0))
    #expect(allows(4300, stranger, 0))
    // Filled up again with time, and no further than to the brim.
    #expect(!allows(1301, victim, second))
    #expect(allows(1300, victim, second))
    #expect(allows(4300, victim, 100 * second))
    #expect(!allows(301, victim, 100 * second))
    #expect(limit.refused == 4)
    let loopback = SocketAddress(ip: [127, 0, 0, 1], port: 53)
    #expect((0..<100).allSatisfy { _ in allows(60_000, loopback, 0) })
  }

  @Test func whoIsDeflectedGetsNoMoreThanHeSent() throws {
    var responder = Responder()
    for edns in [nil, 4096] as [UInt16?] {
      let bytes = question("web.service.consul", edns: edns)
      responder.answers.deflect(try DNSQuery(parsing: bytes))
      let reply = try Reply(responder.answers.message)
      #expect(reply.has(DNSFlags.truncated) && reply.answers.isEmpty)
      #expect(responder.answers.message.count == bytes.count)
    }
  }
}
