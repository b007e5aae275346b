import Registry

/// An id of a session or a query in a request, as Consul's tables read it: 36 characters, hexadecimal
/// digits with at most four hyphens wherever they stand. What is no UUID and yet passes that is
/// nobody's id, which is not an error.
enum LookupID {
  struct Fault: Error {
    var message: String
  }

  /// Never given to anything: ids are random UUIDs, which have a version.
  static let nobody = UniqueID(high: 0, low: 0)

  static func parse(_ text: String) throws(Fault) -> UniqueID {
    if let id = UniqueID(parsing: text) { return id }
    guard text.utf8.count == 36 else {
      throw Fault(message: "index error: UUID must be 36 characters")
    }
    let digits = text.utf8.filter { $0 != 0x2D }
    let hyphens = 36 - digits.count
    guard hyphens <= 4 else {
      throw Fault(message: "index error: UUID should have maximum of 4 \"-\"; got \(hyphens)")
    }
    guard digits.count.isMultiple(of: 2) else {
      throw Fault(message: "index error: Input (without hyphens) must be even length")
    }
    if let byte = digits.first(where: { !isHexadecimal($0) }) {
      let hex = String(byte, radix: 16, uppercase: true)
      let shown = byte < 0x80 ? " '\(Character(Unicode.Scalar(byte)))'" : ""
      throw Fault(
        message: "index error: Invalid UUID: encoding/hex: invalid byte: U+00\(hex)\(shown)")
    }
    return nobody
  }

  private static func isHexadecimal(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
    default: false
    }
  }
}
