/// The decoded query of a request: name and value pairs in order, `+` is a space.
///
/// Without a query nothing is allocated. A parameter without `=` has an empty value; presence is
/// what counts for flags.
package struct QueryParameters: Sendable {
  package struct Parameter: Sendable, Equatable {
    package var name: [UInt8]
    package var value: [UInt8]
  }

  package struct Fault: Error, Equatable, Sendable {
    /// As Go words it: `invalid URL escape "%zz"`.
    package var message: String
  }

  /// More than any real request has; above it the query is refused.
  package static let parametersMax = 256

  package private(set) var parameters: [Parameter] = []

  package init() {}

  package init(_ query: ArraySlice<UInt8>?) throws(Fault) {
    guard let query, !query.isEmpty else { return }
    var start = query.startIndex
    while start < query.endIndex {
      let end = query[start...].firstIndex(of: 0x26) ?? query.endIndex
      if end > start { try add(query[start..<end]) }
      start = end + 1
      if end == query.endIndex { break }
    }
  }

  private mutating func add(_ pair: ArraySlice<UInt8>) throws(Fault) {
    guard parameters.count < Self.parametersMax else {
      throw Fault(message: "too many query parameters")
    }
    // Go 1.17 and later refuse it, because proxies disagree about what it separates.
    guard !pair.contains(0x3B) else { throw Fault(message: "invalid semicolon separator in query") }
    let mark = pair.firstIndex(of: 0x3D) ?? pair.endIndex
    let value = mark < pair.endIndex ? pair[(mark + 1)...] : pair[pair.endIndex...]
    parameters.append(
      Parameter(name: try Self.decode(pair[..<mark]), value: try Self.decode(value)))
  }

  private static func decode(_ text: ArraySlice<UInt8>) throws(Fault) -> [UInt8] {
    var decoded: [UInt8] = []
    decoded.reserveCapacity(text.count)
    if PercentCoding.append(text, to: &decoded, plusIsSpace: true) { return decoded }
    throw Fault(message: "invalid URL escape \"\(faultyEscape(in: text))\"")
  }

  /// The first `%` that two hexadecimal digits do not follow, with what stands there.
  private static func faultyEscape(in text: ArraySlice<UInt8>) -> String {
    var index = text.startIndex
    while index < text.endIndex {
      if text[index] == 0x25 {
        let escape = text[index..<min(index + 3, text.endIndex)]
        let isValid =
          escape.count == 3 && escape.dropFirst().allSatisfy { ASCII.hexValue($0) != nil }
        if !isValid { return String(decoding: escape, as: UTF8.self) }
        index += 2
      }
      index += 1
    }
    return ""
  }

  package var isEmpty: Bool { parameters.isEmpty }

  /// True when the parameter is there, with or without a value.
  package func has(_ name: StaticString) -> Bool {
    for index in parameters.indices where parameters[index].name.equals(name) { return true }
    return false
  }

  /// The value of the first parameter of that name.
  package func bytes(_ name: StaticString) -> [UInt8]? {
    // By index: a loop over the elements would hold and release each.
    for index in parameters.indices where parameters[index].name.equals(name) {
      return parameters[index].value
    }
    return nil
  }

  /// The same as text; invalid UTF-8 becomes U+FFFD.
  package func text(_ name: StaticString) -> String? {
    bytes(name).map { value in String(decoding: value, as: UTF8.self) }
  }

  /// The values of every parameter of that name, in order.
  package func all(_ name: StaticString) -> [[UInt8]] {
    parameters.filter { parameter in parameter.name.equals(name) }.map(\.value)
  }
}
