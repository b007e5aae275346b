import Registry

/// A `?filter=` expression, parsed and checked against the fields of its endpoint (consul-api.md 20).
///
/// Happy path: parsed once per request, then asked of each object. Failures: bad syntax, an unknown
/// selector, an operator that does not fit the field or a value that does not fit its type are
/// refused with Consul's prefix.
struct Filter {
  enum Operator: String {
    case equal = "Equal"
    case notEqual = "Not Equal"
    case contains = "In"
    case lacks = "Not In"
    case isEmpty = "Is Empty"
    case isNotEmpty = "Is Not Empty"
    case matches = "Matches"
    case doesNotMatch = "Not Matches"

    /// The operator without its `not`, and whether it had one.
    var positive: (Operator, isNegated: Bool) {
      switch self {
      case .equal, .contains, .isEmpty, .matches: (self, false)
      case .notEqual: (.equal, true)
      case .lacks: (.contains, true)
      case .isNotEmpty: (.isEmpty, true)
      case .doesNotMatch: (.matches, true)
      }
    }
  }

  enum Literal {
    case none
    case text(String)
    case number(Int)
    case flag(Bool)
    case pattern(Pattern)
  }

  struct Match {
    var selector: [String]
    /// One of the positive ones.
    var operation: Operator
    var isNegated: Bool
    var literal: Literal
  }

  indirect enum Expression {
    case or(Expression, Expression)
    case and(Expression, Expression)
    case not(Expression)
    case match(Match)
  }

  private let expression: Expression

  init(parsing text: [UInt8], fields: [FilterField]) throws(Refusal) {
    var parser = FilterParser(text, fields: fields)
    do {
      expression = try parser.parse()
    } catch {
      throw .failed("Failed to create boolean expression evaluator: \(error.message)")
    }
  }

  func accepts(_ object: some Filterable) -> Bool { Self.evaluate(expression, object) }

  private static func evaluate(_ expression: Expression, _ object: some Filterable) -> Bool {
    switch expression {
    case .or(let a, let b): evaluate(a, object) || evaluate(b, object)
    case .and(let a, let b): evaluate(a, object) && evaluate(b, object)
    case .not(let inner): !evaluate(inner, object)
    case .match(let match): holds(match, object.filterValue(match.selector[...]))
    }
  }

  private static func holds(_ match: Match, _ value: FilterValue) -> Bool {
    // Of a list of objects any one suffices, for the negated operators too.
    if case .each(let values) = value { return values.contains { holds(match, $0) } }
    return isTrue(match, value) != match.isNegated
  }

  private static func isTrue(_ match: Match, _ value: FilterValue) -> Bool {
    switch (match.operation, value, match.literal) {
    case (.equal, .text(let text), .text(let wanted)): text == wanted
    case (.equal, .number(let number), .number(let wanted)): number == wanted
    case (.equal, .flag(let flag), .flag(let wanted)): flag == wanted
    case (.contains, .text(let text), .text(let part)): contains(text, part)
    case (.contains, .texts(let texts), .text(let wanted)): texts.contains(wanted)
    case (.isEmpty, .text(let text), _): text.isEmpty
    case (.isEmpty, .texts(let texts), _): texts.isEmpty
    case (.isEmpty, .missing, _): true
    case (.matches, .text(let text), .pattern(let pattern)): pattern.matches(text)
    default: false
    }
  }

  private static func contains(_ text: String, _ part: String) -> Bool {
    let bytes = Array(text.utf8)
    let wanted = Array(part.utf8)
    guard wanted.count <= bytes.count else { return false }
    return (0...(bytes.count - wanted.count)).contains { start in
      bytes[start..<start + wanted.count].elementsEqual(wanted)
    }
  }
}

/// One field that a filter may name.
struct FilterField: Sendable {
  indirect enum Kind: Sendable {
    case text, number, flag, texts
    /// Names to texts: `Meta`.
    case map
    /// Names to objects: `TaggedAddresses` of a service.
    case named([FilterField])
    case object([FilterField])
    /// Any of the objects may match.
    case objects([FilterField])
  }
  let name: String
  let kind: Kind

  init(_ name: String, _ kind: Kind) {
    self.name = name
    self.kind = kind
  }
}

/// What an object has at a selector. Maps show their names as `texts`.
enum FilterValue {
  case missing
  case text(String)
  case number(Int)
  case flag(Bool)
  case texts([String])
  case each([FilterValue])
}

/// Something a filter can be asked about.
protocol Filterable {
  /// `selector` was checked against the fields of the type: its names are known.
  func filterValue(_ selector: ArraySlice<String>) -> FilterValue
}
