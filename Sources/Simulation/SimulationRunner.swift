import Basics

/// What came of one run.
package struct SimulationReport: Sendable {
  package var seed: UInt64
  /// Nil: everything held.
  package var failure: String?
  /// Equal for two runs of one seed.
  package var hash: UInt64
  package var virtualMicroseconds: UInt64
  var totals: Totals
  /// Client operations with a certain outcome.
  package var operations: UInt64 { totals.operations }
  /// Histories that the checker could not judge within its budget.
  package var undecided: UInt64 { totals.undecided }
  /// Empty unless asked for.
  package var transcript: [String]
}

/// Runs seeds. See `Simulation.md`.
package enum SimulationRunner {
  package static func run(seed: UInt64) -> SimulationReport {
    run(seed: seed, sabotage: nil, mode: .hashOnly)
  }

  /// A run with a deliberately wrong driver.
  package static func run(seed: UInt64, sabotage: Sabotage) -> SimulationReport {
    run(seed: seed, sabotage: sabotage, mode: .hashOnly)
  }

  /// The same seed, with the faults that suit the sabotage, without the sabotage: holds, or what
  /// catches that one proves nothing.
  package static func control(seed: UInt64, of sabotage: Sabotage) -> SimulationReport {
    run(seed: seed, sabotage: sabotage, isControl: true, mode: .hashOnly)
  }

  static func run(
    seed: UInt64, sabotage: Sabotage?, isControl: Bool = false, mode: Transcript.Mode
  ) -> SimulationReport {
    let cluster = Cluster(
      seed: seed, sabotage: sabotage, isControl: isControl, transcript: mode)
    cluster.run()
    return SimulationReport(
      seed: seed, failure: cluster.failure, hash: cluster.transcript.hash,
      virtualMicroseconds: cluster.world.now, totals: cluster.totals,
      transcript: cluster.transcript.tail())
  }

  /// Runs `count` seeds from `firstSeed` on, or until one fails. `willRun` is told each seed,
  /// `progress` the sums after every run.
  package static func runMany(
    count: UInt64, firstSeed: UInt64, failuresMax: UInt64 = 1, sabotage: Sabotage? = nil,
    willRun: (UInt64) -> Void = { _ in },
    progress: (SimulationReport, SimulationTotals) -> Void = { _, _ in }
  ) -> SimulationTotals {
    var totals = SimulationTotals()
    for offset in 0..<count {
      willRun(firstSeed &+ offset)
      var report = run(seed: firstSeed &+ offset, sabotage: sabotage, mode: .hashOnly)
      // Determinism: now and then a seed runs twice and must do the same.
      if offset % 50 == 0, sabotage == nil, report.failure == nil,
        run(seed: report.seed).hash != report.hash
      {
        report.failure = "determinism: two runs of one seed differ"
      }
      totals.add(report)
      progress(report, totals)
      if totals.failures >= failuresMax { break }
    }
    return totals
  }
}

/// Sums over many runs.
package struct SimulationTotals: Sendable {
  package private(set) var runs: UInt64 = 0
  package private(set) var virtualMicroseconds: UInt64 = 0
  package private(set) var failures: UInt64 = 0
  /// The last one that failed.
  package private(set) var failed: SimulationReport?
  private var sums = Totals()

  mutating func add(_ report: SimulationReport) {
    runs += 1
    virtualMicroseconds += report.virtualMicroseconds
    if report.failure != nil {
      failures += 1
      failed = report
    }
    sums.add(report.totals)
  }

  /// One line, without the time taken.
  package var line: String {
    let minutes = virtualMicroseconds / 60_000_000
    return "\(runs) runs (\(failures) failed), \(minutes / 60)h\(minutes % 60)m virtual, "
      + "\(sums.operations) operations (\(sums.unknownOutcomes) unknown), "
      + "\(sums.elections) elections, \(sums.crashes) crashes, \(sums.partitions) partitions, "
      + "\(sums.snapshots) snapshots, \(sums.installs) installed, \(sums.wipes) disks replaced, "
      + "\(sums.truncations) truncations, \(sums.configurations) configurations, "
      + "\(sums.forgotten) request ids forgotten, \(sums.undecided) histories undecided, "
      + "slowest recovery \(sums.recoveryMicrosecondsMax / 1000) ms"
  }
}

extension Totals {
  mutating func add(_ other: Totals) {
    operations += other.operations
    unknownOutcomes += other.unknownOutcomes
    elections += other.elections
    crashes += other.crashes
    partitions += other.partitions
    snapshots += other.snapshots
    snapshotsSent += other.snapshotsSent
    installs += other.installs
    truncations += other.truncations
    wipes += other.wipes
    configurations += other.configurations
    undecided += other.undecided
    forgotten += other.forgotten
    recoveryMicrosecondsMax = max(recoveryMicrosecondsMax, other.recoveryMicrosecondsMax)
  }
}
