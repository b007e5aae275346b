/// What a handler answers.
package struct HTTPResponse: Sendable {
  package var status: Int
  /// Written as `Content-Type`; nil: none.
  package var contentType: StaticString?
  /// Whole header lines, each with its line end, that many answers share; they come first.
  package var lines: (StaticString, StaticString) = ("", "")
  /// Headers whose values are numbers; they come next, and need no array. (Nor an `InlineArray`,
  /// which is copied and destroyed by way of its type's description.)
  package var numbers: (NumberHeader?, NumberHeader?) = (nil, nil)
  /// In order, spelled as they are to appear. Content-Length, Connection, Date are added.
  package var headers: [(name: StaticString, value: HeaderValue)]
  package var body: [UInt8]
  /// Close the connection after this answer.
  package var closes = false

  package struct NumberHeader: Sendable {
    package var name: StaticString
    package var number: UInt64
    package init(_ name: StaticString, _ number: UInt64) {
      self.name = name
      self.number = number
    }
  }

  package enum HeaderValue: Sendable {
    /// Control characters in it are sent as blanks: a value cannot start a header of its own.
    case text(String)
    case fixed(StaticString)
    case number(UInt64)
  }

  package init(
    status: Int, contentType: StaticString? = nil,
    headers: [(name: StaticString, value: HeaderValue)] = [], body: [UInt8] = []
  ) {
    self.status = status
    self.contentType = contentType
    self.headers = headers
    self.body = body
  }

  /// A plain text answer, as every error is.
  package static func text(_ status: Int, _ text: String) -> HTTPResponse {
    HTTPResponse(
      status: status, contentType: "text/plain; charset=utf-8", body: Array(text.utf8))
  }

  /// `lines`, `numbers` and `headers` as names and values, for tests of handlers without a socket.
  package var allHeaders: [(name: String, value: String)] {
    var all: [(name: String, value: String)] = []
    for block in [lines.0, lines.1] {
      for line in "\(block)".split(separator: "\r\n") {
        let parts = line.split(separator: ": ", maxSplits: 1)
        all.append((String(parts[0]), parts.count > 1 ? String(parts[1]) : ""))
      }
    }
    for header in [numbers.0, numbers.1].compactMap({ $0 }) {
      all.append(("\(header.name)", String(header.number)))
    }
    for header in headers {
      switch header.value {
      case .text(let text): all.append(("\(header.name)", text))
      case .fixed(let text): all.append(("\(header.name)", "\(text)"))
      case .number(let number): all.append(("\(header.name)", String(number)))
      }
    }
    return all
  }
}
