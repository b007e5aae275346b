/// A few threads for what blocks or burns: snapshot encoding, name resolution, scripts. STUB.
///
/// `run` may be called from any thread; the job runs on a worker. The queue is bounded.
package final class Workers: Sendable {
  package init(threads: Int, queueMax: Int) { fatalError("stub") }
  /// False when the queue is full: the job will not run.
  package func run(_ job: @escaping @Sendable () -> Void) -> Bool { fatalError("stub") }
  /// Waits for running jobs; queued ones are dropped.
  package func stop() { fatalError("stub") }
}
