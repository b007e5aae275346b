/// Sixteen bytes, shown as a lower-case UUID: session ids, request ids.
package struct UniqueID: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let high: UInt64
  package let low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// The 36-character form (RFC 9562 section 4), either case. Nil when it is not one.
  package init?(parsing text: String) {
    var halves: [UInt64] = [0, 0]
    var digits = 0
    var position = 0
    for byte in text.utf8 {
      defer { position += 1 }
      guard position < 36 else { return nil }
      if Self.hyphenPositions.contains(position) {
        guard byte == UInt8(ascii: "-") else { return nil }
        continue
      }
      guard let digit = Self.hexValue(byte) else { return nil }
      halves[digits / 16] = halves[digits / 16] << 4 | digit
      digits += 1
    }
    guard position == 36 else { return nil }
    high = halves[0]
    low = halves[1]
  }

  private static let hyphenPositions = [8, 13, 18, 23]

  private static func hexValue(_ byte: UInt8) -> UInt64? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - UInt8(ascii: "a")) + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt64(byte - UInt8(ascii: "A")) + 10
    default: nil
    }
  }

  package static func < (a: UniqueID, b: UniqueID) -> Bool { (a.high, a.low) < (b.high, b.low) }

  package var description: String {
    let digits = Array("0123456789abcdef".utf8)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(36)
    for position in 0..<32 {
      if [8, 12, 16, 20].contains(position) { bytes.append(UInt8(ascii: "-")) }
      let half = position < 16 ? high : low
      let shift = UInt64(60 - 4 * (position % 16))
      bytes.append(digits[Int(half >> shift & 0xF)])
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Big-endian, so that the order of the bytes is the order of the ids.
  var key: Key {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(16)
    for half in [high, low] {
      for shift in stride(from: UInt64(56), through: 0, by: -8) {
        bytes.append(UInt8(truncatingIfNeeded: half >> shift))
      }
    }
    return Key(bytes)
  }

  /// Back from `key`; missing bytes count as zero.
  init(key: Key) {
    var halves: [UInt64] = [0, 0]
    for (i, byte) in key.bytes.prefix(16).enumerated() {
      halves[i / 8] |= UInt64(byte) << UInt64(56 - 8 * (i % 8))
    }
    self.init(high: halves[0], low: halves[1])
  }
}
