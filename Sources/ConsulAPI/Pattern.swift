/// A regular expression of RE2's kind for `matches`: unanchored, linear in the text for every
/// pattern, because it runs on the loop's thread and the pattern comes from outside.
///
/// Compiled to a small program that is run on all states at once (Thompson 1968; Cox, "Regular
/// Expression Matching: the Virtual Machine Approach"). Works on Unicode scalars. Known: literals,
/// `.`, classes with ranges and `\d \w \s` (negated too), `^ $`, groups, `(?i)`, `|`,
/// `* + ? {n,m}` greedy or not (which makes no difference to whether it matches). Not known:
/// back-references and look-around, as in RE2; `\b`, `\p`.
struct Pattern {
  struct Fault: Error {
    var message: String
  }

  struct ScalarSet {
    var ranges: [ClosedRange<UInt32>] = []
    var isNegated = false
    var ignoresCase = false

    func contains(_ scalar: UInt32) -> Bool {
      let isIn = ranges.contains { $0.contains(scalar) }
      let isOther = !isIn && ignoresCase && ranges.contains { $0.contains(Self.otherCase(scalar)) }
      return (isIn || isOther) != isNegated
    }

    private static func otherCase(_ scalar: UInt32) -> UInt32 {
      switch scalar {
      case 0x41...0x5A: scalar + 32
      case 0x61...0x7A: scalar - 32
      default: scalar
      }
    }
  }

  enum Instruction {
    case scalars(ScalarSet)
    case split(Int, Int)
    case jump(Int)
    case atStart
    case atEnd
    case match
  }

  /// A step per character and state: 2,000 states are some microseconds per character at worst.
  static let instructionsMax = 2000

  private let program: [Instruction]

  init(parsing text: String) throws(Fault) {
    var compiler = PatternCompiler(Array(text.unicodeScalars.map(\.value)))
    program = try compiler.compile()
  }

  func matches(_ text: String) -> Bool {
    let scalars = text.unicodeScalars.map(\.value)
    var current = States(program.count)
    var next = States(program.count)
    for index in 0...scalars.count {
      // A new attempt at every place: the pattern is not anchored.
      let isEnd = index == scalars.count
      if add(0, to: &current, isStart: index == 0, isEnd: isEnd) { return true }
      guard !isEnd else { break }
      let isLast = index + 1 == scalars.count
      next.removeAll()
      for state in current.list {
        guard case .scalars(let set) = program[state], set.contains(scalars[index]) else {
          continue
        }
        if add(state + 1, to: &next, isStart: false, isEnd: isLast) { return true }
      }
      swap(&current, &next)
    }
    return false
  }

  /// Adds a state and all that it leads to without a character; true when that is the match.
  private func add(_ first: Int, to states: inout States, isStart: Bool, isEnd: Bool) -> Bool {
    var pending = [first]
    while let state = pending.popLast() {
      guard states.insert(state) else { continue }
      switch program[state] {
      case .match: return true
      case .jump(let target): pending.append(target)
      case .split(let a, let b): pending += [b, a]
      case .atStart: if isStart { pending.append(state + 1) }
      case .atEnd: if isEnd { pending.append(state + 1) }
      case .scalars: break
      }
    }
    return false
  }

  private struct States {
    var list: [Int] = []
    private var isIn: [Bool]

    init(_ count: Int) { isIn = Array(repeating: false, count: count) }

    mutating func insert(_ state: Int) -> Bool {
      if isIn[state] { return false }
      isIn[state] = true
      list.append(state)
      return true
    }

    mutating func removeAll() {
      for state in list { isIn[state] = false }
      list.removeAll(keepingCapacity: true)
    }
  }
}
