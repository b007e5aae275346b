internal import CRoost
internal import EventLoop
internal import Foundation

/// Processes that end with this one.
enum ChildProcess {
  static func start(_ program: String, _ words: [String], log: String) throws(CommandFailure)
    -> Int32
  {
    let output = unsafe open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard output >= 0 else { throw CommandFailure("cannot write \(log)") }
    defer { close(output) }
    let pid = spawn(program, words, output: output)
    guard pid > 0 else {
      throw CommandFailure("cannot start \(words.joined(separator: " ")): error \(-pid)")
    }
    return pid
  }

  /// - Parameter words: the first is the name it goes by.
  /// - Returns: its pid, or a negative errno.
  static func spawn(_ program: String, _ words: [String], output: Int32) -> Int32 {
    // Sound: the C strings live until the call returns; spawn copies what it needs.
    let arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
    defer { unsafe arguments.forEach { unsafe free($0) } }
    return unsafe croost_spawn(
      program, arguments, environ, nil, -1, output, output,
      UInt32(CROOST_SPAWN_NEW_GROUP | CROOST_SPAWN_DIE_WITH_PARENT))
  }

  /// Sends the signal and waits for the end; a process of 0 is none.
  static func end(_ process: inout Int32, _ signal: Int32) {
    guard process > 0 else { return }
    croost_kill(process, signal)
    if signal == SIGKILL { croost_kill(process, SIGCONT) }
    var result = croost_exit()
    // Sound: the pointer is valid for the call.
    _ = unsafe croost_wait(process, 1, &result)
    process = 0
  }

  /// Where a program is, looked for in the PATH and where system programs are; nil: nowhere.
  static func find(_ name: String) -> String? {
    let path = Console.environment("PATH") ?? ""
    let folders = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/usr/local/sbin"]
    return folders.map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}

/// Starts `roost agent` as a process of its own that dies with this one.
enum NodeProgram {
  private static let path = "/proc/self/exe"

  private static func words(_ file: String) -> [String] { ["roost", "agent", "--config", file] }

  /// - Returns: its pid.
  static func start(file: String, log: String) throws(CommandFailure) -> Int32 {
    try ChildProcess.start(path, words(file), log: log)
  }

  /// - Returns: its pid, or a negative errno.
  static func start(file: String, output: Int32) -> Int32 {
    ChildProcess.spawn(path, words(file), output: output)
  }
}
