import Wire

/// A KV key: bytes, compared as bytes (never as `String`, whose equality is Unicode-canonical).
package struct Key: Hashable, Comparable, Sendable {
  package let bytes: [UInt8]
  package init(_ bytes: [UInt8]) { self.bytes = bytes }
  package init(_ text: String) { bytes = Array(text.utf8) }

  /// A name as the catalog looks it up: without case.
  package init(folding name: String) { bytes = Array(foldedName(name).utf8) }

  /// A node id as it is looked up: hexadecimal digits without case and hyphens.
  init(nodeID text: String) {
    bytes = foldedName(text).utf8.filter { $0 != UInt8(ascii: "-") }
  }

  package static func == (a: Key, b: Key) -> Bool { a.bytes.isEqual(to: b.bytes) }
  package static func < (a: Key, b: Key) -> Bool { a.bytes.isBelow(b.bytes) }

  package func hasPrefix(_ prefix: Key) -> Bool { bytes.starts(with: prefix.bytes) }

  /// As text for messages; bytes that are not UTF-8 are replaced.
  package var text: String { String(decoding: bytes, as: UTF8.self) }

  static let empty = Key([UInt8]())
}

extension Key: TreeKey {
  package func commonPrefix(with other: Key) -> Int {
    let shared = min(bytes.count, other.bytes.count)
    var i = 0
    while i < shared, bytes[i] == other.bytes[i] { i += 1 }
    return i
  }

  package func sharesPrefix(_ length: Int, with other: Key) -> Bool {
    bytes.isEqual(to: other.bytes, first: length)
  }

  package func hint(after skip: Int) -> UInt64 {
    if bytes.count - skip >= 8 { return bytes.bigEndianU64(at: skip) }
    let end = min(bytes.count, skip + 8)
    guard skip < end else { return 0 }
    var hint: UInt64 = 0
    for i in skip..<end { hint = hint << 8 | UInt64(bytes[i]) }
    return hint << UInt64(8 * (skip + 8 - end))
  }
}

extension UInt64: TreeKey {
  package func hint(after skip: Int) -> UInt64 { self }
}

extension UniqueID: TreeKey {
  package func hint(after skip: Int) -> UInt64 { high }
}

/// The lower-cased form under which the catalog finds names of nodes, services and checks; the
/// spelling given is kept in the records.
package func foldedName(_ name: String) -> String {
  let isFolded = name.utf8.allSatisfy { byte in
    byte < 0x80 && !(UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
  }
  return isFolded ? name : name.lowercased()
}

/// A text in double quotes with the usual escapes, as Go's `%q` writes it.
package func quoted(_ text: String) -> String {
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": result += "\\\""
    case "\\": result += "\\\\"
    case "\n": result += "\\n"
    case "\r": result += "\\r"
    case "\t": result += "\\t"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}

/// Key of a table by node and id, ordered by the first part.
struct Pair: Hashable, TreeKey {
  let first: Key
  let second: Key
  init(_ first: Key, _ second: Key) {
    self.first = first
    self.second = second
  }
  static func < (a: Pair, b: Pair) -> Bool {
    a.first == b.first ? a.second < b.second : a.first < b.first
  }
}

/// Key of a secondary index: two things it is looked up by, then what makes it unique.
struct Triple: Hashable, TreeKey {
  let first: Key
  let second: Key
  let third: Key
  init(_ first: Key, _ second: Key, _ third: Key) {
    self.first = first
    self.second = second
    self.third = third
  }
  static func < (a: Triple, b: Triple) -> Bool {
    if a.first != b.first { return a.first < b.first }
    return a.second == b.second ? a.third < b.third : a.second < b.second
  }
}

/// The value of a table that is only a set.
struct Present: Sendable {}

extension Tree {
  /// The keys that `body` accepts, from `lower` on to the first that it does not.
  func keys(from lower: K, while body: (K) -> Bool) -> [K] {
    var result: [K] = []
    forEach(from: lower) { key, _ in
      guard body(key) else { return false }
      result.append(key)
      return true
    }
    return result
  }
}

extension Tree where K == Pair {
  /// Every entry whose first part is `first`.
  func forEach(first: Key, _ body: (Pair, V) -> Bool) {
    forEach(from: Pair(first, .empty)) { key, value in
      key.first == first && body(key, value)
    }
  }
}

extension Tree where K == Triple {
  func forEach(first: Key, _ body: (Triple) -> Bool) {
    forEach(from: Triple(first, .empty, .empty)) { key, _ in key.first == first && body(key) }
  }

  func forEach(first: Key, second: Key, _ body: (Triple) -> Bool) {
    forEach(from: Triple(first, second, .empty)) { key, _ in
      key.first == first && key.second == second && body(key)
    }
  }
}
