internal import Basics

/// What a connection has still to send: bytes of its own, and between them large bodies that it
/// shares with whoever else holds the array.
///
/// Own bytes are appended in place and live in one `ByteQueue`; a shared body is a reference to its
/// array and where it comes in the order. So an answer of 10 MB to a thousand connections is in
/// memory once. `count`, and with it every bound, has the shared bytes too, though they cost this
/// connection nothing: what the peer has still to take is what matters to them.
package struct OutputQueue: Sendable {
  private struct Shared {
    /// Own bytes in front of it, and behind the shared body before it.
    var ownBefore: Int
    var bytes: [UInt8]
    var consumed = 0

    var count: Int { bytes.count - consumed }
  }

  private var own = ByteQueue()
  private var shared: [Shared] = []
  /// Own bytes in front of the last shared body.
  private var ownBeforeLast = 0
  private var sharedCount = 0

  /// Smaller bodies are cheaper to copy than to keep apart.
  package static let sharedBytesMin = 16 << 10

  package init() {}

  /// Bytes not yet consumed.
  package var count: Int { own.count + sharedCount }
  package var isEmpty: Bool { own.isEmpty && sharedCount == 0 }

  package mutating func append(_ bytes: [UInt8]) { own.append(bytes) }
  package mutating func append(_ bytes: ArraySlice<UInt8>) { own.append(bytes) }
  package mutating func append(_ byte: UInt8) { own.append(byte) }
  package mutating func append(_ text: StaticString) { own.append(text) }

  /// Makes room for `count` own bytes more at once, into which `body` writes.
  package mutating func append(
    addingCapacity count: Int, _ body: (inout OutputSpan<UInt8>) -> Void
  ) {
    own.append(addingCapacity: count, body)
  }

  /// Runs `body` on the storage of the own bytes so that a writer can append in place; it must not
  /// do anything else to it than append, and change only bytes that it appended.
  package mutating func withStorage<R>(_ body: (inout [UInt8]) -> R) -> R {
    own.withStorage(body)
  }

  /// Appends `bytes`, by reference when they are many.
  package mutating func append(sharing bytes: [UInt8]) {
    guard bytes.count >= Self.sharedBytesMin else { return own.append(bytes) }
    shared.append(Shared(ownBefore: own.count - ownBeforeLast, bytes: bytes))
    ownBeforeLast = own.count
    sharedCount += bytes.count
  }

  /// Appends all that another queue holds.
  package mutating func append(_ other: OutputQueue) {
    var start = other.own.readableRange.lowerBound
    for body in other.shared {
      own.append(other.own.storage[start..<start + body.ownBefore])
      start += body.ownBefore
      shared.append(
        Shared(ownBefore: own.count - ownBeforeLast, bytes: body.bytes, consumed: body.consumed))
      ownBeforeLast = own.count
      sharedCount += body.count
    }
    own.append(other.own.storage[start..<other.own.readableRange.upperBound])
  }

  /// `count` must not be more than `self.count`.
  package mutating func consume(_ count: Int) {
    invariant(count >= 0 && count <= self.count, "consume \(count) of \(self.count)")
    guard !shared.isEmpty else { return own.consume(count) }
    var left = count
    var done = 0
    while done < shared.count {
      let ownPart = min(left, shared[done].ownBefore)
      own.consume(ownPart)
      shared[done].ownBefore -= ownPart
      ownBeforeLast -= ownPart
      let sharedPart = min(left - ownPart, shared[done].count)
      shared[done].consumed += sharedPart
      sharedCount -= sharedPart
      left -= ownPart + sharedPart
      guard shared[done].count == 0 else { break }
      done += 1
    }
    if done == shared.count { shared = [] } else { shared.removeFirst(done) }
    own.consume(left)
  }

  /// The bytes at the front: own ones, and the shared body that follows them. Holds the arrays;
  /// let go of it before the queue is written to again, or the own bytes are copied.
  func front(to fd: Int32) -> SendJob {
    let start = own.readableRange.lowerBound
    guard let body = shared.first else {
      return SendJob(fd: fd, own: own.storage, ownRange: own.readableRange)
    }
    return SendJob(
      fd: fd, own: own.storage, ownRange: start..<start + body.ownBefore, shared: body.bytes,
      sharedRange: body.consumed..<body.bytes.count)
  }
}
