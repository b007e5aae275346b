internal import EventLoop
internal import Foundation

/// A row of the comparison: the same work on each system, and the ratios to be reached.
private struct CompareRow {
  var row: BenchRow
  /// Ratio of requests per second to that competitor's, at least.
  var wanted: [(Competitor.Kind, Double)]
  /// Ratio of the median latency instead, at most.
  var isLatency = false

  static let all = [
    CompareRow(
      row: BenchRow(name: "put, 1 client (p50)", kind: .put, connections: 1, place: .leader),
      wanted: [(.etcd, 0.4)], isLatency: true),
    CompareRow(
      row: BenchRow(name: "put, 64 clients", kind: .put, connections: 64, place: .leader),
      wanted: [(.etcd, 5)]),
    CompareRow(
      row: BenchRow(name: "put, 256 clients", kind: .put, connections: 256, place: .leader),
      wanted: [(.etcd, 5)]),
    CompareRow(
      row: BenchRow(name: "get, 64 clients, leader", kind: .get, connections: 64, place: .leader),
      wanted: [(.etcd, 6), (.nginx, 0.7)]),
    CompareRow(
      row: BenchRow(
        name: "get, 64 clients, follower", kind: .get, connections: 64, place: .follower),
      wanted: [(.etcd, 6), (.nginx, 0.7)]),
    CompareRow(
      row: BenchRow(
        name: "stale get, 64 clients", kind: .get, connections: 64, place: .follower,
        isStale: true), wanted: [(.nginx, 0.8)]),
  ]
}

extension Bench {
  /// Roost beside what is installed: in every round each system does the same work in turn, from
  /// the same generator, so what disturbs the machine disturbs all. Ratios of each round, then their
  /// minimum, median and maximum.
  func compare() throws -> Int32 {
    let rounds = try number("rounds", 5, 1...1000)
    let seconds = Double(try number("seconds", 3, 1...3600))
    Console.print(Machine.description)
    let cluster = try BenchCluster()
    defer { cluster.close() }
    try cluster.startAll()
    let competitors = try start(cluster.folder)
    defer { for competitor in competitors { competitor.close() } }
    try fillAll(cluster, competitors)
    var table = Table(
      "work", "system", "per second", "p50 µs", "p99 µs", "ratio min/med/max", "wanted")
    for row in CompareRow.all {
      let measured = try measure(row, cluster, competitors, rounds, seconds)
      for (name, runs) in measured {
        let wanted = row.wanted.first { $0.0.rawValue == name }
        table.add(
          row.row.name, name, Self.text(runs.map { $0.perSecond }),
          Self.text(runs.map { Double($0.latencies.quantile(0.5)) / 1000 }),
          Self.text(runs.map { Double($0.latencies.quantile(0.99)) / 1000 }),
          name == "roost" ? "" : Self.ratios(measured[0].runs, runs, row.isLatency),
          wanted.map { (row.isLatency ? "≤ " : "≥ ") + "\($0.1)" } ?? "")
      }
    }
    Console.write(table.render())
    return 0
  }

  private func start(_ folder: String) throws -> [Competitor] {
    var found: [Competitor] = []
    for kind in Competitor.Kind.allCases {
      let (name, advice) = kind.program
      if let program = ChildProcess.find(name) {
        found.append(try Competitor(kind, program: program, folder: folder))
      } else {
        Console.print("\(name) is not installed (\(advice))")
      }
    }
    return found
  }

  private func fillAll(_ cluster: BenchCluster, _ competitors: [Competitor]) throws {
    var fill = options
    fill.addresses = cluster.addresses
    fill.work.kind = .get
    try Self.fill(fill)
    for competitor in competitors {
      guard competitor.kind != .nginx, let work = competitor.work(.get) else { continue }
      fill.work = work
      fill.addresses = competitor.addresses
      try Self.fill(fill)
    }
  }

  private func measure(
    _ row: CompareRow, _ cluster: BenchCluster, _ competitors: [Competitor], _ rounds: Int,
    _ seconds: Double
  ) throws -> [(name: String, runs: [LoadRun.Result])] {
    var measured: [(name: String, runs: [LoadRun.Result])] = [("roost", [])]
    measured += competitors.map { ($0.kind.rawValue, []) }
    for round in 1...rounds {
      Progress.show("\(row.row.name): round \(round) of \(rounds)")
      var own = options
      own.work.kind = row.row.kind
      if row.row.isStale { own.work.readQuery = "?stale" }
      let leader = try cluster.waitForLeader()
      measured[0].runs.append(
        try run(row, own.work, cluster.addresses, leader: leader, seconds))
      for (index, competitor) in competitors.enumerated() {
        guard let work = competitor.work(row.row.kind, isStale: row.row.isStale) else { continue }
        measured[index + 1].runs.append(
          try run(row, work, competitor.addresses, leader: competitor.leader(), seconds))
      }
    }
    Progress.clear()
    return measured.filter { !$0.runs.isEmpty }
  }

  private func run(
    _ row: CompareRow, _ work: LoadWork, _ addresses: [SocketAddress], leader: Int,
    _ seconds: Double
  ) throws -> LoadRun.Result {
    var run = options
    run.work = work
    run.work.valueBytes = options.work.valueBytes
    run.work.keys = options.work.keys
    run.connections = row.row.connections
    run.seconds = seconds
    run.showsProgress = false
    let place = row.row.place == .leader ? leader : (leader + 1) % addresses.count
    run.addresses = [addresses[place]]
    let result = try LoadRun(run).run()
    guard result.errors == 0 else { throw CommandFailure("\(row.row.name): \(result.failureText)") }
    return result
  }

  // MARK: Figures

  /// Roost's figure through the other's, round by round.
  private static func ratios(
    _ own: [LoadRun.Result], _ other: [LoadRun.Result], _ isLatency: Bool
  ) -> String {
    let ratios = zip(own, other).map { own, other in
      isLatency
        ? Double(own.latencies.quantile(0.5)) / Double(max(1, other.latencies.quantile(0.5)))
        : own.perSecond / max(1, other.perSecond)
    }.sorted()
    guard let first = ratios.first, let last = ratios.last else { return "" }
    return String(format: "%.2f / %.2f / %.2f", first, ratios[ratios.count / 2], last)
  }

  /// The median.
  private static func text(_ values: [Double]) -> String {
    let sorted = values.sorted()
    return sorted.isEmpty ? "" : String(Int(sorted[sorted.count / 2]))
  }
}
