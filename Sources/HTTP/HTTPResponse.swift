/// What a handler answers. STUB.
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
}

/// The place where one request is answered: now or later, exactly once, on the loop's thread.
/// Answers leave in the order of the requests (pipelining); one dropped without an answer is a 500.
package final class HTTPResponder {
  /// False once the client is gone; answers are then discarded.
  package var isOpen: Bool { fatalError("stub") }
  /// Called at most once if the client goes away before the answer (long polls clean up here).
  package var onClose: (() -> Void)? {
    get { fatalError("stub") }
    set { fatalError("stub") }
  }
  package func respond(_ response: HTTPResponse) { fatalError("stub") }
  /// A chunked answer of unknown length: head first, then pieces. False from `write` means that the
  /// client reads too slowly: wait for `onDrain`.
  package func begin(_ head: HTTPResponse) { fatalError("stub") }
  package func write(_ bytes: [UInt8]) -> Bool { fatalError("stub") }
  package var onDrain: (() -> Void)? {
    get { fatalError("stub") }
    set { fatalError("stub") }
  }
  package func end() { fatalError("stub") }
  init() { fatalError("stub") }
}
