import Synchronization

/// Files in memory, for `--dev` nodes and tests: nothing survives the process, nothing fails but
/// what must (`.notFound`). Directories exist by being named. Every thread may use it.
package final class MemoryFileSystem: FileSystem, Sendable {
  private let files = Mutex<[String: MemoryFile.Contents]>([:])

  package init() {}

  package func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> MemoryFile {
    let contents = files.withLock { files -> MemoryFile.Contents? in
      if let found = files[path] {
        if mode == .create { found.bytes.withLock { $0 = [] } }
        return found
      }
      guard mode == .create else { return nil }
      let made = MemoryFile.Contents()
      files[path] = made
      return made
    }
    guard let contents else { throw .notFound(path: path) }
    return MemoryFile(path: path, contents)
  }

  package func list(_ directory: String) throws(StorageError) -> [String] {
    let prefix = directory + "/"
    return files.withLock { files in
      files.keys.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        .filter { !$0.utf8.contains(UInt8(ascii: "/")) }.sorted()
    }
  }

  package func makeDirectory(_ path: String) throws(StorageError) {}

  package func exists(_ path: String) -> Bool { files.withLock { $0[path] != nil } }

  package func rename(_ from: String, to: String) throws(StorageError) {
    let isFound = files.withLock { files -> Bool in
      guard let moved = files.removeValue(forKey: from) else { return false }
      files[to] = moved
      return true
    }
    if !isFound { throw .notFound(path: from) }
  }

  package func remove(_ path: String) throws(StorageError) {
    let removed = files.withLock { $0.removeValue(forKey: path) }
    if removed == nil { throw .notFound(path: path) }
  }

  package func syncDirectory(_ directory: String) throws(StorageError) {}
}

package final class MemoryFile: StorageFile {
  /// What every handle of one file shares, and what a rename moves.
  final class Contents: Sendable {
    let bytes = Mutex<[UInt8]>([])
  }

  package let path: String
  private let contents: Contents

  init(path: String, _ contents: Contents) {
    self.path = path
    self.contents = contents
  }

  package func size() throws(StorageError) -> Int { contents.bytes.withLock { $0.count } }

  package func read(at offset: Int, count: Int) throws(StorageError) -> [UInt8] {
    contents.bytes.withLock { bytes in
      guard offset < bytes.count, count > 0 else { return [] }
      return Array(bytes[offset..<min(bytes.count, offset + count)])
    }
  }

  package func write(_ new: [UInt8], at offset: Int) throws(StorageError) {
    contents.bytes.withLock { $0.overwrite(with: new, at: offset) }
  }

  package func truncate(to size: Int) throws(StorageError) {
    contents.bytes.withLock { $0.resize(to: size) }
  }

  package func writeOut(from offset: Int, count: Int) throws(StorageError) {}
  package func sync() throws(StorageError) {}
  package func close() {}
}

extension [UInt8] {
  /// As `pwrite` does: grows with zeros where needed.
  mutating func overwrite(with new: [UInt8], at offset: Int) {
    if count < offset + new.count { resize(to: offset + new.count) }
    replaceSubrange(offset..<offset + new.count, with: new)
  }

  mutating func resize(to size: Int) {
    if size < count {
      removeLast(count - size)
    } else {
      append(contentsOf: repeatElement(0, count: size - count))
    }
  }
}
