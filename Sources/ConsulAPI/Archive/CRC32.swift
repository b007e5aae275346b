/// CRC-32 as gzip has it (RFC 1952 section 8: reflected, polynomial 0xEDB88320), eight bytes at a
/// time by eight tables.
struct CRC32: Sendable {
  private var value: UInt32 = 0xFFFF_FFFF

  var checksum: UInt32 { ~value }

  /// Table `t` of byte `b` is at `256 * t + b`: what `b` does when `t` more bytes follow it.
  private static let tables: [UInt32] = {
    var tables = [UInt32](repeating: 0, count: 8 * 256)
    for byte in 0..<256 {
      var entry = UInt32(byte)
      for _ in 0..<8 { entry = entry & 1 == 1 ? entry >> 1 ^ 0xEDB8_8320 : entry >> 1 }
      tables[byte] = entry
    }
    for index in 256..<tables.count {
      let before = tables[index - 256]
      tables[index] = before >> 8 ^ tables[Int(before & 0xFF)]
    }
    return tables
  }()

  mutating func update(_ bytes: ArraySlice<UInt8>) {
    let tables = Self.tables
    var crc = value
    var index = bytes.startIndex
    while bytes.endIndex - index >= 8 {
      let a = crc ^ Self.word(bytes, index)
      let b = Self.word(bytes, index + 4)
      crc = tables[0x700 + Int(a & 0xFF)] ^ tables[0x600 + Int(a >> 8 & 0xFF)]
      crc ^= tables[0x500 + Int(a >> 16 & 0xFF)] ^ tables[0x400 + Int(a >> 24)]
      crc ^= tables[0x300 + Int(b & 0xFF)] ^ tables[0x200 + Int(b >> 8 & 0xFF)]
      crc ^= tables[0x100 + Int(b >> 16 & 0xFF)] ^ tables[Int(b >> 24)]
      index += 8
    }
    while index < bytes.endIndex {
      crc = crc >> 8 ^ tables[Int((crc ^ UInt32(bytes[index])) & 0xFF)]
      index += 1
    }
    value = crc
  }

  private static func word(_ bytes: ArraySlice<UInt8>, _ index: Int) -> UInt32 {
    let low = UInt32(bytes[index]) | UInt32(bytes[index + 1]) << 8
    return low | UInt32(bytes[index + 2]) << 16 | UInt32(bytes[index + 3]) << 24
  }
}
