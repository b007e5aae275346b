/// The decoded query of a request: name and value pairs in order, `+` is a space.
///
/// All pairs lie in one array, each behind the sizes of its name and its value, so a query costs
/// one allocation, and a parked one little memory. Without a query nothing is allocated. A parameter
/// without `=` has an empty value; presence is what counts for flags.
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

  /// For each pair: the size of the name and of the value, two bytes each, then both.
  private var packed: [UInt8] = []
  private var nameSizes = NameSizes()
  private static let sizesBytes = 4
  /// More than the longest request line; above it the query is refused.
  private static let queryBytesMax = 65_535

  package init() {}

  package init(_ query: ArraySlice<UInt8>?) throws(Fault) {
    guard let query, !query.isEmpty else { return }
    guard query.count <= Self.queryBytesMax else { throw Fault(message: "query too long") }
    // Enough for four pairs.
    packed.reserveCapacity(query.count + 4 * Self.sizesBytes)
    let bytes = query.span
    var count = 0
    var start = 0
    while start < bytes.count {
      var pair = Pair(start: start)
      pair.scan(bytes)
      if pair.end > start {
        count += 1
        guard count <= Self.parametersMax else {
          throw Fault(message: "too many query parameters")
        }
        try add(pair, of: query)
      }
      start = pair.end + 1
    }
  }

  /// Where an encoded pair lies in the query.
  private struct Pair {
    let start: Int
    var end: Int
    /// Of the first `=`.
    var mark: Int?
    var hasSemicolon = false
    var nameEscapes = 0
    var valueEscapes = 0

    init(start: Int) {
      self.start = start
      end = start
    }

    /// Looks at everything up to the next `&`.
    mutating func scan(_ bytes: Span<UInt8>) {
      while end < bytes.count, bytes[end] != 0x26 {
        switch bytes[end] {
        case 0x3D where mark == nil: mark = end
        case 0x25 where mark == nil: nameEscapes += 1
        case 0x25: valueEscapes += 1
        case 0x3B: hasSemicolon = true
        default: break
        }
        end += 1
      }
    }

    var name: Range<Int> { start..<(mark ?? end) }
    var value: Range<Int> { (mark.map { $0 + 1 } ?? end)..<end }
  }

  private mutating func add(_ pair: Pair, of query: ArraySlice<UInt8>) throws(Fault) {
    // Go 1.17 and later refuse it, because proxies disagree about what it separates.
    guard !pair.hasSemicolon else {
      throw Fault(message: "invalid semicolon separator in query")
    }
    let bytes = query.span
    // A valid escape is three bytes for one; an invalid one refuses the whole query.
    let nameBytes = pair.name.count - 2 * pair.nameEscapes
    let valueBytes = pair.value.count - 2 * pair.valueEscapes
    var isValid = false
    packed.append(addingCapacity: Self.sizesBytes + pair.end - pair.start) { output in
      output.append(size: nameBytes)
      output.append(size: valueBytes)
      isValid =
        PercentCoding.append(bytes.extracting(pair.name), to: &output, plusIsSpace: true)
        && PercentCoding.append(bytes.extracting(pair.value), to: &output, plusIsSpace: true)
    }
    if !isValid {
      let escape =
        Self.faultyEscape(in: query, pair.name) ?? Self.faultyEscape(in: query, pair.value)
      throw Fault(message: "invalid URL escape \"\(escape ?? "")\"")
    }
    nameSizes.insert(nameBytes)
  }

  /// The first `%` that two hexadecimal digits do not follow, with what stands there.
  private static func faultyEscape(in query: ArraySlice<UInt8>, _ part: Range<Int>) -> String? {
    let text = query.dropFirst(part.lowerBound).prefix(part.count)
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
    return nil
  }

  // MARK: Looking up

  /// Where a decoded pair lies in `packed`.
  private struct Place {
    let name: Range<Int>
    let value: Range<Int>

    @inline(__always)
    init(_ packed: Span<UInt8>, at start: Int) {
      let nameStart = start + QueryParameters.sizesBytes
      let nameEnd = nameStart + Self.size(packed, at: start)
      name = nameStart..<nameEnd
      value = nameEnd..<nameEnd + Self.size(packed, at: start + 2)
    }

    @inline(__always)
    private static func size(_ packed: Span<UInt8>, at start: Int) -> Int {
      Int(packed[start]) | Int(packed[start + 1]) << 8
    }
  }

  private func place(of name: StaticString) -> Place? {
    guard nameSizes.contains(name.utf8CodeUnitCount) else { return nil }
    let bytes = packed.span
    var start = 0
    while start < bytes.count {
      let place = Place(bytes, at: start)
      if bytes.extracting(place.name).equals(name) { return place }
      start = place.value.upperBound
    }
    return nil
  }

  private var places: [Place] {
    var places: [Place] = []
    while (places.last?.value.upperBound ?? 0) < packed.count {
      places.append(Place(packed.span, at: places.last?.value.upperBound ?? 0))
    }
    return places
  }

  package var isEmpty: Bool { packed.isEmpty }

  /// All of them, for the few callers that do not look for a name.
  package var parameters: [Parameter] {
    places.map { Parameter(name: Array(packed[$0.name]), value: Array(packed[$0.value])) }
  }

  /// True when the parameter is there, with or without a value.
  package func has(_ name: StaticString) -> Bool { place(of: name) != nil }

  /// The value of the first parameter of that name.
  package func bytes(_ name: StaticString) -> ArraySlice<UInt8>? {
    guard let place = place(of: name) else { return nil }
    return packed[place.value]
  }

  /// The same as text; invalid UTF-8 becomes U+FFFD.
  package func text(_ name: StaticString) -> String? {
    bytes(name).map { value in String(decoding: value, as: UTF8.self) }
  }

  /// The values of every parameter of that name, in order.
  package func all(_ name: StaticString) -> [[UInt8]] {
    places.filter { packed.span.extracting($0.name).equals(name) }.map { Array(packed[$0.value]) }
  }

  /// True when there is none but of these names.
  package func areAll(among names: [StaticString]) -> Bool {
    let bytes = packed.span
    var start = 0
    while start < bytes.count {
      let place = Place(bytes, at: start)
      guard names.contains(where: { name in bytes.extracting(place.name).equals(name) }) else {
        return false
      }
      start = place.value.upperBound
    }
    return true
  }
}

extension OutputSpan<UInt8> {
  /// Two bytes, the lowest first.
  @inline(__always)
  fileprivate mutating func append(size: Int) {
    append(UInt8(truncatingIfNeeded: size))
    append(UInt8(truncatingIfNeeded: size >> 8))
  }
}
