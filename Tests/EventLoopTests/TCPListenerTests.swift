import CRoost
import EventLoop
import Glibc
import Testing

@Suite(.serialized) struct TCPListenerTests {
  @Test func anAddressInUseIsNamed() throws {
    let loop = try EventLoop()
    let listener = try TCPListener(address: anyPort, loop: loop, options: .init()) { _ in }
    let error = #expect(throws: SystemError.self) {
      _ = try TCPListener(address: listener.localAddress, loop: loop, options: .init()) { _ in }
    }
    #expect(error?.code == EADDRINUSE)
    #expect("\(error!)" == "listen on \(listener.localAddress): address already in use")
  }

  @Test func thousandsOfConnections() throws {
    let descriptors = croost_raise_descriptor_limit()
    let loop = try EventLoop()
    let count = min(2000, Int(descriptors) / 2 - 100)
    var servers: [TCPConnection] = []
    let serverSide = Recorder()
    serverSide.onRead = { $0.closeAfterFlush() }
    let listener = try TCPListener(address: anyPort, loop: loop, options: .init()) {
      $0.delegate = serverSide
      $0.output.append("welcome")
      $0.flushAtTurnEnd()
      servers.append($0)
    }
    let clientSide = Recorder()
    clientSide.onConnect = {
      $0.output.append("x")
      $0.flushAtTurnEnd()
    }
    clientSide.onEOF = { $0.close() }
    var clients: [TCPConnection] = []
    for _ in 0..<count {
      clients.append(
        TCPConnection(
          connectingTo: listener.localAddress, loop: loop, options: .init(), delegate: clientSide))
      if clients.count % 200 == 0 { loop.runTurn(waitingAtMost: 0) }
    }
    let isDone = loop.run(forAtMost: 60 * second) {
      servers.count == count && servers.allSatisfy(\.isClosed) && clients.allSatisfy(\.isClosed)
    }
    #expect(isDone)
    #expect(clientSide.bytes.count == 7 * count)
    #expect(serverSide.bytes.count == count)
  }

  @Test func pausedAcceptingLeavesClientsWaiting() throws {
    let loop = try EventLoop()
    var servers: [TCPConnection] = []
    let listener = try TCPListener(address: anyPort, loop: loop, options: .init()) {
      servers.append($0)
    }
    listener.pauseAccepting()
    let side = Recorder()
    let client = TCPConnection(
      connectingTo: listener.localAddress, loop: loop, options: .init(), delegate: side)
    #expect(loop.run(forAtMost: 60 * second) { side.events == [.connected] })
    loop.runTurn(waitingAtMost: 5 * millisecond)
    #expect(servers.isEmpty)
    listener.resumeAccepting()
    #expect(loop.run(forAtMost: 60 * second) { servers.count == 1 })
    client.close()
  }

  /// In a process of its own, because the limit holds for the whole process.
  @Test func outOfDescriptorsItRefusesAndRecovers() async {
    await #expect(processExitsWith: .success) {
      // A crash must not look like success: the process ends with 0 only at the very end.
      let loop = try EventLoop()
      var servers: [TCPConnection] = []
      let listener = try TCPListener(address: anyPort, loop: loop, options: .init()) {
        servers.append($0)
      }
      let side = Recorder()
      var clients: [TCPConnection] = []
      func connect() {
        clients.append(
          TCPConnection(
            connectingTo: listener.localAddress, loop: loop, options: .init(), delegate: side))
      }
      connect()
      guard loop.run(forAtMost: 60 * second, until: { servers.count == 1 }) else { exit(2) }
      // Sockets for the clients first, then no descriptor is left for the server's side.
      for _ in 0..<3 { connect() }
      let next = croost_spare_descriptor()
      _ = croost_close(next)
      _ = croost_set_descriptor_limit(UInt64(next))
      // Other threads of this process may have let go of some below the limit.
      func takeTheRest() { while croost_spare_descriptor() >= 0 {} }
      takeTheRest()
      let areRefused = loop.run(forAtMost: 60 * second) {
        takeTheRest()
        return side.events.filter { $0 == .eof || $0 == .closed(ECONNRESET) }.count == 3
      }
      guard areRefused, listener.refused == 3, servers.count == 1 else { exit(3) }
      _ = croost_set_descriptor_limit(UInt64(next) + 64)
      connect()
      guard loop.run(forAtMost: 60 * second, until: { servers.count == 2 }) else { exit(4) }
      exit(0)
    }
  }
}
