internal import CRoost
internal import Synchronization

/// A connection on its way from the loop that accepted it to the loop that serves it. Closed when
/// nobody takes it.
package final class AcceptedSocket: Sendable {
  package let remoteAddress: SocketAddress
  private let descriptor: Atomic<Int32>

  init(_ descriptor: Int32, from address: SocketAddress) {
    self.descriptor = Atomic(descriptor)
    remoteAddress = address
  }

  deinit {
    let left = take()
    if left >= 0 { _ = croost_close(left) }
  }

  /// The caller owns it from then on; -1 when it was taken already.
  fileprivate func take() -> Int32 { descriptor.exchange(-1, ordering: .acquiringAndReleasing) }
}

extension TCPConnection {
  /// Takes the connection over on this loop; the delegate is still to be set.
  package convenience init(_ socket: AcceptedSocket, loop: EventLoop, options: Options) {
    self.init(
      accepted: socket.take(), from: socket.remoteAddress, loop: loop, options: options)
  }
}
