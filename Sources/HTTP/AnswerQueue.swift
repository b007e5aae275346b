import EventLoop

/// The answers one connection owes, in the order of its requests (RFC 9112 9.3.2).
///
/// The front one writes straight into the connection's output; those behind it collect their bytes
/// here until their turn comes. Bounded by `HTTPLimits.pipelineMax` requests; an answer ahead of its
/// turn is bounded by what handlers produce.
struct AnswerQueue {
  struct Slot {
    /// What only a few answers need; apart, so that the slot of another is quickly moved.
    var more: More?
    var isComplete = false
    var isChunked = false
    /// Nothing but the head is sent (HEAD, 204, 304).
    var hidesBody = false
    var closesAfter = false
    /// `write` said false and owes a call of `onDrain`.
    var owesDrain = false
    /// Of the request.
    var isHead = false
    var isHTTP10 = false
  }

  /// One slot's own, until that is removed.
  final class More {
    /// Bytes written before this answer was at the front.
    var waiting = OutputQueue()
    var onClose: (() -> Void)?
    var onDrain: (() -> Void)?

    /// The number of bytes that `body` appended to those that wait.
    func append(_ body: (inout OutputQueue) -> Void) -> Int {
      let before = waiting.count
      body(&waiting)
      return waiting.count - before
    }
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

  /// What only a few answers need, made when it is asked for.
  mutating func more(_ index: Int) -> More {
    if let more = slots[index].more { return more }
    let more = More()
    slots[index].more = more
    return more
  }

  /// Where a completed answer's bytes go, and how.
  struct Place {
    var isHead: Bool
    var closesAfter: Bool
    /// Nil: into the connection's output, and the slot is removed already. Else into that slot.
    var index: Int?
    /// The removed slot's. Destroying it may come back to this queue.
    var more: More?
    /// The answer behind it, now at the front, has bytes that wait, or is complete.
    var isNextReady = false
  }

  /// Notes that an answer is given as a whole; its bytes are still to be written. Nil when it was
  /// removed. One call, since each access to the queue of a connection is checked at run time.
  mutating func complete(_ sequence: UInt64, closes: Bool) -> Place? {
    guard let index = index(sequence) else { return nil }
    if index == 0 {
      let slot = removeFront()
      return Place(
        isHead: slot.isHead, closesAfter: slot.closesAfter || closes, index: nil, more: slot.more,
        isNextReady: slots.first.map { next in next.isComplete || next.more != nil } ?? false)
    }
    slots[index].isComplete = true
    if closes { slots[index].closesAfter = true }
    return Place(isHead: slots[index].isHead, closesAfter: slots[index].closesAfter, index: index)
  }

  /// Removes the front answer when it is complete. Destroying it may come back to this queue.
  mutating func takeCompleted() -> Slot? {
    guard !slots.isEmpty, slots[0].isComplete else { return nil }
    return removeFront()
  }

  /// What was written for the front answer before it was at the front.
  mutating func takeWaiting() -> OutputQueue? {
    guard !slots.isEmpty, let more = slots[0].more, !more.waiting.isEmpty else { return nil }
    var waiting = OutputQueue()
    swap(&waiting, &more.waiting)
    return waiting
  }

  subscript(_ index: Int) -> Slot {
    get { slots[index] }
    _modify { yield &slots[index] }
  }

  /// Hands out what it removes: destroying that may come back to this queue.
  private mutating func removeFront() -> Slot {
    firstSequence += 1
    // Of one that is also the last, nothing moves up.
    return slots.count == 1 ? slots.removeLast() : slots.removeFirst()
  }

  /// Empties the queue and hands out what it held.
  mutating func takeAll() -> [Slot] {
    let all = slots
    firstSequence += UInt64(slots.count)
    slots = []
    return all
  }
}
