import Registry

/// Who waits for what. A change touches only the lists of what changed: exact keys and topics by
/// hash, prefixes by one look-up per watched length, so 100,000 idle watches cost nothing.
///
/// A watch fires once and is gone. Every entry of a list knows its slot, and every slot the
/// positions of its entries, so removal moves one entry and searches nothing.
struct Watchers {
  /// One place in the list of one topic.
  private struct Entry {
    var slot: Int
    /// Which of the slot's topics this is.
    var ordinal: Int
  }
  private struct Place {
    var topic: Topic
    var position: Int
  }
  private struct Watch {
    var id: UInt64
    var places: [Place]
    var wake: () -> Void
  }

  private var slots: [Watch?] = []
  private var free: [Int] = []
  private var lists: [Topic: [Entry]] = [:]
  /// Slots whose only topic is a list of its own need no more; these are for what overlaps.
  private var prefixLengths: [Int: Int] = [:]
  private var sortedLengths: [Int] = []
  private var nextSerial: UInt64 = 1
  /// Fired, in that order; those before `dueStart` have been taken.
  private var due: [(() -> Void)?] = []
  private var dueStart = 0
  private(set) var count = 0

  /// A million watches at most: about 300 MB.
  static let countMax = 1 << 20
  private static let slotBits: UInt64 = 21

  /// Nil when there are too many.
  mutating func add(_ topics: [Topic], wake: @escaping () -> Void) -> WatchID? {
    guard count < Self.countMax else { return nil }
    let slot = free.popLast() ?? slots.count
    if slot == slots.count { slots.append(nil) }
    let id = nextSerial << Self.slotBits | UInt64(slot)
    nextSerial += 1
    var places: [Place] = []
    places.reserveCapacity(topics.count)
    for topic in topics {
      let position = lists[topic]?.count ?? 0
      lists[topic, default: []].append(Entry(slot: slot, ordinal: places.count))
      places.append(Place(topic: topic, position: position))
      if position == 0, case .prefix(let key) = topic { addLength(key.bytes.count) }
    }
    slots[slot] = Watch(id: id, places: places, wake: wake)
    count += 1
    return WatchID(id)
  }

  /// Returns what was to be called, so that the caller releases it: its destruction may run code
  /// that comes back here.
  mutating func cancel(_ id: WatchID) -> (() -> Void)? {
    let slot = Int(id.value & ((1 << Self.slotBits) - 1))
    guard slot < slots.count, slots[slot]?.id == id.value else { return nil }
    return remove(slot)?.wake
  }

  /// Moves everything that `changes` concerns to `due`.
  mutating func note(_ changes: borrowing ChangeSet) {
    guard count > 0 else { return }
    if changes.everything { return fireAll() }
    for key in changes.keys {
      fire(.key(key))
      firePrefixes(of: key)
    }
    for topic in changes.topics { fire(topic) }
    for prefix in changes.deletedPrefixes { fireOverlapping(prefix) }
  }

  /// Fired, and not yet taken.
  var hasDue: Bool { dueStart < due.count }

  /// The first so many that have fired.
  mutating func takeDue(atMost limit: Int) -> [() -> Void] {
    let end = dueStart + min(limit, due.count - dueStart)
    var taken: [() -> Void] = []
    taken.reserveCapacity(end - dueStart)
    while dueStart < end {
      if let wake = due[dueStart].take() { taken.append(wake) }
      dueStart += 1
    }
    if dueStart == due.count {
      due = []
      dueStart = 0
    }
    return taken
  }

  private mutating func firePrefixes(of key: Key) {
    var index = 0
    // The lists shrink while firing, so the lengths are looked at afresh.
    while index < sortedLengths.count, sortedLengths[index] <= key.bytes.count {
      let length = sortedLengths[index]
      fire(.prefix(Key(Array(key.bytes[..<length]))))
      if index < sortedLengths.count, sortedLengths[index] == length { index += 1 }
    }
  }

  /// A deleted tree: every watched key below it, and every prefix that overlaps it. Looks at all
  /// topics: deleting trees is rare.
  private mutating func fireOverlapping(_ tree: Key) {
    let concerned = lists.keys.filter { topic in
      switch topic {
      case .key(let key): key.hasPrefix(tree)
      case .prefix(let prefix): prefix.hasPrefix(tree) || tree.hasPrefix(prefix)
      default: false
      }
    }
    for topic in concerned { fire(topic) }
  }

  private mutating func fireAll() {
    for slot in slots.indices where slots[slot] != nil { fire(slot: slot) }
  }

  private mutating func fire(_ topic: Topic) {
    guard let list = lists.removeValue(forKey: topic) else { return }
    if case .prefix(let key) = topic { removeLength(key.bytes.count) }
    // A watch that names the topic twice is gone when it is met again.
    for entry in list {
      guard let watch = slots[entry.slot] else { continue }
      if watch.places.count > 1 {
        fire(slot: entry.slot)
      } else {
        due.append(watch.wake)
        release(entry.slot)
      }
    }
  }

  private mutating func fire(slot: Int) {
    if let watch = remove(slot) { due.append(watch.wake) }
  }

  private mutating func remove(_ slot: Int) -> Watch? {
    guard let watch = slots[slot] else { return nil }
    // Backwards: a topic that is named twice moves the later entry first.
    for ordinal in watch.places.indices.reversed() {
      guard let place = slots[slot]?.places[ordinal] else { break }
      removeEntry(place)
    }
    release(slot)
    return watch
  }

  private mutating func release(_ slot: Int) {
    slots[slot] = nil
    free.append(slot)
    count -= 1
  }

  private mutating func removeEntry(_ place: Place) {
    guard var list = lists.removeValue(forKey: place.topic) else { return }
    let last = list.count - 1
    list.swapAt(place.position, last)
    list.removeLast()
    if place.position < last {
      let moved = list[place.position]
      slots[moved.slot]?.places[moved.ordinal].position = place.position
    }
    if list.isEmpty {
      if case .prefix(let key) = place.topic { removeLength(key.bytes.count) }
    } else {
      lists[place.topic] = list
    }
  }

  private mutating func addLength(_ length: Int) {
    prefixLengths[length, default: 0] += 1
    if prefixLengths[length] == 1 { sortLengths() }
  }

  private mutating func removeLength(_ length: Int) {
    guard let users = prefixLengths[length] else { return }
    prefixLengths[length] = users == 1 ? nil : users - 1
    if users == 1 { sortLengths() }
  }

  private mutating func sortLengths() { sortedLengths = prefixLengths.keys.sorted() }
}
