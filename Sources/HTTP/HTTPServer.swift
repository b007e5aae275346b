package import EventLoop

package struct HTTPLimits: Sendable {
  package var requestLineBytesMax = 8 << 10
  package var headerBytesMax = 16 << 10
  package var headerCountMax = 100
  /// Bodies above this are refused with 413 and the connection is closed; a handler may have a
  /// smaller limit of its own (`bodyLimit`).
  package var bodyBytesMax = 64 << 20
  package var connectionsMax = 8192
  package var connectionsPerClientMax = 4096
  /// Requests of one connection that may wait for answers at a time.
  package var pipelineMax = 128
  package var idleSeconds = 300
  package var headerSeconds = 20
  /// A body must arrive at least this fast, in bytes per second, after a grace period.
  package var bodyBytesPerSecondMin = 1024
  package init() {}
}

/// HTTP/1.1 on the event loop (RFC 9110, 9112). STUB.
package final class HTTPServer {
  package struct Counters: Sendable {
    package var requests: UInt64 = 0
    package var connectionsOpen = 0
    package var connectionsTotal: UInt64 = 0
    package var refused: UInt64 = 0
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0
    package init() {}
  }
  package var counters: Counters { fatalError("stub") }
  package let localAddress: SocketAddress

  /// - Parameters:
  ///   - bodyLimit: asked when the head is there, before the body is read: nil lets
  ///     `limits.bodyBytesMax` rule; a response refuses the request at once with it.
  ///   - handler: called when the request is whole.
  package init(
    address: SocketAddress, loop: EventLoop, limits: HTTPLimits,
    bodyLimit: @escaping (_ head: HTTPRequest) -> HTTPResponse?,
    handler: @escaping (HTTPRequest, HTTPResponder) -> Void
  ) throws(SystemError) { fatalError("stub") }

  /// Stops accepting, answers what is under way with `Connection: close`, then calls `done`
  /// (at the latest after `graceNanoseconds`).
  package func drain(graceNanoseconds: UInt64, done: @escaping () -> Void) { fatalError("stub") }
  package func close() { fatalError("stub") }
}
