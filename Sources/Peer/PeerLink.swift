internal import Basics
internal import EventLoop
internal import Raft

/// One peer: its address, the two lines to it, and what has been counted.
final class PeerLink {
  var address: PeerAddress
  let raft: PeerLine
  let bulk: PeerLine
  private var counters = PeerCounters()

  init(_ address: PeerAddress, transport: PeerTransport) {
    self.address = address
    var generator = SystemRandomNumberGenerator()
    raft = PeerLine(
      peer: address.id, purpose: .raft, loop: transport.loop, limits: transport.limits,
      seed: generator.next(), owner: transport)
    bulk = PeerLine(
      peer: address.id, purpose: .bulk, loop: transport.loop, limits: transport.limits,
      seed: generator.next(), owner: transport)
  }

  var lines: [PeerLine] { [raft, bulk] }

  var currentCounters: PeerCounters {
    var current = counters
    current.reconnects = raft.reconnects + bulk.reconnects
    current.queueBytes = lines.reduce(0) { $0 + ($1.connection?.queueBytes ?? 0) }
    return current
  }

  func count(_ change: (inout PeerCounters) -> Void) { change(&counters) }

  func close() { lines.forEach { $0.close() } }

  func send(_ message: Message, on line: PeerLine, queueBytesMax: Int) {
    guard let connection = line.connection,
      PeerLink.hasRoom(connection, MessageCodec.bytesMax(of: message), queueBytesMax),
      let bytes = connection.send(message)
    else {
      counters.messagesDropped += 1
      return
    }
    counters.messagesSent += 1
    counters.bytesSent += UInt64(bytes)
  }

  /// A whole frame with a message; empty: it is too long to be sent.
  func send(_ frame: [UInt8], queueBytesMax: Int) {
    guard !frame.isEmpty, let connection = raft.connection,
      PeerLink.hasRoom(connection, frame.count, queueBytesMax), connection.send(frame)
    else {
      counters.messagesDropped += 1
      return
    }
    counters.messagesSent += 1
    counters.bytesSent += UInt64(frame.count)
  }

  func sendFrame(kind: UInt8, payload: [UInt8], queueBytesMax: Int) -> Bool {
    guard let connection = raft.connection,
      PeerLink.hasRoom(connection, payload.count, queueBytesMax),
      let bytes = connection.send(kind: kind, payload: payload)
    else {
      counters.framesRefused += 1
      return false
    }
    counters.framesSent += 1
    counters.bytesSent += UInt64(bytes)
    return true
  }

  /// A message of any size goes into an empty queue, or it would never go.
  private static func hasRoom(
    _ connection: PeerConnection, _ bytes: Int, _ queueBytesMax: Int
  ) -> Bool {
    let queued = connection.queueBytes
    return queued == 0 || queued + bytes <= queueBytesMax
  }
}
