import EventLoop
import Glibc
import Testing

@Suite(.serialized) struct UDPTests {
  @Test(arguments: [
    [127, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  ])
  func aDatagramIsAnswered(_ ip: [UInt8]) throws {
    let loop = try EventLoop()
    final class Box { weak var socket: UDPSocket? }
    let box = Box()
    let server = try UDPSocket(
      address: SocketAddress(ip: ip, port: 0), loop: loop, datagramBytesMax: 100
    ) { bytes, envelope in
      box.socket?.send(Array(bytes.reversed()), to: envelope)
    }
    box.socket = server
    // Bound to any address, it answers from the one that was asked.
    let target = SocketAddress(
      ip: ip == [0, 0, 0, 0] ? [127, 0, 0, 2] : ip, port: server.localAddress.port)
    var received: [[UInt8]] = []
    let client = try UDPSocket(connectingTo: target, loop: loop, datagramBytesMax: 100) {
      bytes, envelope in
      received.append(Array(bytes))
      #expect(envelope.remote == target)
    }
    client.send([1, 2, 3])
    client.send([])
    #expect(loop.run(forAtMost: 60 * second) { received.count == 2 })
    #expect(received == [[3, 2, 1], []])
  }

  @Test func longDatagramsAreCutOff() throws {
    let loop = try EventLoop()
    var received: [Int] = []
    let server = try UDPSocket(address: anyPort, loop: loop, datagramBytesMax: 10) { bytes, _ in
      received.append(bytes.count)
    }
    let client = try UDPSocket(
      connectingTo: server.localAddress, loop: loop, datagramBytesMax: 10
    ) { _, _ in }
    client.send([UInt8](repeating: 7, count: 1000))
    #expect(loop.run(forAtMost: 60 * second) { received == [10] })
  }

  @Test func nobodyListeningIsHeard() throws {
    let loop = try EventLoop()
    let server = try UDPSocket(address: anyPort, loop: loop, datagramBytesMax: 10) { _, _ in }
    let address = server.localAddress
    server.close()
    let client = try UDPSocket(connectingTo: address, loop: loop, datagramBytesMax: 10) { _, _ in }
    var failure: SystemError?
    client.failed = { failure = $0 }
    client.send([1])
    #expect(loop.run(forAtMost: 60 * second) { failure != nil })
    #expect(failure?.code == ECONNREFUSED)
  }

  @Test func anAddressInUseIsNamed() throws {
    let loop = try EventLoop()
    let server = try UDPSocket(address: anyPort, loop: loop, datagramBytesMax: 10) { _, _ in }
    let error = #expect(throws: SystemError.self) {
      _ = try UDPSocket(
        address: server.localAddress, loop: loop, datagramBytesMax: 10
      ) { _, _ in }
    }
    #expect(error?.code == EADDRINUSE)
  }

  @Test func closingFromWithinACallback() throws {
    let loop = try EventLoop()
    final class Box { var socket: UDPSocket?; var count = 0 }
    let box = Box()
    box.socket = try UDPSocket(address: anyPort, loop: loop, datagramBytesMax: 10) { _, _ in
      box.count += 1
      box.socket?.close()
    }
    let client = try UDPSocket(
      connectingTo: try #require(box.socket).localAddress, loop: loop, datagramBytesMax: 10
    ) { _, _ in }
    for _ in 0..<5 { client.send([1]) }
    #expect(loop.run(forAtMost: 60 * second) { box.count > 0 })
    loop.runTurn(waitingAtMost: millisecond)
    #expect(box.count == 1)
    box.socket = nil
  }
}
