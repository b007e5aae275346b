internal import EventLoop

/// One line of a growth table: what was measured when the one thing that grows had this size.
private struct GrowthRow {
  var size: String
  var cells: [String]
}

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
    failures += try growSnapshots()
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
    try table("clients", ["puts/s", "p50 µs", "p99 µs", "gets/s", "p50 µs", "p99 µs"]) { add in
      for connections in [1, 4, 16, 64, 256, 1024] {
        let put = try measure(.put, cluster) { $0.connections = connections }
        let get = try measure(.get, cluster) { $0.connections = connections }
        add("\(connections)", put, Self.rateAndLatency(put) + Self.rateAndLatency(get))
      }
    }
  }

  private func growValues(_ cluster: BenchCluster) throws -> UInt64 {
    try table("value bytes", ["puts/s", "MB/s", "p99 µs", "gets/s", "MB/s", "p99 µs"]) { add in
      for bytes in [16, 128, 1024, 8192, 65_536, 524_288] {
        let put = try measure(.put, cluster) {
          $0.work.valueBytes = bytes
          $0.work.keys = 200
        }
        let get = try measure(.get, cluster) {
          $0.work.valueBytes = bytes
          $0.work.keys = 200
        }
        add("\(bytes)", put, Self.rateAndBytes(put, bytes) + Self.rateAndBytes(get, bytes))
      }
    }
  }

  private func growKeys(_ cluster: BenchCluster) throws -> UInt64 {
    try table("keys", ["puts/s", "p50 µs", "p99 µs", "gets/s", "p50 µs", "p99 µs"]) { add in
      for keys in [1000, 10_000, 100_000, 1_000_000] {
        var fill = options
        fill.addresses = cluster.addresses
        fill.work.kind = .get
        fill.work.keys = keys
        try Self.fill(fill)
        let put = try measure(.put, cluster) { $0.work.keys = keys }
        let get = try measure(.get, cluster, isFilled: true) { $0.work.keys = keys }
        add("\(keys)", put, Self.rateAndLatency(put) + Self.rateAndLatency(get))
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
        add("\(instances)", report, cells)
      }
    }
  }

  private func growNodes() throws -> UInt64 {
    try table("nodes", ["puts/s", "p50 µs", "p99 µs", "gets/s", "p50 µs", "p99 µs"]) { add in
      for count in [3, 5, 7] {
        try withCluster(count: count) { cluster in
          let put = try measure(.put, cluster)
          let get = try measure(.get, cluster)
          add("\(count)", put, Self.rateAndLatency(put) + Self.rateAndLatency(get))
        }
      }
    }
  }

  /// At the same fixed rate with and without snapshots of 100,000 keys all the time.
  private func growSnapshots() throws -> UInt64 {
    try table("snapshots", ["puts/s", "p50 µs", "p99 µs"]) { add in
      for (name, entries) in [("none", 100_000_000), ("every 5,000 entries", 5000)] {
        let raft = "\"raft\": { \"snapshot_after_entries\": \(entries) },"
        try withCluster(raft: raft) { cluster in
          var fill = options
          fill.addresses = cluster.addresses
          fill.work.kind = .get
          fill.work.keys = 100_000
          try Self.fill(fill)
          let put = try measure(.put, cluster) {
            $0.work.keys = 100_000
            $0.rate = 2000
          }
          add(name, put, Self.rateAndLatency(put))
        }
      }
    }
  }

  // MARK: Measuring

  private func measure(
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
    _ body: ((_ size: String, _ report: LoadReport, _ cells: [String]) -> Void) throws -> Void
  ) throws -> UInt64 {
    var rows = [GrowthRow(size: what, cells: heads)]
    var failures: UInt64 = 0
    try body { size, report, cells in
      failures += report.result.errors
      rows.append(GrowthRow(size: size, cells: cells))
      Progress.show("\(what): \(size) done")
    }
    Progress.clear()
    for (index, row) in rows.enumerated() {
      let first = row.size + String(repeating: " ", count: max(0, 22 - row.size.count))
      let cells = row.cells.map { String(repeating: " ", count: max(1, 11 - $0.count)) + $0 }
      let line = first + cells.joined()
      Console.print(index == 0 ? Console.styled(line, .bold) : line)
    }
    if failures > 0 { Console.print("\(failures) requests failed") }
    return failures
  }
}
