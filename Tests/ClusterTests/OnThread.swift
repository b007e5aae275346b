import Foundation

/// Runs blocking code on a thread of its own, so that it does not take one of the test pool's, and
/// yet as a part of the test's task: what it expects is recorded under the test's name.
func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
  try await withTaskExecutorPreference(ThreadExecutor()) { try await run(body) }
}

/// Concurrent, so that it goes to the preferred executor.
@concurrent private func run<T: Sendable>(_ body: @Sendable () throws -> T) async throws -> T {
  try body()
}

/// A thread for every job.
private final class ThreadExecutor: TaskExecutor {
  private static let stackBytes = 4 << 20

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let thread = Thread { [self] in
      unsafe job.runSynchronously(on: asUnownedTaskExecutor())
    }
    thread.stackSize = Self.stackBytes
    thread.start()
  }
}
