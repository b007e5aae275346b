/// RFC 8259, strict; bounded depth (the size is bounded by the body that holds it).
///
/// Happy path: one pass, a string without escapes is made straight from the input. Failures carry
/// the words of Go's `encoding/json`, because clients of Consul know them. As there, lone surrogates
/// and invalid UTF-8 in strings become U+FFFD.
package enum JSONScanner {
  package static func parse(
    _ bytes: ArraySlice<UInt8>, depthMax: Int = 64
  ) throws(JSONError) -> JSONValue {
    // The scanner recurses: a caller's large number must not become a deep stack.
    var scanner = Scanner(bytes: bytes, depthLeft: min(depthMax, 512))
    scanner.skipBlanks()
    guard scanner.index < bytes.endIndex else {
      throw JSONError(message: "EOF", offset: bytes.count)
    }
    let value = try scanner.value()
    scanner.skipBlanks()
    if scanner.index < bytes.endIndex { throw scanner.unexpected("after top-level value") }
    return value
  }
}

private struct Scanner {
  let bytes: ArraySlice<UInt8>
  var index: Int
  var depthLeft: Int

  init(bytes: ArraySlice<UInt8>, depthLeft: Int) {
    self.bytes = bytes
    self.depthLeft = depthLeft
    index = bytes.startIndex
  }

  mutating func value() throws(JSONError) -> JSONValue {
    skipBlanks()
    switch try peek() {
    case 0x7B: return try nested { (scanner) throws(JSONError) in try scanner.object() }
    case 0x5B: return try nested { (scanner) throws(JSONError) in try scanner.array() }
    case 0x22: return .string(try string())
    case 0x2D, 0x30...0x39: return .number(try number())
    case 0x74:
      try literal("true")
      return .bool(true)
    case 0x66:
      try literal("false")
      return .bool(false)
    case 0x6E:
      try literal("null")
      return .null
    default: throw unexpected("looking for beginning of value")
    }
  }

  private mutating func nested(
    _ body: (inout Scanner) throws(JSONError) -> JSONValue
  ) throws(JSONError) -> JSONValue {
    guard depthLeft > 0 else {
      throw JSONError(message: "exceeded max depth", offset: index - bytes.startIndex)
    }
    depthLeft -= 1
    index += 1
    let value = try body(&self)
    depthLeft += 1
    return value
  }

  private mutating func object() throws(JSONError) -> JSONValue {
    var members: [JSONMember] = []
    skipBlanks()
    if try peek() == 0x7D {
      index += 1
      return .object(members)
    }
    while true {
      skipBlanks()
      guard try peek() == 0x22 else {
        throw unexpected("looking for beginning of object key string")
      }
      let name = try string()
      skipBlanks()
      guard try peek() == 0x3A else { throw unexpected("after object key") }
      index += 1
      members.append(JSONMember(name: name, value: try value()))
      skipBlanks()
      switch try peek() {
      case 0x2C: index += 1
      case 0x7D:
        index += 1
        return .object(members)
      default: throw unexpected("after object key:value pair")
      }
    }
  }

  private mutating func array() throws(JSONError) -> JSONValue {
    var elements: [JSONValue] = []
    skipBlanks()
    if try peek() == 0x5D {
      index += 1
      return .array(elements)
    }
    while true {
      elements.append(try value())
      skipBlanks()
      switch try peek() {
      case 0x2C: index += 1
      case 0x5D:
        index += 1
        return .array(elements)
      default: throw unexpected("after array element")
      }
    }
  }

  // MARK: Scalars

  private mutating func literal(_ word: String) throws(JSONError) {
    var isFirst = true
    for expected in word.utf8 {
      guard try peek() == expected || isFirst else {
        let letter = Character(Unicode.Scalar(expected))
        throw unexpected("in literal \(word) (expecting '\(letter)')")
      }
      isFirst = false
      index += 1
    }
  }

  private mutating func number() throws(JSONError) -> String {
    let start = index
    if bytes[index] == 0x2D { index += 1 }
    if try peek() == 0x30 {
      index += 1
    } else {
      try digits("in numeric literal")
    }
    if index < bytes.endIndex && bytes[index] == 0x2E {
      index += 1
      try digits("after decimal point in numeric literal")
    }
    if index < bytes.endIndex && (bytes[index] | 0x20) == 0x65 {
      index += 1
      let sign = try peek()
      if sign == 0x2B || sign == 0x2D { index += 1 }
      try digits("in exponent of numeric literal")
    }
    return String(decoding: bytes[start..<index], as: UTF8.self)
  }

  private mutating func digits(_ context: String) throws(JSONError) {
    guard ASCII.isDigit(try peek()) else { throw unexpected(context) }
    while index < bytes.endIndex && ASCII.isDigit(bytes[index]) { index += 1 }
  }

  private mutating func string() throws(JSONError) -> String {
    index += 1
    let start = index
    while true {
      switch try peek() {
      case 0x22:
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        index += 1
        return text
      case 0x5C: return try escapedString(from: start)
      case 0..<0x20: throw unexpected("in string literal")
      default: index += 1
      }
    }
  }

  /// The rest of a string whose first backslash is at `index`.
  private mutating func escapedString(from start: Int) throws(JSONError) -> String {
    var text = Array(bytes[start..<index])
    while true {
      let byte = try peek()
      switch byte {
      case 0x22:
        index += 1
        return String(decoding: text, as: UTF8.self)
      case 0x5C:
        index += 1
        try escape(into: &text)
      case 0..<0x20: throw unexpected("in string literal")
      default:
        text.append(byte)
        index += 1
      }
    }
  }

  private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
    let byte = try peek()
    switch byte {
    case 0x22, 0x5C, 0x2F: text.append(byte)
    case 0x62: text.append(0x08)
    case 0x66: text.append(0x0C)
    case 0x6E: text.append(0x0A)
    case 0x72: text.append(0x0D)
    case 0x74: text.append(0x09)
    case 0x75:
      index += 1
      text.append(contentsOf: String(try scalar()).utf8)
      return
    default: throw unexpected("in string escape code")
    }
    index += 1
  }

  /// The scalar of `\uXXXX`, of a surrogate pair, or U+FFFD for half of one.
  private mutating func scalar() throws(JSONError) -> Character {
    let first = try hexQuad()
    if let scalar = Unicode.Scalar(first) { return Character(scalar) }
    let isPair =
      first < 0xDC00 && bytes.endIndex - index >= 2 && bytes[index] == 0x5C
      && bytes[index + 1] == 0x75
    guard isPair else { return "\u{FFFD}" }
    let mark = index
    index += 2
    let second = try hexQuad()
    if second >= 0xDC00 && second < 0xE000 {
      let joined = 0x10000 + ((first - 0xD800) << 10 | (second - 0xDC00))
      return Unicode.Scalar(joined).map { Character($0) } ?? "\u{FFFD}"
    }
    // Not its other half: that escape stands for itself.
    index = mark
    return "\u{FFFD}"
  }

  private mutating func hexQuad() throws(JSONError) -> UInt32 {
    var number: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = ASCII.hexValue(try peek()) else {
        throw unexpected("in \\u hexadecimal character escape")
      }
      number = number << 4 | UInt32(digit)
      index += 1
    }
    return number
  }

  // MARK: Bytes

  mutating func skipBlanks() {
    while index < bytes.endIndex {
      switch bytes[index] {
      case 0x20, 0x09, 0x0A, 0x0D: index += 1
      default: return
      }
    }
  }

  private func peek() throws(JSONError) -> UInt8 {
    guard index < bytes.endIndex else {
      throw JSONError(message: "unexpected end of JSON input", offset: bytes.count)
    }
    return bytes[index]
  }

  func unexpected(_ context: String) -> JSONError {
    JSONError(
      message: "invalid character \(Self.quote(bytes[index])) \(context)",
      offset: index - bytes.startIndex)
  }

  /// One byte as Go quotes it: `'x'`, `'\''`, `'"'`, `'\n'`, `'\x00'`, `'ÿ'`.
  private static func quote(_ byte: UInt8) -> String {
    switch byte {
    case 0x27: return #"'\''"#
    case 0x5C: return #"'\\'"#
    case 0x07: return #"'\a'"#
    case 0x08: return #"'\b'"#
    case 0x0C: return #"'\f'"#
    case 0x0A: return #"'\n'"#
    case 0x0D: return #"'\r'"#
    case 0x09: return #"'\t'"#
    case 0x0B: return #"'\v'"#
    case 0..<0x20, 0x7F: return "'\\x" + hex(byte) + "'"
    case 0x80..<0xA1, 0xAD: return "'\\u00" + hex(byte) + "'"
    default: return "'" + String(Character(Unicode.Scalar(byte))) + "'"
    }
  }

  private static func hex(_ byte: UInt8) -> String {
    String(decoding: [ASCII.hexDigit(byte >> 4), ASCII.hexDigit(byte)], as: UTF8.self)
  }
}
