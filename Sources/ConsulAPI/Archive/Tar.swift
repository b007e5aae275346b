/// The tar format (POSIX.1-1988 ustar), as far as an archive of three files needs it.
enum Tar {
  static let blockBytes = 512

  static func header(name: String, bytes: UInt64) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: blockBytes)
    func put(_ text: String, at offset: Int) {
      for (index, byte) in text.utf8.enumerated() { block[offset + index] = byte }
    }
    put(name, at: 0)
    put("0000600", at: 100)
    put("0000000", at: 108)
    put("0000000", at: 116)
    let size = String(bytes, radix: 8)
    put(String(repeating: "0", count: max(0, 11 - size.count)) + size, at: 124)
    put("00000000000", at: 136)
    put("        ", at: 148)
    put("0", at: 156)
    put("ustar", at: 257)
    put("00", at: 263)
    let sum = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
    put(String(repeating: "0", count: 6 - sum.count) + sum, at: 148)
    block[154] = 0
    return block
  }

  /// Zeros up to the next block.
  static func padding(after bytes: UInt64) -> [UInt8] {
    let used = Int(bytes % UInt64(blockBytes))
    return [UInt8](repeating: 0, count: used == 0 ? 0 : blockBytes - used)
  }

  static var end: [UInt8] { [UInt8](repeating: 0, count: 2 * blockBytes) }

  struct Entry {
    var name: String
    var bytes: UInt64
    var isFile: Bool
  }

  /// Nil: a block of zeros, the end.
  static func parse(_ block: ArraySlice<UInt8>) throws(ArchiveFault) -> Entry? {
    let bytes = Array(block)
    guard bytes.count == blockBytes else { throw .truncated }
    if bytes.allSatisfy({ $0 == 0 }) { return nil }
    var sum = 0
    for (index, byte) in bytes.enumerated() {
      sum += (148..<156).contains(index) ? 0x20 : Int(byte)
    }
    guard let given = octal(bytes[148..<156]), given == UInt64(sum),
      let size = octal(bytes[124..<136])
    else { throw ArchiveFault("archive/tar: invalid tar header") }
    let name = String(decoding: bytes[..<100].prefix { $0 != 0 }, as: UTF8.self)
    return Entry(
      name: name.hasPrefix("./") ? String(name.dropFirst(2)) : name, bytes: size,
      isFile: bytes[156] == 0x30 || bytes[156] == 0)
  }

  private static func octal(_ field: ArraySlice<UInt8>) -> UInt64? {
    let digits = field.drop { $0 == 0x20 }.prefix { $0 != 0 && $0 != 0x20 }
    guard !digits.isEmpty else { return nil }
    var value: UInt64 = 0
    for digit in digits {
      guard (0x30...0x37).contains(digit) else { return nil }
      value = value << 3 | UInt64(digit - 0x30)
    }
    return value
  }
}
