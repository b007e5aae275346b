internal import EventLoop

extension Bench {
  /// What a request costs as one thing grows and all else stays: a table each, so that a cliff shows.
  func growth() throws -> Int32 {
    Console.print(Machine.description)
    var failures: UInt64 = 0
    failures += try withCluster { try growConnections($0) }
    failures += try withCluster { try growValues($0) }
    failures += try withCluster { try growKeys($0) }
    failures += try withCluster { try growInstances($0) }
    failures += try growNodes()
    guard try snapshots() == 0 else { return 1 }
    return failures == 0 ? 0 : 1
  }

  private func withCluster<R>(
    count: Int = 3, raft: String = "", _ body: (BenchCluster) throws -> R
  ) throws -> R {
    let cluster = try BenchCluster(count: count, raft: raft)
    defer { cluster.close() }
    try cluster.startAll()
    return try body(cluster)
  }

  private func growConnections(_ cluster: BenchCluster) throws -> UInt64 {
    try table("clients", Self.putAndGet) { add in
      for connections in [1, 4, 16, 64, 256, 1024] {
        try add("\(connections)", putAndGet(cluster) { $0.connections = connections })
      }
    }
  }

  private func growValues(_ cluster: BenchCluster) throws -> UInt64 {
    try table("value bytes", ["puts/s", "MB/s", "p99 µs", "gets/s", "MB/s", "p99 µs"]) { add in
      for bytes in [16, 128, 1024, 8192, 65_536, 524_288] {
        let change = { (run: inout LoadRun.Options) in
          run.work.valueBytes = bytes
          run.work.keys = 200
        }
        try add("\(bytes)", putAndGet(cluster, change, cells: { Self.rateAndBytes($0, bytes) }))
      }
    }
  }

  private func growKeys(_ cluster: BenchCluster) throws -> UInt64 {
    try table("keys", Self.putAndGet) { add in
      for keys in [1000, 10_000, 100_000, 1_000_000] {
        try fill(cluster, keys: keys)
        try add("\(keys)", putAndGet(cluster, isFilled: true) { $0.work.keys = keys })
      }
    }
  }

  private func growInstances(_ cluster: BenchCluster) throws -> UInt64 {
    try table("instances", ["queries/s", "MB/s", "p50 µs", "p99 µs"]) { add in
      for instances in [1, 10, 100, 1000, 10_000] {
        let report = try measure(.health, cluster) { $0.work.instances = instances }
        let seconds = Double(report.result.nanoseconds) / 1e9
        let megabytes = Double(report.result.bytesReceived) / 1e6 / max(seconds, 1e-9)
        var cells = Self.rateAndLatency(report)
        cells.insert(LoadReport.decimal(megabytes), at: 1)
        add("\(instances)", Figures(cells: cells, errors: report.result.errors))
      }
    }
  }

  private func growNodes() throws -> UInt64 {
    try table("nodes", Self.putAndGet) { add in
      for count in [3, 5, 7] {
        try withCluster(count: count) { try add("\(count)", putAndGet($0)) }
      }
    }
  }

  // MARK: Measuring

  /// What was measured when the one thing that grows had one size.
  private struct Figures {
    var cells: [String]
    var errors: UInt64
  }

  private static let putAndGet = ["puts/s", "p50 µs", "p99 µs", "gets/s", "p50 µs", "p99 µs"]

  private func putAndGet(
    _ cluster: BenchCluster, isFilled: Bool = false,
    _ change: (inout LoadRun.Options) -> Void = { _ in },
    cells: (LoadReport) -> [String] = Bench.rateAndLatency
  ) throws -> Figures {
    let put = try measure(.put, cluster, change)
    let get = try measure(.get, cluster, isFilled: isFilled, change)
    return Figures(cells: cells(put) + cells(get), errors: put.result.errors + get.result.errors)
  }

  func fill(_ cluster: BenchCluster, keys: Int) throws {
    var fill = options
    fill.addresses = cluster.addresses
    fill.work.kind = .get
    fill.work.keys = keys
    try Self.fill(fill)
  }

  func measure(
    _ kind: LoadWork.Kind, _ cluster: BenchCluster, isFilled: Bool = false,
    _ change: (inout LoadRun.Options) -> Void = { _ in }
  ) throws -> LoadReport {
    var run = options
    run.work.kind = kind
    run.showsProgress = false
    change(&run)
    run.addresses = cluster.addresses
    if kind != .put, !isFilled { try Self.fill(run) }
    run.addresses = [cluster.addresses[try cluster.waitForLeader()]]
    return try LoadReport.measure(
      kind.rawValue, run, nodes: cluster.addresses, readsMetrics: false)
  }

  private static func rateAndLatency(_ report: LoadReport) -> [String] {
    let latencies = report.result.latencies
    return [
      "\(Int(report.result.perSecond))", "\(latencies.quantile(0.5) / 1000)",
      "\(latencies.quantile(0.99) / 1000)",
    ]
  }

  private static func rateAndBytes(_ report: LoadReport, _ bytes: Int) -> [String] {
    let perSecond = report.result.perSecond
    return [
      "\(Int(perSecond))", LoadReport.decimal(perSecond * Double(bytes) / 1e6),
      "\(report.result.latencies.quantile(0.99) / 1000)",
    ]
  }

  /// Prints the table when it is complete; the number of failed requests.
  private func table(
    _ what: String, _ heads: [String],
    _ body: ((_ size: String, _ figures: Figures) -> Void) throws -> Void
  ) throws -> UInt64 {
    var table = Table([what] + heads)
    var failures: UInt64 = 0
    try body { size, figures in
      failures += figures.errors
      table.add([size] + figures.cells)
      Progress.show("\(what): \(size) done")
    }
    Progress.clear()
    Console.print(table.render())
    if failures > 0 { Console.print("\(failures) requests failed") }
    return failures
  }
}
