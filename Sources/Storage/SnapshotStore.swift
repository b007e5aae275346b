package import Raft

/// Snapshot files of one directory: temporary file, checksums, sync, rename, sync of the folder.
/// The last two are kept. Blocking; used from worker threads and at start, by one thread at a
/// time.
///
/// **Happy path.** `write` streams a new snapshot into `write.tmp` and installs it as
/// `<index>-<term>.snapshot` (16 hex digits each); `readTransfer` serves pieces of that file to a
/// follower, whose `receive` appends them to `receive.tmp`, and after the last one verifies the
/// whole file and installs it. No more than one block is in memory.
///
/// **Failures.** Opening removes temporary files of an earlier process. `newest` verifies a file
/// from end to end once; a damaged one is listed in `damaged`, and the one before is used. A file
/// of a newer format is refused with `.foreign` rather than skipped. An error while writing or
/// receiving removes the temporary file: what was there stays in force.
package final class SnapshotStore<Files: FileSystem> {
  private struct Stored {
    var path: String
    var index: UInt64
    var term: UInt64
    var bytes: Int
    /// Known once the file was verified or written.
    var meta: SnapshotMeta?
  }

  /// How many snapshots are kept.
  private static var keptMax: Int { 2 }
  /// A larger piece is not read at once, whatever a caller asks.
  private static var transferBytesMax: Int { 8 << 20 }

  private let files: Files
  private let directory: String
  /// Newest first.
  private var stored: [Stored] = []
  /// Damaged files: kept for a look, removed when the next snapshot is installed.
  private var useless: [String] = []
  private var receiving: Receiving?
  /// Files that were found damaged and passed over, with what is wrong with each.
  package private(set) var damaged: [StorageError] = []

  private struct Receiving {
    var file: Files.File
    var meta: SnapshotMeta
    var totalBytes: UInt64
    var offset: UInt64
  }

  package init(_ files: Files, directory: String) throws(StorageError) {
    self.files = files
    self.directory = directory
    try files.makeDirectory(directory)
    for name in try files.list(directory) {
      if name.hasSuffix(".tmp") {
        try files.remove(directory + "/" + name)
      } else if let (index, term) = Self.parse(name) {
        let path = directory + "/" + name
        let file = try files.open(path, .readOnly)
        let bytes = try file.size()
        file.close()
        stored.append(Stored(path: path, index: index, term: term, bytes: bytes, meta: nil))
      }
    }
    stored.sort { ($0.index, $0.term) > ($1.index, $1.term) }
  }

  /// The newest snapshot that is whole, and the size of its file; damaged ones are reported in
  /// `damaged`.
  package func newest() throws(StorageError) -> (meta: SnapshotMeta, bytes: Int)? {
    while let first = stored.first {
      if let meta = first.meta { return (meta, first.bytes) }
      do throws(StorageError) {
        stored[0].meta = try verify(first.path, index: first.index, term: first.term)
      } catch {
        guard case .damaged = error else { throw error }
        damaged.append(error)
        useless.append(stored.removeFirst().path)
      }
    }
    return nil
  }

  /// Calls `body` with the payload in order, piece by piece, verifying checksums.
  package func read(
    _ meta: SnapshotMeta, _ body: ([UInt8]) throws(StorageError) -> Void
  ) throws(StorageError) {
    let file = try files.open(try path(of: meta), .readOnly)
    defer { file.close() }
    var reader = try SnapshotFileReader(file)
    while let piece = try reader.next() { try body(piece) }
  }

  /// A piece of the file as it is sent to a follower (headers and checksums included). Throws
  /// `.notFound` when the file was replaced by newer ones. At the end of the file: no bytes.
  package func readTransfer(
    _ meta: SnapshotMeta, offset: UInt64, bytesMax: Int
  ) throws(StorageError) -> (data: [UInt8], totalBytes: UInt64) {
    let file = try files.open(try path(of: meta), .readOnly)
    defer { file.close() }
    let total = try file.size()
    let start = min(Int(clamping: offset), total)
    let data = try file.read(
      at: start, count: min(bytesMax, Self.transferBytesMax, total - start))
    return (data, UInt64(total))
  }

  /// Writes a snapshot; `produce` is called until it returns nil. Durable when it returns.
  package func write(
    _ meta: SnapshotMeta, _ produce: () throws(StorageError) -> [UInt8]?
  ) throws(StorageError) {
    let temporary = directory + "/write.tmp"
    do throws(StorageError) {
      let file = try files.open(temporary, .create)
      defer { file.close() }
      var writer = try SnapshotFileWriter(file, meta)
      while let piece = try produce() { try writer.add(piece) }
      try writer.finish()
      try install(temporary, meta, bytes: try file.size())
    } catch {
      discard(temporary)
      throw error
    }
  }

  /// Receives a transferred file piece by piece; the last piece verifies and installs it. A piece
  /// at offset 0 starts afresh, whatever came before; one that does not follow the last, or
  /// belongs to another snapshot, throws `.damaged` and forgets the transfer.
  package func receive(_ chunk: ReceivedChunk) throws(StorageError) {
    let temporary = directory + "/receive.tmp"
    do throws(StorageError) {
      if chunk.offset == 0 {
        receiving?.file.close()
        receiving = Receiving(
          file: try files.open(temporary, .create), meta: chunk.meta,
          totalBytes: chunk.totalBytes, offset: 0)
      }
      guard var state = receiving, state.meta == chunk.meta, state.offset == chunk.offset,
        state.totalBytes == chunk.totalBytes,
        UInt64(chunk.data.count) <= state.totalBytes - state.offset
      else {
        throw .damaged(
          file: temporary, offset: Int(clamping: chunk.offset),
          reason: "a piece of the snapshot transfer is out of order")
      }
      try state.file.write(chunk.data, at: Int(clamping: chunk.offset))
      try state.file.writeOut(from: Int(clamping: chunk.offset), count: chunk.data.count)
      state.offset += UInt64(chunk.data.count)
      receiving = state
      if chunk.isLast { try finishReceiving(state, temporary) }
    } catch {
      receiving?.file.close()
      receiving = nil
      discard(temporary)
      throw error
    }
  }

  package var diskBytes: Int {
    stored.reduce(Int(clamping: receiving?.offset ?? 0)) { $0 + $1.bytes }
  }

  // MARK: - Files

  private func finishReceiving(
    _ state: Receiving, _ temporary: String
  ) throws(StorageError) {
    guard state.offset == state.totalBytes else {
      throw .damaged(
        file: temporary, offset: Int(clamping: state.offset),
        reason: "the snapshot transfer ended before its last byte")
    }
    try state.file.sync()
    let index = state.meta.index.value
    let meta = try verify(temporary, index: index, term: state.meta.term.value)
    guard meta == state.meta else {
      throw .damaged(file: temporary, offset: 0, reason: "it is not the snapshot announced")
    }
    try install(temporary, meta, bytes: try state.file.size())
    state.file.close()
    receiving = nil
  }

  /// Reads the whole file.
  private func verify(
    _ path: String, index: UInt64, term: UInt64
  ) throws(StorageError) -> SnapshotMeta {
    let file = try files.open(path, .readOnly)
    defer { file.close() }
    var reader = try SnapshotFileReader(file)
    guard reader.meta.index.value == index, reader.meta.term.value == term else {
      throw .damaged(file: path, offset: 0, reason: "the name does not match the contents")
    }
    while try reader.next() != nil {}
    return reader.meta
  }

  /// Puts a synced temporary file in force, and removes what is too many.
  private func install(
    _ temporary: String, _ meta: SnapshotMeta, bytes: Int
  ) throws(StorageError) {
    let new = path(index: meta.index.value, term: meta.term.value)
    try files.rename(temporary, to: new)
    try files.syncDirectory(directory)
    stored.removeAll { $0.path == new }
    stored.append(
      Stored(
        path: new, index: meta.index.value, term: meta.term.value, bytes: bytes, meta: meta))
    stored.sort { ($0.index, $0.term) > ($1.index, $1.term) }
    while stored.count > Self.keptMax { useless.append(stored.removeLast().path) }
    // The new one is in force: what cannot be removed now is found when the store is opened.
    for path in useless where path != new && files.exists(path) { try? files.remove(path) }
    useless = []
  }

  private func discard(_ temporary: String) {
    // What is left behind is removed when the store is opened the next time.
    if files.exists(temporary) { try? files.remove(temporary) }
  }

  private func path(of meta: SnapshotMeta) throws(StorageError) -> String {
    let path = path(index: meta.index.value, term: meta.term.value)
    guard stored.contains(where: { $0.path == path }) else { throw .notFound(path: path) }
    return path
  }

  private func path(index: UInt64, term: UInt64) -> String {
    directory + "/" + Path.hex(index) + "-" + Path.hex(term) + ".snapshot"
  }

  private static func parse(_ name: String) -> (index: UInt64, term: UInt64)? {
    let suffix = ".snapshot"
    guard name.utf8.count == 33 + suffix.utf8.count, name.hasSuffix(suffix),
      let index = Path.number(String(name.prefix(16)), suffix: ""),
      name.utf8.dropFirst(16).first == UInt8(ascii: "-"),
      let term = Path.number(String(name.dropFirst(17).prefix(16)), suffix: "")
    else { return nil }
    return (index, term)
  }
}
