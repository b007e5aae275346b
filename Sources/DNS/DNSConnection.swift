internal import EventLoop

/// One TCP client: messages with a length of two bytes in front (RFC 1035 4.2.2), any number of
/// them on their way at a time (RFC 7766 6.2.1.1).
///
/// Answers go out in the order in which they are ready. A length that no question can have closes
/// the connection: what follows cannot be told apart any more.
final class DNSConnection: TCPConnectionDelegate {
  let tcp: TCPConnection
  private unowned let server: DNSServer
  private var lastUsed: UInt64
  /// Read, and not answered yet.
  private var owed = 0
  private var hasReachedEOF = false
  private var isParsing = false

  init(tcp: TCPConnection, server: DNSServer) {
    self.tcp = tcp
    self.server = server
    lastUsed = server.loop.now
  }

  func isIdle(at now: UInt64) -> Bool {
    now >= lastUsed && now - lastUsed >= server.limits.idleNanoseconds
  }

  func send(_ message: [UInt8]) {
    owed -= 1
    tcp.output.append(UInt8(truncatingIfNeeded: message.count >> 8))
    tcp.output.append(UInt8(truncatingIfNeeded: message.count))
    tcp.output.append(message)
    tcp.flushAtTurnEnd()
    closeIfDone()
  }

  private func closeIfDone() {
    // Questions may wait until the output has drained.
    if hasReachedEOF, owed <= 0, !isParsing, !hasWholeMessage { tcp.closeAfterFlush() }
  }

  private var hasWholeMessage: Bool {
    let range = tcp.input.readableRange
    guard range.count >= 2 else { return false }
    return range.count >= 2 + messageCount(at: range.lowerBound)
  }

  private func messageCount(at start: Int) -> Int {
    Int(tcp.input.storage[start]) << 8 | Int(tcp.input.storage[start + 1])
  }

  private func parse() {
    guard !isParsing else { return }
    isParsing = true
    while !tcp.isClosed, !tcp.isAboveHighWater, let message = nextMessage() {
      lastUsed = server.loop.now
      owed += 1
      server.receive(message, from: self)
    }
    isParsing = false
    closeIfDone()
  }

  /// Takes the next whole message out of the input.
  private func nextMessage() -> [UInt8]? {
    let range = tcp.input.readableRange
    guard range.count >= 2 else { return nil }
    let start = range.lowerBound
    let count = messageCount(at: start)
    guard count >= DNSHeader.byteCount, count <= server.limits.queryBytesMax else {
      tcp.closeAfterFlush()
      tcp.input.consume(range.count)
      return nil
    }
    guard range.count >= 2 + count else { return nil }
    let message = Array(tcp.input.storage[(start + 2)..<(start + 2 + count)])
    tcp.input.consume(2 + count)
    return message
  }

  func connectionDidConnect(_ connection: TCPConnection) {}

  func connectionDidRead(_ connection: TCPConnection) { parse() }

  func connectionDidReachEOF(_ connection: TCPConnection) {
    hasReachedEOF = true
    closeIfDone()
  }

  func connectionDidDrain(_ connection: TCPConnection) {
    parse()
    connection.resumeReading()
  }

  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    server.remove(self)
  }
}
