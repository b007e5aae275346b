import CRoost
import EventLoop
import Glibc
import Testing

@Suite(.serialized) struct TCPTests {
  @Test func bytesTravelBothWaysThroughPartialWrites() throws {
    let pair = try Pair()
    var sent = [UInt8](repeating: 0, count: 8 << 20)
    for i in sent.indices { sent[i] = UInt8(truncatingIfNeeded: i &* 31 &+ i >> 9) }
    pair.serverSide.consumes = false
    pair.serverSide.onRead = { server in
      server.output.append(server.input.storage[server.input.readableRange])
      server.input.consume(server.input.count)
      server.flushAtTurnEnd()
    }
    pair.client.output.append(sent)
    pair.client.flushAtTurnEnd()
    #expect(pair.run { pair.clientSide.bytes.count == sent.count })
    #expect(pair.clientSide.bytes == sent)
    #expect(pair.clientSide.events.contains(.drained))
  }

  @Test func aFullInputStopsTheSender() throws {
    var options = TCPConnection.Options()
    options.inputBytesMax = 10_000
    let pair = try Pair(server: options)
    pair.serverSide.consumes = false
    pair.client.output.append([UInt8](repeating: 7, count: 32 << 20))
    pair.client.flushAtTurnEnd()
    #expect(pair.run { pair.server.input.count == 10_000 })
    // The kernel's buffers fill, then nothing moves any more.
    var before = -1
    for _ in 0..<1000 where before != pair.client.output.count {
      before = pair.client.output.count
      pair.loop.runTurn(waitingAtMost: 20 * millisecond)
    }
    #expect(pair.server.input.count == 10_000)
    #expect(pair.client.output.count > 8 << 20)
    #expect(pair.client.isAboveHighWater)
    pair.serverSide.consumes = true
    pair.server.input.consume(10_000)
    pair.server.resumeReading()
    #expect(pair.run { pair.serverSide.bytes.count == (32 << 20) - 10_000 })
    #expect(!pair.client.isAboveHighWater)
  }

  @Test func pausedReadingHearsNothing() throws {
    let pair = try Pair()
    pair.server.pauseReading()
    pair.client.output.append("hello")
    pair.client.flushAtTurnEnd()
    for _ in 0..<5 { pair.loop.runTurn(waitingAtMost: 5 * millisecond) }
    #expect(pair.serverSide.events.isEmpty)
    pair.server.resumeReading()
    #expect(pair.run { pair.serverSide.bytes == Array("hello".utf8) })
  }

  @Test func oneTurnIsOneWrite() throws {
    let pair = try Pair()
    pair.serverSide.consumes = false
    pair.loop.schedule(after: 0) {
      for _ in 0..<100 {
        pair.client.output.append("0123456789")
        pair.client.flushAtTurnEnd()
      }
    }
    #expect(pair.run { pair.server.input.count > 0 })
    #expect(pair.server.input.count == 1000)
  }

  @Test func halfCloseLeavesTheOtherWayOpen() throws {
    let pair = try Pair()
    pair.client.output.append("request")
    pair.client.finishWriting()
    #expect(pair.run { pair.serverSide.events.last == .eof })
    #expect(pair.serverSide.bytes == Array("request".utf8))
    pair.server.output.append("answer")
    pair.server.closeAfterFlush()
    #expect(pair.run { pair.serverSide.isClosed && pair.clientSide.events.contains(.eof) })
    #expect(pair.clientSide.bytes == Array("answer".utf8))
    #expect(pair.serverSide.events.last == .closed(nil))
  }

  @Test func closeAfterFlushDeliversThoughInputWasLeftUnread() throws {
    let pair = try Pair()
    pair.server.pauseReading()
    pair.client.output.append([UInt8](repeating: 1, count: 1 << 20))
    pair.client.flushAtTurnEnd()
    for _ in 0..<3 { pair.loop.runTurn(waitingAtMost: 5 * millisecond) }
    pair.server.output.append("413")
    pair.server.closeAfterFlush()
    #expect(pair.run { pair.clientSide.events.contains(.eof) })
    #expect(pair.clientSide.bytes == Array("413".utf8))
    pair.client.close()
    #expect(pair.run { pair.serverSide.isClosed })
  }

  @Test func closeAfterFlushOutlivesItsOwner() throws {
    let loop = try EventLoop()
    var server: TCPConnection?
    let listener = try TCPListener(address: anyPort, loop: loop, options: .init()) {
      server = $0
      server?.output.append([UInt8](repeating: 9, count: 4 << 20))
      server?.closeAfterFlush()
      server = nil
    }
    let side = Recorder()
    let client = TCPConnection(
      connectingTo: listener.localAddress, loop: loop, options: .init(), delegate: side)
    #expect(loop.run(forAtMost: 60 * second) { side.events.contains(.eof) })
    #expect(side.bytes.count == 4 << 20)
    client.close()
  }

  @Test func aPeerThatTakesNothingIsGivenUp() throws {
    var options = TCPConnection.Options()
    options.flushNanosecondsMax = 30 * millisecond
    let pair = try Pair(server: options)
    pair.client.pauseReading()
    pair.server.output.append([UInt8](repeating: 9, count: 32 << 20))
    pair.server.closeAfterFlush()
    #expect(pair.run { pair.serverSide.isClosed })
  }

  @Test func refusedConnectIsReportedOnce() throws {
    let loop = try EventLoop()
    let listener = try TCPListener(address: anyPort, loop: loop, options: .init()) { _ in }
    let address = listener.localAddress
    listener.close()
    let side = Recorder()
    let client = TCPConnection(
      connectingTo: address, loop: loop, options: .init(), delegate: side)
    #expect(side.events.isEmpty, "never from within the initializer")
    #expect(loop.run(forAtMost: 60 * second) { side.isClosed })
    for _ in 0..<3 { loop.runTurn(waitingAtMost: millisecond) }
    #expect(side.events == [.closed(ECONNREFUSED)])
    #expect(client.isClosed)
  }

  @Test func resetIsAnErrorAndWritingToTheDeadToo() throws {
    let pair = try Pair()
    pair.server.reset()
    #expect(pair.serverSide.events == [.closed(nil)])
    pair.client.output.append("anybody?")
    pair.client.flushAtTurnEnd()
    #expect(pair.run { pair.clientSide.isClosed })
    let last = try #require(pair.clientSide.events.last)
    #expect(last == .closed(ECONNRESET) || last == .closed(EPIPE))
  }

  @Test(arguments: ["read", "connect", "drain", "eof"])
  func closeInsideACallback(_ place: String) throws {
    let pair = try Pair()
    let side = pair.serverSide
    switch place {
    case "read": side.onRead = { $0.close() }
    case "eof": side.onEOF = { $0.close() }
    case "drain":
      side.onDrain = { $0.close() }
      pair.server.output.append([UInt8](repeating: 0, count: 4 << 20))
      pair.server.flushAtTurnEnd()
    default:
      let late = Recorder()
      late.onConnect = { $0.close() }
      let client = TCPConnection(
        connectingTo: pair.listener.localAddress, loop: pair.loop, options: .init(),
        delegate: late)
      #expect(pair.run { late.isClosed })
      #expect(late.events == [.connected, .closed(nil)])
      #expect(client.isClosed)
      return
    }
    pair.client.output.append("x")
    pair.client.finishWriting()
    #expect(pair.run { side.isClosed })
    for _ in 0..<3 { pair.loop.runTurn(waitingAtMost: millisecond) }
    #expect(side.events.last == .closed(nil))
    #expect(side.events.filter { $0 == .closed(nil) }.count == 1)
    side.onClose = nil
    pair.server.close()
    pair.server.flushAtTurnEnd()
    pair.server.closeAfterFlush()
    pair.server.resumeReading()
    pair.loop.runTurn(waitingAtMost: 0)
    #expect(side.events.filter { $0 == .closed(nil) }.count == 1)
  }

  @Test func closingOthersInACallbackReusesDescriptorsSafely() throws {
    let pair = try Pair()
    // Many connections become readable in one turn; the first one heard closes all others and
    // opens new ones, which get the same descriptors while stale events are still to come.
    var servers: [TCPConnection] = []
    let hub = Recorder()
    let listener = try TCPListener(address: anyPort, loop: pair.loop, options: .init()) {
      $0.delegate = hub
      servers.append($0)
    }
    let quiet = Recorder()
    var clients = (0..<20).map { _ in
      TCPConnection(
        connectingTo: listener.localAddress, loop: pair.loop, options: .init(), delegate: quiet)
    }
    #expect(pair.run { servers.count == 20 && quiet.events.count == 20 })
    let fresh = Recorder()
    var replacements: [TCPConnection] = []
    var reads = 0
    hub.onRead = { reader in
      reads += 1
      guard replacements.isEmpty else { return }
      for server in servers where server !== reader { server.close() }
      replacements = (0..<19).map { _ in
        TCPConnection(
          connectingTo: pair.listener.localAddress, loop: pair.loop, options: .init(),
          delegate: fresh)
      }
    }
    for client in clients {
      client.output.append("x")
      client.flushAtTurnEnd()
    }
    #expect(pair.run { fresh.events.filter { $0 == .connected }.count == 19 })
    #expect(reads == 1)
    #expect(!fresh.isClosed)
    clients.removeAll()
  }

  @Test func nobodyHoldsTheConnection() throws {
    let pair = try Pair()
    let side = Recorder()
    weak var gone: TCPConnection?
    do {
      let client = TCPConnection(
        connectingTo: pair.listener.localAddress, loop: pair.loop, options: .init(),
        delegate: side)
      #expect(pair.run { !side.events.isEmpty })
      gone = client
    }
    #expect(gone == nil)
    #expect(side.events == [.connected])
  }
}
