package import Raft

/// Snapshot files of one directory: temporary file, checksums, sync, rename, sync of the folder.
/// The last two are kept. STUB. Blocking; used from worker threads and at start.
package final class SnapshotStore<Files: FileSystem> {
  package init(_ files: Files, directory: String) throws(StorageError) { fatalError("stub") }

  /// The newest snapshot that is whole; damaged ones are reported in `damaged`.
  package func newest() throws(StorageError) -> (meta: SnapshotMeta, bytes: Int)? {
    fatalError("stub")
  }
  /// Calls `body` with the payload in order, piece by piece, verifying checksums.
  package func read(
    _ meta: SnapshotMeta, _ body: ([UInt8]) throws(StorageError) -> Void
  ) throws(StorageError) { fatalError("stub") }
  /// A piece of the file as it is sent to a follower (headers and checksums included).
  package func readTransfer(
    _ meta: SnapshotMeta, offset: UInt64, bytesMax: Int
  ) throws(StorageError) -> (data: [UInt8], totalBytes: UInt64) { fatalError("stub") }
  /// Writes a snapshot; `produce` is called until it returns nil.
  package func write(
    _ meta: SnapshotMeta, _ produce: () throws(StorageError) -> [UInt8]?
  ) throws(StorageError) { fatalError("stub") }
  /// Receives a transferred file piece by piece; the last piece verifies and installs it.
  package func receive(_ chunk: ReceivedChunk) throws(StorageError) { fatalError("stub") }
  package var diskBytes: Int { fatalError("stub") }
}
