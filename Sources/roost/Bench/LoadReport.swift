internal import EventLoop
internal import Foundation
internal import RoostClient

/// A run together with what it cost the nodes that it loaded.
struct LoadReport {
  struct Stage {
    var name: String
    var perSecond: Double
    var meanMicroseconds: Double
  }
  struct NodeCost {
    var address: String
    var cpuMicrosecondsPerRequest: Double
    var coreShare: Double
    var residentBytes: Int
    /// The node's own histograms, over this run.
    var stages: [Stage]
  }

  var name: String
  var result: LoadRun.Result
  var nodes: [NodeCost]

  /// Runs a load and looks at the processes that listen on `nodes` before and after.
  static func measure(
    _ name: String, _ options: LoadRun.Options, nodes: [SocketAddress], readsMetrics: Bool = true
  ) throws(SystemError) -> LoadReport {
    let costs = nodes.map { ProcessCost(listeningOn: $0.port) }
    let metrics = nodes.map { readsMetrics ? NodeMetrics(of: $0) : nil }
    let before = costs.map { $0?.sample() }
    let result = try LoadRun(options).run()
    Progress.clear()
    var report = LoadReport(name: name, result: result, nodes: [])
    let seconds = Double(result.nanoseconds) / 1e9
    for (index, address) in nodes.enumerated() {
      guard let cost = costs[index], let start = before[index] else { continue }
      let end = cost.sample()
      let used = end.cpuSeconds - start.cpuSeconds
      let after = metrics[index] == nil ? nil : NodeMetrics(of: address)
      report.nodes.append(
        NodeCost(
          address: address.description,
          cpuMicrosecondsPerRequest: used * 1e6 / Double(max(1, result.latencies.count)),
          coreShare: used / seconds, residentBytes: end.residentBytes,
          stages: NodeMetrics.stages(from: metrics[index] ?? nil, to: after, seconds: seconds)))
    }
    return report
  }

  var cpuMicrosecondsPerRequest: Double {
    nodes.reduce(0) { $0 + $1.cpuMicrosecondsPerRequest }
  }

  // MARK: As text

  func render(isDetailed: Bool) -> String {
    var text = "\(Console.styled(name, .bold))\n"
    text += "  \(result.latencies.count) requests in \(result.nanoseconds / 1_000_000) ms: "
    text += "\(Int(result.perSecond)) per second, \(result.errors) errors, "
    text += "\(Self.decimal(Double(result.bytesReceived) / 1e6)) MB received\n"
    text += "  latency in µs: \(result.latencies.summary)\n"
    if result.errors > 0 { text += "  \(result.failureText)\n" }
    for node in nodes {
      text += "  \(node.address): \(Self.decimal(node.cpuMicrosecondsPerRequest)) µs CPU "
      text += "per request, \(Int(node.coreShare * 100)) % of a core, "
      text += "\(node.residentBytes >> 20) MB resident\n"
      guard isDetailed else { continue }
      for stage in node.stages {
        text += "    \(stage.name): \(Int(stage.perSecond)) per second, "
        text += "mean \(Self.decimal(stage.meanMicroseconds)) µs\n"
      }
    }
    return text + (isDetailed ? result.latencies.picture() : "")
  }

  static func decimal(_ value: Double) -> String { String(format: "%.1f", value) }

  // MARK: As JSON

  struct JSON: Encodable {
    struct Node: Encodable {
      var address: String
      var cpuMicrosecondsPerRequest: Double
      var coreShare: Double
      var residentBytes: Int
      var stages: [Stage]
    }
    struct Stage: Encodable {
      var name: String
      var perSecond: Double
      var meanMicroseconds: Double
    }
    var name: String
    var requests: UInt64
    var errors: UInt64
    var seconds: Double
    var perSecond: Double
    var bytesReceived: UInt64
    var latencyMicroseconds: [String: Double]
    var nodes: [Node]
  }

  var json: JSON {
    var latencies: [String: Double] = [:]
    for point in LatencyHistogram.points {
      latencies[point.name] = Double(result.latencies.quantile(point.fraction)) / 1000
    }
    let nodes = nodes.map { node in
      JSON.Node(
        address: node.address, cpuMicrosecondsPerRequest: node.cpuMicrosecondsPerRequest,
        coreShare: node.coreShare, residentBytes: node.residentBytes,
        stages: node.stages.map {
          JSON.Stage(
            name: $0.name, perSecond: $0.perSecond, meanMicroseconds: $0.meanMicroseconds)
        })
    }
    return JSON(
      name: name, requests: result.latencies.count, errors: result.errors,
      seconds: Double(result.nanoseconds) / 1e9, perSecond: result.perSecond,
      bytesReceived: result.bytesReceived, latencyMicroseconds: latencies, nodes: nodes)
  }
}

/// The histograms that a Roost node publishes; nil for anything that is none.
struct NodeMetrics: Decodable {
  struct Sample: Decodable {
    var Name: String
    var Count: Double
    /// Milliseconds.
    var Sum: Double
  }
  var Samples: [Sample]

  init?(of address: SocketAddress) {
    guard let roost = try? Roost(addresses: [address.description]),
      let response = try? roost.expectOK("GET", "/v1/agent/metrics"),
      let decoded = try? JSONDecoder().decode(Self.self, from: Data(response.body))
    else { return nil }
    self = decoded
  }

  static func stages(
    from before: NodeMetrics?, to after: NodeMetrics?, seconds: Double
  ) -> [LoadReport.Stage] {
    guard let before, let after else { return [] }
    return after.Samples.compactMap { sample in
      let old = before.Samples.first { $0.Name == sample.Name }
      let count = sample.Count - (old?.Count ?? 0)
      guard count > 0 else { return nil }
      let sum = (sample.Sum - (old?.Sum ?? 0)) * 1000
      return LoadReport.Stage(
        name: sample.Name, perSecond: count / seconds, meanMicroseconds: sum / count)
    }
  }
}
