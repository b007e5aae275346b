internal import CRoost
internal import EventLoop
internal import Glibc
internal import Synchronization

/// Set by the loop, seen by the thread that waits for a script.
final class AbortFlag: Sendable {
  private let flag = Atomic<Bool>(false)
  var isSet: Bool { flag.load(ordering: .relaxed) }
  func set() { flag.store(true, ordering: .relaxed) }
}

/// One command, run and waited for on a thread of its own.
///
/// It gets a process group of its own, nothing to read, and one pipe for what it prints; at the end
/// of its time the whole group is killed. The last bytes of the output are kept. It never goes
/// through a shell that was not asked for.
struct Script: Sendable {
  var arguments: [String]
  var timeoutNanoseconds: UInt64
  var outputBytesMax: Int

  private static let sliceMilliseconds: Int32 = 20

  private struct Output {
    let bytesMax: Int
    var bytes: [UInt8] = []
    var total = 0

    mutating func append(_ more: ArraySlice<UInt8>) {
      total += more.count
      bytes += more
      // In steps, so that a flood is not copied once per read.
      if bytes.count > 2 * bytesMax + 65_536 { bytes.removeFirst(bytes.count - bytesMax) }
    }

    var text: String {
      let kept = String(decoding: bytes.suffix(bytesMax), as: UTF8.self)
      guard total > bytesMax else { return kept }
      return "Captured \(bytesMax) of \(total) bytes\n...\n\(kept)"
    }
  }

  func run(_ abort: AbortFlag) -> ProbeResult {
    var ends: [Int32] = [-1, -1]
    // Sound: C writes two descriptors.
    let code = unsafe croost_pipe(&ends, 0)
    guard code == 0 else { return .critical("no pipe for the script: error \(-code)") }
    defer { _ = croost_close(ends[0]) }
    let pid = spawn(output: ends[1])
    _ = croost_close(ends[1])
    guard pid > 0 else {
      return .critical("\(arguments.first ?? ""): \(SystemError.text(of: -pid))")
    }
    _ = croost_set_nonblocking(ends[0])
    return wait(for: pid, reading: ends[0], abort)
  }

  private func spawn(output: Int32) -> Int32 {
    guard let program = arguments.first, !program.isEmpty else { return -ENOENT }
    guard !arguments.contains(where: { $0.utf8.contains(0) }) else { return -EINVAL }
    // env looks a bare name up in the PATH.
    let isPath = program.utf8.contains(UInt8(ascii: "/"))
    let words = isPath ? arguments : ["/usr/bin/env"] + arguments
    // Sound: the C strings live until the call returns; spawn copies what it needs.
    let list: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
    defer { unsafe list.forEach { unsafe free($0) } }
    let flags = CROOST_SPAWN_NEW_GROUP | CROOST_SPAWN_DIE_WITH_PARENT
    return unsafe croost_spawn(words[0], list, environ, nil, -1, output, output, UInt32(flags))
  }

  private func wait(for pid: Int32, reading pipe: Int32, _ abort: AbortFlag) -> ProbeResult {
    let deadline = croost_monotonic() &+ timeoutNanoseconds
    var output = Output(bytesMax: max(1, outputBytesMax))
    var exit = croost_exit()
    var isOpen = true
    while true {
      // It may have ended while a grandchild keeps the pipe open; or closed the pipe and run on.
      if unsafe croost_wait(pid, 0, &exit) != 0 || exit.pid == pid { break }
      guard croost_monotonic() < deadline, !abort.isSet else {
        _ = croost_kill_group(pid, SIGKILL)
        _ = unsafe croost_wait(pid, 1, &exit)
        return .critical("Timed out (\(Self.shown(timeoutNanoseconds))) running check")
      }
      var descriptor = pollfd(fd: isOpen ? pipe : -1, events: Int16(POLLIN), revents: 0)
      // Sound: one descriptor, counted.
      _ = unsafe poll(&descriptor, 1, Self.sliceMilliseconds)
      if isOpen { isOpen = read(pipe, into: &output) }
    }
    if isOpen { _ = read(pipe, into: &output) }
    switch exit.code {
    case 0: return ProbeResult(status: .passing, output: output.text)
    case 1: return ProbeResult(status: .warning, output: output.text)
    default: return .critical(output.text)
    }
  }

  /// What there is, at most a megabyte at a time; false at the end.
  private func read(_ pipe: Int32, into output: inout Output) -> Bool {
    var buffer = [UInt8](repeating: 0, count: 16_384)
    for _ in 0..<64 {
      // Sound: the count is the buffer's.
      let count = unsafe Glibc.read(pipe, &buffer, buffer.count)
      if count == 0 { return false }
      guard count > 0 else { return errno == EAGAIN || errno == EINTR }
      output.append(buffer[..<count])
    }
    return true
  }

  /// As Go writes it, for the whole milliseconds and seconds that occur.
  private static func shown(_ nanoseconds: UInt64) -> String {
    let milliseconds = nanoseconds / 1_000_000
    return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
  }
}
