/// Writes JSON straight into bytes, in the order given. STUB.
///
/// Strings escape `<`, `>`, `&`, U+2028 and U+2029 as Go's encoder does. Commas and, when `pretty`,
/// four-space indentation are put in by the writer.
package struct JSONWriter: Sendable {
  package var bytes: [UInt8]
  package init(pretty: Bool = false, reserving: Int = 256) { bytes = [] }

  package mutating func beginObject() { fatalError("stub") }
  package mutating func endObject() { fatalError("stub") }
  package mutating func beginArray() { fatalError("stub") }
  package mutating func endArray() { fatalError("stub") }
  package mutating func key(_ name: StaticString) { fatalError("stub") }
  package mutating func key(_ name: String) { fatalError("stub") }
  package mutating func value(_ text: String) { fatalError("stub") }
  package mutating func value(_ flag: Bool) { fatalError("stub") }
  package mutating func value(_ number: UInt64) { fatalError("stub") }
  package mutating func value(_ number: Int) { fatalError("stub") }
  package mutating func value(_ number: Double) { fatalError("stub") }
  package mutating func null() { fatalError("stub") }
  /// Text that is UTF-8 already; invalid bytes become U+FFFD.
  package mutating func text(_ utf8: [UInt8]) { fatalError("stub") }
  /// Standard base64 with padding; empty is written as `null` by the caller where Consul does so.
  package mutating func base64(_ data: [UInt8]) { fatalError("stub") }
  /// JSON that is complete and valid already.
  package mutating func raw(_ json: [UInt8]) { fatalError("stub") }
}
