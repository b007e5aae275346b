import Registry

/// Durations as Go writes and reads them: `1h30m`, `500ms`, `1.5s`; in nanoseconds.
enum GoDuration {
  struct Fault: Error, Equatable {
    var message: String
  }

  /// Go's `time.ParseDuration`, error texts included.
  static func parse(_ text: String) throws(Fault) -> Int64 {
    var bytes = Array(text.utf8)[...]
    let invalid = Fault(message: "time: invalid duration \(quoted(text))")
    var isNegative = false
    if let sign = bytes.first, sign == 0x2D || sign == 0x2B {
      isNegative = sign == 0x2D
      bytes.removeFirst()
    }
    if bytes.elementsEqual("0".utf8) { return 0 }
    guard !bytes.isEmpty else { throw invalid }
    var total: UInt64 = 0
    while !bytes.isEmpty {
      let part = try component(&bytes, text: text, invalid: invalid)
      let (sum, overflow) = total.addingReportingOverflow(part)
      guard !overflow, sum <= UInt64(Int64.max) else { throw invalid }
      total = sum
    }
    return isNegative ? -Int64(total) : Int64(total)
  }

  /// One number with its unit, taken off the front.
  private static func component(
    _ bytes: inout ArraySlice<UInt8>, text: String, invalid: Fault
  ) throws(Fault) -> UInt64 {
    guard let (whole, wholeDigits) = digits(&bytes) else { throw invalid }
    var fraction: UInt64 = 0
    var scale: UInt64 = 1
    var fractionDigits = 0
    if bytes.first == 0x2E {
      bytes.removeFirst()
      while let byte = bytes.first, byte >= 0x30, byte <= 0x39 {
        // Beyond nanoseconds nothing counts.
        if scale < 1_000_000_000_000_000 {
          fraction = fraction * 10 + UInt64(byte - 0x30)
          scale *= 10
        }
        fractionDigits += 1
        bytes.removeFirst()
      }
    }
    guard wholeDigits + fractionDigits > 0 else { throw invalid }
    let unitBytes = bytes.prefix { byte in byte != 0x2E && !(byte >= 0x30 && byte <= 0x39) }
    let unit = String(decoding: unitBytes, as: UTF8.self)
    guard !unit.isEmpty else {
      throw Fault(message: "time: missing unit in duration \(quoted(text))")
    }
    bytes = bytes[unitBytes.endIndex...]
    guard let factor = nanoseconds(unit: unit) else {
      throw Fault(message: "time: unknown unit \(quoted(unit)) in duration \(quoted(text))")
    }
    let (value, overflow) = whole.multipliedReportingOverflow(by: factor)
    guard !overflow else { throw invalid }
    let (high, low) = fraction.multipliedFullWidth(by: factor)
    guard high < scale else { throw invalid }
    let rest = scale.dividingFullWidth((high, low)).quotient
    let (sum, carry) = value.addingReportingOverflow(rest)
    guard !carry else { throw invalid }
    return sum
  }

  /// The digits at the front, nil when the number does not fit.
  private static func digits(_ bytes: inout ArraySlice<UInt8>) -> (value: UInt64, count: Int)? {
    var value: UInt64 = 0
    var count = 0
    while let byte = bytes.first, byte >= 0x30, byte <= 0x39 {
      let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = scaled.addingReportingOverflow(UInt64(byte - 0x30))
      guard !overflow && !carry else { return nil }
      value = sum
      count += 1
      bytes.removeFirst()
    }
    return (value, count)
  }

  private static func nanoseconds(unit: String) -> UInt64? {
    switch unit {
    case "ns": 1
    case "us", "\u{B5}s", "\u{3BC}s": 1000
    case "ms": 1_000_000
    case "s": 1_000_000_000
    case "m": 60_000_000_000
    case "h": 3_600_000_000_000
    default: nil
    }
  }

  /// Go's `Duration.String`: `1h0m0s`, `1.5s`, `500ms`, `0s`.
  static func format(_ duration: Int64) -> String {
    if duration == 0 { return "0s" }
    let sign = duration < 0 ? "-" : ""
    let value = duration.magnitude
    switch value {
    case ..<1000: return "\(sign)\(value)ns"
    case ..<1_000_000: return sign + decimal(value, unit: 1000) + "\u{B5}s"
    case ..<1_000_000_000: return sign + decimal(value, unit: 1_000_000) + "ms"
    default: break
    }
    let second: UInt64 = 1_000_000_000
    let hours = value / (3600 * second)
    let minutes = value / (60 * second) % 60
    let seconds = decimal(value % (60 * second), unit: second) + "s"
    if hours > 0 { return "\(sign)\(hours)h\(minutes)m\(seconds)" }
    return minutes > 0 ? "\(sign)\(minutes)m\(seconds)" : sign + seconds
  }

  /// `value / unit` without trailing zeros; `unit` is a power of ten.
  private static func decimal(_ value: UInt64, unit: UInt64) -> String {
    var fraction = String(value % unit + unit).dropFirst()
    while fraction.last == "0" { fraction.removeLast() }
    return fraction.isEmpty ? String(value / unit) : "\(value / unit).\(fraction)"
  }
}
