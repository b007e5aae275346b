internal import Simulation

extension Command {
  static let simulate = Command(
    name: "simulate", summary: "run whole clusters on simulated time, network and disk",
    usage: "[SEED=N | RUNS=N | SEEDS=regressions | SCENARIO=NAME | MUTANTS=1]", flags: [],
    details: """
      SEED=n replays one run, RUNS=n draws fresh ones and stops at the first that fails, printing
      its seed, its transcript and what was broken. SCENARIO=list names single faults with an
      expected course, SCENARIO=all runs them. SEEDS=regressions runs the seeds that failed once.
      MUTANTS=1 tries deliberately wrong nodes.
      """
  ) { input in
    SimulationCommand.main(arguments: Array(input))
  }
}
