internal import Basics

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

  /// So many zeros, some of which are written over later; returns where they start.
  @discardableResult
  package mutating func zeros(_ count: Int) -> Int {
    let start = bytes.count
    bytes.append(addingCapacity: count) { span in span.append(repeating: 0, count: count) }
    return start
  }

  package mutating func u32(_ value: UInt32) {
    bytes.append(addingCapacity: 4) { span in span.append(littleEndian: value) }
  }

  package mutating func u64(_ value: UInt64) {
    bytes.append(addingCapacity: 8) { span in span.append(littleEndian: value) }
  }

  /// LEB128: seven bits a byte, low ones first; 1 to 10 bytes.
  package mutating func varint(_ value: UInt64) {
    guard value >= 0x80 else { return bytes.append(UInt8(truncatingIfNeeded: value)) }
    bytes.append(addingCapacity: 10) { span in span.append(varint: value) }
  }

  /// One entry of Raft's log, as it stands in the log file and in messages: index, term and the
  /// payload's length as varints, the kind in between. In one piece, as every write is encoded
  /// once for the disk and once for each follower.
  package mutating func entry(index: UInt64, term: UInt64, kind: UInt8, payload: [UInt8]) {
    bytes.append(addingCapacity: 31 + payload.count) { span in
      span.append(varint: index)
      span.append(varint: term)
      span.append(kind)
      span.append(varint: UInt64(payload.count))
      span.append(contentsOf: payload)
    }
  }

  /// ZigZag, then varint.
  package mutating func signed(_ value: Int64) {
    varint(UInt64(bitPattern: (value << 1) ^ (value >> 63)))
  }

  package mutating func flag(_ value: Bool) { bytes.append(value ? 1 : 0) }

  /// Length as varint, then the bytes.
  package mutating func blob(_ value: [UInt8]) {
    bytes.append(addingCapacity: 10 + value.count) { span in
      span.append(varint: UInt64(value.count))
      span.append(contentsOf: value)
    }
  }

  package mutating func blob(_ value: ArraySlice<UInt8>) {
    varint(UInt64(value.count))
    // Sound: the pointer is used within the closure only.
    unsafe value.withUnsafeBufferPointer { part in unsafe bytes.append(contentsOf: part) }
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
    bytes.setU32(value, at: offset)
  }
}

extension OutputSpan<UInt8> {
  @inline(__always)
  fileprivate mutating func append(varint value: UInt64) {
    var v = value
    while v >= 0x80 {
      append(UInt8(truncatingIfNeeded: v) | 0x80)
      v >>= 7
    }
    append(UInt8(truncatingIfNeeded: v))
  }

  @inline(__always)
  fileprivate mutating func append(littleEndian value: some FixedWidthInteger & BitwiseCopyable) {
    unsafe withUnsafeMutableBufferPointer { free, count in
      let size = value.bitWidth / 8
      invariant(free.count - count >= size, "no room was made for a number")
      // Sound: there is room, as was just checked, and bytes need no initialization.
      unsafe UnsafeMutableRawBufferPointer(free).storeBytes(
        of: value.littleEndian, toByteOffset: count, as: type(of: value))
      count += size
    }
  }

  @inline(__always)
  fileprivate mutating func append(contentsOf value: [UInt8]) {
    unsafe withUnsafeMutableBufferPointer { free, count in
      invariant(free.count - count >= value.count, "no room was made for bytes")
      // Sound: there is room, as was just checked, and an array's bytes are not in this one.
      unsafe value.withUnsafeBytes { source in
        unsafe UnsafeMutableRawBufferPointer(
          rebasing: UnsafeMutableRawBufferPointer(free)[count...]
        )
        .copyMemory(from: source)
      }
      count += value.count
    }
  }
}
