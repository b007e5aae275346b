/// Writes JSON straight into bytes, in the order given.
///
/// Strings escape `<`, `>`, `&`, U+2028 and U+2029 as Go's encoder does. Commas and, when `pretty`,
/// four-space indentation are put in by the writer. The caller keeps begin and end in pairs and
/// writes a key before each value of an object; `finish` hands the result out.
package struct JSONWriter: Sendable {
  package var bytes: [UInt8]
  private let pretty: Bool
  private var depth = 0
  /// A value or a key before this place needs a comma.
  private var needsComma = false
  /// The next value belongs to the key just written.
  private var isAfterKey = false

  package init(pretty: Bool = false, reserving: Int = 256) {
    bytes = []
    bytes.reserveCapacity(reserving)
    self.pretty = pretty
  }

  /// The JSON, with a line end when pretty; the writer is empty and reusable afterwards.
  package mutating func finish() -> [UInt8] {
    if pretty { bytes.append(ASCII.lineFeed) }
    var result: [UInt8] = []
    swap(&result, &bytes)
    depth = 0
    needsComma = false
    isAfterKey = false
    return result
  }

  package mutating func beginObject() { begin(0x7B) }
  package mutating func endObject() { end(0x7D) }
  package mutating func beginArray() { begin(0x5B) }
  package mutating func endArray() { end(0x5D) }

  /// `name` is one of our own constants: it needs no escape.
  package mutating func key(_ name: StaticString) {
    if pretty { separate() }
    bytes.append(addingCapacity: name.utf8CodeUnitCount + 5) { output in
      if !pretty && needsComma { output.append(0x2C) }
      output.append(0x22)
      output.append(name)
      output.append(0x22)
      output.append(0x3A)
      if pretty { output.append(ASCII.space) }
    }
    needsComma = true
    isAfterKey = true
  }
  /// A key and a number, in one piece.
  package mutating func field(_ name: StaticString, _ number: UInt64) {
    guard !pretty else {
      key(name)
      return value(number)
    }
    bytes.append(addingCapacity: name.utf8CodeUnitCount + 24) { output in
      if needsComma { output.append(0x2C) }
      output.append(0x22)
      output.append(name)
      output.append(0x22)
      output.append(0x3A)
      output.append(decimal: number)
    }
    needsComma = true
  }
  /// A name that is not ours. A literal must not come here: it would be searched for escapes.
  @_disfavoredOverload
  package mutating func key(_ name: String) {
    separate()
    quote(name)
    endKey()
  }
  package mutating func value(_ text: String) {
    separate()
    quote(text)
  }
  package mutating func value(_ flag: Bool) {
    separate()
    bytes.append(flag ? "true" : "false")
  }
  package mutating func value(_ number: UInt64) {
    separate()
    bytes.append(decimal: number)
  }
  package mutating func value(_ number: Int) {
    separate()
    if number < 0 { bytes.append(0x2D) }
    bytes.append(decimal: UInt64(number.magnitude))
  }
  /// The shortest form that reads back as the same number, as Go writes it; what JSON has no form
  /// for (infinite, not a number) becomes null.
  package mutating func value(_ number: Double) {
    separate()
    bytes.append(json: number)
  }
  package mutating func null() {
    separate()
    bytes.append("null")
  }
  /// Text that is UTF-8 already; invalid bytes become U+FFFD.
  package mutating func text(_ utf8: [UInt8]) {
    separate()
    guard utf8.contains(where: { byte in byte >= 0x80 || Self.mayNeedEscape(byte) }) else {
      return bytes.append(addingCapacity: utf8.count + 2) { output in
        output.append(0x22)
        output.append(utf8)
        output.append(0x22)
      }
    }
    // Past ASCII the standard library validates and repairs.
    guard utf8.allSatisfy({ byte in byte < 0x80 }) else {
      return quote(String(decoding: utf8, as: UTF8.self))
    }
    bytes.append(0x22)
    for byte in utf8 { append(escaping: byte) }
    bytes.append(0x22)
  }
  /// Standard base64 with padding; empty is written as `null` by the caller where Consul does so.
  package mutating func base64(_ data: [UInt8]) {
    separate()
    bytes.append(addingCapacity: (data.count + 2) / 3 * 4 + 2) { output in
      output.append(0x22)
      Base64.encode(data[...], into: &output)
      output.append(0x22)
    }
  }
  /// JSON that is complete and valid already.
  package mutating func raw(_ json: [UInt8]) {
    separate()
    bytes.append(contentsOf: json)
  }

  // MARK: Places between values

  private mutating func begin(_ bracket: UInt8) {
    separate()
    bytes.append(bracket)
    depth += 1
    needsComma = false
  }

  private mutating func end(_ bracket: UInt8) {
    depth -= 1
    if pretty && needsComma { newLine() }
    bytes.append(bracket)
    needsComma = true
    isAfterKey = false
  }

  @inline(__always)
  private mutating func separate() {
    if isAfterKey {
      isAfterKey = false
      return
    }
    if needsComma { bytes.append(0x2C) }
    needsComma = true
    if pretty && depth > 0 { newLine() }
  }

  private mutating func endKey() {
    bytes.append(0x3A)
    if pretty { bytes.append(ASCII.space) }
    isAfterKey = true
  }

  private mutating func newLine() {
    bytes.append(ASCII.lineFeed)
    for _ in 0..<max(0, depth) { bytes.append("    ") }
  }

  // MARK: Strings

  private mutating func quote(_ text: String) {
    bytes.append(0x22)
    let utf8 = text.utf8
    if utf8.contains(where: Self.mayNeedEscape) {
      escape(utf8)
    } else {
      bytes.append(contentsOf: utf8)
    }
    bytes.append(0x22)
  }

  private mutating func escape(_ utf8: String.UTF8View) {
    // U+2028 and U+2029 are E2 80 A8 and E2 80 A9: held back until the third byte decides.
    var held = 0
    for byte in utf8 {
      if held == 1 {
        held = byte == 0x80 ? 2 : 0
      } else if held == 2 {
        held = 0
        if byte == 0xA8 || byte == 0xA9 {
          bytes.removeLast(2)
          bytes.append(byte == 0xA8 ? "\\u2028" : "\\u2029")
          continue
        }
      } else if byte == 0xE2 {
        held = 1
      }
      append(escaping: byte)
    }
  }

  @inline(__always)
  private static func mayNeedEscape(_ byte: UInt8) -> Bool {
    // One bit for each byte below 64: controls, `"`, `&`, `<`, `>`.
    if byte < 64 { return 0x5000_0044_FFFF_FFFF as UInt64 >> UInt64(byte) & 1 != 0 }
    return byte == 0x5C || byte == 0xE2
  }

  @inline(__always)
  private mutating func append(escaping byte: UInt8) {
    switch byte {
    case 0x22: bytes.append("\\\"")
    case 0x5C: bytes.append("\\\\")
    case 0x0A: bytes.append("\\n")
    case 0x0D: bytes.append("\\r")
    case 0x09: bytes.append("\\t")
    case 0x08: bytes.append("\\b")
    case 0x0C: bytes.append("\\f")
    case 0..<0x20, 0x3C, 0x3E, 0x26:
      bytes.append("\\u00")
      bytes.append(ASCII.hexDigit(byte >> 4))
      bytes.append(ASCII.hexDigit(byte))
    default: bytes.append(byte)
    }
  }
}

extension [UInt8] {
  /// As Go's encoder: plain decimals from 1e-6 up to 1e21, an exponent outside.
  mutating func append(json number: Double) {
    guard number.isFinite else {
      append("null")
      return
    }
    if number.sign == .minus { append(0x2D) }
    // The standard library prints the shortest digits that round-trip: d.ddd or d.ddde±x.
    var digits: [UInt8] = []
    var pointAt = 0
    var sawPoint = false
    var exponent = 0
    var exponentSign = 1
    var inExponent = false
    for byte in number.magnitude.description.utf8 {
      switch byte {
      case 0x2E: sawPoint = true
      case 0x65: inExponent = true
      case 0x2D: exponentSign = -1
      case 0x2B: break
      default:
        if inExponent {
          exponent = exponent * 10 + Int(byte - 0x30)
        } else {
          digits.append(byte)
          if !sawPoint { pointAt += 1 }
        }
      }
    }
    pointAt += exponent * exponentSign
    while digits.count > 1 && digits.first == 0x30 {
      digits.removeFirst()
      pointAt -= 1
    }
    while digits.count > 1 && digits.last == 0x30 { digits.removeLast() }
    append(digits: digits, pointAt: digits == [0x30] ? 1 : pointAt)
  }

  /// `digits` with the decimal point before `digits[pointAt]`.
  private mutating func append(digits: [UInt8], pointAt: Int) {
    if pointAt < -5 || pointAt > 21 {
      append(digits[0])
      if digits.count > 1 {
        append(0x2E)
        append(contentsOf: digits[1...])
      }
      append(pointAt > 0 ? "e+" : "e-")
      append(decimal: UInt64((pointAt - 1).magnitude))
    } else if pointAt <= 0 {
      append("0.")
      append(contentsOf: repeatElement(0x30, count: -pointAt))
      append(contentsOf: digits)
    } else if pointAt >= digits.count {
      append(contentsOf: digits)
      append(contentsOf: repeatElement(0x30, count: pointAt - digits.count))
    } else {
      append(contentsOf: digits[..<pointAt])
      append(0x2E)
      append(contentsOf: digits[pointAt...])
    }
  }
}
