/// Appends values to a byte array. Integers are little-endian; lengths are varints.
package struct Writer: Sendable {
  package var bytes: [UInt8]

  package init(reserving capacity: Int = 0) {
    bytes = []
    if capacity > 0 { bytes.reserveCapacity(capacity) }
  }

  /// Continues after what `bytes` holds.
  package init(appendingTo bytes: consuming [UInt8]) { self.bytes = bytes }

  package mutating func u8(_ value: UInt8) { bytes.append(value) }

  package mutating func u16(_ value: UInt16) {
    bytes.append(UInt8(truncatingIfNeeded: value))
    bytes.append(UInt8(truncatingIfNeeded: value >> 8))
  }

  package mutating func u32(_ value: UInt32) {
    var v = value
    for _ in 0..<4 {
      bytes.append(UInt8(truncatingIfNeeded: v))
      v >>= 8
    }
  }

  package mutating func u64(_ value: UInt64) {
    var v = value
    for _ in 0..<8 {
      bytes.append(UInt8(truncatingIfNeeded: v))
      v >>= 8
    }
  }

  /// LEB128: seven bits a byte, low ones first; 1 to 10 bytes.
  package mutating func varint(_ value: UInt64) {
    var v = value
    while v >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: v) | 0x80)
      v >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: v))
  }

  /// ZigZag, then varint.
  package mutating func signed(_ value: Int64) {
    varint(UInt64(bitPattern: (value << 1) ^ (value >> 63)))
  }

  package mutating func flag(_ value: Bool) { bytes.append(value ? 1 : 0) }

  /// Length as varint, then the bytes.
  package mutating func blob(_ value: [UInt8]) {
    varint(UInt64(value.count))
    bytes.append(contentsOf: value)
  }

  package mutating func blob(_ value: ArraySlice<UInt8>) {
    varint(UInt64(value.count))
    bytes.append(contentsOf: value)
  }

  /// Length in UTF-8 bytes as varint, then the text.
  package mutating func text(_ value: String) {
    let utf8 = value.utf8
    varint(UInt64(utf8.count))
    bytes.append(contentsOf: utf8)
  }

  package mutating func raw(_ value: [UInt8]) { bytes.append(contentsOf: value) }

  /// Writes over four bytes that are already there (a length or checksum known only later).
  package mutating func patchU32(at offset: Int, _ value: UInt32) {
    var v = value
    for i in 0..<4 {
      bytes[offset + i] = UInt8(truncatingIfNeeded: v)
      v >>= 8
    }
  }
}
