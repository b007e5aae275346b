/// What a handler answers.
package struct HTTPResponse: Sendable {
  package var status: Int
  /// Written as `Content-Type`; nil: none.
  package var contentType: StaticString?
  /// In order, spelled as they are to appear. Content-Length, Connection, Date are added.
  package var headers: [(name: StaticString, value: HeaderValue)]
  package var body: [UInt8]
  /// Close the connection after this answer.
  package var closes = false

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
}
