package import Raft

/// What the log held when it was opened. STUB: see the storage helper's task.
package struct RecoveredLog: Sendable {
  package var hardState: HardState
  /// Contiguous; the first follows the newest compaction mark.
  package var entries: [Entry]
  /// Bytes of a torn tail that were cut off; 0 when the log ended cleanly.
  package var tornBytes: Int

  package init(hardState: HardState, entries: [Entry], tornBytes: Int) {
    self.hardState = hardState
    self.entries = entries
    self.tornBytes = tornBytes
  }
}

/// One write: durable as a whole or not acknowledged.
package struct LogBatch: Sendable {
  package var hardState: HardState?
  package var entries: [Entry]
  /// Needs fdatasync before it may be acknowledged (false: only a commit index).
  package var mustSync: Bool
  package init(hardState: HardState?, entries: [Entry], mustSync: Bool) {
    self.hardState = hardState
    self.entries = entries
    self.mustSync = mustSync
  }
}

package struct LogOptions: Sendable {
  package var segmentBytes = 16 << 20
  /// Zero-filled segments kept ready for use.
  package var spareSegments = 1
  package init() {}
}

/// The write-ahead log in one directory. Not thread-safe: one thread owns it.
package final class Log<Files: FileSystem> {
  package static func open(
    _ files: Files, directory: String, options: LogOptions
  ) throws(StorageError) -> (Log<Files>, RecoveredLog) { fatalError("stub") }

  /// Appends batches in order with one write where possible. Not durable before `sync`.
  package func append(_ batches: [LogBatch]) throws(StorageError) { fatalError("stub") }
  package func sync() throws(StorageError) { fatalError("stub") }
  /// Entries through `index` are in a durable snapshot: whole segments below may be recycled.
  package func compact(through index: LogIndex) throws(StorageError) { fatalError("stub") }
  /// Empties the log so that the next entry is `index + 1` (a snapshot was installed).
  package func reset(after index: LogIndex) throws(StorageError) { fatalError("stub") }
  /// Bytes on disk, spare segments included.
  package var diskBytes: Int { fatalError("stub") }
  package func close() { fatalError("stub") }
}
