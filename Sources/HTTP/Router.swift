/// Finds what belongs to a path: exact paths and prefixes, longest match first.
///
/// A trie over bytes in one array: a lookup touches one node per byte of the path, allocates
/// nothing and does not depend on the number of routes. Children of a node are a linked list,
/// because routes share long prefixes and hardly branch.
package struct Router<Value> {
  private struct Node {
    var byte: UInt8
    var firstChild: Int32 = -1
    var nextSibling: Int32 = -1
    var exact: Int32 = -1
    var prefix: Int32 = -1
  }

  private var nodes: [Node] = [Node(byte: 0)]
  private var values: [Value] = []

  package init() {}

  /// Matches this path only. A second route for the same path replaces the first.
  package mutating func add(exact path: String, _ value: Value) {
    nodes[makeNode(path)].exact = store(value)
  }

  /// Matches every path that begins with `path`; `path` itself too.
  package mutating func add(prefix path: String, _ value: Value) {
    nodes[makeNode(path)].prefix = store(value)
  }

  /// The value of the longest match, an exact one first, and what of `path` follows a prefix.
  package func lookup(_ path: ArraySlice<UInt8>) -> (value: Value, rest: Range<Int>)? {
    var node = 0
    var found = nodes[0].prefix
    var restStart = path.startIndex
    var index = path.startIndex
    while index < path.endIndex {
      guard let next = child(of: node, path[index]) else { break }
      node = next
      index += 1
      if nodes[node].prefix >= 0 {
        found = nodes[node].prefix
        restStart = index
      }
    }
    if index == path.endIndex && nodes[node].exact >= 0 {
      return (values[Int(nodes[node].exact)], path.endIndex..<path.endIndex)
    }
    return found >= 0 ? (values[Int(found)], restStart..<path.endIndex) : nil
  }

  private func child(of node: Int, _ byte: UInt8) -> Int? {
    var next = Int(nodes[node].firstChild)
    while next >= 0 {
      if nodes[next].byte == byte { return next }
      next = Int(nodes[next].nextSibling)
    }
    return nil
  }

  private mutating func store(_ value: Value) -> Int32 {
    values.append(value)
    return Int32(values.count - 1)
  }

  private mutating func makeNode(_ path: String) -> Int {
    var node = 0
    for byte in path.utf8 {
      if let next = child(of: node, byte) {
        node = next
        continue
      }
      nodes.append(Node(byte: byte, nextSibling: nodes[node].firstChild))
      nodes[node].firstChild = Int32(nodes.count - 1)
      node = nodes.count - 1
    }
    return node
  }
}

extension Router: Sendable where Value: Sendable {}
