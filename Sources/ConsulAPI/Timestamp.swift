/// Wall-clock times as the API writes them, in UTC.
enum Timestamp {
  /// Days since 1970 to a date of the proleptic Gregorian calendar.
  private static func civil(_ days: Int) -> (year: Int, month: Int, day: Int) {
    // Counted in eras of 400 years from 0000-03-01, so that the leap day is a year's last
    // (H. Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }

  private static func padded(_ number: Int, _ count: Int = 2) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, count - digits.count)) + digits
  }

  private static func parts(_ nanoseconds: UInt64) -> (date: String, time: String) {
    let seconds = Int(nanoseconds / 1_000_000_000)
    let (year, month, day) = civil(seconds / 86400)
    let rest = seconds % 86400
    let time = [rest / 3600, rest / 60 % 60, rest % 60].map { padded($0) }
    return (
      "\(padded(year, 4))-\(padded(month))-\(padded(day))", time.joined(separator: ":")
    )
  }

  /// RFC 3339 with up to nine digits of fraction.
  static func rfc3339(_ nanoseconds: UInt64) -> String {
    let (date, time) = parts(nanoseconds)
    var fraction = padded(Int(nanoseconds % 1_000_000_000), 9)
    while fraction.last == "0" { fraction.removeLast() }
    return "\(date)T\(time)" + (fraction.isEmpty ? "Z" : ".\(fraction)Z")
  }

  /// `2026-11-21 09:40:10 +0000 UTC`, as `/v1/agent/metrics` has it.
  static func go(_ nanoseconds: UInt64) -> String {
    let (date, time) = parts(nanoseconds)
    return "\(date) \(time) +0000 UTC"
  }
}
