import Basics
import Testing

@testable import Wire

@Suite struct WireTests {
  private let numbers: [UInt64] =
    [0, 1, 127, 128, 16_383, 16_384, 1 << 32, 1 << 63, .max - 1, .max]

  private func sample() -> [UInt8] {
    var writer = Writer(reserving: 100)
    writer.u8(7)
    writer.u16(0xBEEF)
    writer.u32(0xDEAD_BEEF)
    writer.u64(0x0123_4567_89AB_CDEF)
    writer.varint(300)
    writer.signed(-5)
    writer.flag(true)
    writer.blob([1, 2, 3])
    writer.text("héllo")
    writer.raw([9, 9])
    return writer.bytes
  }

  private func decode(_ bytes: [UInt8]) throws(WireError) {
    var reader = Reader(bytes)
    _ = try reader.u8()
    _ = try reader.u16()
    _ = try reader.u32()
    _ = try reader.u64()
    _ = try reader.varint()
    _ = try reader.signed()
    _ = try reader.flag()
    _ = try reader.blob()
    _ = try reader.text()
    _ = try reader.raw(2)
    try reader.finish()
  }

  @Test func roundTrip() throws {
    var reader = Reader(sample())
    #expect(try reader.u8() == 7)
    #expect(try reader.u16() == 0xBEEF)
    #expect(try reader.u32() == 0xDEAD_BEEF)
    #expect(try reader.u64() == 0x0123_4567_89AB_CDEF)
    #expect(try reader.varint() == 300)
    #expect(try reader.signed() == -5)
    #expect(try reader.flag())
    #expect(try reader.blob() == [1, 2, 3])
    #expect(try reader.text() == "héllo")
    #expect(throws: WireError.trailingBytes) { try reader.finish() }
    #expect(try reader.raw(2) == [9, 9])
    try reader.finish()
  }

  @Test func integersAreLittleEndian() {
    var writer = Writer()
    writer.u32(0x0403_0201)
    writer.u64(0x0807_0605_0403_0201)
    writer.patchU32(at: 0, 0x0D0C_0B0A)
    #expect(writer.bytes == [10, 11, 12, 13, 1, 2, 3, 4, 5, 6, 7, 8])
  }

  @Test func varintsAndSigned() throws {
    for number in numbers {
      var writer = Writer()
      writer.varint(number)
      writer.signed(Int64(bitPattern: number))
      var reader = Reader(writer.bytes)
      #expect(try reader.varint() == number)
      #expect(try reader.signed() == Int64(bitPattern: number))
      try reader.finish()
    }
  }

  @Test(
    arguments: [
      [0x80], [0x80, 0x00], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
      [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x80, 0x01], [],
    ] as [[UInt8]])
  func badVarints(_ bytes: [UInt8]) {
    var reader = Reader(bytes)
    #expect(throws: WireError.self) { try reader.varint() }
  }

  @Test func everyTruncationIsAnError() {
    let bytes = sample()
    for length in 0..<bytes.count {
      #expect(throws: WireError.self) { try decode(Array(bytes[..<length])) }
    }
  }

  @Test func bitFlipsAndNoiseNeverTrap() {
    let bytes = sample()
    for i in bytes.indices {
      for bit in 0..<8 as Range<UInt8> {
        var flipped = bytes
        flipped[i] ^= 1 << bit
        try? decode(flipped)
      }
    }
    var random = SplitMix(seed: 4)
    for _ in 0..<2000 {
      try? decode((0..<60).map { _ in UInt8(truncatingIfNeeded: random.next()) })
    }
  }

  @Test func lengthsBeyondTheEndAreRefused() {
    var writer = Writer()
    writer.varint(.max)
    for read in [{ _ = try $0.blob() }, { _ = try $0.text() }, { _ = try $0.count() }]
      as [(inout Reader) throws -> Void]
    {
      var reader = Reader(writer.bytes)
      #expect(throws: WireError.tooLong) { try read(&reader) }
    }
    var reader = Reader([1, 2])
    #expect(throws: WireError.truncated) { try reader.raw(-1) }
    #expect(throws: WireError.truncated) { try reader.raw(3) }
  }

  @Test func textMustBeUTF8AndFlagsZeroOrOne() {
    var reader = Reader([2, 0xC3, 0x28])
    #expect(throws: WireError.badText) { try reader.text() }
    reader = Reader([2])
    #expect(throws: WireError.unknownTag(2)) { try reader.flag() }
  }

  @Test func aRangeIsClipped() throws {
    var reader = Reader([1, 2, 3, 4], in: 1..<3)
    #expect(reader.remaining == 2)
    #expect(try reader.u16() == 0x0302)
    #expect(reader.isAtEnd)
    #expect(Reader([1, 2], in: 5..<9).remaining == 0)
  }

  /// RFC 3720, appendix B.4, and the usual check value.
  @Test func crc32c() {
    #expect(Checksum.crc32c([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(Checksum.crc32c([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(Checksum.crc32c((0..<32).map { UInt8($0) }) == 0x46DD_794E)
    let digits = Array("123456789".utf8)
    #expect(Checksum.crc32c(digits) == 0xE306_9283)
    for cut in 0...9 {
      let first = Checksum.crc32c(digits, in: 0..<cut)
      #expect(Checksum.crc32c(digits, in: cut..<9, continuing: first) == 0xE306_9283)
    }
    #expect(Checksum.crc32c([]) == 0)
  }
}
