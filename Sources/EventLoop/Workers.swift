internal import Basics
internal import CRoost
internal import Glibc
internal import Synchronization

/// A few threads for what blocks or burns: snapshot encoding, name resolution, scripts.
///
/// `run` may be called from any thread; the job runs on a worker. The queue is bounded. Answers go
/// back through a `Mailbox`.
package final class Workers: Sendable {
  private let shared: Shared
  private let threads: Mutex<[SystemThread]>

  /// - Parameter isBackground: gives way to every other thread of the process that wants to run:
  ///   for what takes long and nobody waits for. On an idle machine it is as fast as any.
  package init(threads: Int, queueMax: Int, isBackground: Bool = false) {
    invariant(threads > 0 && queueMax > 0, "\(threads) workers, queue of \(queueMax)")
    let shared = Shared(queueMax: queueMax)
    self.shared = shared
    var started: [SystemThread] = []
    for number in 1...threads {
      guard
        let thread = try? SystemThread(
          name: isBackground ? "background \(number)" : "worker \(number)",
          {
            if isBackground { croost_give_way() }
            shared.work()
          })
      else {
        fatalError("cannot start worker thread \(number): the limit of threads is reached")
      }
      started.append(thread)
    }
    self.threads = Mutex(started)
  }

  deinit {
    shared.stop(threads: threads.withLock { $0.count })
    threads.withLock { for thread in $0 { thread.detach() } }
  }

  /// False when the queue is full: the job will not run.
  package func run(_ job: @escaping @Sendable () -> Void) -> Bool { shared.add(job) }

  /// Waits for running jobs; queued ones are dropped. False: a job did not end in time (a disk or a
  /// name server that hangs), and its thread was left alone.
  @discardableResult
  package func stop(withinMilliseconds limit: Int = .max) -> Bool {
    let joined = threads.withLock { threads in
      let all = threads
      threads = []
      return all
    }
    shared.stop(threads: joined.count)
    var waited = 0
    while shared.ended.load(ordering: .acquiring) < joined.count, limit != .max {
      guard waited < limit else {
        for thread in joined { thread.detach() }
        return false
      }
      usleep(1000)
      waited += 1
    }
    for thread in joined { thread.join() }
    return true
  }

  /// What the threads hold; they do not keep the `Workers` alive.
  private final class Shared: Sendable {
    private struct State {
      var jobs: [@Sendable () -> Void] = []
      /// Jobs before this one have been taken.
      var next = 0
      var isStopped = false
    }

    private let state = Mutex(State())
    /// A semaphore: one count for each job, and one for each thread at the end.
    private let semaphore: Int32
    private let queueMax: Int
    /// Threads that have left `work`.
    let ended = Atomic<Int>(0)

    init(queueMax: Int) {
      self.queueMax = queueMax
      semaphore = croost_eventfd(1, 0)
      invariant(semaphore >= 0, "no eventfd for the workers: errno \(-semaphore)")
    }

    deinit { _ = croost_close(semaphore) }

    func add(_ job: @escaping @Sendable () -> Void) -> Bool {
      let isAdded = state.withLock { state in
        guard !state.isStopped, state.jobs.count - state.next < queueMax else { return false }
        state.jobs.append(job)
        return true
      }
      if isAdded { _ = croost_eventfd_post(semaphore, 1) }
      return isAdded
    }

    func stop(threads: Int) {
      let dropped = state.withLock { state in
        state.isStopped = true
        let jobs = state.jobs
        state.jobs = []
        state.next = 0
        return jobs
      }
      if threads > 0 { _ = croost_eventfd_post(semaphore, UInt64(threads)) }
      withExtendedLifetime(dropped) {}
    }

    func work() {
      while true {
        var count: UInt64 = 0
        // Sound: the pointer lives for the call.
        _ = unsafe croost_eventfd_take(semaphore, &count)
        let (job, isStopped) = take()
        if let job { job() }
        guard isStopped else { continue }
        ended.add(1, ordering: .releasing)
        return
      }
    }

    private func take() -> (job: (@Sendable () -> Void)?, isStopped: Bool) {
      state.withLock { state in
        guard state.next < state.jobs.count else { return (nil, state.isStopped) }
        let job = state.jobs[state.next]
        state.next += 1
        if state.next == state.jobs.count {
          state.jobs.removeAll(keepingCapacity: true)
          state.next = 0
        } else if state.next >= 64, state.next > state.jobs.count / 2 {
          state.jobs.removeSubrange(..<state.next)
          state.next = 0
        }
        return (job, state.isStopped)
      }
    }
  }
}
