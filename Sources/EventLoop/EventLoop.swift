internal import Basics
internal import CRoost

/// One thread's reactor: readiness of descriptors, timers, mailboxes, and the order of a turn.
///
/// A turn: wait → dispatch every ready descriptor → due timers → mailboxes → `turnEnd` handlers in
/// the order they were added → flush of every connection that has output. So everything that
/// arrived in one turn can be handled as one batch, and leaves with one write per connection.
///
/// Thread rule: everything here belongs to the thread that calls `run`; only `Mailbox.post` and
/// `LoopWaker` may be used from elsewhere.
package final class EventLoop {
  /// Rounds of turn-end handlers and flushes in one turn; what asks for more waits for the next,
  /// so that sockets and timers get their share.
  private static let turnEndRoundsMax = 32
  static let scratchBytes = 64 << 10
  /// Fewer connections than this are flushed by the loop alone: waking a helper costs as much as a
  /// few sends, and those of busy connections are cheap.
  private static let spreadMin = 256
  /// Connections whose output is held for helpers at a time.
  private static let spreadMax = 1024

  private var poller: Poller
  private var timers = Timers()
  private let waker: LoopWaker
  private let wakeHandler = WakeHandler()
  private var mailboxes: [() -> Void] = []
  private var turnEndHandlers: [() -> Void] = []
  private var turnEndRequested = false
  private var dirty: [TCPConnection] = []
  private var flushed: [TCPConnection] = []
  /// Helps with long lists of sends; made when the first one comes.
  private lazy var crew = SendCrew()
  private var results: [SendResult] = []
  private var isStopped = false
  private var isInTurn = false
  private var turnNow: UInt64 = 0
  private var turnWallClock: UInt64 = 0
  /// Where every connection of this loop receives, so that idle ones hold no buffer.
  var scratch = [UInt8](repeating: 0, count: scratchBytes)

  package init() throws(SystemError) {
    croost_ignore_sigpipe()
    waker = try LoopWaker()
    poller = try Poller()
    let code = poller.add(waker.descriptor, CROOST_READABLE, wakeHandler)
    guard code == 0 else { throw SystemError(operation: "watch", subject: "eventfd", code: code) }
    wakeHandler.waker = waker
  }

  deinit { poller.close() }

  /// Monotonic time of this turn in nanoseconds (CLOCK_MONOTONIC), read once per turn.
  package var now: UInt64 { isInTurn ? turnNow : croost_monotonic() }

  /// Wall clock of this turn in nanoseconds since 1970, read once per turn when asked.
  package var wallClock: UInt64 {
    guard isInTurn else { return croost_wall_clock() }
    if turnWallClock == 0 { turnWallClock = croost_wall_clock() }
    return turnWallClock
  }

  // MARK: Running

  /// Runs until `stop`. Call once.
  package func run() {
    while !isStopped { runTurn() }
    forgetHandlers()
  }

  /// Ends `run` after the current turn (its flush included).
  package func stop() { isStopped = true }

  /// One turn that waits at most so long (nil: until something happens). For tests and for
  /// programs that own the thread themselves; `run` calls it over and over.
  package func runTurn(waitingAtMost limit: UInt64? = nil) {
    invariant(!isInTurn, "a turn inside a turn")
    let ready = poller.wait(waitTime(limit))
    isInTurn = true
    turnNow = croost_monotonic()
    turnWallClock = 0
    dispatch(ready)
    let hasFired = fireTimers()
    let hasMail = drainMailboxes()
    if ready > 0 || hasFired || hasMail || turnEndRequested || !dirty.isEmpty { endTurn() }
    isInTurn = false
  }

  /// Takes turns until `condition` holds or the time is over; says whether it holds.
  package func run(forAtMost nanoseconds: UInt64, until condition: () -> Bool) -> Bool {
    let end = croost_monotonic() + nanoseconds
    while !condition() {
      let time = croost_monotonic()
      if time >= end { return false }
      runTurn(waitingAtMost: end - time)
    }
    return true
  }

  private func waitTime(_ limit: UInt64?) -> UInt64? {
    if turnEndRequested || !dirty.isEmpty { return 0 }
    guard let deadline = timers.earliestDeadline else { return limit }
    let time = croost_monotonic()
    let untilTimer = deadline > time ? deadline - time : 0
    return min(untilTimer, limit ?? untilTimer)
  }

  private func dispatch(_ ready: Int) {
    for index in 0..<ready {
      guard let (handler, events) = poller.event(index) else { continue }
      handler.pollReady(events)
    }
  }

  private func fireTimers() -> Bool {
    // Those scheduled from now on wait for the next turn, or `schedule(after: 0)` in a timer would
    // keep this one for ever.
    let limit = timers.nextSequence
    var hasFired = false
    while let body = timers.takeDue(at: turnNow, before: limit) {
      hasFired = true
      body()
    }
    return hasFired
  }

  private func drainMailboxes() -> Bool {
    guard wakeHandler.isAwake else { return false }
    wakeHandler.isAwake = false
    var index = 0
    while index < mailboxes.count {
      mailboxes[index]()
      index += 1
    }
    return true
  }

  private func endTurn() {
    var rounds = 0
    repeat {
      turnEndRequested = false
      var index = 0
      while index < turnEndHandlers.count {
        turnEndHandlers[index]()
        index += 1
      }
      flushDirty()
      rounds += 1
    } while (turnEndRequested || !dirty.isEmpty) && rounds < EventLoop.turnEndRoundsMax
  }

  private func flushDirty() {
    guard !dirty.isEmpty else { return }
    var batch = dirty
    dirty = flushed
    flushed = []
    if batch.count >= EventLoop.spreadMin, let crew {
      flush(batch, with: crew)
    } else {
      for connection in batch { connection.flush() }
    }
    batch.removeAll(keepingCapacity: true)
    flushed = batch
  }

  /// No callback runs, and so nothing changes, between the first `beginFlush` and the last send.
  private func flush(_ batch: [TCPConnection], with crew: SendCrew) {
    for start in stride(from: 0, to: batch.count, by: EventLoop.spreadMax) {
      let slice = batch[start..<min(start + EventLoop.spreadMax, batch.count)]
      var jobs: [SendJob] = []
      jobs.reserveCapacity(slice.count)
      for connection in slice { jobs.append(connection.beginFlush()) }
      var sent: [SendResult] = []
      swap(&sent, &results)
      crew.send(jobs, into: &sent)
      // Gives the bytes back to their connections.
      jobs = []
      for (connection, result) in zip(slice, sent) { connection.endFlush(result) }
      results = sent
    }
  }

  /// Handlers hold their owners, and owners hold the loop: without this nobody would ever die.
  private func forgetHandlers() {
    let handlers = (mailboxes, turnEndHandlers, timers, dirty)
    mailboxes = []
    turnEndHandlers = []
    timers = Timers()
    dirty = []
    crew = nil
    withExtendedLifetime(handlers) {}
  }

  // MARK: Timers, turn ends, mailboxes

  /// Calls `body` once, `nanoseconds` from `now` or a little later (at most one millisecond).
  @discardableResult
  package func schedule(after nanoseconds: UInt64, _ body: @escaping () -> Void) -> TimerID {
    let (deadline, isTooFar) = now.addingReportingOverflow(nanoseconds)
    return timers.add(deadline: isTooFar ? .max : deadline, body)
  }

  /// Calling it with an id that has fired does nothing.
  package func cancel(_ timer: TimerID) {
    let body = timers.cancel(timer)
    // Released after the timers are whole again: what the body held may come back here.
    withExtendedLifetime(body) {}
  }

  /// Timers that have neither fired nor been cancelled.
  package var timerCount: Int { timers.count }

  /// Adds a handler that runs at the end of every turn in which anything happened.
  package func onTurnEnd(_ body: @escaping () -> Void) { turnEndHandlers.append(body) }

  /// Makes sure that turn-end handlers run (again) before the loop waits.
  package func requestTurnEnd() { turnEndRequested = true }

  /// A queue into this loop from other threads: `handler` gets all that arrived, once per turn.
  package func makeMailbox<Message: Sendable>(
    _ handler: @escaping ([Message]) -> Void
  ) -> Mailbox<Message> {
    let mailbox = Mailbox<Message>(waker: waker)
    mailboxes.append {
      let messages = mailbox.takeAll()
      if !messages.isEmpty { handler(messages) }
    }
    return mailbox
  }

  // MARK: For the sources of this module

  func watch(_ fd: Int32, _ interest: UInt32, _ handler: PollHandler) -> Int32 {
    poller.add(fd, interest, handler)
  }

  func changeInterest(_ fd: Int32, _ interest: UInt32) { poller.modify(fd, interest) }
  func unwatch(_ fd: Int32) { poller.remove(fd) }

  /// Asks for a `flush` at the end of this turn.
  func markDirty(_ connection: TCPConnection) { dirty.append(connection) }
}

package struct TimerID: Hashable, Sendable {
  package let value: UInt64
  package init(_ value: UInt64) { self.value = value }
}

/// Hears the loop's eventfd.
private final class WakeHandler: PollHandler {
  var waker: LoopWaker?
  var isAwake = false

  override func pollReady(_ events: UInt32) {
    waker?.acknowledge()
    isAwake = true
  }
}
