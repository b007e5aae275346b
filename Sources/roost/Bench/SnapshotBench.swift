internal import EventLoop

extension Bench {
  /// What snapshots add to the latency of writes: the same open loop of puts on two clusters of
  /// 100,000 keys, in turns, so that both meet the machine in the same moods. One takes a snapshot
  /// every 5,000 entries, several times a second under full load; the other takes none.
  func snapshots() throws -> Int32 {
    let rounds = try number("rounds", 5, 1...1000)
    let without = try snapshotCluster(every: 100_000_000)
    defer { without.close() }
    let with = try snapshotCluster(every: 5000)
    defer { with.close() }
    var table = Table(["round", "p50 µs", "p99 µs", "p50 µs with snapshots", "p99 µs"])
    var quantiles: [(without: UInt64, with: UInt64)] = []
    var failures: UInt64 = 0
    for round in 1...rounds {
      let reports = try [measurePuts(without), measurePuts(with)]
      failures += reports.reduce(0) { $0 + $1.result.errors }
      let latencies = reports.map(\.result.latencies)
      let p99 = latencies.map { $0.quantile(0.99) / 1000 }
      quantiles.append((p99[0], p99[1]))
      table.add(
        ["\(round)"]
          + latencies.indices.flatMap { ["\(latencies[$0].quantile(0.5) / 1000)", "\(p99[$0])"] })
      Progress.show("snapshots: round \(round) of \(rounds) done")
    }
    Progress.clear()
    Console.print(table.render())
    let median = (Self.median(quantiles.map(\.without)), Self.median(quantiles.map(\.with)))
    Console.print(
      "p99 of puts at \(Int(putRate)) per second, median of \(rounds) rounds: "
        + "\(median.0) µs without snapshots, \(median.1) µs with one every 5,000 entries")
    if failures > 0 { Console.print("\(failures) requests failed") }
    return failures == 0 ? 0 : 1
  }

  private var putRate: Double { options.rate ?? 2000 }

  private func snapshotCluster(every entries: Int) throws -> BenchCluster {
    let cluster = try BenchCluster(raft: "\"raft\": { \"snapshot_after_entries\": \(entries) },")
    do {
      try cluster.startAll()
      try fill(cluster, keys: 100_000)
    } catch {
      cluster.close()
      throw error
    }
    return cluster
  }

  private func measurePuts(_ cluster: BenchCluster) throws -> LoadReport {
    try measure(.put, cluster) {
      $0.work.keys = 100_000
      $0.rate = putRate
    }
  }

  private static func median(_ values: [UInt64]) -> UInt64 { values.sorted()[values.count / 2] }
}
