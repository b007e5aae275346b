internal import Basics
internal import CRoost

/// Byte arrays as a whole: what loops over their elements would do ten times slower.
extension [UInt8] {
  /// Whether these are the same bytes; the standard library compares one at a time.
  package func isEqual(to other: [UInt8]) -> Bool {
    count == other.count && isEqual(to: other, first: count)
  }

  /// Whether the first so many bytes are the same. False when one has not so many.
  package func isEqual(to other: [UInt8], first length: Int) -> Bool {
    guard length <= count, length <= other.count else { return false }
    guard length > 0 else { return true }
    return unsafe withUnsafeBytes { mine in
      unsafe other.withUnsafeBytes { theirs in
        // Sound: both are at least `length` bytes long, so neither is empty.
        unsafe croost_compare(mine.baseAddress!, theirs.baseAddress!, length) == 0
      }
    }
  }

  /// Ordered byte by byte, the shorter first where one begins with the other.
  package func isBelow(_ other: [UInt8]) -> Bool {
    let shared = Swift.min(count, other.count)
    guard shared > 0 else { return count < other.count }
    let order = unsafe withUnsafeBytes { mine in
      unsafe other.withUnsafeBytes { theirs in
        // Sound: both are at least `shared` bytes long, so neither is empty.
        unsafe croost_compare(mine.baseAddress!, theirs.baseAddress!, shared)
      }
    }
    return order == 0 ? count < other.count : order < 0
  }

  // MARK: Numbers at fixed places. Not generic: that would be slow from another module

  /// The number that stands at `offset`; it must lie within the array, which is checked.
  package func u16(at offset: Int) -> UInt16 { UInt16(littleEndian: load(offset)) }
  package func u32(at offset: Int) -> UInt32 { UInt32(littleEndian: load(offset)) }
  package func u64(at offset: Int) -> UInt64 { UInt64(littleEndian: load(offset)) }
  /// With the most significant byte first, so that numbers are ordered as the bytes are.
  package func bigEndianU64(at offset: Int) -> UInt64 { UInt64(bigEndian: load(offset)) }

  @inline(__always)
  private func load<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int) -> T {
    // Sound: the span checks the place, and every pattern of bits is an integer.
    unsafe span.bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: T.self)
  }

  /// Writes over the bytes at `offset`; they must lie within the array, which is checked.
  package mutating func setU32(_ value: UInt32, at offset: Int) { store(value, offset) }
  package mutating func setU64(_ value: UInt64, at offset: Int) { store(value, offset) }

  @inline(__always)
  private mutating func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, _ offset: Int) {
    unsafe withUnsafeMutableBytes { bytes in
      let size = MemoryLayout<T>.size
      invariant(offset >= 0 && offset <= bytes.count - size, "a number beyond the end")
      // Sound: the place was just checked, and bytes are stored without alignment.
      unsafe bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }
  }

  /// A new array of a part of this one; `range` must lie within it, which is checked.
  package func copy(_ range: Range<Int>) -> [UInt8] {
    unsafe withUnsafeBufferPointer { all in
      // Sound: `rebasing` checks the range, and the copy is made before the pointer ends.
      unsafe Array(UnsafeBufferPointer(rebasing: all[range]))
    }
  }
}
