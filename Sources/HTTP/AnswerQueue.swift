import EventLoop

/// The answers one connection owes, in the order of its requests (RFC 9112 9.3.2).
///
/// The front one writes straight into the connection's output; those behind it collect their bytes
/// here until their turn comes. Bounded by `HTTPLimits.pipelineMax` requests; an answer ahead of its
/// turn is bounded by what handlers produce.
struct AnswerQueue {
  struct Slot {
    /// Bytes written before this answer was at the front.
    var waiting = OutputQueue()
    var isComplete = false
    var isChunked = false
    /// Nothing but the head is sent (HEAD, 204, 304).
    var hidesBody = false
    var closesAfter = false
    /// `write` said false and owes a call of `onDrain`.
    var owesDrain = false
    var onClose: (() -> Void)?
    var onDrain: (() -> Void)?
    /// Of the request.
    var isHead = false
    var isHTTP10 = false
  }

  private(set) var slots: [Slot] = []
  private var firstSequence: UInt64 = 0

  var isEmpty: Bool { slots.isEmpty }
  var count: Int { slots.count }

  /// The sequence number of the new slot.
  mutating func append(_ slot: Slot) -> UInt64 {
    slots.append(slot)
    return firstSequence + UInt64(slots.count - 1)
  }

  /// Where the answer's slot is, nil when it was removed.
  func index(_ sequence: UInt64) -> Int? {
    guard sequence >= firstSequence else { return nil }
    let index = Int(sequence - firstSequence)
    return index < slots.count ? index : nil
  }

  subscript(_ index: Int) -> Slot {
    get { slots[index] }
    _modify { yield &slots[index] }
  }

  /// Hands out what it removes: destroying that may come back to this queue.
  mutating func removeFront() -> Slot {
    firstSequence += 1
    return slots.removeFirst()
  }

  /// Empties the queue and hands out what it held.
  mutating func takeAll() -> [Slot] {
    let all = slots
    firstSequence += UInt64(slots.count)
    slots = []
    return all
  }
}
