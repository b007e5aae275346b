/// What a request's head says about itself, gathered line by line: method, target, version, and the
/// headers that decide about the body and the connection (RFC 9112 3, 5, 6; RFC 9110 7.2, 10.1.1).
struct RequestHead {
  private(set) var method = HTTPMethod.get
  private(set) var target = RequestTarget()
  private(set) var minorVersion = 1
  private(set) var contentLength: Int?
  private(set) var isChunked = false
  private(set) var asksToClose = false
  private(set) var expectsContinue = false
  private var hasTransferEncoding = false
  private var hostCount = 0

  /// Longer tokens are no method anybody uses.
  private static let methodBytesMax = 32

  // MARK: Request line

  /// `method SP target SP HTTP/1.x`, each blank exactly one.
  mutating func parseRequestLine(_ bytes: [UInt8], _ line: Range<Int>) throws(RequestFault) {
    let span = bytes.span.extracting(line)
    var index = 0
    while index < span.count && ASCII.isToken(span[index]) { index += 1 }
    let methodEnd = index
    guard methodEnd > 0, index < span.count, span[index] == ASCII.space else {
      throw RequestFault(400, "malformed request line")
    }
    guard methodEnd <= Self.methodBytesMax else { throw RequestFault(501, "unknown method") }
    index += 1
    let targetStart = index
    var mark: Int?
    var hasEscapes = false
    while index < span.count {
      let byte = span[index]
      // All that is looked for is below the letters.
      if byte <= 0x3F {
        if byte == ASCII.space { break }
        if byte == 0x3F && mark == nil { mark = index }
        if byte == 0x25 && mark == nil { hasEscapes = true }
      }
      // Raw UTF-8 is accepted, since common clients send it; `#` and controls never are.
      guard byte > 0x20 && byte != 0x7F && byte != 0x23 else {
        throw RequestFault(400, "invalid character in request target")
      }
      index += 1
    }
    let targetEnd = index
    guard targetEnd > targetStart, index < span.count else {
      throw RequestFault(400, "malformed request line")
    }
    try parseVersion(span.extracting((index + 1)...))
    method = Self.method(bytes[line.lowerBound..<line.lowerBound + methodEnd])
    if case .other("CONNECT") = method { throw RequestFault(501, "CONNECT is not supported") }
    let start = line.lowerBound
    try parseTarget(
      bytes, start + targetStart..<start + targetEnd, mark: mark.map { start + $0 },
      hasEscapes: hasEscapes)
  }

  private mutating func parseVersion(_ text: Span<UInt8>) throws(RequestFault) {
    guard text.count == 8, text[0] == 0x48, text[1] == 0x54, text[2] == 0x54, text[3] == 0x50,
      text[4] == 0x2F, ASCII.isDigit(text[5]), text[6] == 0x2E, ASCII.isDigit(text[7])
    else { throw RequestFault(400, "malformed HTTP version") }
    let minor = text[7] - 0x30
    guard text[5] == 0x31, minor <= 1 else {
      throw RequestFault(505, "HTTP version not supported")
    }
    minorVersion = Int(minor)
  }

  private static func method(_ name: ArraySlice<UInt8>) -> HTTPMethod {
    // The usual ones without making a string.
    let start = name.startIndex
    if name.count == 3 && name[start + 2] == 0x54 {
      if name[start] == 0x47 && name[start + 1] == 0x45 { return .get }
      if name[start] == 0x50 && name[start + 1] == 0x55 { return .put }
    }
    return HTTPMethod(name: String(decoding: name, as: UTF8.self))
  }

  /// RFC 9112 3.2: origin-form, absolute-form, and `*` for OPTIONS.
  private mutating func parseTarget(
    _ bytes: [UInt8], _ part: Range<Int>, mark: Int?, hasEscapes: Bool
  ) throws(RequestFault) {
    var pathStart = part.lowerBound
    if bytes[pathStart] != 0x2F {
      if part.count == 1 && bytes[pathStart] == 0x2A && method == .options {
        target.pathStart = pathStart
        target.pathEnd = part.upperBound
        return
      }
      pathStart = try skipAuthority(bytes, part)
    }
    target = RequestTarget(pathStart..<part.upperBound, mark: mark, hasEscapes: hasEscapes)
    if target.pathStart == target.pathEnd {
      // `http://host` and `http://host?q` mean the path `/`: the last slash of `://` stands for it.
      // It is at 6 in `http://` and (its first) in `https://`.
      target.pathStart = part.lowerBound + 6
      target.pathEnd = part.lowerBound + 7
    }
  }

  /// The place after `http://authority`.
  private func skipAuthority(_ bytes: [UInt8], _ part: Range<Int>) throws(RequestFault) -> Int {
    let text = bytes[part]
    let schemeBytes: Int
    if text.prefix(7).equalsIgnoringCase("http://") {
      schemeBytes = 7
    } else if text.prefix(8).equalsIgnoringCase("https://") {
      schemeBytes = 8
    } else {
      throw RequestFault(400, "invalid request target")
    }
    let start = part.lowerBound + schemeBytes
    let end = bytes[start..<part.upperBound].firstIndex { $0 == 0x2F || $0 == 0x3F }
    let authority = bytes[start..<(end ?? part.upperBound)]
    guard !authority.isEmpty, !authority.contains(0x40) else {
      throw RequestFault(400, "invalid authority in request target")
    }
    return authority.endIndex
  }

  // MARK: Headers

  /// `name ":" OWS value OWS`; no blank before the colon, no folded line (RFC 9112 5.1, 5.2).
  static func parseField(_ bytes: [UInt8], _ line: Range<Int>) throws(RequestFault) -> HeaderField {
    let span = bytes.span.extracting(line)
    var index = 0
    while index < span.count && ASCII.isToken(span[index]) { index += 1 }
    let nameEnd = index
    guard nameEnd > 0, index < span.count, span[index] == ASCII.colon else {
      throw RequestFault(400, "malformed header")
    }
    index += 1
    while index < span.count && isBlank(span[index]) { index += 1 }
    let valueStart = index
    while index < span.count {
      let byte = span[index]
      guard byte >= 0x20 && byte != 0x7F || byte == ASCII.tab else {
        throw RequestFault(400, "invalid character in header value")
      }
      index += 1
    }
    while index > valueStart && isBlank(span[index - 1]) { index -= 1 }
    return HeaderField(
      nameStart: UInt32(line.lowerBound), nameCount: UInt32(nameEnd),
      valueStart: UInt32(line.lowerBound + valueStart), valueCount: UInt32(index - valueStart))
  }

  @inline(__always)
  private static func isBlank(_ byte: UInt8) -> Bool { byte == ASCII.space || byte == ASCII.tab }

  /// Looks at the headers that frame the message.
  mutating func note(_ field: HeaderField, _ bytes: [UInt8]) throws(RequestFault) {
    let nameStart = Int(field.nameStart)
    let name = bytes[nameStart..<nameStart + Int(field.nameCount)]
    let valueStart = Int(field.valueStart)
    let value = bytes[valueStart..<valueStart + Int(field.valueCount)]
    switch name.count {
    case 4 where name.equalsIgnoringCase("host"): hostCount += 1
    case 6 where name.equalsIgnoringCase("expect"):
      guard value.equalsIgnoringCase("100-continue") else {
        throw RequestFault(417, "unknown expectation")
      }
      expectsContinue = true
    case 10 where name.equalsIgnoringCase("connection"): noteConnection(value)
    case 14 where name.equalsIgnoringCase("content-length"):
      // RFC 9112 6.3: repeated lengths may be taken when equal; we refuse them all.
      guard contentLength == nil else { throw RequestFault(400, "repeated Content-Length") }
      guard let length = value.decimalNumber() else {
        let isNumber = !value.isEmpty && value.allSatisfy(ASCII.isDigit)
        throw isNumber
          ? RequestFault(413, "request body too large")
          : RequestFault(400, "invalid Content-Length")
      }
      contentLength = length
    case 17 where name.equalsIgnoringCase("transfer-encoding"):
      guard !hasTransferEncoding else { throw RequestFault(400, "repeated Transfer-Encoding") }
      hasTransferEncoding = true
      guard value.equalsIgnoringCase("chunked") else {
        throw RequestFault(501, "unknown Transfer-Encoding")
      }
      isChunked = true
    default: break
    }
  }

  private mutating func noteConnection(_ value: ArraySlice<UInt8>) {
    for part in value.split(separator: 0x2C) {
      var token = part.drop(while: Self.isBlank)
      while let last = token.last, Self.isBlank(last) { token.removeLast() }
      if token.equalsIgnoringCase("close") { asksToClose = true }
    }
  }

  /// What only the whole head can tell.
  func check() throws(RequestFault) {
    guard hostCount <= 1 else { throw RequestFault(400, "repeated Host") }
    guard hostCount == 1 || minorVersion == 0 else { throw RequestFault(400, "missing Host") }
    guard !(hasTransferEncoding && contentLength != nil) else {
      throw RequestFault(400, "Content-Length with Transfer-Encoding")
    }
    // RFC 9112 6.1: Transfer-Encoding in an HTTP/1.0 message means faulty framing.
    guard !(hasTransferEncoding && minorVersion == 0) else {
      throw RequestFault(400, "Transfer-Encoding in HTTP/1.0")
    }
  }
}
