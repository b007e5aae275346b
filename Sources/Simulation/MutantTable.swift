import Glibc

/// Tries every `Sabotage` and prints the table of the documentation: which checker caught it, after
/// how many seeds.
///
/// Each seed that catches one must hold without it, under the same faults. Each one runs in a process of its own, since some are caught by an invariant of the core, which
/// ends the process. Failures: one that `seedsMax` seeds do not catch is said so, and the status
/// is 1.
enum MutantTable {
  /// Seeds tried from 1 on.
  static let seedsMax: UInt64 = 200
  private static let mark = "caught by "

  /// The parent: one line of a Markdown table per sabotage.
  static func main() -> Int32 {
    print("| mutant | caught by | after seeds |")
    print("|---|---|---|")
    var missed = 0
    for sabotage in Sabotage.allCases {
      let (checker, seeds) = run(sabotage) ?? ("**nothing**", seedsMax)
      if checker.hasPrefix("*") { missed += 1 }
      print("| `\(sabotage)` | \(checker) | \(seeds) |")
      fflush(nil)
    }
    print("\n\(Sabotage.allCases.count) mutants, \(missed) not caught within \(seedsMax) seeds")
    return missed == 0 ? 0 : 1
  }

  /// The child: says on its last line what caught the sabotage.
  static func check(_ sabotage: Sabotage, willRun: (UInt64) -> Void) -> Int32 {
    for seed in 1...seedsMax {
      willRun(seed)
      guard let failure = SimulationRunner.run(seed: seed, sabotage: sabotage).failure else {
        continue
      }
      // Nothing is proven when the right one fails as well.
      if let failure = SimulationRunner.control(seed: seed, of: sabotage).failure {
        print("seed \(seed) fails without \(sabotage), too: \(failure)")
        return 1
      }
      print("\(mark)\(checker(failure)) seed \(seed)")
      return 0
    }
    return 1
  }

  /// The name that failures of that checker begin with.
  static func checker(_ failure: String) -> String {
    failure.split(separator: ":", maxSplits: 1).first.map(String.init) ?? failure
  }

  private static func run(_ sabotage: Sabotage) -> (checker: String, seeds: UInt64)? {
    // This very program, with the words that led here ("roost simulate").
    let words = CommandLine.arguments.prefix { !$0.contains("=") }.map { "'\($0)'" }
    let command =
      words.joined(separator: " ") + " MUTANTS=1 SABOTAGE=\(sabotage.rawValue) 2>&1"
    // Sound: `popen` copies the command; the stream is used until `pclose` and by nobody else.
    guard let stream = unsafe popen(command, "r") else { return nil }
    defer { _ = unsafe pclose(stream) }
    var line = [CChar](repeating: 0, count: 4096)
    var invariant: String?
    // Sound: `fgets` writes at most `line.count` bytes and ends them with a zero.
    while unsafe fgets(&line, Int32(line.count), stream) != nil {
      let text = String(
        decoding: line.prefix { $0 != 0 && $0 != 10 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      if let range = text.firstRange(of: "invariant: ") {
        invariant = "invariant: \(text[range.upperBound...])"
      }
      if let seed = number(after: "make sim SEED=", in: text) {
        return (invariant ?? "a trap", seed)
      }
      if text.hasPrefix(mark), let seed = number(after: " seed ", in: text),
        let end = text.firstRange(of: " seed ")
      {
        return (String(text[..<end.lowerBound].dropFirst(mark.count)), seed)
      }
    }
    return nil
  }

  private static func number(after prefix: String, in text: String) -> UInt64? {
    text.firstRange(of: prefix).flatMap { UInt64(text[$0.upperBound...]) }
  }
}
