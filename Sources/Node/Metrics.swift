/// The one registry of metrics: counters, gauges and histograms that every part writes to. STUB.
/// Names as Consul's where the meaning is the same (`consul.raft.apply`), else `roost.…`.
package final class Metrics {
  package struct CounterID: Sendable { package let index: Int }
  package struct HistogramID: Sendable { package let index: Int }

  package init() { fatalError("stub") }
  package func counter(_ name: String, labels: [(String, String)] = []) -> CounterID {
    fatalError("stub")
  }
  package func increment(_ id: CounterID, by amount: UInt64 = 1) { fatalError("stub") }
  package func histogram(_ name: String, labels: [(String, String)] = []) -> HistogramID {
    fatalError("stub")
  }
  /// In microseconds.
  package func record(_ id: HistogramID, _ value: UInt64) { fatalError("stub") }
  /// Read when somebody asks; for numbers that a part counts on its own.
  package func gauge(
    _ name: String, labels: [(String, String)] = [], _ read: @escaping () -> Double
  ) { fatalError("stub") }
}
