package import Raft

/// The WAL thread: appends and syncs, nothing else. Batches that arrive during a sync go into the
/// next write together (group commit). STUB.
///
/// Thread rules: `submit…` and `stop` from any thread; `notify` is called on the WAL thread, once
/// per sync, with what became durable, in order.
package final class LogWriter: Sendable {
  package enum Completion: Sendable, Equatable {
    /// Every batch submitted with a ticket up to this one is durable.
    case durable(ticket: UInt64, microseconds: Int)
    /// Nothing after the last `durable` ticket may be trusted. `diskFull` is recoverable: the
    /// batch was not written and can be submitted again; anything else is final.
    case failed(ticket: UInt64, StorageError)
    case compacted(through: LogIndex)
  }

  package init<Files: FileSystem>(
    _ open: sending @escaping () throws(StorageError) -> Log<Files>,
    notify: @escaping @Sendable (Completion) -> Void
  ) { fatalError("stub") }

  /// Tickets must grow.
  package func submit(_ batch: LogBatch, ticket: UInt64) { fatalError("stub") }
  package func compact(through index: LogIndex) { fatalError("stub") }
  package func reset(after index: LogIndex) { fatalError("stub") }
  /// Writes out what was submitted, then ends the thread and returns.
  package func stop() { fatalError("stub") }
}
