import CRoost
import EventLoop
import Testing

@testable import HTTP

private let minute: UInt64 = 60_000_000_000

/// Answers that are sent from the array they were made in: the same bytes as when they were copied,
/// in the same order, however slowly they are read, and in memory once for all connections.
@Suite(.serialized, .timeLimit(.minutes(10))) struct LargeAnswerTests {
  /// Keeps what it receives; may stop reading.
  private final class Client: TCPConnectionDelegate {
    var received: [UInt8] = []
    var isClosed = false
    private(set) var connection: TCPConnection?

    init(_ address: SocketAddress, _ loop: EventLoop, _ text: String) {
      connection = TCPConnection(
        connectingTo: address, loop: loop, options: TCPConnection.Options(), delegate: self)
      connection?.output.append(Array(text.utf8))
      connection?.flushAtTurnEnd()
    }

    func connectionDidConnect(_ connection: TCPConnection) {}
    func connectionDidRead(_ connection: TCPConnection) {
      received += connection.input.storage[connection.input.readableRange]
      connection.input.consume(connection.input.count)
    }
    func connectionDidReachEOF(_ connection: TCPConnection) {
      isClosed = true
      connection.close()
    }
    func connectionDidDrain(_ connection: TCPConnection) {}
    func connectionDidClose(_ connection: TCPConnection, error: SystemError?) { isClosed = true }

    /// The bodies of the answers to requests of which those at `heads` were HEAD.
    func bodies(heads: Set<Int> = []) -> [[UInt8]] {
      var all: [[UInt8]] = []
      var offset = 0
      while offset < received.count {
        var parser = ResponseParser(isHead: heads.contains(all.count), bodyBytesMax: 1 << 30)
        guard parser.next(received, &offset, received.count) == .complete else { return all }
        all.append(parser.body)
      }
      return all
    }
  }

  /// Answers `/SIZE` with so many bytes, which are the same array each time.
  private final class Fixture {
    let loop: EventLoop
    private(set) var server: HTTPServer!
    var bodies: [Int: [UInt8]] = [:]
    var held: [(size: Int, responder: HTTPResponder)] = []
    var holds = false

    init() throws {
      loop = try EventLoop()
      server = try HTTPServer(
        address: SocketAddress(ip: [127, 0, 0, 1], port: 0), loop: loop, limits: HTTPLimits(),
        bodyLimit: { _ in nil },
        handler: { [unowned self] request, responder in
          let size = Int(String(decoding: request.rawPath.dropFirst(), as: UTF8.self)) ?? 0
          if holds {
            held.append((size, responder))
          } else {
            responder.respond(HTTPResponse(status: 200, body: body(size)))
          }
        })
    }

    deinit { server.close() }

    func body(_ size: Int) -> [UInt8] {
      if let body = bodies[size] { return body }
      let body = (0..<size).map { UInt8(truncatingIfNeeded: ($0 &* 13) &+ ($0 >> 8) &+ size) }
      bodies[size] = body
      return body
    }

    func answerHeld(_ index: Int) {
      held[index].responder.respond(HTTPResponse(status: 200, body: body(held[index].size)))
    }

    func client(_ text: String) -> Client { Client(server.localAddress, loop, text) }
    func wait(_ condition: () -> Bool) -> Bool { loop.run(forAtMost: minute, until: condition) }
  }

  private static func request(_ size: Int, _ method: String = "GET", _ more: String = "") -> String
  {
    "\(method) /\(size) HTTP/1.1\r\nHost: a\r\n\(more)\r\n"
  }

  @Test func pipelinedAnswersOfAllSizesArriveWholeAndInOrder() throws {
    let fixture = try Fixture()
    let sizes = [10, 16 << 10, (16 << 10) - 1, 300_000, 0, 70_000, 2 << 20, 5, 5, 40_000, 1]
    let heads: Set<Int> = [3, 6]
    let text = sizes.enumerated().map { index, size in
      Self.request(size, heads.contains(index) ? "HEAD" : "GET")
    }
    let client = fixture.client((text + text).joined())
    let expected = sizes.enumerated().map { index, size in
      heads.contains(index) ? [] : fixture.body(size)
    }
    let allHeads = Set((heads.map { $0 } + heads.map { $0 + sizes.count }))
    #expect(fixture.wait { client.bodies(heads: allHeads).count == 2 * sizes.count })
    #expect(client.bodies(heads: allHeads) == expected + expected)
    #expect(fixture.server.counters.bytesOut == UInt64(client.received.count))
  }

  @Test func answersAheadOfTheirTurnKeepTheirPlace() throws {
    let fixture = try Fixture()
    fixture.holds = true
    let sizes = [20_000, 3, 50_000, 1 << 20, 8]
    let client = fixture.client(sizes.map { Self.request($0) }.joined())
    #expect(fixture.wait { fixture.held.count == sizes.count })
    for index in [3, 1, 4, 2, 0] { fixture.answerHeld(index) }
    #expect(fixture.wait { client.bodies().count == sizes.count })
    #expect(client.bodies() == sizes.map { fixture.body($0) })
  }

  @Test func aSlowReaderGetsEveryByte() throws {
    let fixture = try Fixture()
    let sizes = [3 << 20, 100, 1 << 20]
    let client = fixture.client(sizes.map { Self.request($0) }.joined())
    var turns = 0
    #expect(
      fixture.wait {
        // Reads in one turn of three.
        turns += 1
        if turns % 3 == 0 {
          client.connection?.resumeReading()
        } else {
          client.connection?.pauseReading()
        }
        fixture.loop.requestTurnEnd()
        return client.received.count > 4 << 20 && client.bodies().count == sizes.count
      })
    #expect(client.bodies() == sizes.map { fixture.body($0) })
  }

  @Test func closingAfterALargeAnswerDeliversIt() throws {
    let fixture = try Fixture()
    let client = fixture.client(Self.request(4 << 20, "GET", "Connection: close\r\n"))
    #expect(fixture.wait { client.isClosed })
    #expect(client.bodies() == [fixture.body(4 << 20)])
  }

  /// Two hundred clients wait for the same four megabytes, and take only what the kernel holds for
  /// them. Some leave in the middle of it; the others get all.
  @Test func aBodyForManyIsInMemoryOnce() throws {
    croost_raise_descriptor_limit()
    let fixture = try Fixture()
    fixture.holds = true
    let (count, size) = (200, 4 << 20)
    let body = fixture.body(size)
    let clients = (0..<count).map { _ in fixture.client(Self.request(size)) }
    #expect(fixture.wait { fixture.held.count == count })
    for client in clients { client.connection?.pauseReading() }
    let before = Self.residentBytes()
    for index in 0..<count { fixture.answerHeld(index) }
    for _ in 0..<5 { fixture.loop.runTurn(waitingAtMost: 1_000_000) }
    // 800 MB if each had its own; other tests may run beside this one.
    #expect(Self.residentBytes() - before < 250 << 20)
    for client in clients.dropFirst(2) { client.connection?.reset() }
    #expect(fixture.wait { fixture.server.counters.connectionsOpen == 2 })
    for client in clients.prefix(2) { client.connection?.resumeReading() }
    #expect(fixture.wait { clients.prefix(2).allSatisfy { $0.received.count > size } })
    for client in clients.prefix(2) { #expect(client.bodies() == [body]) }
  }

  private static func residentBytes() -> Int {
    var usage = croost_usage()
    // Sound: the pointer lives for the call.
    _ = unsafe croost_usage(&usage)
    return Int(usage.resident_bytes)
  }
}
