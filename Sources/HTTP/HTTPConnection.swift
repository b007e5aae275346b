import EventLoop

/// One client connection of the server: bytes to requests, answers in order to bytes.
///
/// Happy path: what one turn brought is parsed as far as it goes, each request is handed to the
/// handler with a responder, and all answers of the turn leave in one write. Parsing pauses while
/// too many answers are owed or the client does not take them. Failures: a malformed request gets
/// its error as the last answer; a client that goes away has `onClose` called for what it waited
/// for.
final class HTTPConnection: TCPConnectionDelegate {
  enum Phase {
    case open
    /// The last answer is owed or queued; what still arrives is dropped.
    case finishing
    case closed
  }

  /// What the connection waits for; each has its own limit in time.
  private enum Waiting {
    case request, head, body, answer
  }

  let tcp: TCPConnection
  /// Where the server keeps this connection.
  var position = 0
  private var server: HTTPServer?
  private var parser: RequestParser
  /// Of the parser, after its last pass.
  private var progress = RequestParser.Progress.idle
  private var answers = AnswerQueue()
  private(set) var phase = Phase.open
  private var isProcessing = false
  private var isReadingPaused = false
  private var hasReachedEOF = false
  private var waiting = Waiting.request
  private var waitingSince: UInt64
  /// Output that was queued at the last sweep, and since when it has not become less.
  private var stalled = (bytes: 0, since: UInt64(0))
  private var hasReleasedBuffers = true

  init(tcp: TCPConnection, server: HTTPServer) {
    self.tcp = tcp
    self.server = server
    parser = RequestParser(limits: server.limits)
    waitingSince = server.loop.now
  }

  // MARK: Bytes in

  func connectionDidConnect(_ connection: TCPConnection) {}

  func connectionDidRead(_ connection: TCPConnection) {
    if phase == .open { process() } else { tcp.input.removeAll() }
  }

  func connectionDidReachEOF(_ connection: TCPConnection) {
    hasReachedEOF = true
    // A client that has sent everything may still wait for plain answers. A long poll cannot tell
    // that from a client that left, and lets go.
    let waitsForEver = answers.slots.contains { slot in slot.more?.onClose != nil }
    if answers.isEmpty || waitsForEver { tcp.closeAfterFlush() }
    if waitsForEver { finish() }
  }

  func connectionDidDrain(_ connection: TCPConnection) {
    if !answers.isEmpty { callOnDrain() }
    process()
  }

  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) { finish() }

  /// Parses and dispatches until the input is used up or the client owes us reading.
  private func process() {
    guard !isProcessing, phase == .open else { return }
    isProcessing = true
    hasReleasedBuffers = false
    let consumed = parse(with: &parser)
    server?.count(bytesIn: consumed)
    // A handler may have closed the connection, and with it the input.
    if !tcp.isClosed { tcp.consumeInput(atMost: consumed) }
    isProcessing = false
    if server?.isDraining == true, isIdle { return tcp.closeAfterFlush() }
    updateReading()
    updateWaiting()
  }

  /// The number of bytes used.
  ///
  /// - Parameter parser: the connection's own, lent for the whole pass: what a handler does to this
  ///   connection meanwhile does not touch it.
  private func parse(with parser: inout RequestParser) -> Int {
    guard let server else { return 0 }
    let queue = tcp.input
    let bytes = queue.storage
    let range = queue.readableRange
    var offset = range.lowerBound
    parsing: while phase == .open && mayParse {
      if !parser.hasBuffers {
        if offset == range.upperBound { break }
        server.lendBuffers(to: &parser)
      }
      switch parser.next(bytes, &offset, range.upperBound) {
      case .needsMore: break parsing
      case .head: askWhetherBodyIsWanted(parser, server, hasBytes: offset < range.upperBound)
      case .request: dispatch(&parser, server)
      case .fault(let fault):
        refuse(.text(fault.status, fault.reason.description))
      }
    }
    progress = parser.progress
    if progress == .idle && parser.hasBuffers { server.takeBuffers(from: &parser) }
    return offset - range.lowerBound
  }

  private var mayParse: Bool {
    answers.count < (server?.limits.pipelineMax ?? 0) && !tcp.isAboveHighWater
  }

  private func askWhetherBodyIsWanted(
    _ parser: borrowing RequestParser, _ server: HTTPServer, hasBytes: Bool
  ) {
    if let refusal = server.bodyLimit(parser.headOnly(tcp.remoteAddress)) {
      refuse(refusal)
      return
    }
    // RFC 9110 10.1.1: not needed when the body is on its way already. Not while answers are
    // owed: it would appear to belong to an earlier request. A client that gets none sends its body
    // after a while all the same.
    if parser.expectsContinue && !hasBytes && answers.isEmpty && !parser.isHTTP10 {
      tcp.output.append("HTTP/1.1 100 Continue\r\n\r\n")
      tcp.flushAtTurnEnd()
    }
  }

  private func dispatch(_ parser: inout RequestParser, _ server: HTTPServer) {
    let closes = !parser.keepsAlive || server.isDraining || hasReachedEOF
    let slot = AnswerQueue.Slot(
      closesAfter: closes, isHead: parser.method == .head, isHTTP10: parser.isHTTP10)
    let sequence = answers.append(slot)
    waiting = .answer
    // What follows a request that asked for close is not read (RFC 9112 9.6).
    if closes { phase = .finishing }
    server.handle(parser.takeRequest(tcp.remoteAddress), self, sequence)
  }

  /// The last answer of this connection; the request it belongs to is not read to its end.
  private func refuse(_ response: HTTPResponse) {
    let sequence = answers.append(AnswerQueue.Slot(closesAfter: true))
    phase = .finishing
    var last = response
    last.closes = true
    server?.countRefused()
    answer(sequence, last)
  }

  private func updateReading() {
    guard !tcp.isClosed else { return }
    let pauses = phase == .open && !mayParse
    guard pauses != isReadingPaused else { return }
    isReadingPaused = pauses
    if pauses { tcp.pauseReading() } else { tcp.resumeReading() }
  }

  // MARK: Answers

  func isWaiting(_ sequence: UInt64) -> Bool { answers.index(sequence) != nil }

  func onClose(_ sequence: UInt64) -> (() -> Void)? {
    answers.index(sequence).flatMap { index in answers[index].more?.onClose }
  }

  func setOnClose(_ sequence: UInt64, _ body: (() -> Void)?) {
    guard let index = answers.index(sequence) else { return }
    let more = answers.more(index)
    // The old one is released when all is whole again: what it held may come back here.
    let old = more.onClose
    more.onClose = body
    withExtendedLifetime(old) {}
  }

  func onDrain(_ sequence: UInt64) -> (() -> Void)? {
    answers.index(sequence).flatMap { index in answers[index].more?.onDrain }
  }

  func setOnDrain(_ sequence: UInt64, _ body: (() -> Void)?) {
    guard let index = answers.index(sequence) else { return }
    let more = answers.more(index)
    let old = more.onDrain
    more.onDrain = body
    withExtendedLifetime(old) {}
  }

  func answer(_ sequence: UInt64, _ response: HTTPResponse) {
    guard let server,
      let place = answers.complete(sequence, closes: response.closes || server.isDraining)
    else { return }
    let hidesBody = place.isHead || ResponseWriter.hasNoBody(response.status)
    let date = server.dateLine
    let isCopied = !hidesBody && response.body.count < OutputQueue.sharedBytesMin
    let room = ResponseWriter.headBytesMax(response, date) + (isCopied ? response.body.count : 0)
    append(place.index ?? 0) { queue in
      queue.append(addingCapacity: room) { output in
        ResponseWriter.writeHead(
          response, framing: .length(response.body.count), closes: place.closesAfter, date: date,
          into: &output)
        if isCopied { output.append(response.body) }
      }
      if !isCopied && !hidesBody { queue.append(sharing: response.body) }
    }
    guard place.index == nil else { return }
    if place.closesAfter { return closeAfterLastAnswer() }
    if place.isNextReady { moveUp() }
    goOn()
  }

  func begin(_ sequence: UInt64, _ head: HTTPResponse) {
    guard let index = answers.index(sequence), let server else { return }
    let isChunked = !answers[index].isHTTP10
    if !isChunked { answers[index].closesAfter = true }
    let closes = noteClosing(index, head)
    answers[index].isChunked = isChunked
    answers[index].hidesBody = answers[index].isHead || ResponseWriter.hasNoBody(head.status)
    let date = server.dateLine
    append(index) { queue in
      queue.append(addingCapacity: ResponseWriter.headBytesMax(head, date)) { output in
        ResponseWriter.writeHead(
          head, framing: isChunked ? .chunked : .untilClose, closes: closes, date: date,
          into: &output)
      }
    }
    if !head.body.isEmpty { _ = write(sequence, head.body) }
  }

  func write(_ sequence: UInt64, _ bytes: [UInt8]) -> Bool {
    guard let index = answers.index(sequence) else { return true }
    if !answers[index].hidesBody {
      let isChunked = answers[index].isChunked
      append(index) { queue in
        if isChunked {
          queue.withStorage { output in ResponseWriter.writeChunk(bytes, into: &output) }
        } else {
          queue.append(bytes)
        }
      }
    }
    let isFull = index == 0 ? tcp.isAboveHighWater : answers.more(index).waiting.count > 64 << 10
    if isFull { answers[index].owesDrain = true }
    return !isFull
  }

  func end(_ sequence: UInt64) {
    guard let index = answers.index(sequence) else { return }
    if answers[index].isChunked && !answers[index].hidesBody {
      append(index) { queue in
        queue.withStorage { output in ResponseWriter.writeLastChunk(into: &output) }
      }
    }
    answers[index].isComplete = true
    if index == 0 {
      moveUp()
      goOn()
    }
  }

  /// A streamed answer that will not be ended. Without its last chunk the client sees that it is
  /// cut; where the end of the connection is the end of the body, only a reset says so.
  func abandon(_ sequence: UInt64) {
    guard let index = answers.index(sequence) else { return }
    guard answers[index].isChunked else { return tcp.reset() }
    phase = .finishing
    tcp.closeAfterFlush()
  }

  private func noteClosing(_ index: Int, _ response: HTTPResponse) -> Bool {
    if response.closes || server?.isDraining == true { answers[index].closesAfter = true }
    return answers[index].closesAfter
  }

  /// Into the connection's output for the front answer, else into the slot.
  private func append(_ index: Int, _ body: (inout OutputQueue) -> Void) {
    let added = index == 0 ? tcp.appendOutput(body) : answers.more(index).append(body)
    server?.count(bytesOut: added)
  }

  /// What is complete at the front leaves, and what was written for the next one goes out.
  private func moveUp() {
    repeat {
      if let waiting = answers.takeWaiting() {
        tcp.output.append(waiting)
        tcp.flushAtTurnEnd()
      }
      guard let answered = answers.takeCompleted() else { break }
      if answered.closesAfter { return closeAfterLastAnswer() }
    } while true
    if !answers.isEmpty && !tcp.isAboveHighWater { callOnDrain() }
  }

  /// After an answer. While others are owed nothing changes, unless reading was paused: if the output
  /// is too full now, the next bytes that come pause it. After the last one, which mostly came later
  /// than its request, most clients have sent nothing since.
  private func goOn() {
    guard hasReachedEOF || !isProcessing else { return }
    let isLast = answers.isEmpty
    if hasReachedEOF && isLast { return tcp.closeAfterFlush() }
    guard !isProcessing, isLast || isReadingPaused else { return }
    guard phase == .open, !tcp.hasInput, progress == .idle else { return process() }
    updateReading()
    updateWaiting()
  }

  private func callOnDrain() {
    guard answers[0].owesDrain else { return }
    answers[0].owesDrain = false
    let onDrain = answers[0].more?.onDrain
    onDrain?()
  }

  private func closeAfterLastAnswer() {
    phase = .finishing
    releaseAnswers()
    // Waits a moment for the client's own close: it still sends what we refused to read, and a
    // reset would overtake the answer.
    tcp.closeAfterFlush()
  }

  // MARK: Time and end

  private func updateWaiting() {
    guard phase == .open, let server else { return }
    let next: Waiting
    if !answers.isEmpty {
      next = .answer
    } else {
      switch progress {
      case .body: next = .body
      case .head: next = .head
      case .idle: next = tcp.hasInput ? .head : .request
      }
    }
    guard next != waiting else { return }
    waiting = next
    waitingSince = server.loop.now
  }

  /// Called about once a second.
  func sweep(_ now: UInt64, _ limits: HTTPLimits) {
    guard phase != .closed else { return }
    checkStall(now, limits)
    let seconds = Int(clamping: (now - min(waitingSince, now)) / 1_000_000_000)
    switch (phase, waiting) {
    case (.open, .request):
      if seconds >= limits.idleSeconds { tcp.closeAfterFlush() }
    case (.open, .head):
      if seconds >= limits.headerSeconds {
        refuse(.text(408, "request headers took too long"))
      }
    case (.open, .body):
      let allowed = seconds - limits.bodyGraceSeconds
      if allowed > 0 && parser.bodyBytesReceived / max(1, limits.bodyBytesPerSecondMin) < allowed {
        refuse(.text(408, "request body took too long"))
      }
    default: break
    }
    releaseBuffers()
  }

  private func checkStall(_ now: UInt64, _ limits: HTTPLimits) {
    let bytes = tcp.output.count
    if bytes == 0 || bytes < stalled.bytes || stalled.bytes == 0 { stalled.since = now }
    stalled.bytes = bytes
    if bytes > 0 && (now - stalled.since) / 1_000_000_000 >= UInt64(limits.stallSeconds) {
      tcp.close()
    }
  }

  /// Ten thousand parked long polls must not hold ten thousand pairs of buffers. Done by the sweep,
  /// so that a busy connection keeps its own.
  private func releaseBuffers() {
    guard !hasReleasedBuffers, phase == .open, waiting == .request || waiting == .answer else {
      return
    }
    guard tcp.input.isEmpty && tcp.output.isEmpty else { return }
    tcp.input = ByteQueue()
    tcp.output = OutputQueue()
    hasReleasedBuffers = true
  }

  /// Not while requests are taken from it: `process` looks whether it is to be closed.
  var isIdle: Bool { !isProcessing && answers.isEmpty && progress == .idle && !tcp.hasInput }

  private func finish() {
    guard phase != .closed else { return }
    phase = .closed
    let server = server
    self.server = nil
    releaseAnswers()
    server?.remove(self)
  }

  private func releaseAnswers() {
    for slot in answers.takeAll() { slot.more?.onClose?() }
  }
}
