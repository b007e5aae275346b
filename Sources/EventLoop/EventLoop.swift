/// One thread's reactor: readiness of descriptors, timers, mailboxes, and the order of a turn. STUB.
///
/// A turn: wait → dispatch every ready descriptor → due timers → mailboxes → `turnEnd` handlers in
/// the order they were added → flush of every connection that has output. So everything that
/// arrived in one turn can be handled as one batch, and leaves with one write per connection.
///
/// Thread rule: everything here belongs to the thread that calls `run`; only `Mailbox.post` and
/// `LoopWaker` may be used from elsewhere.
package final class EventLoop {
  package init() throws(SystemError) { fatalError("stub") }

  /// Monotonic time of this turn in nanoseconds (CLOCK_MONOTONIC), read once per turn.
  package var now: UInt64 { fatalError("stub") }
  /// Wall clock of this turn in nanoseconds since 1970, read once per turn when asked.
  package var wallClock: UInt64 { fatalError("stub") }

  /// Runs until `stop`. Call once.
  package func run() { fatalError("stub") }
  /// Ends `run` after the current turn (its flush included).
  package func stop() { fatalError("stub") }

  /// Calls `body` once, `nanoseconds` from `now` or a little later (at most one millisecond).
  @discardableResult
  package func schedule(after nanoseconds: UInt64, _ body: @escaping () -> Void) -> TimerID {
    fatalError("stub")
  }
  /// Calling it with an id that has fired does nothing.
  package func cancel(_ timer: TimerID) { fatalError("stub") }

  /// Adds a handler that runs at the end of every turn in which anything happened.
  package func onTurnEnd(_ body: @escaping () -> Void) { fatalError("stub") }
  /// Makes sure that turn-end handlers run (again) before the loop waits.
  package func requestTurnEnd() { fatalError("stub") }

  /// A queue into this loop from other threads: `handler` gets all that arrived, once per turn.
  package func makeMailbox<Message: Sendable>(
    _ handler: @escaping ([Message]) -> Void
  ) -> Mailbox<Message> { fatalError("stub") }
}

package struct TimerID: Hashable, Sendable {
  package let value: UInt64
  package init(_ value: UInt64) { self.value = value }
}

/// Sends values to a loop; one wake-up per batch. STUB.
package final class Mailbox<Message: Sendable>: Sendable {
  package func post(_ message: Message) { fatalError("stub") }
  init() { fatalError("stub") }
}
