/// Deadlines by key: set, moved, removed, taken when due. Pure; time is whatever the caller counts.
///
/// A binary heap with lazy deletion: moving a deadline (every renewal does) adds an entry and
/// leaves the old one to be recognised by its generation and dropped later. When more than half of
/// the heap is dead it is rebuilt, so its size stays within twice the number of keys.
struct DeadlineQueue<Key: Hashable> {
  private struct Slot {
    var deadline: UInt64
    var generation: UInt64
  }
  private struct Item {
    let deadline: UInt64
    let generation: UInt64
    let key: Key
  }

  private var slots: [Key: Slot] = [:]
  private var heap: [Item] = []
  private var nextGeneration: UInt64 = 1

  var count: Int { slots.count }
  var isEmpty: Bool { slots.isEmpty }

  func deadline(of key: Key) -> UInt64? { slots[key]?.deadline }

  mutating func set(_ key: Key, deadline: UInt64) {
    let generation = nextGeneration
    nextGeneration += 1
    slots[key] = Slot(deadline: deadline, generation: generation)
    push(Item(deadline: deadline, generation: generation, key: key))
    if heap.count > 64, heap.count > 2 * slots.count { rebuild() }
  }

  mutating func remove(_ key: Key) { slots[key] = nil }

  mutating func removeAll() {
    slots.removeAll()
    heap.removeAll()
  }

  /// The earliest deadline of all.
  mutating func earliest() -> UInt64? {
    while let first = heap.first {
      if slots[first.key]?.generation == first.generation { return first.deadline }
      pop()
    }
    return nil
  }

  /// Removes and returns a key whose deadline is at or before `now`; earliest first.
  mutating func takeDue(now: UInt64) -> Key? {
    while let first = heap.first {
      let isLive = slots[first.key]?.generation == first.generation
      if isLive, first.deadline > now { return nil }
      pop()
      if isLive {
        slots[first.key] = nil
        return first.key
      }
    }
    return nil
  }

  /// Keeps the keys for which `isWanted` holds.
  mutating func filter(_ isWanted: (Key) -> Bool) {
    slots = slots.filter { isWanted($0.key) }
    rebuild()
  }

  private mutating func rebuild() {
    let live = heap.filter { slots[$0.key]?.generation == $0.generation }
    heap.removeAll(keepingCapacity: true)
    for item in live { push(item) }
  }

  private mutating func push(_ item: Item) {
    heap.append(item)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].deadline < heap[parent].deadline else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  private mutating func pop() {
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].deadline < heap[least].deadline {
        least = child
      }
      guard least != parent else { return }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
