internal import CRoost
internal import Glibc

/// Signals as events of a loop.
///
/// Make it before any thread is started: it blocks the signals in the calling thread, and threads
/// inherit that. Children started with `croost_spawn` have them unblocked.
package final class SignalSource: PollHandler {
  private let loop: EventLoop
  private let fd: Int32
  private let handler: (Int32) -> Void

  package init(
    _ signals: [Int32], loop: EventLoop, handler: @escaping (_ signal: Int32) -> Void
  ) throws(SystemError) {
    self.loop = loop
    self.handler = handler
    // Sound: C reads `count` numbers.
    _ = unsafe croost_block_signals(signals, Int32(signals.count))
    fd = unsafe croost_signalfd(signals, Int32(signals.count))
    super.init()
    guard fd >= 0 else {
      throw SystemError(operation: "create", subject: "signalfd", code: -fd)
    }
    let code = loop.watch(fd, CROOST_READABLE, self)
    guard code == 0 else {
      throw SystemError(operation: "watch", subject: "signalfd", code: code)
    }
  }

  deinit {
    guard fd >= 0 else { return }
    loop.unwatch(fd)
    _ = croost_close(fd)
  }

  override func pollReady(_ events: UInt32) {
    var sender: Int32 = 0
    while true {
      // Sound: the pointer lives for the call.
      let signal = unsafe croost_signalfd_take(fd, &sender)
      guard signal > 0 else { return }
      handler(signal)
    }
  }
}
