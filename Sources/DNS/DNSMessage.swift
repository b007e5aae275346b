/// What stands in a message: types, codes, flags (RFC 1035 4.1, 2782, 3596, 6891).
package enum DNSType {
  package static let a: UInt16 = 1
  package static let ns: UInt16 = 2
  package static let cname: UInt16 = 5
  package static let soa: UInt16 = 6
  package static let ptr: UInt16 = 12
  package static let txt: UInt16 = 16
  package static let aaaa: UInt16 = 28
  package static let srv: UInt16 = 33
  package static let opt: UInt16 = 41
  package static let ixfr: UInt16 = 251
  package static let axfr: UInt16 = 252
  package static let any: UInt16 = 255
}

package enum DNSClass {
  package static let internet: UInt16 = 1
  package static let any: UInt16 = 255
}

/// The response code; what is above 15 needs an OPT record (RFC 6891 6.1.3).
package enum DNSCode: UInt16, Sendable {
  case noError = 0
  case formatError = 1
  case serverFailure = 2
  case nameError = 3
  case notImplemented = 4
  case refused = 5
  case badVersion = 16
}

package enum DNSFlags {
  package static let response: UInt16 = 0x8000
  package static let opcode: UInt16 = 0x7800
  package static let authoritative: UInt16 = 0x0400
  package static let truncated: UInt16 = 0x0200
  package static let recursionDesired: UInt16 = 0x0100
  package static let recursionAvailable: UInt16 = 0x0080
  package static let checkingDisabled: UInt16 = 0x0010
  package static let code: UInt16 = 0x000F
}

/// Bytes that are no message, or end too early.
package enum DNSFormatError: Error, Equatable { case malformed }

/// The first twelve bytes (RFC 1035 4.1.1).
package struct DNSHeader: Equatable, Sendable {
  package static let byteCount = 12
  package let id: UInt16
  package let flags: UInt16
  package let questions: UInt16
  package let answers: UInt16
  package let authorities: UInt16
  package let additionals: UInt16

  init(_ reader: inout DNSReader) throws(DNSFormatError) {
    id = try reader.u16()
    flags = try reader.u16()
    questions = try reader.u16()
    answers = try reader.u16()
    authorities = try reader.u16()
    additionals = try reader.u16()
  }

  var isResponse: Bool { flags & DNSFlags.response != 0 }
  var recordCount: Int { Int(answers) + Int(authorities) + Int(additionals) }
}

/// One question (RFC 1035 4.1.2).
package struct DNSQuestion: Equatable, Sendable {
  package var name: DNSName
  package var type: UInt16
  package var recordClass: UInt16

  package init(name: DNSName, type: UInt16, recordClass: UInt16 = DNSClass.internet) {
    self.name = name
    self.type = type
    self.recordClass = recordClass
  }

  init(_ reader: inout DNSReader) throws(DNSFormatError) {
    name = try reader.name()
    type = try reader.u16()
    recordClass = try reader.u16()
  }
}

/// The fixed part of a record and where its data is (RFC 1035 4.1.3).
struct DNSRecordHeader {
  let name: DNSName
  let type: UInt16
  let recordClass: UInt16
  let ttl: UInt32
  let data: Range<Int>

  /// Leaves the reader behind the data.
  init(_ reader: inout DNSReader) throws(DNSFormatError) {
    name = try reader.name()
    type = try reader.u16()
    recordClass = try reader.u16()
    ttl = try reader.u32()
    let count = Int(try reader.u16())
    data = reader.offset..<(reader.offset + count)
    try reader.skip(count)
  }
}

/// A question as a client sent it, checked as a whole.
///
/// Strict: exactly one question, every record of the other sections is well-formed, nothing stands
/// behind the last. What is refused is answered with a code, or not at all when it is no question:
/// an answer to an answer could go round for ever.
package struct DNSQuery: Equatable, Sendable {
  package struct Extension: Equatable, Sendable {
    /// The longest UDP answer that the client takes.
    package let payloadBytes: UInt16
    package let version: UInt8
  }

  package enum Refusal: Error, Equatable {
    /// Too short for a header, or an answer: say nothing.
    case silent
    case answer(DNSCode, id: UInt16, flags: UInt16)
  }

  package let id: UInt16
  package let flags: UInt16
  package let question: DNSQuestion
  /// From the OPT record (RFC 6891), if there was one.
  package let edns: Extension?
  package let byteCount: Int

  package init(parsing bytes: [UInt8]) throws(Refusal) {
    var reader = DNSReader(bytes)
    let header: DNSHeader
    do { header = try DNSHeader(&reader) } catch { throw .silent }
    guard !header.isResponse else { throw .silent }
    id = header.id
    flags = header.flags
    byteCount = bytes.count
    guard header.flags & DNSFlags.opcode == 0 else {
      throw .answer(.notImplemented, id: header.id, flags: header.flags)
    }
    do throws(DNSFormatError) {
      (question, edns) = try DNSQuery.body(header, &reader)
    } catch {
      throw .answer(.formatError, id: header.id, flags: header.flags)
    }
  }

  private static func body(
    _ header: DNSHeader, _ reader: inout DNSReader
  ) throws(DNSFormatError) -> (DNSQuestion, Extension?) {
    guard header.questions == 1 else { throw .malformed }
    let question = try DNSQuestion(&reader)
    var edns: Extension?
    // Each takes at least eleven bytes, so a count that lies ends soon.
    for position in 0..<header.recordCount {
      let record = try DNSRecordHeader(&reader)
      guard record.type == DNSType.opt else { continue }
      // RFC 6891 6.1.1: one, in the additional section, of the root.
      let isAdditional = position >= Int(header.answers) + Int(header.authorities)
      guard edns == nil, isAdditional, record.name == .root else { throw .malformed }
      edns = Extension(
        payloadBytes: record.recordClass, version: UInt8(truncatingIfNeeded: record.ttl >> 16))
    }
    guard reader.isAtEnd else { throw .malformed }
    return (question, edns)
  }
}

/// An answer as another server sent it: the question it repeats, and addresses found in it.
package struct DNSResponse: Equatable, Sendable {
  package let id: UInt16
  package let flags: UInt16
  package let question: DNSQuestion?
  /// IPv4 and IPv6 addresses of the answer section, whatever their owner: a chain of CNAMEs ends
  /// in them.
  package let addresses: [[UInt8]]

  package init(parsing bytes: [UInt8]) throws(DNSFormatError) {
    var reader = DNSReader(bytes)
    let header = try DNSHeader(&reader)
    guard header.isResponse, header.questions <= 1 else { throw .malformed }
    id = header.id
    flags = header.flags
    question = header.questions == 1 ? try DNSQuestion(&reader) : nil
    var addresses: [[UInt8]] = []
    for _ in 0..<header.answers {
      let record = try DNSRecordHeader(&reader)
      guard record.recordClass == DNSClass.internet else { continue }
      switch (record.type, record.data.count) {
      case (DNSType.a, 4), (DNSType.aaaa, 16): addresses.append(Array(bytes[record.data]))
      default: continue
      }
    }
    self.addresses = addresses
  }

  package var code: UInt16 { flags & DNSFlags.code }
}

/// Reads a message from its first byte on. Every read is checked; nothing traps.
struct DNSReader {
  private let bytes: [UInt8]
  private(set) var offset = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { offset == bytes.count }

  mutating func skip(_ count: Int) throws(DNSFormatError) {
    guard count <= bytes.count - offset else { throw .malformed }
    offset += count
  }

  mutating func u16() throws(DNSFormatError) -> UInt16 {
    guard bytes.count - offset >= 2 else { throw .malformed }
    defer { offset += 2 }
    return UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1])
  }

  mutating func u32() throws(DNSFormatError) -> UInt32 {
    let high = try u16()
    return UInt32(high) << 16 | UInt32(try u16())
  }

  /// A name, possibly compressed (RFC 1035 4.1.4). Each pointer must lead to before the piece of
  /// name that it ends, so there is no loop and no way forward.
  mutating func name() throws(DNSFormatError) -> DNSName {
    var wire: [UInt8] = []
    var position = offset
    var pieceStart = offset
    var end: Int?
    while position < bytes.count {
      let length = bytes[position]
      switch length {
      case 0:
        wire.append(0)
        offset = end ?? position + 1
        return DNSName(unchecked: wire)
      case 1...63:
        let next = position + 1 + Int(length)
        // Room for the root as well.
        guard next <= bytes.count, wire.count + 1 + Int(length) < DNSName.bytesMax else {
          throw .malformed
        }
        wire += bytes[position..<next]
        position = next
      case 0xC0...:
        guard position + 1 < bytes.count else { throw .malformed }
        let target = Int(length & 0x3F) << 8 | Int(bytes[position + 1])
        guard target >= DNSHeader.byteCount, target < pieceStart else { throw .malformed }
        if end == nil { end = position + 2 }
        position = target
        pieceStart = target
      default:
        throw .malformed
      }
    }
    throw .malformed
  }
}
