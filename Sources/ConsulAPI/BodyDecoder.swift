import HTTP
import Registry

/// Why a body could not be read, in the words of Go's decoder.
struct DecodeError: Error, Equatable {
  var message: String
}

/// Reads JSON bodies the way Consul does: names of fields match without case, null is absent, an
/// unknown field is an error, values must have the right type (consul-api.md 1.19 to 1.21).
///
/// Each body is one function with one `switch` over lower-case names; that is its table.
enum BodyDecoder {
  static func parse(_ body: ArraySlice<UInt8>) throws(DecodeError) -> JSONValue {
    do {
      return try JSONScanner.parse(body)
    } catch {
      throw DecodeError(message: error.message)
    }
  }

  /// Calls `read` with every field of an object; false from it means that it does not know the
  /// name. Null instead of an object has no fields.
  static func object(
    _ value: JSONValue, _ type: String, ignoringUnknown: Bool = false,
    _ read: (String, BodyField) throws(DecodeError) -> Bool
  ) throws(DecodeError) {
    switch value {
    case .null: return
    case .object(let members):
      for member in members {
        let field = BodyField(name: member.name, value: member.value)
        let isKnown = try read(foldedName(member.name), field)
        guard isKnown || ignoringUnknown else {
          throw DecodeError(message: "json: unknown field \(quoted(member.name))")
        }
      }
    default:
      throw DecodeError(
        message: "json: cannot unmarshal \(kind(value)) into Go value of type \(type)")
    }
  }

  /// As Go names the kinds of JSON.
  static func kind(_ value: JSONValue) -> String {
    switch value {
    case .null: "null"
    case .bool: "bool"
    case .number: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }
}

/// One field of an object. Every `read` leaves its target alone when the value is null.
struct BodyField {
  let name: String
  let value: JSONValue

  var isNull: Bool { value == .null }

  func mismatch(_ type: String, _ kind: String? = nil) -> DecodeError {
    let found = kind ?? BodyDecoder.kind(value)
    return DecodeError(
      message: "json: cannot unmarshal \(found) into Go struct field .\(name) of type \(type)")
  }

  func read(_ target: inout String) throws(DecodeError) {
    switch value {
    case .null: return
    case .string(let text): target = text
    default: throw mismatch("string")
    }
  }

  func read(_ target: inout Bool) throws(DecodeError) {
    switch value {
    case .null: return
    case .bool(let flag): target = flag
    default: throw mismatch("bool")
    }
  }

  func read(_ target: inout Int) throws(DecodeError) {
    switch value {
    case .null: return
    case .number(let text):
      guard let number = Int(text) else { throw mismatch("int", "number \(text)") }
      target = number
    default: throw mismatch("int")
    }
  }

  func read(_ target: inout UInt64) throws(DecodeError) {
    switch value {
    case .null: return
    case .number(let text):
      guard let number = UInt64(text) else { throw mismatch("uint64", "number \(text)") }
      target = number
    default: throw mismatch("uint64")
    }
  }

  func read(_ target: inout [String]) throws(DecodeError) {
    switch value {
    case .null: return
    case .array(let items):
      target = []
      for item in items {
        var text = ""
        try BodyField(name: name, value: item).read(&text)
        target.append(text)
      }
    default: throw mismatch("[]string")
    }
  }

  func read(_ target: inout StringMap?) throws(DecodeError) {
    switch value {
    case .null: return
    case .object(let members):
      var pairs: [StringPair] = []
      for member in members {
        var text = ""
        try BodyField(name: name, value: member.value).read(&text)
        pairs.append(StringPair(member.name, text))
      }
      target = StringMap(pairs)
    default: throw mismatch("map[string]string")
    }
  }

  /// A string with units, or a number of nanoseconds.
  func readDuration(_ target: inout Int64) throws(DecodeError) {
    switch value {
    case .null: return
    case .string(let text):
      // As the agent's decoder does, "" is no duration at all.
      guard !text.isEmpty else { return }
      do {
        target = try GoDuration.parse(text)
      } catch {
        throw DecodeError(message: error.message)
      }
    case .number(let text):
      guard let number = Int64(text) else {
        throw mismatch("time.Duration", "number \(text)")
      }
      target = number
    default: throw mismatch("time.Duration")
    }
  }

  /// Base64, as Go decodes `[]byte`.
  func readBytes(_ target: inout [UInt8]) throws(DecodeError) {
    switch value {
    case .null: return
    case .string(let text):
      guard let bytes = Base64.decode(Array(text.utf8)) else {
        throw DecodeError(
          message: "json: cannot unmarshal string into Go struct field .\(name) of type []uint8: "
            + "illegal base64 data")
      }
      target = bytes
    default: throw mismatch("[]uint8")
    }
  }

  /// Kept as it came, for what Roost stores without understanding it.
  func readRaw(_ target: inout [UInt8]) {
    guard !isNull else { return }
    var writer = JSONWriter()
    writer.json(value)
    target = writer.finish()
  }

  /// An object of names to values of any kind.
  func members(_ type: String) throws(DecodeError) -> [JSONMember] {
    switch value {
    case .null: return []
    case .object(let members): return members
    default: throw mismatch(type)
    }
  }

  func items(_ type: String) throws(DecodeError) -> [JSONValue] {
    switch value {
    case .null: return []
    case .array(let items): return items
    default: throw mismatch(type)
    }
  }

  /// Nested object.
  func object(
    _ type: String, _ read: (String, BodyField) throws(DecodeError) -> Bool
  ) throws(DecodeError) {
    switch value {
    case .null: return
    case .object: try BodyDecoder.object(value, type, read)
    default: throw mismatch(type)
    }
  }
}

extension JSONWriter {
  /// The value as it was.
  mutating func json(_ json: JSONValue) {
    switch json {
    case .null: null()
    case .bool(let flag): value(flag)
    case .number(let text): raw(Array(text.utf8))
    case .string(let text): value(text)
    case .array(let items):
      beginArray()
      for item in items { self.json(item) }
      endArray()
    case .object(let members):
      beginObject()
      for member in members {
        key(member.name)
        self.json(member.value)
      }
      endObject()
    }
  }
}
