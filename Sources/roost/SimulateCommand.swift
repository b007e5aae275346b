internal import Simulation

extension Command {
  static let simulate = Command(
    name: "simulate", summary: "run whole clusters on simulated time, network and disk",
    usage: "[SEED=N | RUNS=N]", flags: []
  ) { input in
    0
  }
}
