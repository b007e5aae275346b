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
  mutating func append(_ slot: consuming Slot) -> UInt64 {
    slots.append(slot)
    return firstSequence + UInt64(slots.count - 1)
  }

  /// Where the answer's slot is, nil when it was removed.
  func index(_ sequence: UInt64) -> Int? {
    guard sequence >= firstSequence else { return nil }
    let index = Int(sequence - firstSequence)
    return index < slots.count ? index : nil
  }

  /// Where a completed answer's bytes go, and how.
  struct Place {
    /// 0: into the connection's output, else into the slot.
    var index: Int
    var isHead: Bool
    var closesAfter: Bool
  }

  /// Notes that an answer is given as a whole; its bytes are still to be written. Nil when it was
  /// removed. One call, since each access to the queue of a connection is checked at run time.
  mutating func complete(_ sequence: UInt64, closes: Bool) -> Place? {
    guard let index = index(sequence) else { return nil }
    slots[index].isComplete = true
    if closes { slots[index].closesAfter = true }
    return Place(
      index: index, isHead: slots[index].isHead, closesAfter: slots[index].closesAfter)
  }

  /// Removes the front answer when it is complete. Destroying it may come back to this queue.
  mutating func takeCompleted() -> Slot? {
    guard !slots.isEmpty, slots[0].isComplete else { return nil }
    return removeFront()
  }

  /// What was written for the front answer before it was at the front.
  mutating func takeWaiting() -> OutputQueue {
    guard !slots.isEmpty, !slots[0].waiting.isEmpty else { return OutputQueue() }
    var waiting = OutputQueue()
    swap(&waiting, &slots[0].waiting)
    return waiting
  }

  subscript(_ index: Int) -> Slot {
    get { slots[index] }
    _modify { yield &slots[index] }
  }

  /// Hands out what it removes: destroying that may come back to this queue.
  private mutating func removeFront() -> Slot {
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
