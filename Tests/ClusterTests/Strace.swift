import Foundation
import Glibc
import Harness

/// Counts how often a running node asks its kernel to sync a file, from outside: `strace -c` on all
/// of its threads, from `init` to `stop`.
final class Strace {
  static let isThere = Tools.path("strace") != nil

  private let process: Process
  private let summary: URL

  /// - Returns: nil where nobody may look into another process (a container without the right to,
  ///   a strict `kernel.yama.ptrace_scope`).
  init?(_ cluster: LocalCluster, _ node: Int) throws {
    guard let traced = cluster.nodes[node].process?.processIdentifier else {
      throw LocalCluster.Failure("\(cluster.nodes[node].name) does not run")
    }
    let name = UUID().uuidString.prefix(8)
    summary = cluster.folder.appendingPathComponent("strace-\(name).summary")
    let log = cluster.folder.appendingPathComponent("strace-\(name).log")
    process = try Tools.start(
      [
        "strace", "-f", "-c", "-e", "trace=fdatasync,fsync", "-o", summary.path, "-p",
        "\(traced)",
      ], output: log)
    let tracer = process
    try cluster.wait("strace to be attached") {
      !tracer.isRunning || Self.tracers(of: traced) == [tracer.processIdentifier]
    }
    guard process.isRunning else {
      let said = try String(contentsOf: log, encoding: .utf8)
      guard said.contains("ptrace") else { throw LocalCluster.Failure("strace: \(said)") }
      print("SKIPPED: syncs are not counted, strace may not attach: \(said)")
      return nil
    }
  }

  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

  /// Who traces the threads of a process; 0 is nobody.
  private static func tracers(of pid: Int32) -> Set<Int32> {
    let folder = "/proc/\(pid)/task"
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let tracers = threads.compactMap { thread -> Int32? in
      let status = try? String(contentsOfFile: "\(folder)/\(thread)/status", encoding: .utf8)
      let line = status?.split(separator: "\n").first { $0.hasPrefix("TracerPid:") }
      return line.flatMap { Int32($0.split(separator: "\t").last ?? "") }
    }
    return Set(tracers)
  }

  /// Lets go of the node.
  ///
  /// - Returns: how often it called `fdatasync` and `fsync`, by name, and succeeded.
  func stop() throws -> [String: Int] {
    process.interrupt()
    Tools.end(process)
    // "% time  seconds  usecs/call  calls  [errors]  syscall"
    var calls: [String: Int] = [:]
    for line in try String(contentsOf: summary, encoding: .utf8).split(separator: "\n") {
      let columns = line.split(separator: " ")
      guard columns.count >= 5, let name = columns.last, name.hasSuffix("sync"),
        let count = Int(columns[3])
      else { continue }
      let errors = columns.count > 5 ? Int(columns[4]) ?? 0 : 0
      calls[String(name)] = count - errors
    }
    return calls
  }
}
