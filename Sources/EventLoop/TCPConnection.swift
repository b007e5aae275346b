/// What a connection tells its owner; always on the loop's thread. STUB.
package protocol TCPConnectionDelegate: AnyObject {
  func connectionDidConnect(_ connection: TCPConnection)
  /// New bytes are in `connection.input`; consume what is complete.
  func connectionDidRead(_ connection: TCPConnection)
  /// The peer closed its sending side; nothing more will be read.
  func connectionDidReachEOF(_ connection: TCPConnection)
  /// Output fell below the low-water mark after it had been above the high-water mark.
  func connectionDidDrain(_ connection: TCPConnection)
  /// The last call. `error` is nil for a close asked for by this side.
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?)
}

/// One TCP connection with an input queue and an output queue. Output is written at the end of the
/// turn, in one system call where possible. The place where TLS goes is `Transport`.
package final class TCPConnection {
  package struct Options: Sendable {
    package var noDelay = true
    package var inputBytesMax = 1 << 20
    package var outputHighWater = 1 << 20
    package var outputLowWater = 256 << 10
    package init() {}
  }

  package weak var delegate: (any TCPConnectionDelegate)?
  package let remoteAddress: SocketAddress
  /// For the owner's use.
  package var tag: UInt64 = 0

  /// Starts connecting; the delegate hears `connectionDidConnect` or `connectionDidClose`.
  package init(
    connectingTo address: SocketAddress, loop: EventLoop, options: Options,
    delegate: any TCPConnectionDelegate
  ) { fatalError("stub") }

  package var input: ByteQueue {
    get { fatalError("stub") }
    set { fatalError("stub") }
  }
  /// Append here, then call `flushAtTurnEnd`.
  package var output: ByteQueue {
    get { fatalError("stub") }
    set { fatalError("stub") }
  }
  package var isAboveHighWater: Bool { fatalError("stub") }
  package func flushAtTurnEnd() { fatalError("stub") }
  package func pauseReading() { fatalError("stub") }
  package func resumeReading() { fatalError("stub") }
  package func close() { fatalError("stub") }
  /// Writes out what is queued, then closes.
  package func closeAfterFlush() { fatalError("stub") }
  package var isClosed: Bool { fatalError("stub") }
}

/// Listens and hands out accepted connections; stops accepting (not listening) when out of
/// descriptors and tries again later. STUB.
package final class TCPListener {
  package let localAddress: SocketAddress
  package init(
    address: SocketAddress, loop: EventLoop, options: TCPConnection.Options,
    accept: @escaping (TCPConnection) -> Void
  ) throws(SystemError) { fatalError("stub") }
  package func close() { fatalError("stub") }
}
