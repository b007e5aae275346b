/// The one registry of metrics: counters, gauges and histograms that every part writes to.
///
/// Names as Consul's where the meaning is the same (`consul.raft.apply`), else `roost.…`. Writing
/// is an array access; reading (a scrape) builds lists. Thread rule: the loop's thread only.
///
/// Unchecked exclusivity of the values is sound: no access to them calls anything outside this file.
package final class Metrics {
  package struct CounterID: Sendable { package let index: Int }
  package struct HistogramID: Sendable { package let index: Int }

  package typealias Labels = [(String, String)]

  package struct CounterSample: Sendable {
    package let name: String
    package let labels: Labels
    package let value: UInt64
  }
  package struct GaugeSample: Sendable {
    package let name: String
    package let labels: Labels
    package let value: Double
  }
  package struct HistogramSample: Sendable {
    package let name: String
    package let labels: Labels
    package let histogram: Histogram
  }
  /// All of it at one time.
  package struct Report: Sendable {
    package let counters: [CounterSample]
    package let gauges: [GaugeSample]
    package let histograms: [HistogramSample]
  }

  private struct Named { let name: String, labels: Labels }

  private var counterNames: [Named] = []
  @safe @exclusivity(unchecked) private var counterValues: [UInt64] = []
  private var histogramNames: [Named] = []
  @safe @exclusivity(unchecked) private var histogramValues: [Histogram] = []
  private var gauges: [(named: Named, read: () -> Double)] = []

  package init() {}

  /// Registers a counter. Call once per name and keep the id.
  package func counter(_ name: String, labels: Labels = []) -> CounterID {
    counterNames.append(Named(name: name, labels: labels))
    counterValues.append(0)
    return CounterID(index: counterValues.count - 1)
  }

  package func increment(_ id: CounterID, by amount: UInt64 = 1) {
    counterValues[id.index] &+= amount
  }

  package func histogram(_ name: String, labels: Labels = []) -> HistogramID {
    histogramNames.append(Named(name: name, labels: labels))
    histogramValues.append(Histogram())
    return HistogramID(index: histogramValues.count - 1)
  }

  /// - Parameter value: microseconds.
  package func record(_ id: HistogramID, _ value: UInt64) {
    histogramValues[id.index].record(value)
  }

  /// A number that a part counts on its own; read when somebody asks.
  package func gauge(_ name: String, labels: Labels = [], _ read: @escaping () -> Double) {
    gauges.append((Named(name: name, labels: labels), read))
  }

  package func report() -> Report {
    Report(counters: counters(), gauges: gaugeSamples(), histograms: histograms())
  }

  /// What was counted elsewhere, by name; registers the counter if there is none.
  func add(_ sample: CounterSample) {
    let place = counterNames.firstIndex { named in
      named.name == sample.name && named.labels.elementsEqual(sample.labels, by: ==)
    }
    let id = place.map { CounterID(index: $0) } ?? counter(sample.name, labels: sample.labels)
    increment(id, by: sample.value)
  }

  var hasCounts: Bool { counterValues.contains { $0 > 0 } }

  /// What was counted since the last call, for `add` elsewhere; starts from 0 again.
  func takeCounts() -> [CounterSample] {
    guard hasCounts else { return [] }
    let counted = counters().filter { $0.value > 0 }
    for index in counterValues.indices { counterValues[index] = 0 }
    return counted
  }

  package func counters() -> [CounterSample] {
    zip(counterNames, counterValues).map {
      CounterSample(name: $0.name, labels: $0.labels, value: $1)
    }
  }

  package func gaugeSamples() -> [GaugeSample] {
    gauges.map { GaugeSample(name: $0.named.name, labels: $0.named.labels, value: $0.read()) }
  }

  package func histograms() -> [HistogramSample] {
    zip(histogramNames, histogramValues).map {
      HistogramSample(name: $0.name, labels: $0.labels, histogram: $1)
    }
  }
}

/// Counts values in buckets that grow by a quarter of a power of two: every quantile is right to
/// within about 19 %, in 1 KiB.
package struct Histogram: Sendable, Equatable {
  /// Four buckets per power of two, for values below 2^32 (about 71 minutes in microseconds).
  private static let bucketCount = 4 * 32

  private var buckets = [UInt32](repeating: 0, count: bucketCount)
  package private(set) var count: UInt64 = 0
  package private(set) var sum: UInt64 = 0
  package private(set) var max: UInt64 = 0

  package init() {}

  package mutating func record(_ value: UInt64) {
    let bucket = Self.bucket(of: value)
    if buckets[bucket] < .max { buckets[bucket] += 1 }
    count &+= 1
    sum &+= value
    if value > max { max = value }
  }

  /// The upper edge of the bucket in which the quantile lies; 0 when nothing was recorded.
  /// - Parameter fraction: 0 to 1.
  package func quantile(_ fraction: Double) -> UInt64 {
    guard count > 0 else { return 0 }
    let wanted = UInt64((Double(count) * fraction).rounded(.up))
    var seen: UInt64 = 0
    for (bucket, amount) in buckets.enumerated() {
      seen += UInt64(amount)
      if seen >= Swift.max(wanted, 1) { return min(Self.upperEdge(of: bucket), max) }
    }
    return max
  }

  /// Cumulative counts at the upper edges that are in use, as Prometheus wants them.
  package func cumulative() -> [(upperEdge: UInt64, count: UInt64)] {
    var seen: UInt64 = 0
    return buckets.enumerated().compactMap { bucket, amount in
      seen += UInt64(amount)
      return amount == 0 ? nil : (Self.upperEdge(of: bucket), seen)
    }
  }

  private static func bucket(of value: UInt64) -> Int {
    guard value >= 4 else { return Int(value) }
    let exponent = 63 - value.leadingZeroBitCount
    let quarter = Int((value >> UInt64(exponent - 2)) & 3)
    return Swift.min(exponent * 4 + quarter - 4, bucketCount - 1)
  }

  private static func upperEdge(of bucket: Int) -> UInt64 {
    guard bucket >= 4 else { return UInt64(bucket) }
    let exponent = (bucket + 4) / 4
    let quarter = UInt64((bucket + 4) % 4)
    return (((4 + quarter + 1) << UInt64(exponent - 2))) - 1
  }
}
