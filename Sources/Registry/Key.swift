/// A KV key: bytes, compared as bytes (never as `String`, whose equality is Unicode-canonical).
package struct Key: Hashable, Comparable, Sendable {
  package let bytes: [UInt8]
  package init(_ bytes: [UInt8]) { self.bytes = bytes }
  package init(_ text: String) { bytes = Array(text.utf8) }
  package static func < (a: Key, b: Key) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }
  package func hasPrefix(_ prefix: Key) -> Bool { bytes.starts(with: prefix.bytes) }
}
