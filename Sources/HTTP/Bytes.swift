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
    // One bit for each byte: `!#$%&'*+-.` and digits; letters and `^_`|~`.
    let low: UInt64 = 0x03FF_6CFA_0000_0000
    let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE
    return byte < 128 && (byte < 64 ? low : high) >> UInt64(byte & 63) & 1 != 0
  }

  @inline(__always)
  static func hexDigit(_ value: UInt8) -> UInt8 {
    let low = value & 15
    return low < 10 ? 0x30 + low : 0x61 + (low - 10)
  }
}

/// Which sizes the names of headers or of parameters have. Handlers ask for many that most requests
/// do not have, and this answers them without a look at those they have.
struct NameSizes: Sendable {
  /// One bit for each size, the last one for all above.
  private var bits: UInt64 = 0

  private static func bit(_ size: Int) -> UInt64 { 1 << UInt64(min(size, 63)) }
  mutating func insert(_ size: Int) { bits |= Self.bit(size) }
  func contains(_ size: Int) -> Bool { bits & Self.bit(size) != 0 }
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

  /// Appends a part of other bytes.
  @inline(__always)
  mutating func append(_ bytes: [UInt8], _ part: Range<Int>) {
    append(addingCapacity: part.count) { output in output.append(bytes, part) }
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

  /// Appends a part of other bytes, for which there must be room.
  @inline(__always)
  mutating func append(_ bytes: [UInt8], _ part: Range<Int>) {
    // Sound: the array lives for the call, and `rebasing` checks the part.
    unsafe bytes.withUnsafeBufferPointer { source in
      unsafe append(copying: UnsafeBufferPointer(rebasing: source[part]))
    }
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
    guard number < 100_000_000 else {
      append(decimal: number / 100_000_000)
      return append(Self.eightDigits(number % 100_000_000), from: 0)
    }
    let digits = Self.eightDigits(number)
    append(digits, from: digits.trailingZeroBitCount / 8)
  }

  private mutating func append(_ digits: UInt64, from first: Int) {
    for index in first..<8 {
      append(0x30 | UInt8(truncatingIfNeeded: digits >> UInt64(8 * index)))
    }
  }

  /// A number of at most eight digits, one of them in each byte, the highest in the lowest. All
  /// halves are split at once: into four digits each, then two, then one. The factors are those of
  /// divisions by 100 and 10, exact for what is divided.
  private static func eightDigits(_ number: UInt64) -> UInt64 {
    let fours = number / 10_000 | (number % 10_000) << 32
    let hundreds = (fours &* 10_486) >> 20 & 0x7F_0000_007F
    let twos = hundreds | (fours &- 100 &* hundreds) << 16
    let tens = (twos &* 103) >> 10 & 0x000F_000F_000F_000F
    return tens | (twos &- 10 &* tens) << 8
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

extension Span<UInt8> {
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
