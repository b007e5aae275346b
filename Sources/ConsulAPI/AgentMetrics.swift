import HTTP
import Node
import Registry

/// `GET /v1/agent/metrics` (consul-api.md 8.15): JSON, or Prometheus' text form on request.
///
/// Numbers count from the start of the process and not over ten seconds as in Consul: a scraper
/// that missed one answer loses nothing.
extension ConsulAPI {
  static func metrics(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    api.backend.collectMetrics { report in
      api.respond(answer(report, api.backend.wallClock, call), call.responder)
    }
  }

  private static func answer(
    _ report: Metrics.Report, _ wallClock: UInt64, _ call: Call
  ) -> Answer {
    if call.query.text("format") == "prometheus" || acceptsOpenMetrics(call) {
      return Answer(
        contentType: "text/plain; version=0.0.4; charset=utf-8",
        body: Array(exposition(report).utf8))
    }
    var writer = call.writer(reserving: 4096)
    writer.beginObject()
    writer.field("Timestamp", Timestamp.go(wallClock))
    writer.key("Gauges")
    writer.beginArray()
    for gauge in report.gauges {
      writer.beginObject()
      writer.field("Name", gauge.name)
      writer.key("Value")
      writer.value(gauge.value)
      writer.labels(gauge.labels)
      writer.endObject()
    }
    writer.endArray()
    writer.key("Points")
    writer.beginArray()
    writer.endArray()
    writer.key("Counters")
    writer.beginArray()
    for counter in report.counters {
      let value = Double(counter.value)
      writer.aggregate(
        counter.name, counter.labels, count: counter.value, sum: value, max: 1,
        mean: counter.value > 0 ? 1 : 0)
    }
    writer.endArray()
    writer.key("Samples")
    writer.beginArray()
    for sample in report.histograms {
      // Consul's samples are milliseconds.
      let sum = Double(sample.histogram.sum) / 1000
      let count = sample.histogram.count
      writer.aggregate(
        sample.name, sample.labels, count: count, sum: sum,
        max: Double(sample.histogram.max) / 1000, mean: count > 0 ? sum / Double(count) : 0)
    }
    writer.endArray()
    writer.endObject()
    return .json(writer)
  }

  private static func acceptsOpenMetrics(_ call: Call) -> Bool {
    call.request.header("accept")?.starts(with: "application/openmetrics-text".utf8) ?? false
  }

  /// Prometheus' text form; one `TYPE` line per name, as it demands.
  static func exposition(_ report: Metrics.Report) -> String {
    var text = ""
    var typed: Set<String> = []
    func type(_ name: String, _ kind: String) {
      if typed.insert(name).inserted { text += "# TYPE \(name) \(kind)\n" }
    }
    for gauge in report.gauges {
      let name = plain(gauge.name)
      type(name, "gauge")
      text += "\(name)\(labels(gauge.labels)) \(gauge.value)\n"
    }
    for counter in report.counters {
      let name = plain(counter.name)
      type(name, "counter")
      text += "\(name)\(labels(counter.labels)) \(counter.value)\n"
    }
    for sample in report.histograms {
      let name = plain(sample.name) + "_microseconds"
      type(name, "histogram")
      for bucket in sample.histogram.cumulative() {
        let edge = [("le", String(bucket.upperEdge))]
        text += "\(name)_bucket\(labels(sample.labels + edge)) \(bucket.count)\n"
      }
      let count = sample.histogram.count
      text += "\(name)_bucket\(labels(sample.labels + [("le", "+Inf")])) \(count)\n"
      text += "\(name)_sum\(labels(sample.labels)) \(sample.histogram.sum)\n"
      text += "\(name)_count\(labels(sample.labels)) \(count)\n"
    }
    return text
  }

  private static func plain(_ name: String) -> String {
    String(name.map { $0 == "." || $0 == "-" ? "_" : $0 })
  }

  private static func labels(_ labels: Metrics.Labels) -> String {
    guard !labels.isEmpty else { return "" }
    let parts = labels.map { name, value in "\(plain(name))=\(quoted(value))" }
    return "{" + parts.joined(separator: ",") + "}"
  }
}

extension JSONWriter {
  fileprivate mutating func labels(_ labels: Metrics.Labels) {
    key("Labels")
    map(StringMap(labels.map { StringPair($0.0, $0.1) }))
  }

  fileprivate mutating func aggregate(
    _ name: String, _ labels: Metrics.Labels, count: UInt64, sum: Double, max: Double,
    mean: Double
  ) {
    beginObject()
    field("Name", name)
    field("Count", count)
    key("Rate")
    value(0)
    key("Sum")
    value(sum)
    key("Min")
    value(0)
    key("Max")
    value(max)
    key("Mean")
    value(mean)
    key("Stddev")
    value(0)
    self.labels(labels)
    endObject()
  }
}
