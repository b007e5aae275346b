import EventLoop
import Raft

/// Raft's clock: a tick every 10 ms, and with it the supervision of what is under way.
///
/// An idle node that woke for each of them would spend most of its time on waking, so while nothing
/// is under way (`isQuiet`) several ticks are taken at once, at most as many as lie between two
/// heartbeats. What happens meanwhile ends the pause at the next tick's time. A timer that is late
/// (the process was stopped) takes no more ticks than it was set for: time that a node slept
/// through is not time in which the others were silent.
struct TickClock {
  /// When the last one was taken.
  var last: UInt64 = 0
  /// How many the timer that runs will take.
  var planned = 1
  var timer: TimerID?
}

extension Node {
  static let tickNanoseconds: UInt64 = 10_000_000
  /// At once, at most: a node notices 40 ms late that it has to hurry.
  private static let ticksAtOnceMax = 4

  func scheduleTick() {
    clock.last = loop.now
    planTicks(isQuiet ? ticksBetweenHeartbeats : 1)
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

  /// At the end of every turn: a pause ends when there is something to supervise.
  func hastenTick() {
    guard clock.planned > 1, !isQuiet, let timer = clock.timer else { return }
    let passed = Int((loop.now - clock.last) / Self.tickNanoseconds)
    guard passed + 1 < clock.planned else { return }
    loop.cancel(timer)
    planTicks(passed + 1)
  }

  /// Nothing is under way whose deadline or repetition is a matter of ticks.
  private var isQuiet: Bool {
    phase == .running && raft.isQuiet && proposals.count == 0 && reads.count == 0
      && requests.pending.isEmpty && operations.pending.isEmpty && tornTailUntil == 0
  }

  /// Heartbeats leave as often as ever: their interval is a multiple of it.
  private var ticksBetweenHeartbeats: Int {
    let heartbeat = raft.options.heartbeatTicks
    return (1...Self.ticksAtOnceMax).last { heartbeat % $0 == 0 } ?? 1
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
      tendMembership()
      tendCluster()
      for hook in hooks.coarseTick { hook() }
    }
    if coarseTicks % 20 == 0 { retryRefusedWrites() }
    if coarseTicks % 100 == 0 {
      persistCommitIndex()
      letDepartingGo()
      sendGossip()
      considerBetterLinks()
    }
  }
}
