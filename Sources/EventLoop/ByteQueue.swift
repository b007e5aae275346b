internal import Basics

/// Bytes that are appended at the end and consumed at the front; the storage is reused.
///
/// Consuming only moves an offset. Dead bytes at the front are dropped by the next append: at once
/// when nothing is live, by a move when they are more than half of the storage. So every byte is
/// moved at most about once, and a parser may keep a copy of `storage` while it consumes.
package struct ByteQueue: Sendable {
  /// The whole storage; the live bytes are at `readableRange`. For parsers that work on offsets.
  package private(set) var storage: [UInt8] = []
  private var head = 0

  /// An empty queue keeps at most so much memory.
  private static let keptBytesMax = 16 << 10
  /// Moving fewer dead bytes than this is not worth it.
  private static let compactionBytesMin = 4 << 10

  package init() {}

  /// Bytes not yet consumed.
  package var count: Int { storage.count - head }
  package var isEmpty: Bool { storage.count == head }
  package var readableRange: Range<Int> { head..<storage.count }

  package mutating func append(_ bytes: [UInt8]) {
    dropDeadBytes()
    storage.append(contentsOf: bytes)
  }

  package mutating func append(_ bytes: ArraySlice<UInt8>) {
    dropDeadBytes()
    storage.append(contentsOf: bytes)
  }

  package mutating func append(_ byte: UInt8) {
    dropDeadBytes()
    storage.append(byte)
  }

  package mutating func append(_ text: StaticString) {
    dropDeadBytes()
    text.withUTF8Buffer { buffer in
      // Sound: a literal's bytes live for ever.
      unsafe storage.append(contentsOf: buffer)
    }
  }

  /// Makes room for `count` bytes more at once, into which `body` writes.
  package mutating func append(
    addingCapacity count: Int, _ body: (inout OutputSpan<UInt8>) -> Void
  ) {
    dropDeadBytes()
    let needed = storage.count + count
    // Doubled as an append would, or many small answers would each copy all before them.
    if storage.capacity < needed { storage.reserveCapacity(max(needed, 2 * storage.capacity)) }
    storage.append(addingCapacity: count, initializingWith: body)
  }

  /// Runs `body` on the storage so that a writer can append in place; it must not do anything else
  /// to it than append, and change only bytes that it appended.
  package mutating func withStorage<R>(_ body: (inout [UInt8]) -> R) -> R {
    dropDeadBytes()
    let before = storage.count
    defer { invariant(storage.count >= before, "bytes were taken away in withStorage") }
    return body(&storage)
  }

  /// `count` must not be more than `self.count`.
  package mutating func consume(_ count: Int) {
    invariant(count >= 0 && count <= self.count, "consume \(count) of \(self.count)")
    head += count
    if head == storage.count, storage.capacity > ByteQueue.keptBytesMax { removeAll() }
  }

  /// Gives the memory back as well.
  package mutating func removeAll() {
    storage = []
    head = 0
  }

  private mutating func dropDeadBytes() {
    guard head > 0 else { return }
    if head == storage.count {
      storage.removeAll(keepingCapacity: true)
      head = 0
    } else if head >= ByteQueue.compactionBytesMin, head > storage.count / 2 {
      storage.removeSubrange(..<head)
      head = 0
    }
  }
}
