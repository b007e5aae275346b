/// The `Date` header's form, IMF-fixdate (RFC 9110 5.6.7), without Foundation.
enum HTTPDate {
  /// Appends `Sun, 06 Nov 1994 08:49:37 GMT`.
  static func append(secondsSince1970 seconds: UInt64, to output: inout [UInt8]) {
    let days = seconds / 86_400
    let time = seconds % 86_400
    let date = civil(days)
    // 1970-01-01 was a Thursday.
    output.append(contentsOf: name("SunMonTueWedThuFriSat", Int((days + 4) % 7)))
    output.append(", ")
    append(twoDigits: date.day, to: &output)
    output.append(ASCII.space)
    output.append(contentsOf: name("JanFebMarAprMayJunJulAugSepOctNovDec", Int(date.month) - 1))
    output.append(ASCII.space)
    append(twoDigits: date.year / 100, to: &output)
    append(twoDigits: date.year % 100, to: &output)
    output.append(ASCII.space)
    append(twoDigits: time / 3600, to: &output)
    output.append(0x3A)
    append(twoDigits: time / 60 % 60, to: &output)
    output.append(0x3A)
    append(twoDigits: time % 60, to: &output)
    output.append(" GMT")
  }

  /// Year, month and day of a day number, counting years from March so that the leap day is last.
  private static func civil(_ days: UInt64) -> (year: UInt64, month: UInt64, day: UInt64) {
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }

  private static func append(twoDigits number: UInt64, to output: inout [UInt8]) {
    output.append(0x30 + UInt8(truncatingIfNeeded: number / 10 % 10))
    output.append(0x30 + UInt8(truncatingIfNeeded: number % 10))
  }

  private static func name(_ names: StaticString, _ index: Int) -> [UInt8] {
    names.withBytes { bytes in [bytes[3 * index], bytes[3 * index + 1], bytes[3 * index + 2]] }
  }
}
