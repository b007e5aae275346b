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

extension StorageError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .io(let operation, let path, let code, let name):
      "\(operation) of \(path) failed: \(name) (errno \(code)). "
        + "Check the disk and the permissions, then start the node again."
    case .diskFull(let path):
      "No space left on the device while writing \(path). "
        + "Free some space; the node goes on by itself as soon as there is room."
    case .damaged(let file, let offset, let reason):
      "\(file) is damaged at byte \(offset): \(reason). "
        + "Move the data directory aside and let the node rejoin empty."
    case .notFound(let path):
      "\(path) does not exist. It was removed, or replaced by a newer file; ask again."
    case .locked(let path):
      "\(path) is in use by another process. "
        + "Stop that process, or give this node a data directory of its own."
    case .foreign(let path, let reason):
      "\(path) cannot be used: \(reason)."
    }
  }
}
