/// Percent-decoding of request paths (RFC 3986 2.1), once, before routing and before authorisation.
package enum PercentCoding {
  package enum Fault: Error, Equatable, Sendable {
    /// `%` without two hexadecimal digits after it.
    case invalidEscape
    /// A decoded byte below 0x20 or 0x7F: never part of a name.
    case controlCharacter
  }

  /// The decoded path; `+` stands for itself. Copies the bytes as they are when there is no `%`.
  package static func decodePath(_ path: ArraySlice<UInt8>) throws(Fault) -> [UInt8] {
    var decoded: [UInt8] = []
    var isValid = false
    decoded.append(addingCapacity: path.count) { output in
      isValid = append(path.span, to: &output, plusIsSpace: false)
    }
    guard isValid else { throw .invalidEscape }
    for byte in decoded where byte < 0x20 || byte == 0x7F { throw .controlCharacter }
    return decoded
  }

  /// False for an invalid escape; `output` is then incomplete. There must be room for as many bytes
  /// as `text` has: decoding makes none longer.
  static func append(
    _ text: Span<UInt8>, to output: inout OutputSpan<UInt8>, plusIsSpace: Bool
  ) -> Bool {
    var index = 0
    while index < text.count {
      let byte = text[index]
      index += 1
      if byte == 0x2B && plusIsSpace {
        output.append(ASCII.space)
      } else if byte == 0x25 {
        guard text.count - index >= 2, let high = ASCII.hexValue(text[index]),
          let low = ASCII.hexValue(text[index + 1])
        else { return false }
        output.append(high << 4 | low)
        index += 2
      } else {
        output.append(byte)
      }
    }
    return true
  }

  /// Appends `path` with everything escaped that may not stand in a path as it is; for `Location`
  /// headers and targets built by hand. `/` is kept.
  package static func encodePath(_ path: ArraySlice<UInt8>, into output: inout [UInt8]) {
    for byte in path {
      switch byte {
      case 0x61...0x7A, 0x41...0x5A, 0x30...0x39, 0x2D, 0x2E, 0x5F, 0x7E, 0x2F, 0x24, 0x26, 0x2B,
        0x2C, 0x3A, 0x3B, 0x3D, 0x40:
        output.append(byte)
      default:
        output.append(0x25)
        output.append(upperHexDigit(byte >> 4))
        output.append(upperHexDigit(byte))
      }
    }
  }

  private static func upperHexDigit(_ value: UInt8) -> UInt8 {
    let low = value & 15
    return low < 10 ? 0x30 + low : 0x41 + (low - 10)
  }
}
