import Simulation
import Testing

/// A few whole runs. Thousands are made by `make sim`, in a release build.
@Suite struct SimulationTests {
  @Test(arguments: [2, 5, 14] as [UInt64])
  func everyPromiseHolds(seed: UInt64) {
    let report = SimulationRunner.run(seed: seed)
    #expect(report.failure == nil, "make sim SEED=\(seed)")
    #expect(report.operations > 0)
  }

  @Test func aSeedDecidesEverything() {
    let first = SimulationRunner.run(seed: 7)
    let second = SimulationRunner.run(seed: 7)
    #expect(first.hash == second.hash)
    #expect(SimulationRunner.run(seed: 13).hash != first.hash)
  }

  @Test func theCommandSaysWhatItCannotRead() {
    #expect(SimulationCommand.main(arguments: ["SEED=x"]) == 2)
    #expect(SimulationCommand.main(arguments: ["--help"]) == 2)
    #expect(SimulationCommand.main(arguments: ["SABOTAGE=nothing"]) == 2)
    #expect(SimulationCommand.main(arguments: ["SCENARIO=nothing"]) == 2)
    #expect(SimulationCommand.main(arguments: ["SCENARIO=list"]) == 0)
  }
}

/// Faults by name, with their expected course: those that a debug build runs quickly. `make test`
/// runs all of them, in a release build.
@Suite struct ScenarioTests {
  @Test(arguments: [
    "P1", "P2", "P3", "P4", "N1", "D7", "D8", "D10", "D12", "D15", "M3", "M4", "M8", "M13",
  ])
  func holds(name: String) throws {
    let scenario = try #require(Scenario.named(name))
    #expect(scenario.run(seed: 1) == nil, "make sim SCENARIO=\(name)")
  }

  @Test func namesAreUnique() {
    #expect(Set(Scenario.all.map(\.name)).count == Scenario.all.count)
  }
}

/// A simulator that catches nothing proves nothing: deliberately wrong nodes must be found. These
/// are the ones that a few quick seeds find; all of them run with `make sim MUTANTS=1`.
@Suite struct SabotageTests {
  static let quick: [Sabotage] = [
    .readsWithoutBarrier, .skipsEntry, .losesChanges, .answersBeforeCommit,
    .ignoresIndexOfStaleReads, .acknowledgesWithoutMatch, .trustsLocksForever,
    .watchesWithoutBarrier,
  ]

  @Test(arguments: quick)
  func isCaught(_ sabotage: Sabotage) throws {
    let seeds: ClosedRange<UInt64> = 1...12
    let caught = seeds.first { SimulationRunner.run(seed: $0, sabotage: sabotage).failure != nil }
    let seed = try #require(caught, "\(sabotage) went unnoticed")
    #expect(SimulationRunner.control(seed: seed, of: sabotage).failure == nil)
  }
}
