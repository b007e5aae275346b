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
    /// The place is kept: twice the group's number where it begins, one more where it ends.
    case save(Int)
    case match
  }

  /// A step per character and state: 2,000 states are some microseconds per character at worst.
  static let instructionsMax = 2000

  private let program: [Instruction]
  /// With the whole match.
  private let groupCount: Int

  init(parsing text: String) throws(Fault) {
    var compiler = PatternCompiler(Array(text.unicodeScalars.map(\.value)))
    program = try compiler.compile()
    groupCount = compiler.groupCount
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
      case .save: pending.append(state + 1)
      case .split(let a, let b): pending += [b, a]
      case .atStart: if isStart { pending.append(state + 1) }
      case .atEnd: if isEnd { pending.append(state + 1) }
      case .scalars: break
      }
    }
    return false
  }

  // MARK: Groups

  /// The texts of the whole match and of every group (empty where it took no part), of the
  /// leftmost match that a backtracking engine would find first; nil without a match.
  ///
  /// The same machine with a list of places for every state (Pike's VM), states in the order of
  /// their preference.
  func captures(in text: String) -> [String]? {
    let scalars = Array(text.unicodeScalars)
    var current = Threads(program.count)
    var best: [Int]?
    for index in 0...scalars.count {
      if best == nil {
        let start = Array(repeating: -1, count: 2 * groupCount)
        current.add(0, start, program, index, scalars.count)
      }
      var next = Threads(program.count)
      for thread in current.list {
        switch program[thread.state] {
        case .match: best = thread.places
        case .scalars(let set):
          if index < scalars.count, set.contains(scalars[index].value) {
            next.add(thread.state + 1, thread.places, program, index + 1, scalars.count)
          }
          continue
        default: continue
        }
        // What comes after a match is preferred less.
        break
      }
      if next.list.isEmpty, best != nil { break }
      current = next
    }
    return best.map { places in
      (0..<groupCount).map { group in
        let (start, end) = (places[2 * group], places[2 * group + 1])
        guard start >= 0, end >= start else { return "" }
        var part = String.UnicodeScalarView()
        part.append(contentsOf: scalars[start..<end])
        return String(part)
      }
    }
  }

  private struct Threads {
    var list: [(state: Int, places: [Int])] = []
    private var isIn: [Bool]

    init(_ count: Int) { isIn = Array(repeating: false, count: count) }

    /// Adds a state and all that it leads to without a character, the preferred ones first.
    mutating func add(
      _ first: Int, _ places: [Int], _ program: [Instruction], _ index: Int, _ end: Int
    ) {
      var pending = [(first, places)]
      while let (state, places) = pending.popLast() {
        guard !isIn[state] else { continue }
        isIn[state] = true
        switch program[state] {
        case .match, .scalars: list.append((state, places))
        case .jump(let target): pending.append((target, places))
        case .split(let a, let b): pending += [(b, places), (a, places)]
        case .save(let place):
          var moved = places
          moved[place] = index
          pending.append((state + 1, moved))
        case .atStart: if index == 0 { pending.append((state + 1, places)) }
        case .atEnd: if index == end { pending.append((state + 1, places)) }
        }
      }
    }
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
