/// Limits how often a check's output alone, without a change of status, goes through the log:
/// a burst, then once a minute. Pure.
///
/// A check that reports a changing text every second would otherwise cost a log write a second.
struct OutputBudget {
  private struct Bucket {
    var tokens: Int
    var refilledAt: UInt64
  }

  static let burst = 10
  static let refillNanoseconds: UInt64 = 60_000_000_000

  private var buckets: [String: Bucket] = [:]

  /// True if the output may be written now; counts it then.
  mutating func take(_ checkID: String, now: UInt64) -> Bool {
    var bucket = buckets[checkID] ?? Bucket(tokens: Self.burst, refilledAt: now)
    let periods = (now &- bucket.refilledAt) / Self.refillNanoseconds
    if periods > 0 {
      bucket.tokens = min(Self.burst, bucket.tokens + Int(min(periods, 1_000)))
      bucket.refilledAt += periods * Self.refillNanoseconds
    }
    defer { buckets[checkID] = bucket }
    guard bucket.tokens > 0 else { return false }
    bucket.tokens -= 1
    return true
  }

  mutating func forget(_ checkID: String) { buckets[checkID] = nil }

  mutating func removeAll() { buckets.removeAll() }
}
