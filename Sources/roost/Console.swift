internal import Glibc

/// What a person sees: text on standard output, faults on standard error, colours on a terminal.
enum Console {
  static let isTerminal = isatty(1) == 1 && environment("NO_COLOR") == nil

  static func print(_ text: String) { write(text + "\n", to: 1) }
  static func printError(_ text: String) { write(text + "\n", to: 2) }
  static func write(_ text: String) { write(text, to: 1) }

  /// Raw bytes, such as a value of the KV store.
  static func write(_ bytes: [UInt8], to descriptor: Int32 = 1) {
    var sent = 0
    while sent < bytes.count {
      // Sound: the pointer is valid for the call and the range lies inside the array.
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress! + sent, bytes.count - sent)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      sent += count
    }
  }

  private static func write(_ text: String, to descriptor: Int32) {
    write(Array(text.utf8), to: descriptor)
  }

  enum Style: String {
    case bold = "1"
    case dim = "2"
    case red = "31"
    case green = "32"
    case yellow = "33"
    case cyan = "36"
  }

  static func styled(_ text: String, _ style: Style) -> String {
    isTerminal ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
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

/// Rows under a heading, columns as wide as their widest cell.
struct Table {
  private var rows: [[String]]

  init(_ heading: String...) { rows = [heading] }

  mutating func add(_ cells: String...) { rows.append(cells) }

  /// - Parameter style: colours a cell by its row and column; widths do not count colours.
  func render(
    style: (_ row: Int, _ column: Int, _ text: String) -> Console.Style? = { _, _, _ in nil }
  )
    -> String
  {
    let columns = rows[0].count
    let widths = (0..<columns).map { column in rows.map { $0[column].count }.max() ?? 0 }
    var text = ""
    for (number, row) in rows.enumerated() {
      var line = ""
      for (column, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        let chosen = number == 0 ? .bold : style(number - 1, column, cell)
        line += (chosen.map { Console.styled(cell, $0) } ?? cell)
        if column < columns - 1 { line += padding + "  " }
      }
      text += line + "\n"
    }
    return text
  }
}
