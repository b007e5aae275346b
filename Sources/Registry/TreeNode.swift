/// A node of a `Tree`: a leaf (keys with values) or a branch (children between separator keys).
///
/// `@unchecked Sendable` is sound because a node is changed only while it is known to be uniquely
/// referenced, by the one tree value that holds it; as soon as a second copy of a tree can reach
/// it, nobody changes it any more. This is the rule the standard library's arrays live by.
final class TreeNode<K: Comparable & Sendable, V: Sendable>: @unchecked Sendable {
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
  var keys: [K]
  var values: [V]
  var children: [TreeNode]

  init(keys: [K], values: [V], children: [TreeNode]) {
    self.keys = keys
    self.values = values
    self.children = children
  }

  convenience init(copying other: TreeNode) {
    self.init(keys: other.keys, values: other.values, children: other.children)
  }

  var size: Int { children.isEmpty ? keys.count : children.count }

  /// The same for every leaf below it, or nil when the tree is out of balance.
  var depth: Int? {
    guard let first = children.first else { return values.count == keys.count ? 1 : nil }
    guard keys.count + 1 == children.count, let depth = first.depth else { return nil }
    for child in children where child.depth != depth { return nil }
    return depth + 1
  }

  /// The slot of the first key that is not below `key`.
  func lowerBound(_ key: K) -> Int {
    // Keys often come in order: the end is tried first.
    guard let last = keys.last else { return 0 }
    if last < key { return keys.count }
    var low = 0
    var high = keys.count - 1
    while low < high {
      let middle = (low + high) / 2
      if keys[middle] < key { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The child that holds `key`: as many separators are not above it.
  func childIndex(for key: K) -> Int {
    guard let last = keys.last else { return 0 }
    if !(key < last) { return keys.count }
    var low = 0
    var high = keys.count - 1
    while low < high {
      let middle = (low + high) / 2
      if key < keys[middle] { high = middle } else { low = middle + 1 }
    }
    return low
  }

  func insertEntry(_ key: K, _ value: V, at slot: Int) {
    if keys.count == keys.capacity { keys.reserveCapacity(keys.count + Self.growth) }
    if values.count == values.capacity { values.reserveCapacity(values.count + Self.growth) }
    keys.insert(key, at: slot)
    values.insert(value, at: slot)
  }

  func insertChild(_ child: TreeNode, above key: K, at slot: Int) {
    keys.insert(key, at: slot - 1)
    children.insert(child, at: slot)
  }

  /// Splits where keys arrive: at the end when the new one is the last, else in the middle.
  func splitLeaf(insertedAt slot: Int) -> (key: K, node: TreeNode) {
    let cut = slot == keys.count - 1 ? keys.count - 1 : keys.count / 2
    let right = TreeNode(keys: Array(keys[cut...]), values: Array(values[cut...]), children: [])
    keys = Array(keys[..<cut])
    values = Array(values[..<cut])
    return (right.keys[0], right)
  }

  func splitBranch(insertedAt slot: Int) -> (key: K, node: TreeNode) {
    let cut = slot == children.count - 1 ? children.count - 1 : children.count / 2
    let right = TreeNode(keys: Array(keys[cut...]), values: [], children: Array(children[cut...]))
    let separator = keys[cut - 1]
    keys = Array(keys[..<(cut - 1)])
    children = Array(children[..<cut])
    return (separator, right)
  }

  /// The child at `slot` became small: drop it when empty, or join it with a neighbour.
  func mergeChild(at slot: Int) {
    if children[slot].size == 0 {
      children.remove(at: slot)
      if !keys.isEmpty { keys.remove(at: slot == 0 ? 0 : slot - 1) }
      return
    }
    guard children.count > 1 else { return }
    let left = slot == 0 ? 0 : slot - 1
    guard children[left].size + children[left + 1].size <= Self.mergedSizeMax else { return }
    if !isKnownUniquelyReferenced(&children[left]) {
      children[left] = TreeNode(copying: children[left])
    }
    let right = children.remove(at: left + 1)
    let separator = keys.remove(at: left)
    let merged = children[left]
    if !merged.children.isEmpty { merged.keys.append(separator) }
    merged.keys.append(contentsOf: right.keys)
    merged.values.append(contentsOf: right.values)
    merged.children.append(contentsOf: right.children)
  }
}
