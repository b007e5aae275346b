/// A persistent ordered map: a B+ tree whose nodes are shared between copies.
///
/// A copy of the whole tree is O(1) and stays as it is. A write changes nodes in place while
/// nobody else holds them, and otherwise copies only the path from the root to the leaf (Driscoll,
/// Sarnak, Sleator, Tarjan: "Making data structures persistent", section 2, path copying). So a
/// snapshot never costs a copy of the table, neither when it is taken nor at the next write.
///
/// Memory: leaves are split where the new key went, so keys that arrive in order fill them wholly,
/// and node arrays grow by a few slots at a time instead of doubling. Deletion merges a node that
/// became small with a neighbour when both fit well into one node.
///
/// Copies may be read and written on different threads: see `TreeNode`.
package struct Tree<K: TreeKey, V: Sendable>: Sendable {
  typealias Node = TreeNode<K, V>

  private var root: Node?
  package private(set) var count = 0

  package init() {}

  package var isEmpty: Bool { count == 0 }

  // MARK: Reading

  package subscript(key: K) -> V? {
    guard var node = root else { return nil }
    while !node.children.isEmpty { node = node.children[node.childIndex(for: key)] }
    return node.slot(of: key).map { slot in node.values[slot] }
  }

  package func contains(_ key: K) -> Bool {
    guard var node = root else { return false }
    while !node.children.isEmpty { node = node.children[node.childIndex(for: key)] }
    return node.slot(of: key) != nil
  }

  package var first: (key: K, value: V)? {
    guard var node = root else { return nil }
    while let child = node.children.first { node = child }
    guard let key = node.keys.first, let value = node.values.first else { return nil }
    return (key, value)
  }

  package var lastKey: K? {
    guard var node = root else { return nil }
    while let child = node.children.last { node = child }
    return node.keys.last
  }

  /// In key order, from the first key that is not below `lower`; ends when `body` returns false.
  package func forEach(from lower: K? = nil, _ body: (K, V) -> Bool) {
    guard let root else { return }
    _ = Self.visit(root, from: lower, body)
  }

  private static func visit(_ node: Node, from lower: K?, _ body: (K, V) -> Bool) -> Bool {
    if node.children.isEmpty {
      let start = lower.map { node.lowerBound($0) } ?? 0
      for slot in start..<node.keys.count where !body(node.keys[slot], node.values[slot]) {
        return false
      }
      return true
    }
    let start = lower.map { node.childIndex(for: $0) } ?? 0
    for slot in start..<node.children.count {
      // Only the first child can hold keys below the bound.
      let bound = slot == start ? lower : nil
      guard visit(node.children[slot], from: bound, body) else { return false }
    }
    return true
  }

  // MARK: Writing

  /// Sets the value of a key; returns the value it had.
  @discardableResult
  package mutating func updateValue(_ value: V, forKey key: K) -> V? {
    var replaced: V?
    upsert(key) { old in
      replaced = old
      return value
    }
    return replaced
  }

  /// Finds a key and sets its value in one descent: `body` is given the value it has, and answers
  /// with the new one; nil changes nothing.
  package mutating func upsert(_ key: K, _ body: (V?) -> V?) {
    // Taken out, so that the tree itself does not count as a second holder.
    guard var node = root.take() else {
      guard let value = body(nil) else { return }
      root = Node(keys: [key], values: [value], children: [])
      count = 1
      return
    }
    if let split = Self.upsert(key, &count, into: &node, body) {
      node = Node(keys: [split.key], values: [], children: [node, split.node])
    }
    root = node
  }

  /// Adds a key above all others, as when a tree is built from sorted input. False, and no
  /// change, when it is not.
  package mutating func append(_ key: K, _ value: V) -> Bool {
    if let last = lastKey, !(last < key) { return false }
    updateValue(value, forKey: key)
    return true
  }

  /// Removes a key; returns the value it had.
  @discardableResult
  package mutating func removeValue(forKey key: K) -> V? {
    // Looked up first, so that a miss copies no path.
    guard contains(key), var node = root.take() else { return nil }
    let removed = Self.remove(key, from: &node)
    while node.children.count == 1 { node = node.children[0] }
    root = node.size == 0 ? nil : node
    if removed != nil { count -= 1 }
    return removed
  }

  private static func upsert(
    _ key: K, _ count: inout Int, into node: inout Node, _ body: (V?) -> V?
  ) -> (key: K, node: Node)? {
    if !isKnownUniquelyReferenced(&node) { node = Node(copying: node) }
    if node.children.isEmpty {
      let (slot, isFound) = node.find(key)
      if isFound {
        if let value = body(node.values[slot]) { node.values[slot] = value }
        return nil
      }
      guard let value = body(nil) else { return nil }
      count += 1
      node.insertEntry(key, value, at: slot)
      return node.keys.count > Node.sizeMax ? node.splitLeaf(insertedAt: slot) : nil
    }
    let slot = node.childIndex(for: key)
    guard let split = upsert(key, &count, into: &node.children[slot], body) else { return nil }
    node.insertChild(split.node, above: split.key, at: slot + 1)
    return node.children.count > Node.sizeMax ? node.splitBranch(insertedAt: slot + 1) : nil
  }

  private static func remove(_ key: K, from node: inout Node) -> V? {
    if !isKnownUniquelyReferenced(&node) { node = Node(copying: node) }
    if node.children.isEmpty {
      let (slot, isFound) = node.find(key)
      return isFound ? node.removeEntry(at: slot) : nil
    }
    let slot = node.childIndex(for: key)
    let removed = remove(key, from: &node.children[slot])
    if node.children[slot].size < Node.sizeMin { node.mergeChild(at: slot) }
    return removed
  }

  /// Heights and hints are as promised, keys are in order; for tests.
  package var isWellFormed: Bool {
    guard let root else { return count == 0 }
    var seen = 0
    var previous: K?
    var ordered = true
    forEach { key, _ in
      if let previous, !(previous < key) { ordered = false }
      previous = key
      seen += 1
      return true
    }
    return ordered && seen == count && root.depth != nil
  }
}
