internal import Glibc
internal import Synchronization

/// One line per message to standard error, `time level component message key=value …`, or one JSON
/// object per line.
///
/// A value: copies share the descriptor and `control`, so any thread may log; a line is one `write`.
package struct Logger: Sendable {
  package var json: Bool
  /// The level, which may change while the node runs, and who listens.
  package let control: LogControl

  package init(level: NodeConfiguration.LogLevel, json: Bool) {
    control = LogControl(level)
    self.json = json
  }

  package func isEnabled(_ level: NodeConfiguration.LogLevel) -> Bool {
    control.isWanted(level)
  }

  package func log(
    _ level: NodeConfiguration.LogLevel, _ component: StaticString,
    _ message: @autoclosure () -> String, _ fields: [(StaticString, String)] = []
  ) {
    guard isEnabled(level) else { return }
    let time = Self.timestamp()
    let line =
      json
      ? Self.jsonLine(time, level, component, message(), fields)
      : Self.textLine(time, level, component, message(), fields)
    if control.hand(line, level) { Self.writeLine(line) }
  }

  private static func textLine(
    _ time: String, _ level: NodeConfiguration.LogLevel, _ component: StaticString,
    _ message: String, _ fields: [(StaticString, String)]
  ) -> String {
    let name = level.rawValue
    let padded = name + String(repeating: " ", count: max(0, 7 - name.count))
    var line = "\(time) \(padded) \(component): \(message)"
    for (key, value) in fields {
      line += " \(key)=\(value.contains(" ") || value.isEmpty ? quoted(value) : escaped(value))"
    }
    return line
  }

  private static func jsonLine(
    _ time: String, _ level: NodeConfiguration.LogLevel, _ component: StaticString,
    _ message: String, _ fields: [(StaticString, String)]
  ) -> String {
    var line = #"{"time":"\#(time)","level":"\#(level.rawValue)","component":"\#(component)""#
    line += ",\"message\":" + quoted(message)
    for (key, value) in fields { line += ",\"\(key)\":" + quoted(value) }
    return line + "}"
  }

  private static func quoted(_ text: String) -> String { "\"" + escaped(text) + "\"" }

  /// What came from outside must not break a line or a terminal.
  private static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// RFC 3339 in UTC with milliseconds.
  private static func timestamp() -> String {
    var now = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &now)
    // `tm` counts as unsafe because of its zone name, which is not looked at.
    var parts = unsafe tm()
    unsafe gmtime_r(&now.tv_sec, &parts)
    func digits(_ value: Int, _ width: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    let date = unsafe [
      digits(Int(parts.tm_year) + 1900, 4), digits(Int(parts.tm_mon) + 1, 2),
      digits(Int(parts.tm_mday), 2),
    ]
    let clock = unsafe [
      digits(Int(parts.tm_hour), 2), digits(Int(parts.tm_min), 2), digits(Int(parts.tm_sec), 2),
    ]
    return date.joined(separator: "-") + "T" + clock.joined(separator: ":")
      + ".\(digits(now.tv_nsec / 1_000_000, 3))Z"
  }

  private static func writeLine(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    // Sound: the pointer is valid for the call. A lost log line must not stop a node, so a short
    // or failed write is let go.
    unsafe bytes.withUnsafeBytes { _ = unsafe Glibc.write(2, $0.baseAddress, $0.count) }
  }
}

extension NodeConfiguration.LogLevel {
  /// 0 is the gravest.
  var severity: Int {
    switch self {
    case .error: 0
    case .warning: 1
    case .info: 2
    case .debug: 3
    }
  }
}

/// What all copies of a logger share.
package final class LogControl: Sendable {
  private struct Tap {
    let id: UInt64
    let level: NodeConfiguration.LogLevel
    let sink: @Sendable (String) -> Void
  }
  private struct State {
    var level: NodeConfiguration.LogLevel
    var taps: [Tap] = []
    var nextTap: UInt64 = 1
  }

  private let state: Mutex<State>
  /// The largest severity that anybody wants: looked at first, and most often alone.
  private let widest: Atomic<Int>

  init(_ level: NodeConfiguration.LogLevel) {
    state = Mutex(State(level: level))
    widest = Atomic(level.severity)
  }

  package var level: NodeConfiguration.LogLevel {
    get { state.withLock { $0.level } }
    set { change { $0.level = newValue } }
  }

  /// `sink` gets every line of that level or graver, without the newline, on the thread that logs.
  package func addTap(
    _ level: NodeConfiguration.LogLevel, _ sink: @escaping @Sendable (String) -> Void
  ) -> UInt64 {
    change { state in
      let id = state.nextTap
      state.nextTap += 1
      state.taps.append(Tap(id: id, level: level, sink: sink))
      return id
    }
  }

  package func removeTap(_ id: UInt64) {
    change { state in state.taps.removeAll { $0.id == id } }
  }

  private func change<R: Sendable>(_ body: (inout State) -> R) -> R {
    state.withLock { state in
      let result = body(&state)
      let most = state.taps.reduce(state.level.severity) { max($0, $1.level.severity) }
      widest.store(most, ordering: .relaxed)
      return result
    }
  }

  func isWanted(_ level: NodeConfiguration.LogLevel) -> Bool {
    level.severity <= widest.load(ordering: .relaxed)
  }

  /// To all that listen; true when the line belongs into the log itself.
  func hand(_ line: String, _ level: NodeConfiguration.LogLevel) -> Bool {
    let (taps, isWritten) = state.withLock { state in
      (state.taps, level.severity <= state.level.severity)
    }
    for tap in taps where level.severity <= tap.level.severity { tap.sink(line) }
    return isWritten
  }
}
