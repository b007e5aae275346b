/// Writes answers straight into a connection's output; nothing is allocated but the output itself.
enum ResponseWriter {
  /// What follows the head, and how its end is told (RFC 9112 6.3).
  enum Framing {
    case length(Int)
    case chunked
    /// HTTP/1.0: the end of the connection is the end of the body.
    case untilClose
  }

  /// There must be room for `headBytesMax`.
  /// - Parameter date: a whole `Date` header line, kept by the server for a second.
  static func writeHead(
    _ response: HTTPResponse, framing: Framing, closes: Bool, date: [UInt8],
    into output: inout OutputSpan<UInt8>
  ) {
    writeStart(of: response, into: &output)
    output.append(response.lines.0)
    output.append(response.lines.1)
    write(response.numbers.0, into: &output)
    write(response.numbers.1, into: &output)
    for header in response.headers {
      output.append(header.name)
      output.append(ASCII.colon)
      output.append(ASCII.space)
      write(header.value, into: &output)
      output.appendLineEnd()
    }
    output.append(date)
    write(framing, response.status, into: &output)
    if closes { output.append("Connection: close\r\n") }
    output.appendLineEnd()
  }

  /// Bytes that a head takes at most.
  static func headBytesMax(_ response: HTTPResponse, _ date: [UInt8]) -> Int {
    // Status line, framing, `Connection`, and what stands between names and values.
    var room = 256 + date.count + (response.contentType?.utf8CodeUnitCount ?? 0)
    room += response.lines.0.utf8CodeUnitCount + response.lines.1.utf8CodeUnitCount
    room += (response.numbers.0?.name.utf8CodeUnitCount ?? 0) + 24
    room += (response.numbers.1?.name.utf8CodeUnitCount ?? 0) + 24
    for header in response.headers {
      room += header.name.utf8CodeUnitCount + 24
      switch header.value {
      case .text(let text): room += text.utf8.count
      case .fixed(let text): room += text.utf8CodeUnitCount
      case .number: break
      }
    }
    return room
  }

  /// True for the statuses whose answers never have a body (RFC 9110 6.4.1).
  static func hasNoBody(_ status: Int) -> Bool { status < 200 || status == 204 || status == 304 }

  /// One piece of a chunked body; an empty one would end it and is left out.
  static func writeChunk(_ bytes: [UInt8], into output: inout [UInt8]) {
    guard !bytes.isEmpty else { return }
    var digits = 1
    while digits < 16 && bytes.count >> (4 * digits) > 0 { digits += 1 }
    for digit in stride(from: digits - 1, through: 0, by: -1) {
      output.append(ASCII.hexDigit(UInt8(truncatingIfNeeded: bytes.count >> (4 * digit))))
    }
    output.append("\r\n")
    output.append(contentsOf: bytes)
    output.append("\r\n")
  }

  static func writeLastChunk(into output: inout [UInt8]) { output.append("0\r\n\r\n") }

  @inline(__always)
  private static func write(
    _ header: HTTPResponse.NumberHeader?, into output: inout OutputSpan<UInt8>
  ) {
    guard let header else { return }
    output.append(header.name)
    output.append(ASCII.colon)
    output.append(ASCII.space)
    output.append(decimal: header.number)
    output.appendLineEnd()
  }

  private static func write(
    _ value: HTTPResponse.HeaderValue, into output: inout OutputSpan<UInt8>
  ) {
    switch value {
    case .text(let text):
      for byte in text.utf8 { output.append(byte < 0x20 || byte == 0x7F ? ASCII.space : byte) }
    case .fixed(let text): output.append(text)
    case .number(let number): output.append(decimal: number)
    }
  }

  private static func write(
    _ framing: Framing, _ status: Int, into output: inout OutputSpan<UInt8>
  ) {
    switch framing {
    // RFC 9110 8.6: neither of these statuses may have one.
    case .length where status < 200 || status == 204: break
    case .length(let count):
      output.append("Content-Length: ")
      output.append(decimal: UInt64(count))
      output.appendLineEnd()
    case .chunked: output.append("Transfer-Encoding: chunked\r\n")
    case .untilClose: break
    }
  }

  /// Status line and `Content-Type`.
  private static func writeStart(
    of response: HTTPResponse, into output: inout OutputSpan<UInt8>
  ) {
    if response.status == 200 {
      output.append("HTTP/1.1 200 OK\r\n")
    } else {
      output.append("HTTP/1.1 ")
      output.append(decimal: UInt64(clamping: min(max(response.status, 100), 999)))
      output.append(ASCII.space)
      output.append(reason(response.status))
      output.appendLineEnd()
    }
    guard let contentType = response.contentType else { return }
    output.append("Content-Type: ")
    output.append(contentType)
    output.appendLineEnd()
  }

  /// The usual reason phrases, in the spelling of RFC 9110.
  static func reason(_ status: Int) -> StaticString {
    switch status {
    case 100: "Continue"
    case 101: "Switching Protocols"
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 204: "No Content"
    case 301: "Moved Permanently"
    case 302: "Found"
    case 303: "See Other"
    case 304: "Not Modified"
    case 307: "Temporary Redirect"
    case 308: "Permanent Redirect"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 408: "Request Timeout"
    case 409: "Conflict"
    case 412: "Precondition Failed"
    case 413: "Request Entity Too Large"
    case 414: "Request URI Too Long"
    case 415: "Unsupported Media Type"
    case 417: "Expectation Failed"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    case 505: "HTTP Version Not Supported"
    default: "Status"
    }
  }
}
