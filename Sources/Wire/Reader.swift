/// Reads values from bytes that may be hostile: every read is checked, nothing traps.
package struct Reader: Sendable {
  package let bytes: [UInt8]
  package private(set) var offset: Int
  package let end: Int

  package init(_ bytes: [UInt8]) {
    self.bytes = bytes
    offset = 0
    end = bytes.count
  }

  /// Reads only `range` of `bytes`; the range is clipped to what is there.
  package init(_ bytes: [UInt8], in range: Range<Int>) {
    self.bytes = bytes
    end = min(range.upperBound, bytes.count)
    offset = min(range.lowerBound, end)
  }

  package var remaining: Int { end - offset }
  package var isAtEnd: Bool { offset == end }

  package mutating func u8() throws(WireError) -> UInt8 {
    guard offset < end else { throw .truncated }
    defer { offset += 1 }
    return bytes[offset]
  }

  package mutating func u16() throws(WireError) -> UInt16 {
    guard remaining >= 2 else { throw .truncated }
    defer { offset += 2 }
    return bytes.u16(at: offset)
  }

  package mutating func u32() throws(WireError) -> UInt32 {
    guard remaining >= 4 else { throw .truncated }
    defer { offset += 4 }
    return bytes.u32(at: offset)
  }

  package mutating func u64() throws(WireError) -> UInt64 {
    guard remaining >= 8 else { throw .truncated }
    defer { offset += 8 }
    return bytes.u64(at: offset)
  }

  package mutating func varint() throws(WireError) -> UInt64 {
    guard offset < end else { throw .truncated }
    // Most are small.
    let first = bytes[offset]
    guard first >= 0x80 else {
      offset += 1
      return UInt64(first)
    }
    return try longVarint()
  }

  private mutating func longVarint() throws(WireError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      guard offset < end else { throw .truncated }
      let byte = bytes[offset]
      offset += 1
      if shift == 63, byte > 1 { throw .badVarint }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 {
        if byte == 0, shift > 0 { throw .badVarint }
        return value
      }
      shift += 7
      if shift > 63 { throw .badVarint }
    }
  }

  package mutating func signed() throws(WireError) -> Int64 {
    let value = try varint()
    return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
  }

  package mutating func flag() throws(WireError) -> Bool {
    switch try u8() {
    case 0: return false
    case 1: return true
    case let other: throw .unknownTag(UInt64(other))
    }
  }

  /// A count of things that follow, each of at least one byte: so never more than what is left.
  package mutating func count() throws(WireError) -> Int {
    let value = try varint()
    guard value <= UInt64(remaining) else { throw .tooLong }
    return Int(value)
  }

  package mutating func blob() throws(WireError) -> [UInt8] {
    let length = try count()
    return try raw(length)
  }

  package mutating func raw(_ length: Int) throws(WireError) -> [UInt8] {
    guard length >= 0, length <= remaining else { throw .truncated }
    defer { offset += length }
    return bytes.copy(offset..<offset + length)
  }

  package mutating func text() throws(WireError) -> String {
    let length = try count()
    defer { offset += length }
    guard let text = String(validating: bytes[offset..<offset + length], as: UTF8.self) else {
      throw .badText
    }
    return text
  }

  package func finish() throws(WireError) {
    guard isAtEnd else { throw .trailingBytes }
  }
}
