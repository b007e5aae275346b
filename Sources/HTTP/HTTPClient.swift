package import EventLoop

/// One request to one server on a fresh connection; for checks and tests. STUB.
package final class HTTPClient {
  package struct Request: Sendable {
    package var method: String
    package var address: SocketAddress
    /// For the Host header.
    package var host: String
    package var target: String
    package var headers: [(String, String)]
    package var body: [UInt8]
    package init(
      method: String, address: SocketAddress, host: String, target: String,
      headers: [(String, String)] = [], body: [UInt8] = []
    ) {
      self.method = method
      self.address = address
      self.host = host
      self.target = target
      self.headers = headers
      self.body = body
    }
  }
  package struct Response: Sendable {
    package var status: Int
    package var reason: String
    package var headers: [(String, String)]
    /// At most `bodyBytesMax`, the rest was dropped.
    package var body: [UInt8]
  }
  package enum Failure: Error, Sendable {
    case connect(SystemError)
    case timeout
    case closed
    case malformed(String)
  }
  /// Cancel with the returned closure; `done` is called exactly once unless cancelled.
  package static func send(
    _ request: Request, loop: EventLoop, timeoutNanoseconds: UInt64, bodyBytesMax: Int,
    done: @escaping (Result<Response, Failure>) -> Void
  ) -> () -> Void { fatalError("stub") }
}
