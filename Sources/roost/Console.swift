internal import Glibc

/// What a person sees: text on standard output, faults on standard error, colours on a terminal.
enum Console {
  static let isTerminal = isatty(1) == 1 && environment("TERM") != "dumb"
  /// See no-color.org.
  private static let hasColors = isTerminal && environment("NO_COLOR") == nil

  static func print(_ text: String) { write(text + "\n", to: 1) }
  static func printError(_ text: String, newline: Bool = true) {
    write(text + (newline ? "\n" : ""), to: 2)
  }
  static func write(_ text: String) { write(text, to: 1) }

  /// Raw bytes, such as a value of the KV store.
  static func write(_ bytes: [UInt8], to descriptor: Int32 = 1) {
    if !write(all: bytes, to: descriptor) { outputFailed(descriptor) }
  }

  /// False when not all could be written; `errno` says why.
  static func write(all bytes: [UInt8], to descriptor: Int32) -> Bool {
    var sent = 0
    while sent < bytes.count {
      // Sound: the pointer is valid for the call and the range lies inside the array, which is not
      // empty here.
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress! + sent, bytes.count - sent)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }

  /// Output that is lost must not look like success: a full disk ends the program.
  private static func outputFailed(_ descriptor: Int32) {
    guard descriptor == 1, errno != EPIPE else { return }
    let reason = unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error"
    printError("roost: cannot write the output: \(reason)")
    exit(1)
  }

  private static func write(_ text: String, to descriptor: Int32) {
    write(Array(text.utf8), to: descriptor)
  }

  enum Style: String {
    case bold = "1"
    case dim = "2"
    case inverse = "7"
    case red = "31"
    case green = "32"
    case yellow = "33"
    case cyan = "36"
  }

  static func styled(_ text: String, _ style: Style) -> String {
    hasColors ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
  }

  static func environment(_ name: String) -> String? {
    // Sound: the text is copied before anything could change the environment.
    guard let value = unsafe getenv(name) else { return nil }
    let text = unsafe String(cString: value)
    return text.isEmpty ? nil : text
  }

  /// All of standard input.
  static func readInput() -> [UInt8] { read(descriptor: 0) ?? [] }

  static func readFile(_ path: String) throws(CommandFailure) -> [UInt8] {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw CommandFailure("cannot read \(path): \(unsafe String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    guard let bytes = read(descriptor: descriptor) else {
      throw CommandFailure("cannot read \(path): \(unsafe String(cString: strerror(errno)))")
    }
    return bytes
  }

  private static func read(descriptor: Int32) -> [UInt8]? {
    var result: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = unsafe chunk.withUnsafeMutableBytes {
        unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
      }
      if count < 0, errno == EINTR { continue }
      if count < 0 { return nil }
      if count == 0 { return result }
      result += chunk[..<count]
    }
  }
}
