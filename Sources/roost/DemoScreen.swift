internal import CRoost
internal import RoostClient

/// What a visitor of `roost demo` sees: a story that scrolls, and below it, on a terminal, a table
/// that is drawn anew in place. Without a terminal the table is printed once in each chapter.
struct DemoScreen {
  private var liveLines = 0
  private let isLive = Console.isTerminal
  private var chapters = 0

  /// A title with its number.
  mutating func chapter(_ title: String) {
    chapters += 1
    erase()
    Console.print(
      "\n" + Console.styled(" \(chapters) ", .inverse) + " " + Console.styled(title, .bold))
  }

  /// One line of the story.
  mutating func say(_ text: String) {
    erase()
    Console.print("    " + text)
  }

  /// What one could type to do the same.
  mutating func command(_ text: String) { say(Console.styled("$ " + text, .cyan)) }

  /// A thing that was measured or verified.
  mutating func result(_ text: String) {
    say(Console.styled("✓", .green) + " " + text)
  }

  /// Draws the block in the place of the last one.
  mutating func draw(_ text: String) {
    guard isLive else { return }
    erase()
    let width = Int(croost_terminal_width(1))
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    // A line that wraps would be two, and the next erasure would leave one.
    guard lines.allSatisfy({ width == 0 || Self.visibleLength($0) + 4 <= width }) else { return }
    Console.print("\n" + Self.indented(lines))
    liveLines = lines.count + 1
  }

  /// Leaves the block where it stands.
  mutating func settle(_ text: String) {
    erase()
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    Console.print("\n" + Self.indented(lines))
  }

  /// The block at the end of a chapter, for those who cannot see it drawn.
  mutating func still(_ text: String) {
    if !isLive { settle(text) }
  }

  private static func indented(_ lines: [Substring]) -> String {
    lines.map { $0.isEmpty ? "" : "    " + $0 }.joined(separator: "\n")
  }

  mutating func erase() {
    if liveLines > 0 { Console.write("\u{1B}[\(liveLines)A\u{1B}[J") }
    liveLines = 0
  }

  /// Characters without the escape sequences of colours.
  static func visibleLength(_ text: Substring) -> Int {
    var count = 0
    var isEscape = false
    for character in text {
      if character == "\u{1B}" {
        isEscape = true
      } else if isEscape {
        if character == "m" { isEscape = false }
      } else {
        count += 1
      }
    }
    return count
  }
}
