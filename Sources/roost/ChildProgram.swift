internal import CRoost
internal import Glibc

/// A program that a command runs for its user, found in the PATH.
struct ChildProgram {
  let pid: Int32

  enum Group {
    /// Of its own: signals go to it only as they are forwarded.
    case own
    /// This process's: ctrl-C reaches both.
    case shared
  }

  struct Exit {
    /// As a shell reports it: 128 + the signal that ended it.
    let status: Int32
  }

  /// - Parameters:
  ///   - words: the program and its arguments; a single word with blanks goes to `/bin/sh`.
  ///   - input: the descriptor it reads from.
  ///   - environment: added to this process's own.
  static func start(
    _ words: [String], input: Int32, group: Group, environment: [(String, String)] = []
  ) throws(CommandFailure) -> ChildProgram {
    var words = words
    if words.count == 1, words[0].contains(where: \.isWhitespace) {
      words = ["/bin/sh", "-c", words[0]]
    }
    guard let name = words.first, let path = find(name) else {
      throw CommandFailure("there is no program \(words.first ?? "") in the PATH")
    }
    var variables: [String] = []
    // Sound: this program has no thread that changes the environment; the text is copied.
    var next = unsafe environ
    while let entry = unsafe next.pointee {
      let text = unsafe String(cString: entry)
      if !environment.contains(where: { text.hasPrefix($0.0 + "=") }) { variables.append(text) }
      unsafe next += 1
    }
    variables += environment.map { $0.0 + "=" + $0.1 }
    // Sound: the C strings live until the call returns; spawn copies what it needs.
    let arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
    let settings: [UnsafeMutablePointer<CChar>?] =
      unsafe variables.map { unsafe strdup($0) } + [nil]
    defer {
      unsafe arguments.forEach { unsafe free($0) }
      unsafe settings.forEach { unsafe free($0) }
    }
    let pid = unsafe croost_spawn(
      path, arguments, settings, nil, input, 1, 2,
      group == .own ? UInt32(CROOST_SPAWN_NEW_GROUP) : 0)
    guard pid > 0 else {
      throw CommandFailure("cannot run \(name): \(unsafe String(cString: strerror(-pid)))")
    }
    return ChildProgram(pid: pid)
  }

  private static func find(_ name: String) -> String? {
    if name.contains("/") { return name }
    for folder in (Console.environment("PATH") ?? "/usr/bin:/bin").split(separator: ":") {
      let path = folder + "/" + name
      if unsafe access(path, X_OK) == 0 { return path }
    }
    return nil
  }

  /// Reaches all that the program started; for a group of its own.
  func signal(_ number: Int32) {
    if croost_kill_group(pid, number) < 0 { croost_kill(pid, number) }
  }

  /// Nil while it runs.
  func poll() -> Exit? { wait(blocking: false) }

  func waitUntilEnd() -> Exit { wait(blocking: true) ?? Exit(status: 1) }

  private func wait(blocking: Bool) -> Exit? {
    var ended = croost_exit()
    // Sound: the pointer is valid for the call.
    guard unsafe croost_wait(pid, blocking ? 1 : 0, &ended) >= 0, ended.pid == pid else {
      return nil
    }
    return Exit(status: ended.signal != 0 ? 128 + ended.signal : ended.code)
  }

  /// Makes the child the terminal's foreground group, so that it can read there and ctrl-C is its.
  func takeTerminal() {
    guard isatty(0) == 1, tcgetpgrp(0) == getpgrp() else { return }
    tcsetpgrp(0, pid)
    // In case it tried to read before that.
    signal(SIGCONT)
  }

  static func returnTerminal() {
    guard isatty(0) == 1 else { return }
    // From the background this would stop us.
    _ = unsafe croost_block_signals([SIGTTOU], 1)
    tcsetpgrp(0, getpgrp())
  }
}

/// Signals as events to wait for, instead of handlers.
struct SignalWaiter {
  private let descriptor: Int32

  /// Blocks these signals for this thread and those it starts later.
  init(_ signals: [Int32]) throws(CommandFailure) {
    // Sound: the array is only read during the call.
    unsafe croost_block_signals(signals, Int32(signals.count))
    descriptor = unsafe croost_signalfd(signals, Int32(signals.count))
    guard descriptor >= 0 else { throw CommandFailure("cannot watch for signals") }
  }

  /// The next signal; nil when the time has passed or `other` can be read.
  func wait(milliseconds: Int32, other: Int32 = -1) -> Int32? {
    var sender: Int32 = 0
    // Sound: the pointers are valid for the calls; a negative descriptor is ignored by poll.
    var signal = unsafe croost_signalfd_take(descriptor, &sender)
    if signal > 0 { return signal }
    var descriptors = [
      pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: other, events: Int16(POLLIN), revents: 0),
    ]
    unsafe poll(&descriptors, 2, milliseconds)
    signal = unsafe croost_signalfd_take(descriptor, &sender)
    return signal > 0 ? signal : nil
  }
}
