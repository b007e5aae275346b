/// The seam between storage logic and the disk: a real body (`PosixFileSystem`) and simulated,
/// fault-injecting ones. Paths are plain strings, directories are separated by "/".
///
/// All calls block. A throwing `sync` means the file must not be trusted again by this process.
package protocol FileSystem: AnyObject, SendableMetatype {
  associatedtype File: StorageFile
  func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> File
  func list(_ directory: String) throws(StorageError) -> [String]
  func makeDirectory(_ path: String) throws(StorageError)
  func exists(_ path: String) -> Bool
  func rename(_ from: String, to: String) throws(StorageError)
  func remove(_ path: String) throws(StorageError)
  /// Makes creations, renames and removals in `directory` durable.
  func syncDirectory(_ directory: String) throws(StorageError)
}

package enum OpenMode: Sendable {
  case readOnly
  /// Read and write an existing file.
  case readWrite
  /// Create, or empty an existing file.
  case create
}

package protocol StorageFile: AnyObject {
  var path: String { get }
  func size() throws(StorageError) -> Int
  /// Reads up to `count` bytes; fewer only at the end of the file.
  func read(at offset: Int, count: Int) throws(StorageError) -> [UInt8]
  /// Writes all of `bytes` (short writes are continued inside).
  func write(_ bytes: [UInt8], at offset: Int) throws(StorageError)
  func truncate(to size: Int) throws(StorageError)
  /// Has the device write these bytes, and waits for it, so that a later `sync` finds little to do.
  /// Makes nothing durable. After an error nothing that was written to the file can be relied on.
  func writeOut(from offset: Int, count: Int) throws(StorageError)
  /// fdatasync.
  func sync() throws(StorageError)
  func close()
}
