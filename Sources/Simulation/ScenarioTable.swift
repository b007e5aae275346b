import Glibc

/// `SCENARIO=list` names them, `SCENARIO=N3` runs one from one seed, `SCENARIO=all` each of them.
enum ScenarioTable {
  /// The seed of a scenario when none is given.
  static let seed: UInt64 = 1

  static func main(
    _ name: String, seed: UInt64?, isTraced: Bool, willRun: (UInt64) -> Void
  ) -> Int32 {
    if name == "list" {
      for scenario in Scenario.all { print("\(scenario.name)\t\(scenario.summary)") }
      return 0
    }
    let chosen = name == "all" ? Scenario.all : Scenario.all.filter { $0.name == name }
    guard !chosen.isEmpty else {
      print("simulate: no scenario \(name); SCENARIO=list names them")
      return 2
    }
    var failures = 0
    for scenario in chosen {
      let seed = seed ?? Self.seed
      willRun(seed)
      let report = scenario.report(seed: seed, mode: isTraced ? .printing : .hashOnly)
      let seconds = report.virtualMicroseconds / 1_000_000
      if let failure = report.failure {
        failures += 1
        print("\(scenario.name) seed \(seed) FAILED after \(seconds) s: \(failure)")
      } else {
        print("\(scenario.name) held, \(seconds) s of virtual time: \(scenario.summary)")
      }
      fflush(nil)
    }
    return failures == 0 ? 0 : 1
  }
}
