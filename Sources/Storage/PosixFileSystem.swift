import CRoost
import Glibc

/// The real disk, through Glibc's calls.
///
/// Files are made with mode 0600 and directories with 0700, all descriptors are close-on-exec,
/// interrupted calls are repeated and short writes continued. ENOSPC and EDQUOT become
/// `.diskFull`, ENOENT `.notFound`, all else `.io` with the errno. Stateless, so every thread may
/// use it; a `PosixFile` belongs to one thread at a time. The `unsafe` calls that take a path pass
/// a Swift string, which stays alive, with its final zero, for the length of the call.
package final class PosixFileSystem: FileSystem, Sendable {
  package init() {}

  package func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> PosixFile {
    let flags: Int32
    switch mode {
    case .readOnly: flags = O_RDONLY | O_CLOEXEC
    case .readWrite: flags = O_RDWR | O_CLOEXEC
    case .create: flags = O_RDWR | O_CLOEXEC | O_CREAT | O_TRUNC
    }
    let descriptor = try Posix.call("open", path) { unsafe Glibc.open(path, flags, 0o600) }
    return PosixFile(path: path, descriptor: descriptor)
  }

  package func list(_ directory: String) throws(StorageError) -> [String] {
    guard let stream = unsafe opendir(directory) else { throw Posix.error("list", directory) }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = unsafe readdir(stream) else {
        if errno != 0 { throw Posix.error("list", directory) }
        break
      }
      // Sound: the kernel ends `d_name` with a zero, and the copy is taken before the next call.
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Makes missing parents too, and makes each new name durable in its parent.
  package func makeDirectory(_ path: String) throws(StorageError) {
    if path.isEmpty || path == "/" || exists(path) { return }
    let parent = Path.parent(of: path)
    try makeDirectory(parent)
    if unsafe mkdir(path, 0o700) != 0 {
      if errno == EEXIST { return }
      throw Posix.error("mkdir", path)
    }
    try syncDirectory(parent)
  }

  package func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  package func rename(_ from: String, to: String) throws(StorageError) {
    try Posix.call("rename", from) { unsafe Glibc.rename(from, to) }
  }

  package func remove(_ path: String) throws(StorageError) {
    try Posix.call("remove", path) { unsafe unlink(path) }
  }

  package func syncDirectory(_ directory: String) throws(StorageError) {
    let descriptor = try Posix.call("open", directory) {
      unsafe Glibc.open(directory, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
    }
    defer { _ = Glibc.close(descriptor) }
    try Posix.call("fsync", directory) { fsync(descriptor) }
  }
}

/// One open file of `PosixFileSystem`; closed by `close` or when it is dropped.
package final class PosixFile: StorageFile {
  package let path: String
  private var descriptor: Int32

  init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close() }

  package func size() throws(StorageError) -> Int {
    var status = stat()
    let descriptor = descriptor
    // Sound: `status` outlives the call that fills it.
    try Posix.call("fstat", path) { unsafe fstat(descriptor, &status) }
    return Int(status.st_size)
  }

  package func read(at offset: Int, count: Int) throws(StorageError) -> [UInt8] {
    let wanted = min(count, max(0, try size() - offset))
    guard wanted > 0 else { return [] }
    var code: Int32 = 0
    let descriptor = descriptor
    // Sound: `pread` writes at most the bytes left in the buffer; what it wrote is counted.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: wanted) { buffer, filled in
      while filled < wanted {
        let n = unsafe pread(
          descriptor, buffer.baseAddress! + filled, wanted - filled, offset + filled)
        if n > 0 {
          filled += n
        } else if n == 0 {
          return
        } else if errno != EINTR {
          code = errno
          return
        }
      }
    }
    if code != 0 { throw Posix.error("read", path, code) }
    return bytes
  }

  package func write(_ bytes: [UInt8], at offset: Int) throws(StorageError) {
    var code: Int32 = 0
    let descriptor = descriptor
    unsafe bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        // Sound: the remainder of a non-empty buffer, read only.
        let n = unsafe pwrite(
          descriptor, buffer.baseAddress! + done, buffer.count - done, offset + done)
        if n > 0 {
          done += n
        } else if n < 0, errno != EINTR {
          code = errno
          return
        } else if n == 0 {
          code = ENOSPC
          return
        }
      }
    }
    if code != 0 { throw Posix.error("write", path, code) }
  }

  package func truncate(to size: Int) throws(StorageError) {
    let descriptor = descriptor
    try Posix.call("truncate", path) { ftruncate(descriptor, size) }
  }

  package func writeOut(from offset: Int, count: Int) throws(StorageError) {
    // Not repeated either: the kernel tells of a failed write once, here or at the next sync.
    let result = croost_write_out(descriptor, Int64(offset), Int64(count))
    if result < 0 { throw Posix.error("sync_file_range", path, -result) }
  }

  package func sync() throws(StorageError) {
    // Not repeated after EINTR or any other failure: pages may have been marked clean.
    if fdatasync(descriptor) != 0 { throw Posix.error("fdatasync", path) }
  }

  package func close() {
    guard descriptor >= 0 else { return }
    _ = Glibc.close(descriptor)
    descriptor = -1
  }
}

/// Errno handling in one place.
enum Posix {
  /// Repeats after EINTR.
  @discardableResult
  static func call(
    _ operation: String, _ path: String, _ body: () -> Int32
  ) throws(StorageError) -> Int32 {
    while true {
      let result = body()
      if result >= 0 { return result }
      if errno != EINTR { throw error(operation, path) }
    }
  }

  static func error(_ operation: String, _ path: String, _ code: Int32 = errno) -> StorageError {
    switch code {
    case ENOSPC, EDQUOT: .diskFull(path: path)
    case ENOENT: .notFound(path: path)
    default: .io(operation: operation, path: path, code: code, name: name(code))
    }
  }

  static func name(_ code: Int32) -> String {
    switch code {
    case EIO: "input/output error"
    case EACCES: "permission denied"
    case EPERM: "operation not permitted"
    case EROFS: "read-only file system"
    case EMFILE, ENFILE: "too many open files"
    case ENOTDIR: "not a directory"
    case EISDIR: "is a directory"
    case EFBIG: "file too large"
    case EBADF: "file is closed"
    case ENOTEMPTY: "directory not empty"
    case EINVAL: "invalid argument"
    case ENAMETOOLONG: "name too long"
    default: "system error"
    }
  }
}

/// Plain-string paths.
enum Path {
  /// "a/b" for "a/b/c", "." for "c", "/" for "/c".
  static func parent(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.utf8.startIndex ? "/" : String(path[..<slash])
  }

  /// `value` as sixteen hexadecimal digits, so that names sort as the numbers do.
  static func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }

  /// The number in a name such as `0000000000000007.wal`; nil for other names.
  static func number(_ name: String, suffix: String) -> UInt64? {
    guard name.hasSuffix(suffix) else { return nil }
    let digits = name.utf8.dropLast(suffix.utf8.count)
    guard digits.count == 16 else { return nil }
    var value: UInt64 = 0
    for digit in digits {
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(digit - 48)
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(digit - 87)
      default: return nil
      }
    }
    return value
  }
}
