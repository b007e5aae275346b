internal import CRoost
internal import Synchronization

/// Threads that help a loop with a long list of sends, each of which costs the kernel some ten
/// microseconds on a connection that was idle: a change that ten thousand clients wait for.
///
/// Fork and join: the loop's thread publishes the list, takes its share of it, and does nothing else
/// until every job that a helper has begun is done. So no connection changes and no descriptor is
/// closed meanwhile, and a helper sees values only. A helper that comes late, since the machine has
/// other work, finds the list withdrawn: nobody waits for it.
final class SendCrew {
  private let shared: Shared
  private var threads: [SystemThread] = []

  /// More would wait for the same locks of the kernel.
  private static let helpersMax = 3
  /// Jobs taken at a time: enough that the counter does not matter, few enough that the last ones
  /// are not waited for.
  private static let jobsPerClaim = 8

  /// Nil on one processor, and when no thread can be had: the loop sends alone then.
  init?() {
    let helpers = min(SendCrew.helpersMax, Int(croost_processor_count()) - 1)
    guard helpers > 0, let shared = Shared() else { return nil }
    self.shared = shared
    while threads.count < helpers {
      guard let thread = try? SystemThread(name: "sender \(threads.count + 1)", { shared.work() })
      else { break }
      threads.append(thread)
    }
    if threads.isEmpty { return nil }
  }

  /// Helpers hold nothing of the loop and end within a send, which does not wait.
  deinit {
    shared.stop(threads.count)
    for thread in threads { thread.join() }
  }

  /// Does all jobs; the results are in their order.
  func send(_ jobs: [SendJob], into results: inout [SendResult]) {
    results.removeAll(keepingCapacity: true)
    for job in jobs { results.append(SendResult(taken: job.count, isAll: true)) }
    shared.publish(jobs, threads.count)
    let own = shared.sendSome(jobs)
    let others = shared.withdraw()
    for shortfall in own + others { results[shortfall.job] = shortfall.result }
  }

  /// A job that was not done in full; most are.
  private struct Shortfall: Sendable {
    var job: Int
    var result: SendResult
  }

  private final class Shared: Sendable {
    private struct State {
      var jobs: [SendJob] = []
      /// Helpers that hold the list.
      var busy = 0
      var isAwaited = false
      var isStopped = false
      var shortfalls: [Shortfall] = []
    }

    private let state = Mutex(State())
    /// The first job that nobody has taken.
    private let next = Atomic<Int>(0)
    /// Semaphores: helpers wait for a list, the loop for the last helper.
    private let listed: Int32
    private let done: Int32

    init?() {
      listed = croost_eventfd(1, 0)
      done = croost_eventfd(1, 0)
      if listed < 0 || done < 0 { return nil }
    }

    deinit {
      if listed >= 0 { _ = croost_close(listed) }
      if done >= 0 { _ = croost_close(done) }
    }

    // MARK: By the loop

    func publish(_ jobs: [SendJob], _ helpers: Int) {
      // No helper holds a list now: the last one was withdrawn.
      next.store(0, ordering: .relaxed)
      state.withLock { state in state.jobs = jobs }
      _ = croost_eventfd_post(listed, UInt64(helpers))
    }

    /// Waits for the helpers that are still sending; what they could not send in full.
    func withdraw() -> [Shortfall] {
      let mustWait = state.withLock { state in
        state.jobs = []
        state.isAwaited = state.busy > 0
        return state.isAwaited
      }
      if mustWait { Self.wait(done) }
      return state.withLock { state in
        let shortfalls = state.shortfalls
        state.shortfalls = []
        return shortfalls
      }
    }

    func stop(_ helpers: Int) {
      state.withLock { state in state.isStopped = true }
      _ = croost_eventfd_post(listed, UInt64(helpers))
    }

    // MARK: By the helpers

    func work() {
      while !state.withLock({ $0.isStopped }) {
        Self.wait(listed)
        help()
      }
    }

    private func help() {
      var jobs = state.withLock { state in
        if !state.jobs.isEmpty { state.busy += 1 }
        return state.jobs
      }
      guard !jobs.isEmpty else { return }
      let shortfalls = sendSome(jobs)
      // Released before the loop goes on, so that it finds the bytes its own again.
      jobs = []
      let isLast = state.withLock { state in
        state.shortfalls += shortfalls
        state.busy -= 1
        guard state.busy == 0, state.isAwaited else { return false }
        state.isAwaited = false
        return true
      }
      if isLast { _ = croost_eventfd_post(done, 1) }
    }

    // MARK: By both

    /// Takes and does jobs until there are no more.
    func sendSome(_ jobs: [SendJob]) -> [Shortfall] {
      var shortfalls: [Shortfall] = []
      while true {
        let first = next.add(SendCrew.jobsPerClaim, ordering: .relaxed).oldValue
        guard first < jobs.count else { return shortfalls }
        for job in first..<min(first + SendCrew.jobsPerClaim, jobs.count) {
          let result = jobs[job].send()
          if !result.isAll { shortfalls.append(Shortfall(job: job, result: result)) }
        }
      }
    }

    private static func wait(_ semaphore: Int32) {
      var count: UInt64 = 0
      // Sound: the pointer lives for the call.
      _ = unsafe croost_eventfd_take(semaphore, &count)
    }
  }
}
