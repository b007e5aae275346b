/// Standard base64 with padding (RFC 4648 section 4), strict when decoding.
package enum Base64 {
  /// Appends the encoded form to `output`.
  package static func encode(_ data: ArraySlice<UInt8>, into output: inout [UInt8]) {
    // Room is made once: no symbol costs a check of the array's capacity.
    output.append(addingCapacity: (data.count + 2) / 3 * 4) { target in
      encode(data.span, into: &target)
    }
  }

  private static func encode(_ data: Span<UInt8>, into output: inout OutputSpan<UInt8>) {
    var index = 0
    while data.count - index >= 6 {
      var text = symbols(
        UInt64(data[index]) << 40 | UInt64(data[index + 1]) << 32 | UInt64(data[index + 2]) << 24
          | UInt64(data[index + 3]) << 16 | UInt64(data[index + 4]) << 8 | UInt64(data[index + 5]))
      for _ in 0..<8 {
        output.append(UInt8(truncatingIfNeeded: text))
        text >>= 8
      }
      index += 6
    }
    let left = data.count - index
    guard left > 0 else { return }
    var group: UInt64 = 0
    for place in 0..<left { group |= UInt64(data[index + place]) << UInt64(40 - 8 * place) }
    var text = symbols(group)
    // Every byte begins a symbol, and the last one ends one: left * 8 / 6, rounded up.
    for _ in 0..<(left * 4 + 2) / 3 {
      output.append(UInt8(truncatingIfNeeded: text))
      text >>= 8
    }
    for _ in 0..<(3 - left % 3) % 3 { output.append(0x3D) }
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

  /// Eight symbols for the 48 bits of `group`, the first in the lowest byte, all at once in the bytes
  /// of one register: the distance from a value to its symbol changes at 26, 52, 62 and 63. No step
  /// lets a byte overflow into the next.
  @inline(__always)
  private static func symbols(_ group: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    var values = group >> 42 & 63 | (group >> 36 & 63) << 8
    values |= (group >> 30 & 63) << 16 | (group >> 24 & 63) << 24
    values |= (group >> 18 & 63) << 32 | (group >> 12 & 63) << 40
    values |= (group >> 6 & 63) << 48 | (group & 63) << 56
    // A byte's highest bit is set when its value is above the bound.
    let above25 = (values &+ ones &* 102) >> 7 & ones
    let above51 = (values &+ ones &* 76) >> 7 & ones
    let above61 = (values &+ ones &* 66) >> 7 & ones
    let above62 = (values &+ ones &* 65) >> 7 & ones
    return values &+ ones &* 65 &+ above25 &* 6 &+ above62 &* 3 &- above51 &* 75 &- above61 &* 15
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
