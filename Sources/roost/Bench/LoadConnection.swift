internal import EventLoop

/// One client of a load: up to `depth` requests under way on one connection.
///
/// Requests are written into the connection's output in the turn that frees their place, so that a
/// turn costs one read and one write however many requests it carries.
final class LoadConnection: TCPConnectionDelegate {
  private struct Pending {
    var startedAt: UInt64
    var stream: UInt32
    var hasData = false
  }

  private unowned let run: LoadRun
  private let work: LoadWork
  private let depth: Int
  private var tcp: TCPConnection?
  private var isConnected = false
  private var pending: [Pending] = []
  private var nextStream: UInt32 = 1
  /// Of an answer too large to be held as a whole.
  private var bodyLeft = 0
  private static let wholeBytesMax = 2 << 20
  /// HTTP/2 bytes received since the last window update.
  private var unacknowledged: UInt32 = 0

  init(run: LoadRun, work: LoadWork, depth: Int, loop: EventLoop, address: SocketAddress) {
    self.run = run
    self.work = work
    self.depth = depth
    var options = TCPConnection.Options()
    options.inputBytesMax = 4 << 20
    tcp = TCPConnection(connectingTo: address, loop: loop, options: options, delegate: self)
  }

  var isFree: Bool { isConnected && pending.count < depth }
  var isIdle: Bool { pending.isEmpty }

  func close() { tcp?.close() }

  /// Sends as many requests as are due and fit.
  func fill() {
    guard let tcp, isConnected else { return }
    var added = false
    while pending.count < depth, let next = run.takeRequest() {
      added = true
      let stream = nextStream
      tcp.output.withStorage { output in
        switch work.wire {
        case .http: work.appendHTTP(next.number, to: &output)
        case .etcd: work.appendEtcd(next.number, stream: stream, to: &output)
        }
      }
      nextStream += 2
      pending.append(Pending(startedAt: next.startedAt, stream: stream))
    }
    if added { tcp.flushAtTurnEnd() }
  }

  // MARK: What the connection tells

  func connectionDidConnect(_ connection: TCPConnection) {
    isConnected = true
    if work.wire == .etcd {
      connection.output.withStorage { HTTP2.appendPreface(to: &$0) }
      connection.flushAtTurnEnd()
    }
    run.connectionIsReady(self)
  }

  func connectionDidRead(_ connection: TCPConnection) {
    let before = connection.input.count
    switch work.wire {
    case .http: readHTTP(connection)
    case .etcd: readFrames(connection)
    }
    run.count(received: before - connection.input.count)
    run.connectionIsFree(self)
  }

  func connectionDidReachEOF(_ connection: TCPConnection) { connection.close() }
  func connectionDidDrain(_ connection: TCPConnection) {}

  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    tcp = nil
    isConnected = false
    let lost = pending.count
    pending = []
    run.connectionEnded(
      self, lost: lost, error?.description ?? "the server closed the connection")
  }

  // MARK: HTTP/1.1

  private func readHTTP(_ connection: TCPConnection) {
    if bodyLeft > 0 {
      let taken = min(bodyLeft, connection.input.count)
      connection.input.consume(taken)
      bodyLeft -= taken
      guard bodyLeft == 0 else { return }
      run.succeeded(startedAt: pending.removeFirst().startedAt)
    }
    readWholeAnswers(connection)
    // The connection stops reading at some size: the body of a large answer is taken piece by piece.
    let range = connection.input.readableRange
    guard range.count >= Self.wholeBytesMax, !pending.isEmpty,
      let head = ResponseHead(connection.input.storage, range), head.status == 200
    else { return }
    bodyLeft = head.bytes + head.bodyBytes - range.count
    connection.input.consume(range.count)
  }

  private func readWholeAnswers(_ connection: TCPConnection) {
    let queue = connection.input
    var range = queue.readableRange
    let start = range.lowerBound
    while let head = ResponseHead(queue.storage, range), range.count >= head.bytes + head.bodyBytes
    {
      guard !pending.isEmpty else { break }
      let request = pending.removeFirst()
      let end = range.lowerBound + head.bytes + head.bodyBytes
      if head.status == 200 {
        run.succeeded(startedAt: request.startedAt)
      } else {
        let body = queue.storage[range.lowerBound + head.bytes..<end]
        run.failed("status \(head.status): \(String(decoding: body.prefix(200), as: UTF8.self))")
      }
      range = end..<range.upperBound
    }
    connection.input.consume(range.lowerBound - start)
  }

  // MARK: HTTP/2

  private func readFrames(_ connection: TCPConnection) {
    let queue = connection.input
    var range = queue.readableRange
    let start = range.lowerBound
    while let frame = HTTP2.frame(queue.storage, range) {
      range = frame.payload.upperBound..<range.upperBound
      handle(frame, queue.storage, connection)
    }
    connection.input.consume(range.lowerBound - start)
    if unacknowledged > HTTP2.window / 2 {
      connection.output.withStorage { HTTP2.appendWindowUpdate(unacknowledged, to: &$0) }
      connection.flushAtTurnEnd()
      unacknowledged = 0
    }
  }

  private func handle(_ frame: HTTP2.Frame, _ bytes: [UInt8], _ connection: TCPConnection) {
    switch HTTP2.Kind(rawValue: frame.kind) {
    case .data:
      unacknowledged += UInt32(frame.payload.count)
      if let position = position(frame.stream) { pending[position].hasData = true }
    case .headers where frame.flags & HTTP2.endStream != 0:
      guard let position = position(frame.stream) else { return }
      let request = pending.remove(at: position)
      // An error has trailers only, and no message.
      if request.hasData {
        run.succeeded(startedAt: request.startedAt)
      } else {
        run.failed("the call ended with an error")
      }
    case .reset:
      guard let position = position(frame.stream) else { return }
      pending.remove(at: position)
      run.failed("the stream was reset")
    case .settings where frame.flags & HTTP2.acknowledgement == 0:
      answer(.settings, [], connection)
    case .ping where frame.flags & HTTP2.acknowledgement == 0:
      answer(.ping, Array(bytes[frame.payload]), connection)
    case .goAway: connection.close()
    default: break
    }
  }

  private func answer(_ kind: HTTP2.Kind, _ payload: [UInt8], _ connection: TCPConnection) {
    connection.output.withStorage {
      HTTP2.appendFrame(kind, flags: HTTP2.acknowledgement, stream: 0, payload, to: &$0)
    }
    connection.flushAtTurnEnd()
  }

  private func position(_ stream: UInt32) -> Int? { pending.firstIndex { $0.stream == stream } }
}

/// Status and lengths of an HTTP/1.1 response; nil while its head is not whole.
struct ResponseHead {
  let status: Int
  let bytes: Int
  let bodyBytes: Int

  init?(_ storage: [UInt8], _ range: Range<Int>) {
    let span = storage.span
    guard range.count > 16 else { return nil }
    let start = range.lowerBound
    var status = 0
    for place in 9..<12 { status = status * 10 + Int(span[start + place] &- 0x30) }
    var length = 0
    var index = start + 12
    let last = range.upperBound - 3
    while index < last {
      guard span[index] == 13 else {
        index += 1
        continue
      }
      if span[index + 2] == 13 {
        self.status = status
        bytes = index + 4 - start
        bodyBytes = length
        return
      }
      // "Content-Length: " in any case: told by its first letter, its dash and its end.
      if span[index + 2] | 0x20 == 0x63, index + 18 < range.upperBound, span[index + 9] == 0x2D,
        span[index + 10] | 0x20 == 0x6C, span[index + 16] == 0x3A
      {
        length = 0
        var digit = index + 17
        while digit < last, span[digit] != 13 {
          if span[digit] != 0x20 { length = length * 10 + Int(span[digit] &- 0x30) }
          digit += 1
        }
        index = digit
      } else {
        index += 2
      }
    }
    return nil
  }
}
