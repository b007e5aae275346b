internal import CRoost
internal import Synchronization

/// Wakes a loop from any thread. Between two turns only the first call costs a system call.
package final class LoopWaker: Sendable {
  let descriptor: Int32
  private let isSignalled = Atomic<Bool>(false)

  init() throws(SystemError) {
    descriptor = croost_eventfd(0, 1)
    guard descriptor >= 0 else {
      throw SystemError(operation: "create", subject: "eventfd", code: -descriptor)
    }
  }

  deinit { _ = croost_close(descriptor) }

  package func wake() {
    if isSignalled.exchange(true, ordering: .acquiringAndReleasing) { return }
    _ = croost_eventfd_post(descriptor, 1)
  }

  /// By the loop, before it looks into the mailboxes: what is posted later wakes it again.
  func acknowledge() {
    var count: UInt64 = 0
    // Sound: the pointer lives for the call.
    _ = unsafe croost_eventfd_take(descriptor, &count)
    _ = isSignalled.exchange(false, ordering: .acquiringAndReleasing)
  }
}

/// Sends values to a loop; one wake-up per batch.
///
/// Not bounded by itself: what is posted are answers to work that the loop handed out, and that is
/// bounded where it is handed out. Posting after the loop has ended is harmless.
package final class Mailbox<Message: Sendable>: Sendable {
  private let queue = Mutex<[Message]>([])
  private let waker: LoopWaker

  init(waker: LoopWaker) { self.waker = waker }

  /// From any thread.
  package func post(_ message: Message) {
    let isFirst = queue.withLock { queue in
      queue.append(message)
      return queue.count == 1
    }
    if isFirst { waker.wake() }
  }

  /// By the loop.
  func takeAll() -> [Message] {
    queue.withLock { queue in
      let taken = queue
      queue = []
      return taken
    }
  }
}
