/// What can go wrong below the log and the snapshots. The texts are read by operators: they say
/// what happened, where, and what to do.
package enum StorageError: Error, Equatable, Sendable {
  /// A system call failed (`code` is errno, `name` its text).
  case io(operation: String, path: String, code: Int32, name: String)
  case diskFull(path: String)
  /// Bytes that cannot be trusted, followed by bytes that can: not a torn tail.
  case damaged(file: String, offset: Int, reason: String)
  case notFound(path: String)
  /// Another process holds the data directory.
  case locked(path: String)
  /// The directory belongs to another node or cluster, or to a newer format.
  case foreign(path: String, reason: String)
}
