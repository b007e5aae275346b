import Basics
import Testing

@testable import Wire

@Suite struct BytesTests {
  /// Against the standard library, at every length where one is a part of the other or not.
  @Test func arraysCompareAsTheirElementsDo() {
    var random = SplitMix(seed: 41)
    for _ in 0..<2000 {
      let a = (0..<Int(random.below(20))).map { _ in UInt8(random.below(3)) }
      let b = (0..<Int(random.below(20))).map { _ in UInt8(random.below(3)) }
      #expect(a.isEqual(to: b) == (a == b))
      #expect(a.isEqual(to: a))
      #expect(a.isBelow(b) == a.lexicographicallyPrecedes(b))
      #expect(!a.isBelow(a))
      let length = Int(random.below(22))
      let isShared = a.count >= length && b.count >= length && a.prefix(length) == b.prefix(length)
      #expect(a.isEqual(to: b, first: length) == isShared)
    }
    // Bytes are numbers without a sign.
    #expect([0x7F].isBelow([0x80]) && !([0x80] as [UInt8]).isBelow([0x7F]))
  }

  @Test func numbersStandWhereTheyWerePut() {
    var bytes = [UInt8](repeating: 0xEE, count: 16)
    bytes.setU64(0x0102_0304_0506_0708, at: 3)
    bytes.setU32(0xA1A2_A3A4, at: 11)
    #expect(bytes[2...11] == [0xEE, 8, 7, 6, 5, 4, 3, 2, 1, 0xA4])
    #expect(bytes[12...15] == [0xA3, 0xA2, 0xA1, 0xEE])
    #expect(bytes.u64(at: 3) == 0x0102_0304_0506_0708)
    #expect(bytes.bigEndianU64(at: 3) == 0x0807_0605_0403_0201)
    #expect(bytes.u32(at: 11) == 0xA1A2_A3A4 && bytes.u16(at: 11) == 0xA3A4)
    #expect(bytes.copy(3..<5) == [8, 7] && bytes.copy(16..<16).isEmpty)
  }

  /// One call writes what its fields would, one after the other.
  @Test(arguments: [0, 1, 127, 128, 20_000])
  func entriesAreTheirFields(_ length: Int) {
    let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
    for number in [0, 127, 128, 1 << 40, UInt64.max] {
      var fields = Writer()
      fields.varint(number)
      fields.varint(number / 2)
      fields.u8(1)
      fields.blob(payload)
      var whole = Writer()
      whole.entry(index: number, term: number / 2, kind: 1, payload: payload)
      #expect(whole.bytes == fields.bytes)
      var slice = Writer()
      slice.blob(([9] + payload).dropFirst())
      #expect(fields.bytes.suffix(slice.bytes.count) == slice.bytes[...])
    }
  }

  @Test func zerosAreAppended() {
    var writer = Writer()
    writer.u8(1)
    #expect(writer.zeros(3) == 1 && writer.bytes == [1, 0, 0, 0])
  }
}
