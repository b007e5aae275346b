internal import Basics

/// The timers of one loop: a binary heap by deadline, then by order of scheduling.
///
/// Adding, cancelling and firing cost O(log n). A timer is named by its slot and the slot's
/// generation, so an id that has fired or was cancelled names nothing, also after reuse.
struct Timers {
  private struct Slot {
    var generation: UInt32 = 1
    /// Position in `heap`, -1 when the slot is free.
    var position = -1
    var body: (() -> Void)?
  }

  private struct Node {
    var deadline: UInt64
    var sequence: UInt64
    var slot: Int

    func isBefore(_ other: Node) -> Bool {
      deadline != other.deadline ? deadline < other.deadline : sequence < other.sequence
    }
  }

  private var slots: [Slot] = []
  private var freeSlots: [Int] = []
  private var heap: [Node] = []
  /// Of the next timer; timers with a smaller one exist already.
  private(set) var nextSequence: UInt64 = 0

  var count: Int { heap.count }
  var earliestDeadline: UInt64? { heap.first?.deadline }

  mutating func add(deadline: UInt64, _ body: @escaping () -> Void) -> TimerID {
    let slot: Int
    if let reused = freeSlots.popLast() {
      slot = reused
    } else {
      slot = slots.count
      invariant(slot < Int(UInt32.max), "too many timers")
      slots.append(Slot())
    }
    slots[slot].body = body
    heap.append(Node(deadline: deadline, sequence: nextSequence, slot: slot))
    slots[slot].position = heap.count - 1
    nextSequence += 1
    siftUp(heap.count - 1)
    return TimerID(UInt64(slots[slot].generation) << 32 | UInt64(slot))
  }

  /// Returns the body so that the caller releases it: its destruction may run code that comes back
  /// to the timers. Nil when the id names no timer.
  mutating func cancel(_ id: TimerID) -> (() -> Void)? {
    let slot = Int(truncatingIfNeeded: id.value & 0xFFFF_FFFF)
    guard slot < slots.count, slots[slot].position >= 0,
      slots[slot].generation == UInt32(truncatingIfNeeded: id.value >> 32)
    else { return nil }
    return remove(at: slots[slot].position)
  }

  /// Takes out the first timer that is due at `now` and was scheduled before `limit`.
  mutating func takeDue(at now: UInt64, before limit: UInt64) -> (() -> Void)? {
    guard let first = heap.first, first.deadline <= now, first.sequence < limit else { return nil }
    return remove(at: 0)
  }

  private mutating func remove(at position: Int) -> (() -> Void)? {
    let slot = heap[position].slot
    let last = heap.removeLast()
    if position < heap.count {
      heap[position] = last
      slots[last.slot].position = position
      siftDown(position)
      siftUp(position)
    }
    let body = slots[slot].body
    slots[slot].body = nil
    slots[slot].position = -1
    slots[slot].generation &+= 1
    freeSlots.append(slot)
    return body
  }

  private mutating func siftUp(_ start: Int) {
    var child = start
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].isBefore(heap[parent]) else { return }
      exchange(child, parent)
      child = parent
    }
  }

  private mutating func siftDown(_ start: Int) {
    var parent = start
    while true {
      var first = parent
      let left = 2 * parent + 1
      if left < heap.count, heap[left].isBefore(heap[first]) { first = left }
      if left + 1 < heap.count, heap[left + 1].isBefore(heap[first]) { first = left + 1 }
      guard first != parent else { return }
      exchange(first, parent)
      parent = first
    }
  }

  private mutating func exchange(_ a: Int, _ b: Int) {
    heap.swapAt(a, b)
    slots[heap[a].slot].position = a
    slots[heap[b].slot].position = b
  }
}
