/// Counts latencies in nanoseconds, right to within three per cent, in 9 KB.
struct LatencyHistogram {
  /// Buckets per power of two.
  private static let fineBits = 5
  private static let fine = 1 << fineBits
  /// Up to 2^40 ns, about eighteen minutes.
  private static let bucketCount = fine * (40 - fineBits + 1)

  private var buckets = [UInt64](repeating: 0, count: bucketCount)
  private(set) var count: UInt64 = 0
  private(set) var max: UInt64 = 0

  mutating func record(_ nanoseconds: UInt64) {
    buckets[Self.bucket(of: nanoseconds)] += 1
    count += 1
    if nanoseconds > max { max = nanoseconds }
  }

  mutating func merge(_ other: LatencyHistogram) {
    for index in buckets.indices { buckets[index] += other.buckets[index] }
    count += other.count
    max = Swift.max(max, other.max)
  }

  /// The upper edge of the bucket in which the quantile lies; 0 when nothing was recorded.
  func quantile(_ fraction: Double) -> UInt64 {
    let wanted = Swift.max(1, UInt64((Double(count) * fraction).rounded(.up)))
    var seen: UInt64 = 0
    for (bucket, amount) in buckets.enumerated() where amount > 0 {
      seen += amount
      if seen >= wanted { return min(Self.upperEdge(of: bucket), max) }
    }
    return max
  }

  private static func bucket(of value: UInt64) -> Int {
    guard value >= UInt64(fine) else { return Int(value) }
    let shift = 63 - value.leadingZeroBitCount - fineBits
    let bucket = (shift + 1) * fine + Int((value >> UInt64(shift)) & UInt64(fine - 1))
    return min(bucket, bucketCount - 1)
  }

  private static func upperEdge(of bucket: Int) -> UInt64 {
    guard bucket >= fine else { return UInt64(bucket) }
    let shift = UInt64(bucket / fine - 1)
    return (UInt64(fine + bucket % fine + 1) << shift) - 1
  }

  // MARK: As text

  static let points: [(name: String, fraction: Double)] = [
    ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1),
  ]

  var summary: String {
    Self.points.map { "\($0.name) \(Self.microseconds(quantile($0.fraction)))" }
      .joined(separator: ", ")
  }

  static func microseconds(_ nanoseconds: UInt64) -> String { String(nanoseconds / 1000) }

  /// One line per power of two that holds anything, with a bar.
  func picture() -> String {
    var rows: [(edge: UInt64, amount: UInt64)] = []
    for (bucket, amount) in buckets.enumerated() where amount > 0 {
      let edge = Self.upperEdge(of: bucket | (Self.fine - 1))
      if rows.last?.edge == edge {
        rows[rows.count - 1].amount += amount
      } else {
        rows.append((edge, amount))
      }
    }
    let most = rows.map(\.amount).max() ?? 1
    var text = ""
    for row in rows {
      let edge = "\((row.edge + 1) / 1000)"
      let bar = String(repeating: "#", count: Int(row.amount * 40 / most))
      text += "  < \(String(repeating: " ", count: Swift.max(0, 8 - edge.count)))\(edge) µs  "
      text += "\(bar) \(row.amount)\n"
    }
    return text
  }
}
