package import EventLoop

package enum HTTPMethod: Equatable, Sendable {
  case get, put, post, delete, head, options, patch
  /// Another token, as sent.
  case other(String)

  /// As on the request line.
  package var name: String { fatalError("stub") }
}

/// One parsed request whose body has arrived whole. STUB.
///
/// Holds the connection's bytes by reference (copy on write), so copying it is cheap; keep it no
/// longer than needed.
package struct HTTPRequest: Sendable {
  package let method: HTTPMethod
  /// Bytes of the target before `?`, still percent-encoded.
  package var rawPath: ArraySlice<UInt8> { fatalError("stub") }
  /// Bytes after `?`, still percent-encoded; nil without `?`.
  package var rawQuery: ArraySlice<UInt8>? { fatalError("stub") }
  package var body: ArraySlice<UInt8> { fatalError("stub") }
  package var remoteAddress: SocketAddress { fatalError("stub") }
  /// The first header of that name, without surrounding blanks. `name` is lower case ASCII.
  package func header(_ name: StaticString) -> ArraySlice<UInt8>? { fatalError("stub") }
  /// `Content-Length` as sent; nil for chunked bodies and when absent.
  package var contentLength: Int? { fatalError("stub") }
  init() { method = .get }

  /// A request made by hand, for tests of handlers without a socket.
  package init(
    method: HTTPMethod, target: String, headers: [(String, String)] = [], body: [UInt8] = []
  ) { fatalError("stub") }
}
