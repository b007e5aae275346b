import Basics
import Testing

@testable import HTTP

private func parse(_ text: String) throws(JSONError) -> JSONValue {
  try JSONScanner.parse(Array(text.utf8)[...])
}

private func write(_ value: JSONValue, into writer: inout JSONWriter) {
  switch value {
  case .null: writer.null()
  case .bool(let flag): writer.value(flag)
  case .number(let text): writer.raw(Array(text.utf8))
  case .string(let text): writer.value(text)
  case .array(let elements):
    writer.beginArray()
    for element in elements { write(element, into: &writer) }
    writer.endArray()
  case .object(let members):
    writer.beginObject()
    for member in members {
      writer.key(member.name)
      write(member.value, into: &writer)
    }
    writer.endObject()
  }
}

struct FaultRow: Sendable, CustomTestStringConvertible {
  var input: String
  var message: String
  var offset: Int
  var testDescription: String { input.debugDescription }
  init(_ input: String, _ message: String, _ offset: Int) {
    self.input = input
    self.message = message
    self.offset = offset
  }
}

@Suite struct JSONScannerTests {
  @Test(arguments: [
    FaultRow("", "EOF", 0), FaultRow(" \n", "EOF", 2),
    FaultRow("{", "unexpected end of JSON input", 1),
    FaultRow("[1,", "unexpected end of JSON input", 3),
    FaultRow("\"ab", "unexpected end of JSON input", 3),
    FaultRow("tru", "unexpected end of JSON input", 3),
    FaultRow("-", "unexpected end of JSON input", 1),
    FaultRow("1.", "unexpected end of JSON input", 2),
    FaultRow("x", "invalid character 'x' looking for beginning of value", 0),
    FaultRow("[1,]", "invalid character ']' looking for beginning of value", 3),
    FaultRow("{x", "invalid character 'x' looking for beginning of object key string", 1),
    FaultRow(
      "{\"a\":1,}", "invalid character '}' looking for beginning of object key string", 7),
    FaultRow("{\"a\"}", "invalid character '}' after object key", 4),
    FaultRow("{\"a\":1 2", "invalid character '2' after object key:value pair", 7),
    FaultRow("[1 2]", "invalid character '2' after array element", 3),
    FaultRow("1 2", "invalid character '2' after top-level value", 2),
    FaultRow("01", "invalid character '1' after top-level value", 1),
    FaultRow("-x", "invalid character 'x' in numeric literal", 1),
    FaultRow("+1", "invalid character '+' looking for beginning of value", 0),
    FaultRow("1.x", "invalid character 'x' after decimal point in numeric literal", 2),
    FaultRow("1e+x", "invalid character 'x' in exponent of numeric literal", 3),
    FaultRow("trUe", "invalid character 'U' in literal true (expecting 'u')", 2),
    FaultRow("nil", "invalid character 'i' in literal null (expecting 'u')", 1),
    FaultRow("\"\\q\"", "invalid character 'q' in string escape code", 2),
    FaultRow("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape", 5),
    FaultRow("\"a\nb\"", "invalid character '\\n' in string literal", 2),
    FaultRow("\"a\u{1}b\"", "invalid character '\\x01' in string literal", 2),
    FaultRow("'", "invalid character '\\'' looking for beginning of value", 0),
    FaultRow("é", "invalid character 'Ã' looking for beginning of value", 0),
  ])
  func faultsHaveGoWords(_ row: FaultRow) {
    let expected = JSONError(message: row.message, offset: row.offset)
    #expect(throws: expected) { try parse(row.input) }
  }

  @Test func valuesOfAllKinds() throws {
    let text = #" { "a" : [ 1 , -0.5e+3, true, false, null ] , "b" : { } , "a" : "x" } "#
    let expected = JSONValue.object([
      JSONMember(
        name: "a",
        value: .array([.number("1"), .number("-0.5e+3"), .bool(true), .bool(false), .null])),
      JSONMember(name: "b", value: .object([])),
      JSONMember(name: "a", value: .string("x")),
    ])
    #expect(try parse(text) == expected)
  }

  @Test func escapesAndSurrogates() throws {
    #expect(try parse(#""\"\\\/\b\f\n\r\t\u00e9""#) == .string("\"\\/\u{8}\u{c}\n\r\té"))
    #expect(try parse(#""\ud83d\ude00""#) == .string("😀"))
    #expect(try parse(#""\ud83dx""#) == .string("\u{FFFD}x"))
    #expect(try parse(#""\ude00""#) == .string("\u{FFFD}"))
    #expect(try parse(#""\ud83d\u0041""#) == .string("\u{FFFD}A"))
    #expect(try parse(#""\ud83d\ud83d\ude00""#) == .string("\u{FFFD}😀"))
    let invalid: [UInt8] = [0x22, 0xFF, 0x61, 0x22]
    #expect(try JSONScanner.parse(invalid[...]) == .string("\u{FFFD}a"))
  }

  @Test func depthIsBounded() throws {
    let nest = { (count: Int) in
      String(repeating: "[", count: count) + String(repeating: "]", count: count)
    }
    _ = try parse(nest(64))
    #expect(throws: JSONError(message: "exceeded max depth", offset: 64)) { try parse(nest(65)) }
    let deep = Array(String(repeating: "[", count: 1_000_000).utf8)
    #expect(throws: JSONError.self) { try JSONScanner.parse(deep[...], depthMax: .max) }
  }

  @Test func everyTruncationIsAnError() throws {
    let text = Array(#"{"a":[1,true,{"b":"c\u00e9\n"}],"d":null}"#.utf8)
    for count in 0..<text.count {
      #expect(throws: JSONError.self) { try JSONScanner.parse(text[..<count]) }
    }
  }

  @Test func randomBytesNeverTrap() {
    var random = SplitMix(seed: 7)
    let alphabet = Array(#"{}[]",:\u0dDeE+-.truefalsn1 "#.utf8) + [0xFF, 0, 0xE2]
    var parsed = 0
    for _ in 0..<20_000 {
      let count = Int(random.below(24))
      let text = (0..<count).map { _ in alphabet[Int(random.below(UInt64(alphabet.count)))] }
      guard let value = try? JSONScanner.parse(text[...]) else { continue }
      parsed += 1
      var writer = JSONWriter()
      write(value, into: &writer)
      #expect(try! JSONScanner.parse(writer.bytes[...]) == value)
    }
    #expect(parsed > 0)
  }
}

@Suite struct JSONWriterTests {
  @Test func compactAndPretty() {
    func fill(_ writer: inout JSONWriter) {
      writer.beginObject()
      writer.key("a")
      writer.beginArray()
      writer.value(1)
      writer.beginObject()
      writer.endObject()
      writer.beginArray()
      writer.endArray()
      writer.endArray()
      writer.key("b" as String)
      writer.value(true)
      writer.key("c")
      writer.null()
      writer.endObject()
    }
    var compact = JSONWriter()
    fill(&compact)
    #expect(
      String(decoding: compact.finish(), as: UTF8.self) == #"{"a":[1,{},[]],"b":true,"c":null}"#)
    var pretty = JSONWriter(pretty: true)
    fill(&pretty)
    let expected = """
      {
          "a": [
              1,
              {},
              []
          ],
          "b": true,
          "c": null
      }

      """
    #expect(String(decoding: pretty.finish(), as: UTF8.self) == expected)
  }

  @Test func stringsAreEscapedAsGoDoes() {
    var writer = JSONWriter()
    writer.value("a\"\\\u{8}\u{c}\n\r\t\u{1}\u{7f}<>&é\u{2028}\u{2029}\u{2027}😀")
    let expected = #""a\"\\\b\f\n\r\t\u0001"# + "\u{7f}" + #"\u003c\u003e\u0026é\u2028\u2029"#
    #expect(String(decoding: writer.bytes, as: UTF8.self) == expected + "\u{2027}😀\"")
    var bytes = JSONWriter()
    bytes.beginArray()
    bytes.text([0x61, 0xFF, 0x3C])
    bytes.text([0x62, 0x22])
    bytes.endArray()
    let repaired = "[\"a\u{FFFD}\\u003c\",\"b\\\"\"]"
    #expect(String(decoding: bytes.bytes, as: UTF8.self) == repaired)
  }

  @Test(arguments: [
    (0.0, "0"), (-0.0, "-0"), (1.0, "1"), (-1.5, "-1.5"), (0.1, "0.1"),
    (1e20, "100000000000000000000"),
    (1e21, "1e+21"), (1e-6, "0.000001"), (1e-7, "1e-7"), (1.25e-7, "1.25e-7"),
    (123456.789, "123456.789"),
    (.leastNonzeroMagnitude, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"),
    (.infinity, "null"),
    (.nan, "null"), (0.5, "0.5"), (100.0, "100"), (12345678901234567890.0, "12345678901234567000"),
  ])
  func doublesInShortestForm(_ number: Double, _ text: String) {
    var writer = JSONWriter()
    writer.value(number)
    #expect(String(decoding: writer.bytes, as: UTF8.self) == text)
  }

  @Test func numbersOfEveryLength() {
    var random = SplitMix(seed: 11)
    var numbers: [UInt64] = [0, .max]
    var power: UInt64 = 1
    for digits in 1...19 {
      numbers += [power - 1, power, power + 1, power &* 10 &- 1]
      for _ in 0..<200 { numbers.append(power + random.next() % (9 * power)) }
      if digits < 19 { power *= 10 }
    }
    for number in numbers {
      var writer = JSONWriter()
      writer.value(number)
      #expect(String(decoding: writer.bytes, as: UTF8.self) == String(number))
    }
  }

  @Test(arguments: [false, true]) func fieldIsKeyAndNumber(_ isPretty: Bool) {
    var one = JSONWriter(pretty: isPretty)
    var other = JSONWriter(pretty: isPretty)
    one.beginObject()
    other.beginObject()
    for number: UInt64 in [0, 7, 12_345_678_901] {
      one.field("Index", number)
      other.key("Index")
      other.value(number)
    }
    one.endObject()
    other.endObject()
    #expect(one.finish() == other.finish())
  }

  @Test func integers() {
    var writer = JSONWriter()
    writer.beginArray()
    writer.value(UInt64.max)
    writer.value(Int.min)
    writer.value(0)
    writer.value(UInt64(10))
    writer.base64([1, 2, 3, 4])
    writer.raw(Array("{}".utf8))
    writer.endArray()
    let expected = #"[18446744073709551615,-9223372036854775808,0,10,"AQIDBA==",{}]"#
    #expect(String(decoding: writer.bytes, as: UTF8.self) == expected)
  }
}

@Suite struct Base64Tests {
  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
    ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
  ])
  func vectorsOfRFC4648(_ plain: String, _ coded: String) {
    #expect(Base64.encode(Array(plain.utf8)) == Array(coded.utf8))
    #expect(Base64.decode(Array(coded.utf8)) == Array(plain.utf8))
  }

  @Test(arguments: [
    "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "====", "=g==", "Z===", "Zg==\n", "Zm 9v", "Zm9-",
    "Zg=a", "AAAA====",
  ])
  func refusesEverythingElse(_ text: String) {
    #expect(Base64.decode(Array(text.utf8)) == nil)
  }

  @Test func roundTrips() {
    var random = SplitMix(seed: 3)
    for count in 0..<200 {
      let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      #expect(Base64.decode(Base64.encode(bytes)) == bytes)
    }
  }
}

@Suite struct HandMadeRequestTests {
  @Test func partsAreWhereTheyShouldBe() {
    let request = HTTPRequest(
      method: .put, target: "/v1/kv/a%20b?flags=1&raw",
      headers: [("X-Consul-Token", "secret"), ("content-length", "3")], body: [1, 2, 3])
    #expect(Array(request.rawPath) == Array("/v1/kv/a%20b".utf8))
    #expect(request.rawQuery.map(Array.init) == Array("flags=1&raw".utf8))
    #expect(Array(request.body) == [1, 2, 3])
    #expect(request.header("x-consul-token").map(Array.init) == Array("secret".utf8))
    #expect(request.header("x-consul-tokem") == nil)
    #expect(request.contentLength == 3)
    #expect(request.method.name == "PUT")
    #expect(HTTPRequest(method: .get, target: "/").rawQuery == nil)
  }
}
