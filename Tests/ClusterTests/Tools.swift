import Foundation
import Glibc

/// Programs of the system that look at ours from outside. None of them is a must: what needs one
/// that is not there is skipped, and says so.
enum Tools {
  static func path(_ name: String) -> String? {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return folders.map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// Starts it, with what it prints in the file.
  static func start(_ command: [String], output: URL) throws -> Process {
    _ = FileManager.default.createFile(atPath: output.path, contents: nil)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    let handle = try FileHandle(forWritingTo: output)
    process.standardOutput = handle
    process.standardError = handle
    process.standardInput = FileHandle.nullDevice
    try withoutBlockedSignals { try process.run() }
    return process
  }

  /// A child inherits which signals its parent's thread blocks, which may be all.
  private static func withoutBlockedSignals(_ body: () throws -> Void) rethrows {
    var none = sigset_t()
    var before = sigset_t()
    // Sound: both sets live for the calls.
    unsafe sigemptyset(&none)
    unsafe pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
    try body()
  }

  /// Waits for its end; kills it when that does not come.
  static func end(_ process: Process, seconds: Double = 20) {
    let end = Date().addingTimeInterval(seconds)
    while process.isRunning {
      if Date() > end { kill(process.processIdentifier, SIGKILL) }
      usleep(5_000)
    }
  }

  /// Runs it to its end.
  static func run(_ command: [String], output: URL) throws -> Int32 {
    let process = try start(command, output: output)
    end(process)
    return process.terminationStatus
  }
}
