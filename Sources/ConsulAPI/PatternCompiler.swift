/// Parses a pattern and emits its program, by recursive descent.
struct PatternCompiler {
  private typealias Instruction = Pattern.Instruction
  private typealias ScalarSet = Pattern.ScalarSet

  private static let depthMax = 32
  /// As in RE2.
  private static let repeatMax = 1000

  private let text: [UInt32]
  private var index = 0
  private var depth = 0
  private var ignoresCase = false
  /// Of the groups that are kept, the whole match among them.
  private(set) var groupCount = 1
  static let groupsMax = 100

  init(_ text: [UInt32]) { self.text = text }

  mutating func compile() throws(Pattern.Fault) -> [Pattern.Instruction] {
    let program = try alternatives()
    if index < text.count { throw fault("unexpected )") }
    return [.save(0)] + Self.moved(program, by: 1) + [.save(1), .match]
  }

  private func fault(_ reason: String) -> Pattern.Fault {
    let shown = text.compactMap(Unicode.Scalar.init).reduce(into: "") { text, scalar in
      text.unicodeScalars.append(scalar)
    }
    return Pattern.Fault(message: "error parsing regexp: \(reason): `\(shown)`")
  }

  private func checkSize(_ program: [Instruction]) throws(Pattern.Fault) {
    if program.count > Pattern.instructionsMax { throw fault("expression too large") }
  }

  /// Code is relative to its first instruction; this moves it.
  private static func moved(_ program: [Instruction], by offset: Int) -> [Instruction] {
    program.map { instruction in
      switch instruction {
      case .split(let a, let b): .split(a + offset, b + offset)
      case .jump(let target): .jump(target + offset)
      default: instruction
      }
    }
  }

  private mutating func alternatives() throws(Pattern.Fault) -> [Instruction] {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthMax else { throw fault("expression nests too deeply") }
    var program = try sequence()
    while index < text.count, text[index] == 0x7C {
      index += 1
      let other = try sequence()
      let left = Self.moved(program, by: 1)
      let end = left.count + 2 + other.count
      program = [.split(1, left.count + 2)] + left + [.jump(end)]
      program += Self.moved(other, by: left.count + 2)
      try checkSize(program)
    }
    return program
  }

  private mutating func sequence() throws(Pattern.Fault) -> [Instruction] {
    var program: [Instruction] = []
    while index < text.count, text[index] != 0x7C, text[index] != 0x29 {
      let piece = try repeated(try atom())
      program += Self.moved(piece, by: program.count)
      try checkSize(program)
    }
    return program
  }

  // MARK: Repetition

  private mutating func repeated(_ atom: [Instruction]) throws(Pattern.Fault) -> [Instruction] {
    var program = atom
    while index < text.count {
      switch text[index] {
      case 0x2A: program = Self.star(program, isGreedy: isGreedy(after: index))
      case 0x2B:
        let star = Self.star(program, isGreedy: isGreedy(after: index))
        program += Self.moved(star, by: program.count)
      case 0x3F: program = Self.optional(program, isGreedy: isGreedy(after: index))
      case 0x7B:
        guard let (low, high, end) = bounds() else { return program }
        index = end - 1
        program = try expanded(program, low, high, isGreedy: isGreedy(after: index))
      default: return program
      }
      index += 1
      if index < text.count, text[index] == 0x3F { index += 1 }
      try checkSize(program)
    }
    return program
  }

  /// Whether a `?` follows makes no difference to what matches, but to what the groups hold.
  private func isGreedy(after index: Int) -> Bool {
    index + 1 >= text.count || text[index + 1] != 0x3F
  }

  private static func star(_ program: [Instruction], isGreedy: Bool) -> [Instruction] {
    let end = program.count + 2
    let split = isGreedy ? Instruction.split(1, end) : .split(end, 1)
    return [split] + moved(program, by: 1) + [.jump(0)]
  }

  private static func optional(_ program: [Instruction], isGreedy: Bool) -> [Instruction] {
    let end = program.count + 1
    return [isGreedy ? .split(1, end) : .split(end, 1)] + moved(program, by: 1)
  }

  /// `{n}`, `{n,}` or `{n,m}` at `index`, and where it ends; nil: the brace is a literal.
  private func bounds() -> (low: Int, high: Int?, end: Int)? {
    var place = index + 1
    func number() -> Int? {
      var value: Int?
      while place < text.count, text[place] >= 0x30, text[place] <= 0x39 {
        value = min((value ?? 0) * 10 + Int(text[place] - 0x30), Self.repeatMax + 1)
        place += 1
      }
      return value
    }
    guard let low = number(), place < text.count else { return nil }
    var high: Int? = low
    if text[place] == 0x2C {
      place += 1
      high = number()
    }
    guard place < text.count, text[place] == 0x7D else { return nil }
    return (low, high, place + 1)
  }

  private func expanded(
    _ program: [Instruction], _ low: Int, _ high: Int?, isGreedy: Bool
  ) throws(Pattern.Fault) -> [Instruction] {
    let most = high ?? low
    guard most >= low, most <= Self.repeatMax else { throw fault("invalid repeat count") }
    guard most * (program.count + 1) <= Pattern.instructionsMax else {
      throw fault("expression too large")
    }
    var result: [Instruction] = []
    for _ in 0..<low { result += Self.moved(program, by: result.count) }
    if high == nil {
      result += Self.moved(Self.star(program, isGreedy: isGreedy), by: result.count)
    } else {
      let optional = Self.optional(program, isGreedy: isGreedy)
      for _ in low..<most { result += Self.moved(optional, by: result.count) }
    }
    return result
  }

  // MARK: Atoms

  private mutating func atom() throws(Pattern.Fault) -> [Instruction] {
    let scalar = text[index]
    index += 1
    switch scalar {
    case 0x28: return try group()
    case 0x5B: return [.scalars(try scalarClass())]
    case 0x2E: return [.scalars(ScalarSet(ranges: [10...10], isNegated: true))]
    case 0x5E: return [.atStart]
    case 0x24: return [.atEnd]
    case 0x2A, 0x2B, 0x3F: throw fault("missing argument to repetition operator")
    case 0x5C: return try escape()
    default: return [literal(scalar)]
    }
  }

  private func literal(_ scalar: UInt32) -> Instruction {
    .scalars(ScalarSet(ranges: [scalar...scalar], ignoresCase: ignoresCase))
  }

  private mutating func group() throws(Pattern.Fault) -> [Instruction] {
    let outer = ignoresCase
    var isKept = true
    if index < text.count, text[index] == 0x3F {
      index += 1
      isKept = index < text.count && text[index] == 0x50
      if try flags() { return [] }
    }
    let number = groupCount
    if isKept { groupCount += 1 }
    guard groupCount <= Self.groupsMax else { throw fault("expression too large") }
    let inner = try alternatives()
    guard index < text.count, text[index] == 0x29 else { throw fault("missing closing )") }
    index += 1
    ignoresCase = outer
    guard isKept else { return inner }
    return [.save(2 * number)] + Self.moved(inner, by: 1) + [.save(2 * number + 1)]
  }

  /// What follows `(?`: flags, a name, or `:`. True when the group ended there, as `(?i)`.
  private mutating func flags() throws(Pattern.Fault) -> Bool {
    if index + 1 < text.count, text[index] == 0x50, text[index + 1] == 0x3C {
      guard let end = text[index...].firstIndex(of: 0x3E) else {
        throw fault("invalid named capture")
      }
      index = end + 1
      return false
    }
    var isOn = true
    while index < text.count {
      let flag = text[index]
      index += 1
      switch flag {
      case 0x69: ignoresCase = isOn
      case 0x2D: isOn = false
      // Lines and greed make no difference to names and addresses.
      case 0x73, 0x55: break
      case 0x3A: return false
      case 0x29: return true
      default: throw fault("invalid or unsupported Perl syntax")
      }
    }
    throw fault("missing closing )")
  }

  private mutating func escape() throws(Pattern.Fault) -> [Instruction] {
    guard index < text.count else { throw fault("trailing backslash at end of expression") }
    let scalar = text[index]
    if scalar == 0x41 || scalar == 0x7A {
      index += 1
      return [scalar == 0x41 ? .atStart : .atEnd]
    }
    if let set = try escapedSet() { return [.scalars(set)] }
    return [literal(try escapedScalar())]
  }

  /// `\d`, `\W` and their like at `index`.
  private mutating func escapedSet() throws(Pattern.Fault) -> ScalarSet? {
    guard index < text.count else { throw fault("trailing backslash at end of expression") }
    let scalar = text[index]
    let ranges: [ClosedRange<UInt32>]
    switch scalar | 0x20 {
    case 0x64: ranges = [0x30...0x39]
    case 0x77: ranges = [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A]
    case 0x73: ranges = [0x09...0x0A, 0x0C...0x0D, 0x20...0x20]
    default: return nil
    }
    index += 1
    return ScalarSet(ranges: ranges, isNegated: scalar & 0x20 == 0)
  }

  private mutating func escapedScalar() throws(Pattern.Fault) -> UInt32 {
    guard index < text.count else { throw fault("trailing backslash at end of expression") }
    let scalar = text[index]
    index += 1
    switch scalar {
    case 0x6E: return 0x0A
    case 0x72: return 0x0D
    case 0x74: return 0x09
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: throw fault("invalid escape sequence")
    default: return scalar
    }
  }

  // MARK: Classes

  private mutating func scalarClass() throws(Pattern.Fault) -> ScalarSet {
    var set = ScalarSet(ignoresCase: ignoresCase)
    if index < text.count, text[index] == 0x5E {
      set.isNegated = true
      index += 1
    }
    var isFirst = true
    while index < text.count, text[index] != 0x5D || isFirst {
      isFirst = false
      if text[index] == 0x5C {
        index += 1
        if let inner = try escapedSet() {
          set.ranges += inner.isNegated ? Self.complement(inner.ranges) : inner.ranges
          continue
        }
        index -= 1
      }
      let low = try classScalar()
      var high = low
      if index + 1 < text.count, text[index] == 0x2D, text[index + 1] != 0x5D {
        index += 1
        high = try classScalar()
      }
      guard low <= high else { throw fault("invalid character class range") }
      set.ranges.append(low...high)
    }
    guard index < text.count else { throw fault("missing closing ]") }
    index += 1
    return set
  }

  private mutating func classScalar() throws(Pattern.Fault) -> UInt32 {
    let scalar = text[index]
    index += 1
    return scalar == 0x5C ? try escapedScalar() : scalar
  }

  /// `ranges` is sorted.
  private static func complement(_ ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
    var result: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in ranges {
      if range.lowerBound > next { result.append(next...(range.lowerBound - 1)) }
      next = range.upperBound + 1
    }
    return result + [next...0x10FFFF]
  }
}
