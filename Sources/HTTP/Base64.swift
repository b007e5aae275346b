internal import CRoost

/// Standard base64 with padding (RFC 4648 section 4), strict when decoding.
package enum Base64 {
  /// Appends the encoded form to `output`.
  package static func encode(_ data: ArraySlice<UInt8>, into output: inout [UInt8]) {
    let count = (data.count + 2) / 3 * 4
    guard count > 0 else { return }
    output.append(addingCapacity: count) { target in encode(data, into: &target) }
  }

  /// The same, for which there must be room.
  static func encode(_ data: ArraySlice<UInt8>, into output: inout OutputSpan<UInt8>) {
    let count = (data.count + 2) / 3 * 4
    unsafe output.withUnsafeMutableBufferPointer { room, filled in
      // Sound: there is room for `count` bytes more, which `rebasing` checks, and C writes exactly
      // those; both pointers live for the call.
      let text = unsafe UnsafeMutableBufferPointer(rebasing: room[filled..<filled + count])
      unsafe data.withUnsafeBytes { bytes in
        unsafe croost_base64_encode(bytes.baseAddress, bytes.count, text.baseAddress)
      }
      filled += count
    }
  }

  package static func encode(_ data: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity((data.count + 2) / 3 * 4)
    encode(data[...], into: &output)
    return output
  }

  /// Nil for a foreign symbol (blanks and line ends too), missing or misplaced padding, or bits
  /// after the last byte that are not zero: every value has exactly one accepted form.
  package static func decode(_ text: some RandomAccessCollection<UInt8>) -> [UInt8]? {
    guard text.count % 4 == 0 else { return nil }
    var output: [UInt8] = []
    output.reserveCapacity(text.count / 4 * 3)
    var group: UInt32 = 0
    var filled = 0
    var padding = 0
    for byte in text {
      if byte == 0x3D {
        padding += 1
        group <<= 6
      } else {
        guard padding == 0, let bits = value(byte) else { return nil }
        group = group << 6 | UInt32(bits)
      }
      filled += 1
      guard filled == 4 else { continue }
      guard padding <= 2 else { return nil }
      output.append(UInt8(truncatingIfNeeded: group >> 16))
      if padding < 2 { output.append(UInt8(truncatingIfNeeded: group >> 8)) }
      if padding < 1 { output.append(UInt8(truncatingIfNeeded: group)) }
      let unused: UInt32 = padding == 2 ? 0xFFFF : padding == 1 ? 0xFF : 0
      guard group & unused == 0 else { return nil }
      group = 0
      filled = 0
      // Padding may only be in the last group: any symbol after it is refused above, and further
      // padding here.
      if padding > 0 { padding = 3 }
    }
    return output
  }

  @inline(__always)
  private static func value(_ symbol: UInt8) -> UInt8? {
    switch symbol {
    case 0x41...0x5A: symbol - 0x41
    case 0x61...0x7A: symbol - 0x61 + 26
    case 0x30...0x39: symbol - 0x30 + 52
    case 0x2B: 62
    case 0x2F: 63
    default: nil
    }
  }
}
