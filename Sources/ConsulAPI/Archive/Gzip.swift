/// Reads one gzip member (RFC 1952) piece by piece; its checksum and length are checked at its end,
/// and nothing may follow it.
struct GzipReader: Sendable {
  private let input: ArraySlice<UInt8>
  private var inflater: Inflater
  private var crc = CRC32()
  private var count: UInt64 = 0
  private var isDone = false

  init(_ input: ArraySlice<UInt8>) throws(ArchiveFault) {
    self.input = input
    inflater = Inflater(input[try Self.headEnd(input)...])
  }

  /// Section 2.3: ten bytes, then what the flags announce.
  private static func headEnd(_ input: ArraySlice<UInt8>) throws(ArchiveFault) -> Int {
    guard !input.isEmpty else { throw ArchiveFault("EOF") }
    let head = Array(input.prefix(10))
    guard head.count == 10 else { throw .truncated }
    guard head[0] == 0x1F, head[1] == 0x8B, head[2] == 8, head[3] & 0xE0 == 0 else {
      throw ArchiveFault("gzip: invalid header")
    }
    let flags = head[3]
    var place = input.startIndex + 10
    if flags & 4 != 0 {
      guard input.endIndex - place >= 2 else { throw .truncated }
      place += 2 + Int(input[place]) + Int(input[place + 1]) << 8
    }
    // A name, a comment: each ends with a zero.
    for flag in [UInt8(8), 16] where flags & flag != 0 {
      guard place < input.endIndex, let end = input[place...].firstIndex(of: 0) else {
        throw .truncated
      }
      place = end + 1
    }
    if flags & 2 != 0 { place += 2 }
    guard place <= input.endIndex else { throw .truncated }
    return place
  }

  /// Nil at the end.
  mutating func next() throws(ArchiveFault) -> [UInt8]? {
    guard !isDone else { return nil }
    if let piece = try inflater.next() {
      crc.update(piece[...])
      count &+= UInt64(piece.count)
      return piece
    }
    isDone = true
    let trailer = Array(input[inflater.end...])
    guard trailer.count >= 8 else { throw .truncated }
    guard trailer.count == 8 else { throw ArchiveFault("gzip: bytes after the end") }
    var expected: [UInt8] = []
    StoredGzip.append(crc.checksum, to: &expected)
    StoredGzip.append(UInt32(truncatingIfNeeded: count), to: &expected)
    guard trailer == expected else { throw ArchiveFault("gzip: invalid checksum") }
    return nil
  }
}

/// Writes a gzip member of stored blocks (RFC 1951 section 3.2.4): nothing is compressed, and every
/// program that knows gzip reads it.
struct StoredGzip: Sendable {
  static let head: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF]
  private static let blockBytesMax = 0xFFFF

  private var crc = CRC32()
  private var count: UInt64 = 0

  mutating func append(_ bytes: [UInt8], to output: inout [UInt8]) {
    crc.update(bytes[...])
    count &+= UInt64(bytes.count)
    var start = 0
    while start < bytes.count {
      let end = min(start + Self.blockBytesMax, bytes.count)
      Self.appendBlock(bytes[start..<end], isLast: false, to: &output)
      start = end
    }
  }

  mutating func finish(into output: inout [UInt8]) {
    Self.appendBlock([], isLast: true, to: &output)
    Self.append(crc.checksum, to: &output)
    Self.append(UInt32(truncatingIfNeeded: count), to: &output)
  }

  private static func appendBlock(
    _ bytes: ArraySlice<UInt8>, isLast: Bool, to output: inout [UInt8]
  ) {
    let length = UInt16(truncatingIfNeeded: bytes.count)
    output.append(isLast ? 1 : 0)
    for value in [length, ~length] {
      output.append(UInt8(truncatingIfNeeded: value))
      output.append(UInt8(truncatingIfNeeded: value >> 8))
    }
    output.append(contentsOf: bytes)
  }

  static func append(_ value: UInt32, to output: inout [UInt8]) {
    for shift in stride(from: UInt32(0), to: 32, by: 8) {
      output.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }
}
