import EventLoop
import Raft
import Testing
import Wire

@testable import Peer

struct HandshakeRow: CustomTestStringConvertible {
  var testDescription: String
  var cluster = "test"
  var clusterID: [UInt8]?
  var node: UInt64 = 2
  var target: UInt64 = 1
  var purpose = PeerPurpose.raft
  var expected: PeerRejection.Reason?
}

/// A client that speaks raw bytes to a transport.
final class RawClient: TCPConnectionDelegate {
  var received: [UInt8] = []
  var isOver = false
  private(set) var connection: TCPConnection?

  init(_ address: SocketAddress, _ loop: EventLoop, sending bytes: [UInt8]) {
    let connection = TCPConnection(
      connectingTo: address, loop: loop, options: .init(), delegate: self)
    connection.output.append(bytes)
    self.connection = connection
  }

  func connectionDidConnect(_ connection: TCPConnection) {}
  func connectionDidRead(_ connection: TCPConnection) {
    received += connection.input.storage[connection.input.readableRange]
    connection.input.consume(connection.input.count)
  }
  func connectionDidReachEOF(_ connection: TCPConnection) { connection.close() }
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) { isOver = true }

  /// The reason that the other side gave for its refusal.
  var refusal: PeerRejection.Reason? {
    let start = Handshake.preambleBytes
    guard received.count > start,
      case .frame(.refusal, let payload) = Frame.parse(
        received, start..<received.count, payloadBytesMax: 4096)
    else { return nil }
    var reader = Reader(received, in: payload)
    return try? Handshake.decodeRefusal(&reader).reason
  }
}

@Suite(.serialized) struct HandshakeTests {
  private static let idA = [UInt8](repeating: 0xA, count: 16)
  private static let idB = [UInt8](repeating: 0xB, count: 16)

  private func opening(_ row: HandshakeRow) -> [UInt8] {
    var bytes: [UInt8] = []
    Handshake.appendPreamble(to: &bytes)
    let identity = PeerIdentity(
      clusterName: row.cluster, clusterID: row.clusterID, nodeID: NodeID(row.node),
      nodeName: "other", isEstablished: true)
    let hello = Handshake.Hello(
      purpose: row.purpose, identity: identity,
      target: row.target == 0 ? nil : NodeID(row.target), advertisedHost: "10.0.0.1",
      advertisedPort: 8300)
    _ = Frame.append(.hello, to: &bytes, bytesMax: 4096) { Handshake.encode(hello, into: &$0) }
    return bytes
  }

  @Test(arguments: [
    HandshakeRow(testDescription: "all right"),
    HandshakeRow(testDescription: "same cluster id", clusterID: idA),
    HandshakeRow(testDescription: "target unknown", target: 0),
    HandshakeRow(testDescription: "bulk", purpose: .bulk),
    HandshakeRow(testDescription: "probe", target: 0, purpose: .probe),
    HandshakeRow(testDescription: "probe of itself", node: 1, target: 0, purpose: .probe),
    HandshakeRow(testDescription: "other cluster", cluster: "prod", expected: .wrongCluster),
    HandshakeRow(testDescription: "other id", clusterID: idB, expected: .wrongCluster),
    HandshakeRow(testDescription: "for another", target: 3, expected: .wrongNode),
    HandshakeRow(testDescription: "same node id", node: 1, expected: .sameID),
    HandshakeRow(testDescription: "node id 0", node: 0, expected: .malformedFrame),
    HandshakeRow(
      testDescription: "long name", cluster: String(repeating: "x", count: 300),
      expected: .malformedFrame),
    HandshakeRow(
      testDescription: "huge name", cluster: String(repeating: "x", count: 4096),
      expected: .frameTooLong),
  ])
  func rules(_ row: HandshakeRow) throws {
    let loop = try EventLoop()
    let node = try TestNode(1, loop: loop, clusterID: HandshakeTests.idA)
    var bytes = opening(row)
    if row.cluster.count == 4096 {
      bytes = []
      Handshake.appendPreamble(to: &bytes)
      _ = Frame.append(.hello, to: &bytes, bytesMax: 9999) {
        $0.raw([UInt8](repeating: 0, count: 5000))
      }
    }
    let client = RawClient(node.address, loop, sending: bytes)
    let isAnswered = loop.run(forAtMost: 60 * second) {
      client.received.count > Handshake.preambleBytes
    }
    #expect(isAnswered)
    #expect(client.refusal == row.expected)
    #expect(node.hellos.count == (row.expected == nil ? 1 : 0))
    #expect(node.rejections.map(\.reason) == (row.expected.map { [$0] } ?? []))
    if row.expected == nil {
      #expect(node.hellos.first?.0.advertisedHost == "10.0.0.1")
      #expect(node.hellos.first?.0.protocolVersion == 1)
    } else {
      #expect(loop.run(forAtMost: 60 * second) { client.isOver })
    }
  }

  @Test(arguments: [
    ("GET / HTTP/1.1\r\n\r\n", PeerRejection.Reason.garbage),
    ("\u{16}\u{3}\u{1}TLS", .garbage),
    ("ROOST\u{2}\0\u{9}\0", .wrongVersion),
    ("ROOST\0\0\0\0", .wrongVersion),
    ("ROOST\u{3}\0\u{1}\0", .wrongVersion),
  ])
  func preambles(_ text: String, _ expected: PeerRejection.Reason) throws {
    let loop = try EventLoop()
    let node = try TestNode(1, loop: loop)
    let client = RawClient(node.address, loop, sending: Array(text.utf8))
    #expect(loop.run(forAtMost: 60 * second) { client.isOver })
    #expect(client.refusal == expected)
    #expect(node.rejections.map(\.reason) == [expected])
  }

  @Test func silenceIsEndedByTheDeadline() throws {
    let loop = try EventLoop()
    var limits = TestNode.limits
    limits.handshakeNanoseconds = 30 * millisecond
    let node = try TestNode(1, loop: loop, limits: limits)
    let client = RawClient(node.address, loop, sending: Array("ROO".utf8))
    #expect(loop.run(forAtMost: 60 * second) { client.isOver })
    #expect(node.rejections.map(\.reason) == [.handshakeTimeout])
  }

  @Test func aHandshakeByteByByteIsFine() throws {
    let loop = try EventLoop()
    let node = try TestNode(1, loop: loop)
    let bytes = opening(HandshakeRow(testDescription: ""))
    let client = RawClient(node.address, loop, sending: [])
    for byte in bytes {
      client.connection?.output.append(byte)
      client.connection?.flushAtTurnEnd()
      loop.runTurn(waitingAtMost: millisecond)
    }
    #expect(loop.run(forAtMost: 60 * second) { node.hellos.count == 1 })
  }

  @Test func garbageAfterTheHandshakeClosesTheConnection() throws {
    let loop = try EventLoop()
    let node = try TestNode(1, loop: loop)
    let tails: [([UInt8], PeerRejection.Reason)] = [
      ([0xFF, 0xFF, 0xFF, 0xFF, 5, 0, 0, 0, 0], .frameTooLong),
      ([1, 0, 0, 0, 99, 0, 0, 0, 0, 0], .malformedFrame),
      ([1, 0, 0, 0, 5, 0, 0, 0, 0, 0], .checksum),
      (frame(.message, [99]), .malformedFrame),
      (frame(.message, []), .malformedFrame),
      (frame(.node, []), .malformedFrame),
      (frame(.pong, []), .malformedFrame),
      (frame(.ping, [1]), .malformedFrame),
      (frame(.hello, []), .malformedFrame),
      (frame(.refusal, [0]), .malformedFrame),
    ]
    for (tail, reason) in tails {
      node.rejections = []
      let bytes = opening(HandshakeRow(testDescription: "")) + tail
      let client = RawClient(node.address, loop, sending: bytes)
      #expect(loop.run(forAtMost: 60 * second) { client.isOver })
      #expect(node.rejections.map(\.reason) == [reason], "\(tail)")
    }
    #expect(node.messages.isEmpty)
  }

  private func frame(_ kind: Frame.Kind, _ payload: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    _ = Frame.append(kind, to: &bytes, bytesMax: 1000) { $0.raw(payload) }
    return bytes
  }

  @Test func rejectionsAreToldAtABoundedRate() throws {
    let loop = try EventLoop()
    var limits = TestNode.limits
    limits.rejectionsPerSecondMax = 2
    let node = try TestNode(1, loop: loop, limits: limits)
    let clients = (0..<20).map { _ in
      RawClient(node.address, loop, sending: Array("garbage!!".utf8))
    }
    #expect(loop.run(forAtMost: 60 * second) { clients.allSatisfy(\.isOver) })
    #expect(node.transport?.rejections == 20)
    #expect(node.rejections.count <= 6)
  }

  @Test func tooManyConnectionsAreRefused() throws {
    let loop = try EventLoop()
    var limits = TestNode.limits
    limits.inboundConnectionsMax = 2
    let node = try TestNode(1, loop: loop, limits: limits)
    let clients = (0..<3).map { _ in RawClient(node.address, loop, sending: []) }
    #expect(loop.run(forAtMost: 60 * second) { clients.contains { $0.isOver } })
    #expect(node.rejections.map(\.reason) == [.tooManyConnections])
  }
}
