import Basics
import EventLoop

/// Why a request cannot be served; the connection is closed after the answer.
struct RequestFault: Error, Equatable, Sendable {
  var status: Int
  var reason: StaticString

  init(_ status: Int, _ reason: StaticString) {
    self.status = status
    self.reason = reason
  }

  static func == (one: RequestFault, other: RequestFault) -> Bool {
    one.status == other.status && one.reason.description == other.reason.description
  }
}

/// What a parser collects a request in; kept by the server from one request to the next.
struct RequestBuffers {
  var bytes: [UInt8] = []
  var fields: [HeaderField] = []
}

/// An incremental parser of HTTP/1.1 requests (RFC 9112), strict where leniency lets two parties
/// disagree about where a request ends.
///
/// Happy path: `next` looks at the connection's unread bytes by offset, takes whole lines and body
/// bytes into a buffer of its own, and says `head` (a body follows: ask whether it is wanted), then
/// `request`; `takeRequest` hands it out and the parser starts over. Nothing is scanned twice.
///
/// Failures: bare LF, folded headers, blanks before a colon, control characters, more than one
/// Content-Length, Content-Length with Transfer-Encoding and so on are a 400; everything has a
/// limit (413, 414, 431). After a fault the parser must not be used again: the place where the next
/// request would begin is unknown.
struct RequestParser {
  enum Step: Equatable {
    case needsMore
    /// The head is complete and announces a body.
    case head
    case request
    case fault(RequestFault)
  }

  enum State: Equatable {
    case requestLine, headers, fixedBody, chunkSize, chunkData, chunkEnd, trailers, complete
  }

  private(set) var state = State.requestLine
  private let limits: HTTPLimits
  /// The request line and the header lines without their ends, then the body.
  private(set) var buffer: [UInt8] = []
  private var fields: [HeaderField] = []
  private var nameSizes = NameSizes()
  /// Bytes of the unfinished line that were searched for its end already.
  private var searched = 0
  private var emptyLines = 0
  private var headBytes = 0
  private var bodyStart = 0
  /// Of the fixed body or of the current chunk.
  private var remaining = 0
  private var bodyBytesMax = 0
  private var trailerCount = 0
  private var overheadBytes = 0

  private var head = RequestHead()

  /// Enough for most requests; what a parked request holds.
  private static let bufferBytes = 512

  init(limits: HTTPLimits) { self.limits = limits }

  enum Progress {
    /// Between requests; what was skipped before a request line does not count.
    case idle
    case head, body
  }
  var progress: Progress {
    switch state {
    case .requestLine: .idle
    case .headers, .complete: .head
    case .fixedBody, .chunkSize, .chunkData, .chunkEnd, .trailers: .body
    }
  }
  var bodyBytesReceived: Int { progress == .body ? buffer.count - bodyStart : 0 }
  var expectsContinue: Bool { head.expectsContinue }
  /// Of the request that is complete or whose body is arriving.
  var keepsAlive: Bool { head.minorVersion == 1 && !head.asksToClose }
  var isHTTP10: Bool { head.minorVersion == 0 }
  var method: HTTPMethod { head.method }

  // MARK: Buffers that are lent and returned

  /// Not between a request and the next, whose buffers are still to be lent.
  var hasBuffers: Bool { buffer.capacity > 0 }

  /// Uses these buffers for the next request. Only when idle.
  mutating func adopt(_ spare: inout RequestBuffers) {
    swap(&buffer, &spare.bytes)
    swap(&fields, &spare.fields)
    buffer.removeAll(keepingCapacity: true)
    fields.removeAll(keepingCapacity: true)
    if buffer.capacity == 0 { buffer.reserveCapacity(Self.bufferBytes) }
  }

  /// The opposite of `adopt`: an idle connection keeps no buffer.
  mutating func release(to spare: inout RequestBuffers) {
    swap(&buffer, &spare.bytes)
    swap(&fields, &spare.fields)
    buffer = []
    fields = []
  }

  // MARK: Results

  /// The head as a request without a body, for the question whether the body is wanted.
  func headOnly(_ remote: SocketAddress) -> HTTPRequest {
    HTTPRequest(
      method: head.method, remoteAddress: remote, contentLength: head.contentLength,
      bytes: buffer, fields: fields, nameSizes: nameSizes, target: head.target,
      bodyStart: buffer.count)
  }

  /// The complete request; the parser is idle afterwards.
  mutating func takeRequest(_ remote: SocketAddress) -> HTTPRequest {
    invariant(state == .complete, "no complete request in state \(state)")
    let request = HTTPRequest(
      method: head.method, remoteAddress: remote, contentLength: head.contentLength,
      bytes: buffer, fields: fields, nameSizes: nameSizes, target: head.target,
      bodyStart: bodyStart)
    buffer = []
    fields = []
    reset()
    return request
  }

  private mutating func reset() {
    state = .requestLine
    head = RequestHead()
    nameSizes = NameSizes()
    searched = 0
    emptyLines = 0
    headBytes = 0
    bodyStart = 0
    remaining = 0
    trailerCount = 0
    overheadBytes = 0
  }

  // MARK: Parsing

  /// Takes what it can from `bytes[offset..<end]` and moves `offset` past it.
  mutating func next(_ bytes: [UInt8], _ offset: inout Int, _ end: Int) -> Step {
    do throws(RequestFault) {
      while true {
        switch state {
        case .requestLine:
          guard let line = try line(bytes, &offset, end) else { return .needsMore }
          try takeRequestLine(bytes, line)
        case .headers:
          guard let line = try line(bytes, &offset, end) else { return .needsMore }
          guard line.isEmpty else {
            try takeHeader(bytes, line)
            continue
          }
          try finishHead()
          return state == .complete ? .request : .head
        case .fixedBody:
          takeBody(bytes, &offset, end)
          guard remaining == 0 else { return .needsMore }
          state = .complete
        case .chunkSize:
          guard let line = try line(bytes, &offset, end) else { return .needsMore }
          try takeChunkSize(bytes, line)
        case .chunkData:
          takeBody(bytes, &offset, end)
          guard remaining == 0 else { return .needsMore }
          state = .chunkEnd
        case .chunkEnd:
          guard let line = try line(bytes, &offset, end) else { return .needsMore }
          guard line.isEmpty else { throw RequestFault(400, "chunk longer than its size") }
          state = .chunkSize
        case .trailers:
          guard let line = try line(bytes, &offset, end) else { return .needsMore }
          guard line.isEmpty else {
            try checkTrailer(bytes, line)
            continue
          }
          state = .complete
        case .complete: return .request
        }
      }
    } catch {
      return .fault(error)
    }
  }

  /// The next line without its end, nil when it is not there yet.
  private mutating func line(
    _ bytes: [UInt8], _ offset: inout Int, _ end: Int
  ) throws(RequestFault) -> Range<Int>? {
    let start = offset
    let limit = lineBytesMax
    let index = bytes.firstLineFeed(in: start + searched..<end) ?? end
    guard index - start <= limit.bytes else { throw limit.fault }
    guard index < end else {
      searched = index - start
      return nil
    }
    // RFC 9112 2.2 lets a server take a bare LF for a line end; one that does can be made to see
    // other lines than the proxy before it.
    guard index > start && bytes[index - 1] == ASCII.carriageReturn else {
      throw RequestFault(400, "line ends without CR")
    }
    searched = 0
    offset = index + 1
    return start..<index - 1
  }

  private var lineBytesMax: (bytes: Int, fault: RequestFault) {
    switch state {
    case .requestLine:
      (limits.requestLineBytesMax, RequestFault(414, "request line too long"))
    case .headers:
      (limits.headerBytesMax - headBytes, RequestFault(431, "request headers too large"))
    case .trailers:
      (limits.headerBytesMax - overheadBytes, RequestFault(431, "trailers too large"))
    // A size of sixteen digits and a short extension.
    default: (256, RequestFault(400, "invalid chunk"))
    }
  }

  private mutating func takeRequestLine(
    _ bytes: [UInt8], _ line: Range<Int>
  ) throws(RequestFault) {
    if line.isEmpty {
      // RFC 9112 2.2: an empty line before the request line is ignored; we ignore one.
      emptyLines += 1
      guard emptyLines == 1 else { throw RequestFault(400, "empty request line") }
      return
    }
    let start = buffer.count
    buffer.append(bytes, line)
    headBytes = line.count + 2
    try head.parseRequestLine(buffer, start..<buffer.count)
    state = .headers
  }

  private mutating func takeHeader(_ bytes: [UInt8], _ line: Range<Int>) throws(RequestFault) {
    guard fields.count < limits.headerCountMax else {
      throw RequestFault(431, "too many request headers")
    }
    headBytes += line.count + 2
    let start = buffer.count
    buffer.append(bytes, line)
    let field = try RequestHead.parseField(buffer, start..<buffer.count)
    fields.append(field)
    nameSizes.insert(Int(field.nameCount))
    try head.note(field, buffer)
  }

  private mutating func finishHead() throws(RequestFault) {
    try head.check()
    bodyStart = buffer.count
    let path = buffer[head.target.pathStart..<head.target.pathEnd]
    let isLarge =
      path.count == limits.largeBodyPath.utf8.count && !path.isEmpty
      && path.elementsEqual(limits.largeBodyPath.utf8)
    bodyBytesMax = isLarge ? limits.largeBodyBytesMax : limits.bodyBytesMax
    if head.isChunked {
      state = .chunkSize
      return
    }
    let length = head.contentLength ?? 0
    guard length <= bodyBytesMax else { throw RequestFault(413, "request body too large") }
    remaining = length
    state = length == 0 ? .complete : .fixedBody
  }

  private mutating func takeBody(_ bytes: [UInt8], _ offset: inout Int, _ end: Int) {
    let count = min(remaining, end - offset)
    guard count > 0 else { return }
    // One allocation for bodies that are small or have arrived; what is only announced must be
    // sent before it costs memory.
    if buffer.count == bodyStart { buffer.reserveCapacity(buffer.count + min(remaining, 64 << 10)) }
    buffer.append(bytes, offset..<offset + count)
    offset += count
    remaining -= count
  }

  /// RFC 9112 7.1: hexadecimal digits, then perhaps an extension, which is ignored. Blanks after the
  /// size are refused: parsers disagree about them.
  private mutating func takeChunkSize(_ bytes: [UInt8], _ line: Range<Int>) throws(RequestFault) {
    var size = 0
    var index = line.lowerBound
    while index < line.upperBound, let digit = ASCII.hexValue(bytes[index]) {
      guard index - line.lowerBound < 15 else { throw RequestFault(413, "request body too large") }
      size = size << 4 | Int(digit)
      index += 1
    }
    guard index > line.lowerBound else { throw RequestFault(400, "invalid chunk size") }
    if index < line.upperBound {
      guard bytes[index] == 0x3B else { throw RequestFault(400, "invalid chunk size") }
      for byte in bytes[index..<line.upperBound] where byte < 0x20 && byte != ASCII.tab {
        throw RequestFault(400, "invalid chunk extension")
      }
    }
    // Many tiny chunks with long extensions are work without a body (CVE-2023-39326).
    overheadBytes += line.upperBound - index
    guard overheadBytes <= limits.headerBytesMax else {
      throw RequestFault(400, "chunk extensions too large")
    }
    guard size <= bodyBytesMax - (buffer.count - bodyStart) else {
      throw RequestFault(413, "request body too large")
    }
    remaining = size
    state = size == 0 ? .trailers : .chunkData
    if size == 0 { overheadBytes = 0 }
  }

  /// Trailers are checked like headers and dropped: none means anything to us.
  private mutating func checkTrailer(_ bytes: [UInt8], _ line: Range<Int>) throws(RequestFault) {
    trailerCount += 1
    overheadBytes += line.count + 2
    guard trailerCount <= limits.headerCountMax else {
      throw RequestFault(431, "too many trailers")
    }
    _ = try RequestHead.parseField(bytes, line)
  }
}
