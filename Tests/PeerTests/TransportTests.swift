import EventLoop
import Raft
import Testing

@testable import Peer

@Suite(.serialized) struct TransportTests {
  private func heartbeat(_ number: UInt64) -> Message {
    .heartbeat(Heartbeat(term: Term(1), commitIndex: LogIndex(number), readRound: number))
  }

  @Test func messagesArriveWholeAndInOrder() throws {
    let pair = try NodePair()
    for _ in 0..<50 {
      for message in sampleMessages { pair.a.transport?.send(message, to: pair.b.id) }
    }
    #expect(pair.run { pair.b.messages.count == 50 * sampleMessages.count })
    for (number, (message, from)) in pair.b.messages.enumerated() {
      #expect(message == sampleMessages[number % sampleMessages.count])
      #expect(from == pair.a.id)
    }
    let counters = try #require(pair.a.transport?.counters(of: pair.b.id))
    #expect(counters.messagesSent == UInt64(50 * sampleMessages.count))
    #expect(counters.queueBytes == 0)
    let other = try #require(pair.b.transport?.counters(of: pair.a.id))
    #expect(other.messagesReceived == counters.messagesSent)
    #expect(other.bytesReceived >= counters.bytesSent)
  }

  @Test func framesGoThereAndBack() throws {
    let pair = try NodePair()
    pair.b.onFrame = { kind, payload, origin in
      #expect(
        pair.b.transport?.reply(kind: kind + 1, payload: payload.reversed(), to: origin) == true)
    }
    #expect(pair.a.transport?.sendFrame(kind: 7, payload: [1, 2, 3], to: pair.b.id) == true)
    #expect(pair.run { !pair.a.frames.isEmpty })
    #expect(pair.a.frames[0].kind == 8)
    #expect(pair.a.frames[0].payload == [3, 2, 1])
    #expect(pair.a.frames[0].origin == .node(pair.b.id))
    #expect(pair.a.transport?.sendFrame(kind: 7, payload: [], to: NodeID(99)) == false)
    pair.b.onFrame = nil
  }

  @Test func theLargestEntryPassesAndALargerIsDropped() throws {
    let pair = try NodePair()
    func append(_ bytes: Int) -> Message {
      let entry = Entry(
        index: LogIndex(2), term: Term(1), kind: .command,
        payload: [UInt8](repeating: 1, count: bytes))
      return .append(
        AppendEntries(
          term: Term(1), previousIndex: LogIndex(1), previousTerm: Term(1), commitIndex: .zero,
          entries: [entry]))
    }
    pair.a.transport?.send(append(64 << 20), to: pair.b.id)
    #expect(pair.run { pair.b.messages.count == 1 })
    pair.a.transport?.send(append(73 << 20), to: pair.b.id)
    #expect(pair.a.transport?.counters(of: pair.b.id)?.messagesDropped == 1)
    pair.a.transport?.send(heartbeat(1), to: pair.b.id)
    #expect(pair.run { pair.b.messages.count == 2 })
  }

  @Test func aDeadPeerIsKnownAtOnceAndComesBack() throws {
    let pair = try NodePair()
    let address = pair.b.address
    pair.settle()
    pair.b.transport?.close()
    let broken = TestNode.Event.link(pair.b.id, .broken(refused: true))
    #expect(pair.run { pair.a.events.contains(broken) })
    #expect(
      pair.a.events == [
        .link(pair.b.id, .connected), .link(pair.b.id, .broken(refused: false)), broken,
      ])
    #expect(pair.a.transport?.isConnected(pair.b.id) == false)
    pair.a.transport?.send(heartbeat(1), to: pair.b.id)
    #expect(pair.a.transport?.counters(of: pair.b.id)?.messagesDropped == 1)
    let again = try TestNode(2, loop: pair.loop, address: address)
    #expect(pair.run { pair.a.transport?.isConnected(pair.b.id) == true })
    #expect(pair.a.events.last == .link(pair.b.id, .connected))
    pair.a.transport?.send(heartbeat(2), to: pair.b.id)
    #expect(pair.run { again.messages.count == 1 })
    #expect(pair.run { (pair.a.transport?.counters(of: pair.b.id)?.reconnects ?? 0) >= 1 })
  }

  /// Also when the connection had only just come up, after attempts that have long backed off.
  @Test func aPeerThatDiesYoungIsKnownAtOnce() throws {
    var limits = TestNode.limits
    limits.backoffNanosecondsMin = 3600 * second
    limits.backoffNanosecondsMax = 3600 * second
    let pair = try NodePair(limits: limits)
    pair.b.transport?.close()
    let broken = TestNode.Event.link(pair.b.id, .broken(refused: true))
    #expect(pair.run { pair.a.events.contains(broken) })
  }

  @Test func anotherNodeAtTheAddressIsNotThePeer() throws {
    let pair = try NodePair()
    let address = pair.b.address
    pair.settle()
    pair.b.transport?.close()
    let stranger = try TestNode(9, loop: pair.loop, address: address)
    #expect(pair.run { pair.a.events.contains(.link(pair.b.id, .broken(refused: true))) })
    #expect(pair.run { pair.a.rejections.contains { $0.reason == .wrongNode && !$0.isOurs } })
    #expect(stranger.messages.isEmpty)
  }

  @Test func aConnectingPeerEndsTheBackOff() throws {
    let loop = try EventLoop()
    var limits = TestNode.limits
    limits.backoffNanosecondsMin = 3600 * second
    limits.backoffNanosecondsMax = 3600 * second
    let a = try TestNode(1, loop: loop, limits: limits)
    let placeholder = try TestNode(2, loop: loop)
    let address = placeholder.address
    let peer = placeholder.peer
    placeholder.transport?.close()
    a.transport?.setPeers([peer])
    for _ in 0..<10 { loop.runTurn(waitingAtMost: 5 * millisecond) }
    let b = try TestNode(2, loop: loop, address: address)
    b.transport?.setPeers([a.peer])
    #expect(loop.run(forAtMost: 60 * second) { a.transport?.isConnected(b.id) == true })
  }

  @Test func aPeerThatFallsSilentIsDead() throws {
    let loop = try EventLoop()
    var limits = TestNode.limits
    limits.pingNanoseconds = 10 * millisecond
    limits.deadNanoseconds = 60 * millisecond
    let a = try TestNode(1, loop: loop, limits: limits)
    // Answers the handshake of node 2, then never again.
    let other = try EventLoop()
    let b = try TestNode(2, loop: other)
    a.transport?.setPeers([b.peer])
    let isUp = loop.run(forAtMost: 60 * second) {
      other.runTurn(waitingAtMost: millisecond)
      return a.transport?.isConnected(b.id) == true
    }
    #expect(isUp)
    let broken = TestNode.Event.link(b.id, .broken(refused: false))
    #expect(loop.run(forAtMost: 60 * second) { a.events.contains(broken) })
    #expect(!a.events.contains(.link(b.id, .broken(refused: true))))
  }

  @Test func pingsKeepAnIdleLinkAlive() throws {
    var limits = TestNode.limits
    limits.pingNanoseconds = 5 * millisecond
    limits.deadNanoseconds = 200 * millisecond
    let pair = try NodePair(limits: limits)
    let end = pair.loop.now + 500 * millisecond
    _ = pair.run { pair.loop.now > end }
    #expect(pair.a.events == [.link(pair.b.id, .connected)])
    #expect(pair.b.events == [.link(pair.a.id, .connected)])
  }

  @Test func queuesAreBounded() throws {
    var limits = TestNode.limits
    limits.queueBytesMax = 10_000
    let pair = try NodePair(limits: limits)
    let payload = [UInt8](repeating: 1, count: 4000)
    let accepted = (0..<10).filter { _ in
      pair.a.transport?.sendFrame(kind: 1, payload: payload, to: pair.b.id) == true
    }
    #expect(accepted.count == 2)
    for number in 0..<1000 { pair.a.transport?.send(heartbeat(UInt64(number)), to: pair.b.id) }
    let counters = try #require(pair.a.transport?.counters(of: pair.b.id))
    #expect(counters.framesRefused == 8)
    #expect(counters.messagesDropped > 0)
    #expect(counters.queueBytes <= 10_000)
    #expect(pair.run { pair.b.frames.count == 2 })
  }

  @Test func bulkDoesNotDelayRaft() throws {
    let pair = try NodePair()
    let chunk = SnapshotChunk(
      term: Term(1),
      meta: SnapshotMeta(
        index: LogIndex(1), term: Term(1), configuration: Configuration(),
        configurationIndex: .zero), offset: 0, totalBytes: 1 << 30,
      data: [UInt8](repeating: 1, count: 8 << 20))
    var order: [String] = []
    pair.b.onMessage = { message in
      if case .heartbeat = message { order.append("raft") } else { order.append("bulk") }
    }
    let envelope = Envelope(to: pair.b.id, message: .snapshotChunk(chunk))
    for _ in 0..<4 { pair.a.transport?.send([envelope]) }
    pair.a.transport?.send(heartbeat(1), to: pair.b.id)
    #expect(pair.run { order.count == 5 })
    #expect(order == ["raft", "bulk", "bulk", "bulk", "bulk"])
  }

  @Test func peersComeGoAndMove() throws {
    let pair = try NodePair()
    pair.settle()
    let third = try TestNode(2, loop: pair.loop)
    pair.b.transport?.close()
    pair.a.transport?.setPeers([third.peer])
    #expect(pair.run { pair.a.transport?.isConnected(third.id) == true })
    #expect(pair.run { third.hellos.count == 2 })
    pair.a.transport?.setPeers([])
    #expect(pair.a.transport?.isConnected(third.id) == false)
    #expect(pair.a.transport?.counters(of: third.id) == nil)
    pair.a.transport?.setPeers([pair.a.peer])
    #expect(pair.a.transport?.counters(of: pair.a.id) == nil, "never to itself")
  }
}
