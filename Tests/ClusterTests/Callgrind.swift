import Foundation
import Glibc
import Harness

/// A cluster of one node that runs under valgrind's callgrind, which counts every instruction.
///
/// Happy path: the program is copied without its debug information (valgrind 3.19 dies of Swift's),
/// started under callgrind, and gets a leader a few seconds later; `cost()` makes callgrind write
/// down what was spent since the last time, on all threads, and reads it. Failures: a dump that does
/// not come is an error with what valgrind said.
final class Callgrind {
  /// What was spent, or what is spent each second.
  struct Cost {
    var instructions: Double
    /// Calls of malloc and its kin.
    var allocations: Double

    /// Without what the node does anyway in such a time, a part for each of `count` requests.
    func each(of count: Int, idle: Cost, seconds: Double) -> Cost {
      Cost(
        instructions: (instructions - idle.instructions * seconds) / Double(count),
        allocations: (allocations - idle.allocations * seconds) / Double(count))
    }
  }

  static let isThere = ["valgrind", "vgdb", "strip"].allSatisfy { Tools.path($0) != nil }

  let cluster: LocalCluster
  private let dumps: URL
  private var dumpCount = 0

  init() throws {
    // A leader that is fifty times slower is not to doubt itself.
    cluster = try LocalCluster(
      count: 1, settings: ["raft": ["heartbeat_ms": 1_000, "election_timeout_ms": 20_000]],
      start: false)
    dumps = cluster.folder.appendingPathComponent("callgrind.out")
    let copy = cluster.folder.appendingPathComponent("roost").path
    let output = cluster.folder.appendingPathComponent("strip.log")
    let strip = ["strip", "--strip-debug", "-o", copy, LocalCluster.binary.path]
    guard try Tools.run(strip, output: output) == 0 else {
      throw LocalCluster.Failure("cannot strip: \(try String(contentsOf: output, encoding: .utf8))")
    }
    cluster.command = [
      "valgrind", "--tool=callgrind", "--callgrind-out-file=\(dumps.path)", copy,
    ]
    try cluster.start(0)
    try cluster.waitForLeader(seconds: 60)
  }

  /// What was spent since the last call.
  ///
  /// - Parameter copy: where callgrind's own file is kept.
  func cost(keptAs copy: URL? = nil) throws -> Cost {
    guard let process = cluster.nodes[0].process, process.isRunning else {
      throw LocalCluster.Failure("the node under callgrind is gone\n\(cluster.tails())")
    }
    dumpCount += 1
    let output = cluster.folder.appendingPathComponent("vgdb.log")
    let status = try Tools.run(
      ["vgdb", "--pid=\(process.processIdentifier)", "dump"], output: output)
    let file = URL(fileURLWithPath: "\(dumps.path).\(dumpCount)")
    guard status == 0, let text = try? String(contentsOf: file, encoding: .utf8) else {
      let said = (try? String(contentsOf: output, encoding: .utf8)) ?? ""
      throw LocalCluster.Failure("callgrind writes nothing: \(said)\n\(cluster.tails())")
    }
    if let copy { try Data(text.utf8).write(to: copy) }
    return try Self.parse(text)
  }

  private static let allocators: Set<Substring> = [
    "malloc", "calloc", "realloc", "aligned_alloc", "memalign", "posix_memalign",
  ]

  /// The total, and the calls of allocators from anywhere. A name stands at its first use only:
  /// `cfn=(7) malloc`, later `cfn=(7)`; `calls=3 …` is for the callee named last.
  static func parse(_ text: String) throws -> Cost {
    var cost = Cost(instructions: 0, allocations: 0)
    var allocatorIDs: Set<Substring> = []
    var isAllocator = false
    for line in text.split(separator: "\n") {
      if line.hasPrefix("calls=") {
        guard isAllocator else { continue }
        cost.allocations += Double(line.dropFirst(6).prefix { $0 != " " }) ?? 0
      } else if line.hasPrefix("fn=(") || line.hasPrefix("cfn=(") {
        let parts = line.split(separator: " ", maxSplits: 1)
        let id = parts[0].drop { $0 != "(" }
        if parts.count > 1, allocators.contains(parts[1]) { allocatorIDs.insert(id) }
        if line.hasPrefix("c") { isAllocator = allocatorIDs.contains(id) }
      } else if line.hasPrefix("totals:") {
        cost.instructions = Double(line.dropFirst(7).drop { $0 == " " }) ?? 0
      }
    }
    guard cost.instructions > 0 else { throw LocalCluster.Failure("callgrind counted nothing") }
    return cost
  }
}
