import Testing

@testable import ConsulAPI

/// Durations and times.
struct ValueTests {
  @Test(
    arguments: [
      ("10s", 10_000_000_000), ("1h30m", 5_400_000_000_000), ("500ms", 500_000_000),
      ("1.5s", 1_500_000_000), ("0", 0), ("-2m", -120_000_000_000), ("1us", 1000),
      (".5s", 500_000_000),
      ("1\u{B5}s", 1000), ("100000000000h", nil), ("", nil), ("s", nil), ("-", nil), ("1..s", nil),
      ("9223372036854775807ns", 9_223_372_036_854_775_807), ("9223372036854775808ns", nil),
    ] as [(String, Int64?)])
  func durationsAreRead(_ row: (text: String, value: Int64?)) {
    #expect((try? GoDuration.parse(row.text)) == row.value)
  }

  @Test(arguments: [
    ("abc", "time: invalid duration \"abc\""), ("10", "time: missing unit in duration \"10\""),
    ("10x", "time: unknown unit \"x\" in duration \"10x\""),
  ])
  func durationFaults(_ row: (text: String, message: String)) {
    #expect(throws: GoDuration.Fault(message: row.message)) { try GoDuration.parse(row.text) }
  }

  @Test(
    arguments: [
      (0, "0s"), (1, "1ns"), (1500, "1.5\u{B5}s"), (200_000_000, "200ms"),
      (1_500_000_000, "1.5s"), (60_000_000_000, "1m0s"), (3_600_000_000_000, "1h0m0s"),
      (90_000_000_000, "1m30s"), (-1_000_000_000, "-1s"),
    ] as [(Int64, String)])
  func durationsAreShown(_ row: (value: Int64, text: String)) {
    #expect(GoDuration.format(row.value) == row.text)
  }

  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00Z"), (1_795_254_290_410_000_000, "2026-11-21T09:44:50.41Z"),
      (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
    ] as [(UInt64, String)])
  func times(_ row: (value: UInt64, text: String)) {
    #expect(Timestamp.rfc3339(row.value) == row.text)
  }

  @Test func numbersAreReadByHand() {
    #expect(UInt64(decimal: "18446744073709551615".utf8) == .max)
    #expect(UInt64(decimal: "18446744073709551616".utf8) == nil)
    #expect(UInt64(decimal: "+5".utf8) == nil)
    #expect(UInt64(decimal: "".utf8) == nil)
  }
}
