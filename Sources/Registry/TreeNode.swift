/// What a `Tree` needs to know of its keys.
///
/// A node keeps eight bytes of each key beside the others, so that a search looks into the key
/// itself (a cache miss each, in a table of a million) only where those are equal. Keys without
/// bytes leave the defaults, which say that nothing is known: then only `<` decides.
package protocol TreeKey: Comparable, Sendable {
  /// How many leading bytes the keys have in common.
  func commonPrefix(with other: Self) -> Int
  /// Whether the keys have their first `length` bytes in common.
  func sharesPrefix(_ length: Int, with other: Self) -> Bool
  /// The bytes that follow the first `skip`, as a big-endian number, padded with zeros. For keys
  /// that have the first `skip` bytes in common, different hints are ordered as the keys are.
  func hint(after skip: Int) -> UInt64
}

extension TreeKey {
  package func commonPrefix(with other: Self) -> Int { 0 }
  package func sharesPrefix(_ length: Int, with other: Self) -> Bool { length == 0 }
  package func hint(after skip: Int) -> UInt64 { 0 }
}

/// A node of a `Tree`: a leaf (keys with values) or a branch (children between separator keys).
///
/// `@unchecked Sendable` is sound because a node is changed only while it is known to be uniquely
/// referenced, by the one tree value that holds it; as soon as a second copy of a tree can reach
/// it, nobody changes it any more. This is the rule the standard library's arrays live by.
///
/// Unchecked exclusivity is sound for the same reason: who changes a node is its only holder, and
/// reading calls nothing but `<` and the hints of keys.
final class TreeNode<K: TreeKey, V: Sendable>: @unchecked Sendable {
  /// Entries of a leaf, children of a branch. 64 keeps a tree of a million keys four levels deep
  /// and a path copy at about 10 KB.
  static var sizeMax: Int { 64 }
  /// Below it a node looks for a neighbour to merge with.
  static var sizeMin: Int { 16 }
  /// Merged nodes leave room for new keys, so that they are not split again at once.
  static var mergedSizeMax: Int { 48 }
  /// Slots by which arrays grow: small, since a million entries pay for every unused slot.
  static var growth: Int { 8 }

  /// Leaf: the keys. Branch: `keys[i]` is a lower bound of what is below `children[i + 1]`, and
  /// above everything below `children[i]`.
  @safe @exclusivity(unchecked) private(set) var keys: [K]
  @safe @exclusivity(unchecked) var values: [V]
  @safe @exclusivity(unchecked) var children: [TreeNode]
  /// All keys have that many leading bytes in common (they may have more).
  @safe @exclusivity(unchecked) private var skip = 0
  /// The hint of each key after `skip`.
  @safe @exclusivity(unchecked) private var hints: [UInt64]

  init(keys: [K], values: [V], children: [TreeNode]) {
    self.keys = keys
    self.values = values
    self.children = children
    hints = []
    makeHints()
  }

  init(copying other: TreeNode) {
    keys = other.keys
    values = other.values
    children = other.children
    skip = other.skip
    hints = other.hints
  }

  /// Keys are in order, so what the first and the last have in common all have.
  private func makeHints() {
    guard let first = keys.first, let last = keys.last else {
      skip = 0
      hints = []
      return
    }
    skip = first.commonPrefix(with: last)
    hints = keys.map { $0.hint(after: skip) }
  }

  var size: Int { children.isEmpty ? keys.count : children.count }

  /// Every hint is that of its key.
  private var hasRightHints: Bool {
    hints == keys.map { $0.hint(after: skip) }
      && keys.allSatisfy { skip == 0 || $0.sharesPrefix(skip, with: keys[0]) }
  }

  /// The same for every leaf below it, or nil when the tree is out of balance.
  var depth: Int? {
    guard hasRightHints else { return nil }
    guard let first = children.first else { return values.count == keys.count ? 1 : nil }
    guard keys.count + 1 == children.count, let depth = first.depth else { return nil }
    for child in children where child.depth != depth { return nil }
    return depth + 1
  }

  /// The slot of the first key that is not below `key`, and whether it is `key` itself.
  func find(_ key: K) -> (slot: Int, isFound: Bool) {
    guard let last = hints.last else { return (0, false) }
    if skip > 0, !key.sharesPrefix(skip, with: keys[0]) {
      return (keys[0] < key ? keys.count : 0, false)
    }
    let hint = key.hint(after: skip)
    // Keys often come in order: the end is tried first.
    if last < hint { return (keys.count, false) }
    let slot = search(key, hint)
    return (slot, slot < keys.count && hints[slot] == hint && keys[slot] == key)
  }

  func lowerBound(_ key: K) -> Int { find(key).slot }

  /// The slot of `key` itself, in a leaf.
  ///
  /// Whether the key shares the prefix is not asked, as that costs a look at another key (a cache
  /// miss or two): one that does not is equal to none of these, wherever the search ends.
  func slot(of key: K) -> Int? {
    let hint = key.hint(after: skip)
    let slot = search(key, hint)
    return slot < hints.count && hints[slot] == hint && keys[slot] == key ? slot : nil
  }

  /// The first slot that is not below, for a key that shares the prefix.
  @inline(__always)
  private func search(_ key: K, _ hint: UInt64) -> Int {
    var low = 0
    var high = hints.count
    while low < high {
      let middle = (low + high) / 2
      let other = hints[middle]
      let isBelow = other == hint ? keys[middle] < key : other < hint
      if isBelow { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The child that holds `key`: as many separators are not above it.
  func childIndex(for key: K) -> Int {
    let (slot, isFound) = find(key)
    return isFound ? slot + 1 : slot
  }

  func insertEntry(_ key: K, _ value: V, at slot: Int) {
    if keys.count == keys.capacity { keys.reserveCapacity(keys.count + Self.growth) }
    if values.count == values.capacity { values.reserveCapacity(values.count + Self.growth) }
    insertKey(key, at: slot)
    values.insert(value, at: slot)
  }

  private func insertKey(_ key: K, at slot: Int) {
    guard let first = keys.first, key.sharesPrefix(skip, with: first) else {
      keys.insert(key, at: slot)
      makeHints()
      return
    }
    keys.insert(key, at: slot)
    if hints.count == hints.capacity { hints.reserveCapacity(hints.count + Self.growth) }
    hints.insert(key.hint(after: skip), at: slot)
  }

  func removeEntry(at slot: Int) -> V {
    removeKey(at: slot)
    return values.remove(at: slot)
  }

  @discardableResult
  private func removeKey(at slot: Int) -> K {
    hints.remove(at: slot)
    return keys.remove(at: slot)
  }

  func insertChild(_ child: TreeNode, above key: K, at slot: Int) {
    insertKey(key, at: slot - 1)
    children.insert(child, at: slot)
  }

  /// Splits where keys arrive: at the end when the new one is the last, else in the middle.
  func splitLeaf(insertedAt slot: Int) -> (key: K, node: TreeNode) {
    let cut = slot == keys.count - 1 ? keys.count - 1 : keys.count / 2
    let right = TreeNode(keys: Array(keys[cut...]), values: Array(values[cut...]), children: [])
    keys = Array(keys[..<cut])
    values = Array(values[..<cut])
    makeHints()
    return (right.keys[0], right)
  }

  func splitBranch(insertedAt slot: Int) -> (key: K, node: TreeNode) {
    let cut = slot == children.count - 1 ? children.count - 1 : children.count / 2
    let right = TreeNode(keys: Array(keys[cut...]), values: [], children: Array(children[cut...]))
    let separator = keys[cut - 1]
    keys = Array(keys[..<(cut - 1)])
    children = Array(children[..<cut])
    makeHints()
    return (separator, right)
  }

  /// The child at `slot` became small: drop it when empty, or join it with a neighbour.
  func mergeChild(at slot: Int) {
    if children[slot].size == 0 {
      children.remove(at: slot)
      if !keys.isEmpty { removeKey(at: slot == 0 ? 0 : slot - 1) }
      return
    }
    guard children.count > 1 else { return }
    let left = slot == 0 ? 0 : slot - 1
    guard children[left].size + children[left + 1].size <= Self.mergedSizeMax else { return }
    if !isKnownUniquelyReferenced(&children[left]) {
      children[left] = TreeNode(copying: children[left])
    }
    let right = children.remove(at: left + 1)
    let separator = removeKey(at: left)
    let merged = children[left]
    if !merged.children.isEmpty { merged.keys.append(separator) }
    merged.keys.append(contentsOf: right.keys)
    merged.values.append(contentsOf: right.values)
    merged.children.append(contentsOf: right.children)
    merged.makeHints()
  }
}
