/// Bytes that are appended at the end and consumed at the front; the storage is reused. STUB.
package struct ByteQueue: Sendable {
  package init() {}
  /// Bytes not yet consumed.
  package var count: Int { fatalError("stub") }
  package var isEmpty: Bool { count == 0 }
  /// The whole storage; the live bytes are at `readableRange`. For parsers that work on offsets.
  package var storage: [UInt8] { fatalError("stub") }
  package var readableRange: Range<Int> { fatalError("stub") }
  package mutating func append(_ bytes: [UInt8]) { fatalError("stub") }
  package mutating func append(_ bytes: ArraySlice<UInt8>) { fatalError("stub") }
  package mutating func append(_ byte: UInt8) { fatalError("stub") }
  package mutating func append(_ text: StaticString) { fatalError("stub") }
  /// Runs `body` on the storage so that a writer can append in place.
  package mutating func withStorage<R>(_ body: (inout [UInt8]) -> R) -> R { fatalError("stub") }
  /// `count` must not be more than `self.count`.
  package mutating func consume(_ count: Int) { fatalError("stub") }
  package mutating func removeAll() { fatalError("stub") }
}
