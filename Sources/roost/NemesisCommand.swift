internal import Harness

extension Command {
  private static let nemesisFlags = [
    Flag("minutes", "N", "how long (1)"),
    Flag("seed", "N", "the same faults as in an earlier run"),
  ]

  static let nemesis = Command(
    name: "nemesis", summary: "break a cluster of real processes in every way, and check it",
    usage: "[--minutes N] [--seed N]", flags: nemesisFlags,
    details: """
      Starts three nodes in a temporary folder with a network between them that can be cut, kills,
      stops, cuts, slows, corrupts, wipes and fills, while clients write down what they see. At the
      end the history must be linearizable and the cluster whole. The history stays as JSON lines.
      """
  ) { input in
    let arguments = try Arguments(input, flags: nemesisFlags)
    try arguments.expect()
    let seed = try arguments.number("seed") ?? UInt64.random(in: 0 ... .max)
    let minutes = try arguments.number("minutes") ?? 1
    Console.print("seed \(seed)")
    let run = try NemesisRun(seed: seed) { Console.print($0) }
    let problems = run.run(seconds: Double(min(minutes, 10_000)) * 60)
    for problem in problems { Console.printError(problem) }
    Console.print(problems.isEmpty ? "held" : "failed: seed \(seed)")
    return problems.isEmpty ? 0 : 1
  }
}
