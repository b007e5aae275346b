import Glibc
import Synchronization

/// The command line of the simulator: `SEED=n` replays one run, `RUNS=n` makes n fresh ones,
/// `FIRST=n` says from which seed on, `FAILURES=n` goes on after the first failure, `TRACE=1` prints
/// every line as it happens, `SEEDS=regressions` runs the seeds that failed once, `MUTANTS=1` tries
/// all sabotages.
package struct SimulationCommand {
  private var seed: UInt64?
  private var runs: UInt64 = 1_000
  private var first: UInt64?
  private var isTraced = false
  /// Goes on until so many runs have failed.
  private var failuresMax: UInt64 = 1
  private var sabotage: Sabotage?
  /// All sabotages one after the other, or as one of them in a process of its own.
  private var isMutantCheck = false
  private var isRegressionCheck = false
  private var scenario: String?
  /// Lines of the transcript shown for a failed run; `TRACE=1` shows all.
  private static var tailLines: Int { 120 }

  /// - Returns: the exit status: 0 when everything held, 1 when a run failed, 2 when the
  ///   arguments make no sense.
  package static func main(arguments: [String]) -> Int32 {
    var command = SimulationCommand()
    for argument in arguments {
      guard command.take(argument) else {
        print(
          "simulate: cannot read \(argument); known are SEED=n RUNS=n FIRST=n FAILURES=n TRACE=1 "
            + "SEEDS=regressions MUTANTS=1 SCENARIO=name|all|list")
        print("SABOTAGE=\(Sabotage.allCases.map(\.rawValue).joined(separator: "|"))")
        return 2
      }
    }
    SeedAtTrap.install()
    if command.isMutantCheck {
      guard let sabotage = command.sabotage else { return MutantTable.main() }
      return MutantTable.check(sabotage) { SeedAtTrap.seed.store($0, ordering: .relaxed) }
    }
    if command.isRegressionCheck {
      return Regressions.main { SeedAtTrap.seed.store($0, ordering: .relaxed) }
    }
    if let scenario = command.scenario {
      return ScenarioTable.main(scenario, seed: command.seed, isTraced: command.isTraced) {
        SeedAtTrap.seed.store($0, ordering: .relaxed)
      }
    }
    if let seed = command.seed { return command.replay(seed) }
    return command.runMany()
  }

  private mutating func take(_ argument: String) -> Bool {
    guard let equals = argument.firstIndex(of: "=") else { return false }
    let value = String(argument[argument.index(after: equals)...])
    switch argument[..<equals] {
    case "SEED": seed = UInt64(value)
    case "RUNS": runs = UInt64(value) ?? 0
    case "FIRST": first = UInt64(value)
    case "FAILURES": failuresMax = UInt64(value) ?? 1
    case "TRACE": isTraced = value == "1"
    case "SCENARIO": scenario = value
    case "SEEDS":
      isRegressionCheck = value == "regressions"
      return isRegressionCheck
    case "MUTANTS": isMutantCheck = value == "1"
    case "SABOTAGE": sabotage = Sabotage(rawValue: value)
    default: return false
    }
    if argument.hasPrefix("SCENARIO") { return true }
    return argument.hasPrefix("SABOTAGE") ? sabotage != nil : value.allSatisfy(\.isNumber)
  }

  private func replay(_ seed: UInt64) -> Int32 {
    print("seed \(seed)")
    SeedAtTrap.seed.store(seed, ordering: .relaxed)
    let report = SimulationRunner.run(
      seed: seed, sabotage: sabotage, mode: isTraced ? .printing : .recording)
    guard let failure = report.failure else {
      print("held; hash \(report.hash), \(report.virtualMicroseconds / 1000) ms of virtual time")
      return 0
    }
    if !isTraced { for line in report.transcript.suffix(Self.tailLines) { print(line) } }
    print("seed \(seed) failed: \(failure)")
    print("the whole transcript: make sim SEED=\(seed) TRACE=1")
    return 1
  }

  private func runMany() -> Int32 {
    var random = SystemRandomNumberGenerator()
    let first = self.first ?? random.next() >> 32
    print("seeds from \(first), \(runs) runs")
    let start = ContinuousClock.now
    let totals = SimulationRunner.runMany(
      count: runs, firstSeed: first, failuresMax: failuresMax, sabotage: sabotage,
      willRun: { SeedAtTrap.seed.store($0, ordering: .relaxed) },
      progress: { report, totals in
        if let failure = report.failure { print("seed \(report.seed) failed: \(failure)") }
        if report.undecided > 0 { print("seed \(report.seed): a history was left undecided") }
        guard totals.runs % 100 == 0 else { return }
        print("\(Self.seconds(since: start)) s: \(totals.line)")
        fflush(nil)
      })
    print("\(totals.line), \(Self.seconds(since: start)) s")
    guard let failed = totals.failed else { return 0 }
    guard failuresMax == 1 else { return 1 }
    print("once more, with its transcript:")
    return max(1, replay(failed.seed))
  }

  private static func seconds(since start: ContinuousClock.Instant) -> Int64 {
    (ContinuousClock.now - start).components.seconds
  }
}

/// Says which seed was running when an invariant stopped the process: a trap leaves no time for
/// anything else.
private enum SeedAtTrap {
  static let seed = Atomic<UInt64>(0)

  static func install() {
    for number in [SIGILL, SIGTRAP] {
      // The handler only reads an atomic and calls `write`, which POSIX allows there.
      signal(number) { number in
        SeedAtTrap.tell()
        signal(number, SIG_DFL)
        raise(number)
      }
    }
  }

  private static func tell() {
    var digits: [UInt8] = []
    var rest = seed.load(ordering: .relaxed)
    repeat {
      digits.insert(UInt8(ascii: "0") + UInt8(rest % 10), at: 0)
      rest /= 10
    } while rest > 0
    let text = Array("\ntrapped in a run: make sim SEED=".utf8) + digits + [10]
    // Sound: the buffer lives through the call.
    unsafe text.withUnsafeBytes { buffer in _ = unsafe write(2, buffer.baseAddress, buffer.count) }
  }
}
