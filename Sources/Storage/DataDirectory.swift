import Glibc

/// A node's directory on the real disk: made when missing, readable by its owner only, and held
/// by one process at a time.
///
/// Happy path: `open` takes an exclusive `flock` on the file `lock` and keeps it until `close`,
/// or until the process ends, however it ends: nothing stale can be left behind. The lock file
/// names the holder's process for people. Failures: `.locked` when another process holds it.
package final class DataDirectory {
  package let path: String
  /// What was put right on the way, for the log.
  package private(set) var notes: [String] = []
  private var lock: Int32

  package init(_ path: String) throws(StorageError) {
    self.path = path
    lock = -1
    try PosixFileSystem().makeDirectory(path)
    try tightenPermissions()
    try takeLock()
  }

  deinit { close() }

  /// The log's and the snapshots' directories.
  package var logPath: String { path + "/log" }
  package var snapshotPath: String { path + "/snapshots" }

  /// Gives the directory free. Files in it must be closed before.
  package func close() {
    guard lock >= 0 else { return }
    _ = Glibc.close(lock)
    lock = -1
  }

  private func tightenPermissions() throws(StorageError) {
    var status = stat()
    // Sound: `status` outlives the call; the path is a Swift string with its final zero.
    try Posix.call("stat", path) { unsafe stat(path, &status) }
    guard status.st_mode & 0o077 != 0 else { return }
    try Posix.call("chmod", path) { unsafe chmod(path, 0o700) }
    let old = String(status.st_mode & 0o777, radix: 8)
    notes.append("\(path) could be read by other users (mode \(old)); it is 700 now.")
  }

  private func takeLock() throws(StorageError) {
    let file = path + "/lock"
    let descriptor = try Posix.call("open", file) {
      unsafe Glibc.open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    }
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let code = errno
      _ = Glibc.close(descriptor)
      throw code == EWOULDBLOCK ? .locked(path: path) : Posix.error("flock", file, code)
    }
    lock = descriptor
    let holder = Array("\(getpid())\n".utf8)
    try Posix.call("truncate", file) { ftruncate(descriptor, 0) }
    // Sound: the array is alive for the call. What is written is for people only.
    _ = unsafe pwrite(descriptor, holder, holder.count, 0)
  }
}
