import CRoost
import Glibc
import Testing

@testable import EventLoop

/// Long lists of sends, with helpers: the same bytes as without, whatever the sockets say.
@Suite(.serialized) struct SendCrewTests {
  /// A loop with many connections to itself.
  private final class Crowd {
    let loop: EventLoop
    let listener: TCPListener
    var clients: [TCPConnection] = []
    var servers: [TCPConnection] = []
    var clientSides: [Recorder] = []
    let serverSide = Recorder()

    init(_ count: Int, server options: TCPConnection.Options = .init()) throws {
      let loop = try EventLoop()
      self.loop = loop
      var accepted: [TCPConnection] = []
      let serverSide = serverSide
      listener = try TCPListener(address: anyPort, loop: loop, options: options) {
        $0.delegate = serverSide
        accepted.append($0)
      }
      for _ in 0..<count {
        let side = Recorder()
        clientSides.append(side)
        clients.append(
          TCPConnection(
            connectingTo: listener.localAddress, loop: loop, options: .init(), delegate: side))
      }
      _ = loop.run(forAtMost: 60 * second) {
        accepted.count == count && clientSides.allSatisfy { $0.events.contains(.connected) }
      }
      // In the order of the clients, which is not always that of their acceptance.
      for (index, client) in clients.enumerated() {
        client.output.append([UInt8(index & 255), UInt8(index >> 8)])
        client.flushAtTurnEnd()
      }
      _ = loop.run(forAtMost: 60 * second) { serverSide.bytes.count == 2 * count }
      servers = accepted
    }

    func run(until condition: () -> Bool) -> Bool {
      loop.run(forAtMost: 60 * second, until: condition)
    }
  }

  private static func pattern(_ count: Int, _ seed: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 7) &+ ($0 >> 8) &+ seed) }
  }

  @Test(arguments: [100, 300, 1100])
  func everyConnectionGetsItsOwnBytes(_ count: Int) throws {
    croost_raise_descriptor_limit()
    let crowd = try Crowd(count)
    try #require(crowd.servers.count == count)
    var expected: [[UInt8]] = []
    for (index, server) in crowd.servers.enumerated() {
      let text = Array("<\(index)>".utf8)
      let body = Self.pattern(index % 50 == 0 ? 20_000 : 10, index)
      expected.append(text + body)
      server.output.append(text)
      server.output.append(sharing: body)
      server.flushAtTurnEnd()
    }
    let total = expected.reduce(0) { $0 + $1.count }
    #expect(crowd.run { crowd.clientSides.reduce(0) { $0 + $1.bytes.count } == total })
    let got = crowd.clientSides.map(\.bytes)
    #expect(Set(got) == Set(expected))
    #expect(Set(got).count == count)
  }

  /// Some of a long list are closed by their peers, some do not take all, some are closed by a
  /// callback of another: each has its own fate, and the rest its bytes.
  @Test func oneFateOfManyIsNotThatOfTheOthers() throws {
    croost_raise_descriptor_limit()
    var options = TCPConnection.Options()
    options.outputHighWater = 1000
    options.outputLowWater = 100
    let count = 300
    let crowd = try Crowd(count, server: options)
    try #require(crowd.servers.count == count)
    let big = Self.pattern(8 << 20, 3)
    var slow: [Int] = []
    // Closed on the servers' side by the callback of another.
    var isFirst = true
    let victims = Array(crowd.servers[200..<210])
    crowd.serverSide.onDrain = { _ in
      guard isFirst else { return }
      isFirst = false
      for victim in victims { victim.close() }
    }
    for (index, server) in crowd.servers.enumerated() {
      switch index {
      case 0: server.output.append(Self.pattern(2000, 0))
      case 10..<14:
        slow.append(index)
        server.output.append(sharing: big)
      case 20..<30:
        server.reset()
      default: server.output.append(Self.pattern(100, index))
      }
      server.flushAtTurnEnd()
    }
    let total = 2000 + slow.count * big.count + (count - 5 - 10 - 10) * 100
    #expect(
      crowd.run {
        let received = crowd.clientSides.reduce(0) { sum, side in
          side.isClosed || side.events.contains(.eof) ? sum : sum + side.bytes.count
        }
        return received == total
      })
    #expect(crowd.clientSides.filter { $0.bytes == big }.count == slow.count)
    for victim in victims { #expect(victim.isClosed) }
  }

  /// A list that is long again and again, and a crew that ends with its loop.
  @Test func manyListsOneAfterTheOther() throws {
    guard let crew = SendCrew() else { return }
    var pair: [Int32] = [-1, -1]
    try #require(unsafe socketpair(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0, &pair) == 0)
    defer { for fd in pair { close(fd) } }
    var results: [SendResult] = []
    var received = 0
    for round in 0..<500 {
      let jobs = (0..<20).map { index in
        SendJob(fd: pair[0], own: [UInt8(round & 255), UInt8(index)], ownRange: 0..<2)
      }
      crew.send(jobs, into: &results)
      #expect(results.count == 20)
      for result in results where result.isAll { received += 1 }
      var seen = Set<UInt8>()
      var buffer: [UInt8] = [0, 0]
      while unsafe recv(pair[1], &buffer, 2, Int32(MSG_DONTWAIT)) == 2 {
        #expect(buffer[0] == UInt8(round & 255))
        seen.insert(buffer[1])
      }
      #expect(seen.count == results.filter(\.isAll).count)
    }
    #expect(received > 0)
    let refused = [SendJob(fd: -1, own: [1], ownRange: 0..<1), .nothing]
    crew.send(refused, into: &results)
    #expect(results[0].taken == -Int(EBADF) && !results[0].isAll)
    #expect(results[1].taken == 0 && results[1].isAll)
  }
}
