import HTTP
import Registry

/// Recursive descent over the grammar of consul-api.md 20.1.
struct FilterParser {
  struct Fault: Error {
    var message: String
  }

  /// Parentheses and `not` nest at most so deep: the parser recurses.
  private static let depthMax = 64

  private let text: [UInt8]
  private let fields: [FilterField]
  private var index = 0
  private var depth = 0

  init(_ text: [UInt8], fields: [FilterField]) {
    self.text = text
    self.fields = fields
  }

  mutating func parse() throws(Fault) -> Filter.Expression {
    skipBlanks()
    let expression = try disjunction()
    skipBlanks()
    guard index == text.count else { throw unexpected("\"and\", \"or\" or the end") }
    return expression
  }

  private mutating func disjunction() throws(Fault) -> Filter.Expression {
    var left = try conjunction()
    while takeWord("or") { left = .or(left, try conjunction()) }
    return left
  }

  private mutating func conjunction() throws(Fault) -> Filter.Expression {
    var left = try factor()
    while takeWord("and") { left = .and(left, try factor()) }
    return left
  }

  private mutating func factor() throws(Fault) -> Filter.Expression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthMax else { throw Fault(message: "expression nests too deep") }
    skipBlanks()
    if takeWord("not") { return .not(try factor()) }
    guard take(0x28) else { return .match(try match()) }
    let inner = try disjunction()
    skipBlanks()
    guard take(0x29) else { throw unexpected("\")\"") }
    return inner
  }

  // MARK: One match

  private mutating func match() throws(Fault) -> Filter.Match {
    let start = index
    let value = try literal()
    if let operation = takeMembership() {
      skipBlanks()
      return try make(try selector(), operation, value)
    }
    // Not a value: read it again as a selector.
    index = start
    let selector = try selector()
    let operation = try takeOperator()
    if operation == .isEmpty || operation == .isNotEmpty {
      return try make(selector, operation, "")
    }
    skipBlanks()
    return try make(selector, operation, try literal())
  }

  /// `in` or `not in` behind a value.
  private mutating func takeMembership() -> Filter.Operator? {
    let start = index
    if takeWord("in") { return .contains }
    if takeWord("not"), takeWord("in") { return .lacks }
    index = start
    return nil
  }

  private mutating func takeOperator() throws(Fault) -> Filter.Operator {
    skipBlanks()
    if take(0x3D, 0x3D) { return .equal }
    if take(0x21, 0x3D) { return .notEqual }
    if takeWord("contains") { return .contains }
    if takeWord("matches") { return .matches }
    if takeWord("not") {
      if takeWord("contains") { return .lacks }
      if takeWord("matches") { return .doesNotMatch }
    } else if takeWord("is") {
      let isNegated = takeWord("not")
      if takeWord("empty") { return isNegated ? .isNotEmpty : .isEmpty }
    }
    throw unexpected("\"!=\", \"==\", \"contains\", \"is\", \"matches\" or \"not\"")
  }

  private func make(
    _ selector: [String], _ operation: Filter.Operator, _ value: String?
  ) throws(Fault) -> Filter.Match {
    guard let value else { throw unexpected("a value") }
    let shown = selector.joined(separator: ".")
    // Bad syntax was reported before names are looked at, as Consul does.
    guard let kind = Self.kind(of: selector[...], in: fields) else {
      throw Fault(message: "Selector \"\(shown)\" is not valid")
    }
    let (positive, isNegated) = operation.positive
    guard Self.fits(positive, kind) else {
      throw Fault(
        message: "Invalid match operator \"\(operation.rawValue)\" for selector \"\(shown)\"")
    }
    let literal: Filter.Literal
    switch (positive, kind) {
    case (.isEmpty, _): literal = .none
    case (.matches, _):
      do {
        literal = .pattern(try Pattern(parsing: value))
      } catch {
        throw Fault(
          message: "Failed to compile regular expression \(quoted(value)): \(error.message)")
      }
    case (.equal, .number):
      guard let number = Int(value) else {
        throw coercion(value, shown, "strconv.ParseInt: parsing \(quoted(value)): invalid syntax")
      }
      literal = .number(number)
    case (.equal, .flag):
      guard let flag = QueryParameters.boolean(value) else {
        throw coercion(
          value, shown, "strconv.ParseBool: parsing \(quoted(value)): invalid syntax")
      }
      literal = .flag(flag)
    default: literal = .text(value)
    }
    return Filter.Match(
      selector: selector, operation: positive, isNegated: isNegated, literal: literal)
  }

  private func coercion(_ value: String, _ selector: String, _ reason: String) -> Fault {
    Fault(
      message: "Failed to coerce value \(quoted(value)) for selector \"\(selector)\": \(reason)")
  }

  private static func fits(_ operation: Filter.Operator, _ kind: FilterField.Kind) -> Bool {
    switch kind {
    case .text: true
    case .number, .flag: operation == .equal
    case .texts, .map, .named, .objects: operation == .contains || operation == .isEmpty
    case .object: false
    }
  }

  // MARK: Selectors

  private mutating func selector() throws(Fault) -> [String] {
    guard let first = name() else { throw unexpected("a selector") }
    var path = [first]
    while index < text.count {
      if text[index] == 0x2E {
        index += 1
        guard let next = name() else { throw unexpected("[a-zA-Z]") }
        path.append(next)
      } else if text[index] == 0x5B {
        index += 1
        guard let next = try quotedText() else { throw unexpected("\"") }
        guard take(0x5D) else { throw unexpected("\"]\"") }
        path.append(next)
      } else {
        break
      }
    }
    return path
  }

  private static func kind(
    of path: ArraySlice<String>, in fields: [FilterField]
  ) -> FilterField.Kind? {
    guard let name = path.first, let field = fields.first(where: { $0.name == name }) else {
      return nil
    }
    let rest = path.dropFirst()
    guard !rest.isEmpty else { return field.kind }
    switch field.kind {
    case .map: return rest.count == 1 ? .text : nil
    case .named(let inner): return rest.count > 1 ? kind(of: rest.dropFirst(), in: inner) : nil
    case .object(let inner), .objects(let inner): return kind(of: rest, in: inner)
    case .text, .number, .flag, .texts: return nil
    }
  }

  private mutating func name() -> String? {
    let start = index
    guard index < text.count, Self.isLetter(text[index]) else { return nil }
    while index < text.count, Self.isNameByte(text[index]) { index += 1 }
    return String(decoding: text[start..<index], as: UTF8.self)
  }

  // MARK: Values

  /// Quoted, a number, or a word; nil when there is none of them.
  private mutating func literal() throws(Fault) -> String? {
    if let text = try quotedText() { return text }
    let start = index
    if index < text.count, text[index] == 0x2D { index += 1 }
    if index < text.count, Self.isDigit(text[index]) {
      while index < text.count, Self.isDigit(text[index]) || text[index] == 0x2E { index += 1 }
      return String(decoding: text[start..<index], as: UTF8.self)
    }
    index = start
    guard name() != nil else { return nil }
    while index < text.count, text[index] == 0x2E {
      index += 1
      guard name() != nil else { throw unexpected("[a-zA-Z]") }
    }
    return String(decoding: text[start..<index], as: UTF8.self)
  }

  private mutating func quotedText() throws(Fault) -> String? {
    guard index < text.count else { return nil }
    let quote = text[index]
    guard quote == 0x22 || quote == 0x60 else { return nil }
    index += 1
    var bytes: [UInt8] = []
    while index < text.count {
      let byte = text[index]
      index += 1
      if byte == quote { return String(decoding: bytes, as: UTF8.self) }
      if byte == 0x5C && quote == 0x22 {
        guard index < text.count else { break }
        bytes.append(Self.unescaped(text[index]))
        index += 1
      } else {
        bytes.append(byte)
      }
    }
    throw unexpected(quote == 0x22 ? "\"" : "`")
  }

  private static func unescaped(_ byte: UInt8) -> UInt8 {
    switch byte {
    case 0x6E: 0x0A
    case 0x72: 0x0D
    case 0x74: 0x09
    default: byte
    }
  }

  // MARK: Bytes

  /// A keyword with its blanks around; untouched when it is not there.
  private mutating func takeWord(_ word: String) -> Bool {
    let start = index
    skipBlanks()
    let end = index + word.utf8.count
    guard end <= text.count, text[index..<end].elementsEqual(word.utf8),
      end == text.count || !Self.isNameByte(text[end]) && text[end] != 0x2E
    else {
      index = start
      return false
    }
    index = end
    skipBlanks()
    return true
  }

  private mutating func take(_ bytes: UInt8...) -> Bool {
    guard text[index...].starts(with: bytes) else { return false }
    index += bytes.count
    return true
  }

  private mutating func skipBlanks() {
    while index < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[index]) { index += 1 }
  }

  private func unexpected(_ expected: String) -> Fault {
    Fault(message: "1:\(index + 1) (\(index)): no match found, expected: \(expected)")
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
  private static func isLetter(_ byte: UInt8) -> Bool {
    byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A
  }
  private static func isNameByte(_ byte: UInt8) -> Bool {
    isLetter(byte) || isDigit(byte) || byte == 0x5F
  }
}
