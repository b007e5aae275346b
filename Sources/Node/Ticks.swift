import EventLoop
import Raft

/// Raft's clock: a tick every 10 ms, and with it the supervision of what is under way.
///
/// An idle node that woke for each of them would spend most of its time on waking, so while nothing
/// is under way (`isQuiet`) several ticks are taken at once: those to the next heartbeat. A follower
/// takes them as the heartbeat comes, and its timer runs out only when one is late. What happens
/// meanwhile ends the pause at the next tick's time. A timer that is late (the process was stopped)
/// takes no more ticks than it was set for: time that a node slept through is not time in which the
/// others were silent.
struct TickClock {
  /// When the last one was taken.
  var last: UInt64 = 0
  /// How many the timer that runs will take.
  var planned = 1
  /// Nil within a turn that took the ticks of a pause ahead of the timer.
  var timer: TimerID?
}

extension Node {
  static let tickNanoseconds: UInt64 = 10_000_000
  /// At once, at most: what goes by every tenth tick is then never left out.
  private static let ticksAtOnceMax = 10

  func scheduleTick() {
    clock.last = loop.now
    planTicks(ticksAtOnce)
  }

  private func planTicks(_ count: Int) {
    clock.planned = count
    let due = clock.last + UInt64(count) * Self.tickNanoseconds
    clock.timer = loop.schedule(after: due - min(due, loop.now)) { [weak self] in
      guard let self, !isStopped else { return }
      tick(clock.planned)
      scheduleTick()
    }
  }

  /// Ticks of the pause that have passed.
  private var passedTicks: Int {
    min(Int((loop.now - min(loop.now, clock.last)) / Self.tickNanoseconds), clock.planned)
  }

  /// Before a message of another node is heard: in a pause, the time until now was silent.
  func takePassedTicks() {
    guard clock.planned > 1, let timer = clock.timer else { return }
    let passed = passedTicks
    guard passed > 0 else { return }
    loop.cancel(timer)
    clock.timer = nil
    tick(passed)
    clock.last =
      passed < clock.planned
      ? clock.last + UInt64(passed) * Self.tickNanoseconds : loop.now
  }

  /// At the end of every turn: a pause ends when there is something to supervise.
  func planTick() {
    guard let timer = clock.timer else { return planTicks(ticksAtOnce) }
    guard clock.planned > 1, ticksAtOnce == 1 else { return }
    let passed = passedTicks
    guard passed + 1 < clock.planned else { return }
    loop.cancel(timer)
    planTicks(passed + 1)
  }

  private var ticksAtOnce: Int {
    isQuiet ? min(Self.ticksAtOnce(&raft), Self.ticksAtOnceMax) : 1
  }

  /// Exclusive, though it only reads: a value of this size is copied for a shared access, each turn.
  @inline(__always)
  private static func ticksAtOnce(_ raft: inout RaftCore) -> Int { raft.ticksAtOnce }

  /// Nothing of this node's own is under way whose deadline or repetition is a matter of ticks.
  private var isQuiet: Bool {
    phase == .running && proposals.count == 0 && reads.count == 0
      && requests.pending.isEmpty && operations.pending.isEmpty && tornTailUntil == 0
  }

  private func tick(_ count: Int) {
    updateElectable()
    if phase != .discovering, phase != .forming {
      for _ in 0..<count { raft.step(.tick, into: &effects) }
    }
    tickBootstrap()
    if tornTailUntil > 0 { endTornTailWhenDue() }
    proposals.retryDeferred()
    expireProposals()
    superviseReads()
    superviseRequests()
    for _ in 0..<count { countTick() }
  }

  private func countTick() {
    coarseTicks += 1
    if coarseTicks % 10 == 0 {
      advanceOperations()
      promoteLearners()
      tendCluster()
      for hook in hooks.coarseTick { hook() }
    }
    if coarseTicks % 20 == 0 { retryRefusedWrites() }
    if coarseTicks % 100 == 0 {
      persistCommitIndex()
      followMoves()
      letDepartingGo()
      sendGossip()
      considerBetterLinks()
    }
  }
}
