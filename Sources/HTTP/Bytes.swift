internal import Glibc

/// Small helpers on bytes that every file of this target uses: ASCII classes by comparison (no
/// tables behind a lazy initialiser), decimal numbers in and out, and `StaticString` constants.
enum ASCII {
  static let tab: UInt8 = 0x09
  static let lineFeed: UInt8 = 0x0A
  static let carriageReturn: UInt8 = 0x0D
  static let space: UInt8 = 0x20
  static let colon: UInt8 = 0x3A

  @inline(__always)
  static func lowercased(_ byte: UInt8) -> UInt8 {
    byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
  }

  @inline(__always)
  static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

  /// The value of a hexadecimal digit, nil for anything else.
  @inline(__always)
  static func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
  }

  /// `tchar` of RFC 9110 5.6.2: what method and header names consist of.
  @inline(__always)
  static func isToken(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x61...0x7A, 0x41...0x5A, 0x30...0x39: true
    case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E, 0x5F, 0x60, 0x7C, 0x7E: true
    default: false
    }
  }

  @inline(__always)
  static func hexDigit(_ value: UInt8) -> UInt8 {
    let low = value & 15
    return low < 10 ? 0x30 + low : 0x61 + (low - 10)
  }
}

extension StaticString {
  /// Runs `body` on the constant's bytes.
  @inline(__always)
  func withBytes<R>(_ body: (Span<UInt8>) -> R) -> R {
    // Sound: a StaticString's bytes live as long as the program, and the span does not leave.
    withUTF8Buffer { buffer in unsafe body(buffer.span) }
  }
}

extension [UInt8] {
  /// Appends a constant.
  @inline(__always)
  mutating func append(_ text: StaticString) {
    // Sound: a StaticString's bytes live as long as the program.
    text.withUTF8Buffer { buffer in unsafe append(contentsOf: buffer) }
  }

  /// Appends the decimal form.
  mutating func append(decimal number: UInt64) {
    append(addingCapacity: 20) { output in output.append(decimal: number) }
  }
}

/// Several pieces into room that is made once.
extension OutputSpan<UInt8> {
  /// Appends a constant, for which there must be room.
  @inline(__always)
  mutating func append(_ text: StaticString) {
    // Sound: a StaticString's bytes live as long as the program.
    text.withUTF8Buffer { source in unsafe append(copying: source) }
  }

  /// CR LF. Byte by byte it takes a quarter of the instructions of a copy.
  @inline(__always)
  mutating func appendLineEnd() {
    append(ASCII.carriageReturn)
    append(ASCII.lineFeed)
  }

  /// Appends bytes, for which there must be room.
  @inline(__always)
  mutating func append(_ bytes: [UInt8]) {
    // Sound: the array lives for the call.
    unsafe bytes.withUnsafeBufferPointer { source in unsafe append(copying: source) }
  }

  @inline(__always)
  private mutating func append(copying source: UnsafeBufferPointer<UInt8>) {
    // Sound: `rebasing` and `initialize` check that they fit.
    unsafe withUnsafeMutableBufferPointer { target, count in
      let room = unsafe UnsafeMutableBufferPointer(rebasing: target[count...])
      _ = unsafe room.initialize(fromContentsOf: source)
      count += source.count
    }
  }

  /// Appends the decimal form, for which there must be room: at most 20 digits.
  mutating func append(decimal number: UInt64) {
    if number < 10 {
      append(0x30 + UInt8(truncatingIfNeeded: number))
      return
    }
    var digits: InlineArray<20, UInt8> = .init(repeating: 0)
    var rest = number
    var first = 20
    while rest > 0 {
      let (quotient, remainder) = rest.quotientAndRemainder(dividingBy: 10)
      first -= 1
      digits[first] = 0x30 + UInt8(truncatingIfNeeded: remainder)
      rest = quotient
    }
    for index in first..<20 { append(digits[index]) }
  }
}

extension [UInt8] {
  /// The place of the first line feed in `range`, nil when there is none.
  @inline(__always)
  func firstLineFeed(in range: Range<Int>) -> Int? {
    unsafe withUnsafeBytes { buffer in
      // Sound: `rebasing` checks the range against the buffer, and memchr stays inside.
      let part = unsafe UnsafeRawBufferPointer(rebasing: buffer[range])
      guard let start = part.baseAddress,
        let found = unsafe memchr(start, Int32(ASCII.lineFeed), part.count)
      else { return nil }
      return unsafe range.lowerBound + (UnsafeRawPointer(found) - start)
    }
  }
}

extension Collection<UInt8> {
  /// The number when all bytes are digits (at least one) and it fits into `Int`; no sign, no blanks.
  func decimalNumber() -> Int? {
    guard !isEmpty else { return nil }
    var number = 0
    for byte in self {
      guard ASCII.isDigit(byte) else { return nil }
      let (scaled, overflow) = number.multipliedReportingOverflow(by: 10)
      let (sum, carry) = scaled.addingReportingOverflow(Int(byte - 0x30))
      guard !overflow && !carry else { return nil }
      number = sum
    }
    return number
  }

  /// True when the bytes spell `name`, which is lower case, in any case.
  func equalsIgnoringCase(_ name: StaticString) -> Bool {
    guard count == name.utf8CodeUnitCount else { return false }
    return name.withBytes { wanted in
      var index = 0
      for byte in self {
        guard ASCII.lowercased(byte) == wanted[index] else { return false }
        index += 1
      }
      return true
    }
  }
}

extension [UInt8] {
  /// True when the bytes spell `text` exactly.
  @inline(__always)
  func equals(_ text: StaticString) -> Bool {
    guard count == text.utf8CodeUnitCount else { return false }
    return text.withBytes { wanted in
      for index in 0..<count where self[index] != wanted[index] { return false }
      return true
    }
  }
}
