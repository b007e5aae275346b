import Basics

/// What happened in a run: always as one number, and as readable lines when they are wanted.
///
/// Lines cost far more than the run itself, so a run is made without them; one that failed is
/// made again, from the same seed, with them.
struct Transcript {
  enum Mode: Sendable {
    case hashOnly
    /// Keeps the last lines.
    case recording
    /// Prints each line at once: also what precedes a trap is seen.
    case printing
  }
  let mode: Mode
  /// Grows with everything that happens; equal runs have equal numbers.
  private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  private var lines: [String] = []
  /// More are dropped, oldest first.
  static let linesMax = 4_000

  init(mode: Mode) { self.mode = mode }

  mutating func mix(_ value: UInt64) { hash = (hash ^ value) &* 0x0000_0100_0000_01B3 }

  mutating func add(_ text: @autoclosure () -> String, at time: UInt64, node: Int?) {
    guard mode != .hashOnly else { return }
    let milliseconds = time / 1000
    let micros = String(time % 1000 + 1000).dropFirst()
    let line = "\(milliseconds).\(micros) \(node.map { "n\($0 + 1)" } ?? "--") \(text())"
    if mode == .printing { print(line) }
    lines.append(line)
    if lines.count >= 2 * Self.linesMax { lines.removeFirst(Self.linesMax) }
  }

  /// The last `count` lines, oldest first.
  func tail(_ count: Int = linesMax) -> [String] { Array(lines.suffix(min(count, Self.linesMax))) }
}
