internal import Wire

/// How bytes are cut into frames:
///
///     length of the payload   4 bytes, little-endian
///     type                    1 byte
///     CRC32C                  4 bytes, over length, type and payload
///     payload
enum Frame {
  enum Kind: UInt8 {
    case hello = 1
    case refusal = 2
    case ping = 3
    case pong = 4
    /// A Raft message.
    case message = 5
    /// The node's own: a kind byte and a payload that this module does not look into.
    case node = 6
  }

  static let headerBytes = 9

  /// Appends a frame; `body` appends the payload. Returns the frame's size, or nil when the payload
  /// is longer than `bytesMax`: then nothing was appended.
  static func append(
    _ kind: Kind, to bytes: inout [UInt8], bytesMax: Int, _ body: (inout Writer) -> Void
  ) -> Int? {
    var writer = Writer()
    // The storage moves into the writer and back: nothing is copied.
    swap(&writer.bytes, &bytes)
    defer { swap(&writer.bytes, &bytes) }
    let start = writer.bytes.count
    writer.u32(0)
    writer.u8(kind.rawValue)
    writer.u32(0)
    body(&writer)
    let end = writer.bytes.count
    let length = end - start - headerBytes
    guard length <= bytesMax, let length32 = UInt32(exactly: length) else {
      writer.bytes.removeSubrange(start...)
      return nil
    }
    writer.patchU32(at: start, length32)
    writer.patchU32(at: start + 5, checksum(writer.bytes, start..<end))
    return end - start
  }

  /// `range` is a whole frame within `bytes`.
  static func checksum(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32 {
    let start = range.lowerBound
    let head = Checksum.crc32c(bytes, in: start..<start + 5)
    return Checksum.crc32c(bytes, in: start + headerBytes..<range.upperBound, continuing: head)
  }

  enum Parsed: Equatable {
    /// More bytes are needed; `total` is the frame's size as soon as it is known.
    case incomplete(total: Int?)
    case frame(Kind, payload: Range<Int>)
    case unknownKind(UInt8)
    case tooLong(Int)
    case badChecksum
  }

  /// The first frame in `bytes[range]`. `range` must lie within `bytes`.
  static func parse(_ bytes: [UInt8], _ range: Range<Int>, payloadBytesMax: Int) -> Parsed {
    guard range.count >= headerBytes else { return .incomplete(total: nil) }
    let start = range.lowerBound
    let length = u32(bytes, at: start)
    guard length <= payloadBytesMax else { return .tooLong(length) }
    guard let kind = Kind(rawValue: bytes[start + 4]) else {
      return .unknownKind(bytes[start + 4])
    }
    let total = headerBytes + length
    guard range.count >= total else { return .incomplete(total: total) }
    guard u32(bytes, at: start + 5) == Int(checksum(bytes, start..<start + total)) else {
      return .badChecksum
    }
    return .frame(kind, payload: start + headerBytes..<start + total)
  }

  private static func u32(_ bytes: [UInt8], at offset: Int) -> Int {
    Int(bytes[offset]) | Int(bytes[offset + 1]) << 8 | Int(bytes[offset + 2]) << 16
      | Int(bytes[offset + 3]) << 24
  }
}
