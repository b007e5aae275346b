/// Finds the place (in a table of the caller's) that belongs to a path: exact paths and prefixes,
/// longest match first.
///
/// A trie over bytes in one array: a lookup touches one node per byte of the path, allocates
/// nothing and does not depend on the number of routes. Children of a node are a linked list,
/// because routes share long prefixes and hardly branch. Not generic, so that a lookup is compiled
/// for what it is wherever it is used.
package struct Router: Sendable {
  private struct Node {
    var byte: UInt8
    var firstChild: Int32 = -1
    var nextSibling: Int32 = -1
    var exact: Int32 = -1
    var prefix: Int32 = -1
  }

  private var nodes: [Node] = [Node(byte: 0)]

  package init() {}

  /// Matches this path only. A second route for the same path replaces the first.
  package mutating func add(exact path: String, _ place: Int) {
    nodes[makeNode(path)].exact = Int32(place)
  }

  /// Matches every path that begins with `path`; `path` itself too.
  package mutating func add(prefix path: String, _ place: Int) {
    nodes[makeNode(path)].prefix = Int32(place)
  }

  /// The place of the longest match, an exact one first, and what of `path` follows a prefix.
  package func lookup(_ path: ArraySlice<UInt8>) -> (place: Int, rest: Range<Int>)? {
    let bytes = path.span
    let nodes = nodes.span
    var node = 0
    var found = nodes[0].prefix
    var restStart = 0
    var index = 0
    while index < bytes.count {
      var child = Int(nodes[node].firstChild)
      while child >= 0, nodes[child].byte != bytes[index] { child = Int(nodes[child].nextSibling) }
      guard child >= 0 else { break }
      node = child
      index += 1
      if nodes[node].prefix >= 0 {
        found = nodes[node].prefix
        restStart = index
      }
    }
    if index == bytes.count && nodes[node].exact >= 0 {
      return (Int(nodes[node].exact), path.endIndex..<path.endIndex)
    }
    return found >= 0 ? (Int(found), path.startIndex + restStart..<path.endIndex) : nil
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

  private func child(of node: Int, _ byte: UInt8) -> Int? {
    var next = Int(nodes[node].firstChild)
    while next >= 0 {
      if nodes[next].byte == byte { return next }
      next = Int(nodes[next].nextSibling)
    }
    return nil
  }
}
