/// An incremental parser of one HTTP/1.x response (RFC 9112 4, 6, 7), for the client.
///
/// A little more lenient than the request parser, because a fresh connection carries one response
/// only and nothing can be smuggled: a bare LF ends a line too. Interim answers (1xx) are skipped.
struct ResponseParser {
  enum Step: Equatable {
    case needsMore
    case complete
    case fault(String)
  }

  private enum State {
    case statusLine, headers, fixedBody, chunkSize, chunkData, chunkEnd, trailers, untilClose
    case complete
  }

  /// A health endpoint sends a few hundred bytes.
  static let headBytesMax = 64 << 10
  static let headersMax = 200

  private(set) var status = 0
  private(set) var reason = ""
  private(set) var headers: [(String, String)] = []
  private(set) var body: [UInt8] = []
  private var state = State.statusLine
  private var remaining = 0
  private var headBytes = 0
  private var contentLength: Int?
  private var isChunked = false
  private let hasNoBody: Bool
  private let bodyBytesMax: Int

  init(isHead: Bool, bodyBytesMax: Int) {
    hasNoBody = isHead
    self.bodyBytesMax = max(0, bodyBytesMax)
  }

  private struct Fault: Error {
    var message: String
  }

  /// Takes what it can from `bytes[offset..<end]`. Complete as soon as `bodyBytesMax` bytes of the
  /// body are there: an endless answer costs no more than that.
  mutating func next(_ bytes: [UInt8], _ offset: inout Int, _ end: Int) -> Step {
    do throws(Fault) {
      while state != .complete {
        guard try advance(bytes, &offset, end) else { return .needsMore }
      }
      return .complete
    } catch {
      return .fault(error.message)
    }
  }

  /// The status line and the headers of the final response are there.
  var hasHead: Bool {
    switch state {
    case .statusLine, .headers: false
    default: true
    }
  }

  /// The server closed its side; true when that is a proper end of the response.
  mutating func endOfInput() -> Bool {
    if state == .untilClose { state = .complete }
    return state == .complete
  }

  /// False when more bytes are needed.
  private mutating func advance(
    _ bytes: [UInt8], _ offset: inout Int, _ end: Int
  ) throws(Fault) -> Bool {
    switch state {
    case .fixedBody, .chunkData, .untilClose:
      takeBody(bytes, &offset, end)
      if body.count >= bodyBytesMax {
        state = .complete
      } else if state == .untilClose || remaining > 0 {
        return false
      } else {
        state = state == .fixedBody ? .complete : .chunkEnd
      }
    case .complete: break
    default:
      guard let line = try line(bytes, &offset, end) else { return false }
      try take(bytes[line])
    }
    return true
  }

  private mutating func line(
    _ bytes: [UInt8], _ offset: inout Int, _ end: Int
  ) throws(Fault) -> Range<Int>? {
    let start = offset
    guard let feed = bytes[start..<end].firstIndex(of: ASCII.lineFeed) else {
      guard end - start + headBytes <= Self.headBytesMax else {
        throw Fault(message: "head too large")
      }
      return nil
    }
    offset = feed + 1
    headBytes += offset - start
    guard headBytes <= Self.headBytesMax || !isInHead else {
      throw Fault(message: "head too large")
    }
    let hasReturn = feed > start && bytes[feed - 1] == ASCII.carriageReturn
    return start..<(hasReturn ? feed - 1 : feed)
  }

  private var isInHead: Bool {
    switch state {
    case .statusLine, .headers, .trailers: true
    default: false
    }
  }

  private mutating func take(_ line: ArraySlice<UInt8>) throws(Fault) {
    switch state {
    case .statusLine: try takeStatusLine(line)
    case .headers:
      if line.isEmpty { finishHead() } else { try takeHeader(line) }
    case .chunkSize: try takeChunkSize(line)
    case .chunkEnd:
      guard line.isEmpty else { throw Fault(message: "malformed chunked encoding") }
      state = .chunkSize
    case .trailers:
      if line.isEmpty { state = .complete }
    default: break
    }
  }

  private mutating func takeStatusLine(_ line: ArraySlice<UInt8>) throws(Fault) {
    // HTTP/1.x SP 3 digits, then perhaps SP reason.
    let text = Array(line)
    guard text.count >= 12, text[..<7].elementsEqual(Array("HTTP/1.".utf8)),
      ASCII.isDigit(text[7]), text[8] == ASCII.space, let code = text[9..<12].decimalNumber(),
      code >= 100, text.count == 12 || text[12] == ASCII.space
    else {
      let shown = String(decoding: line.prefix(64), as: UTF8.self)
      throw Fault(message: "malformed HTTP response \(shown.debugDescription)")
    }
    status = code
    reason = String(decoding: text.dropFirst(13), as: UTF8.self)
    headers = []
    contentLength = nil
    isChunked = false
    state = .headers
  }

  private mutating func takeHeader(_ line: ArraySlice<UInt8>) throws(Fault) {
    guard headers.count < Self.headersMax else { throw Fault(message: "too many headers") }
    guard let colon = line.firstIndex(of: 0x3A), colon > line.startIndex else {
      throw Fault(message: "malformed header")
    }
    let name = line[..<colon]
    var value = line[(colon + 1)...].drop { $0 == ASCII.space || $0 == ASCII.tab }
    while let last = value.last, last == ASCII.space || last == ASCII.tab { value.removeLast() }
    headers.append((String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self)))
    if name.equalsIgnoringCase("content-length") {
      guard let length = value.decimalNumber(), contentLength == nil || contentLength == length
      else {
        throw Fault(message: "bad Content-Length")
      }
      contentLength = length
    } else if name.equalsIgnoringCase("transfer-encoding") {
      guard value.equalsIgnoringCase("chunked") else {
        throw Fault(message: "unsupported transfer encoding")
      }
      isChunked = true
    }
  }

  private mutating func finishHead() {
    if status < 200 {
      state = .statusLine
    } else if hasNoBody || ResponseWriter.hasNoBody(status) {
      state = .complete
    } else if isChunked {
      state = .chunkSize
    } else if let contentLength {
      remaining = contentLength
      state = contentLength == 0 ? .complete : .fixedBody
    } else {
      state = .untilClose
    }
  }

  private mutating func takeBody(_ bytes: [UInt8], _ offset: inout Int, _ end: Int) {
    var count = end - offset
    if state != .untilClose {
      count = min(count, remaining)
      remaining -= count
    }
    let kept = min(count, bodyBytesMax - body.count)
    body.append(contentsOf: bytes[offset..<offset + kept])
    offset += count
  }

  private mutating func takeChunkSize(_ line: ArraySlice<UInt8>) throws(Fault) {
    var size = 0
    var index = line.startIndex
    while index < line.endIndex, let digit = ASCII.hexValue(line[index]) {
      guard index - line.startIndex < 15 else { throw Fault(message: "chunk too large") }
      size = size << 4 | Int(digit)
      index += 1
    }
    guard index > line.startIndex else { throw Fault(message: "malformed chunked encoding") }
    headBytes = 0
    remaining = size
    state = size == 0 ? .trailers : .chunkData
  }
}
