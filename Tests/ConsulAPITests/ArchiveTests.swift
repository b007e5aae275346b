import Basics
import HTTP
import Registry
import Testing

@testable import ConsulAPI

/// What archives are made of: checksums, deflate, gzip, tar.
struct ArchiveTests {
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func sha256OfTheStandardsExamples(_ row: (text: String, sum: String)) {
    #expect(SHA256.sum(of: Array(row.text.utf8)) == row.sum)
    var sum = SHA256()
    for byte in row.text.utf8 { sum.update([byte]) }
    #expect(sum.finish() == row.sum)
  }

  @Test func crc32OfTheUsualExample() {
    let bytes = Array("123456789".utf8)
    var crc = CRC32()
    crc.update(bytes[...])
    #expect(crc.checksum == 0xCBF4_3926)
    var pieces = CRC32()
    pieces.update(bytes[..<4])
    pieces.update(bytes[4...])
    #expect(pieces.checksum == 0xCBF4_3926)
  }

  static let dynamicCodes = """
    H4sIAAAAAAACA43aXWolRwyG4a14CSWp9EdW44SBgcldSCC7TyBgMpSkT7fd56JfY5/HJfWPb39/nI/vn398\
    /PX5+5/fPn75+PHvFfrflc9ff/vvIv988eu6PNe/bt3q1tddbe5+fcD6D3x9xp+Hj+rhs3l4Ov3TE42PT4ye\
    n2QRQPf98WuVQNY1+NAQc0OiBj6LBqangbn8HZKmgW/fwDo2sMEG3zTE25BVg5zuD4H6BuGxQQQ1yF00iD4N\
    YmWDdw0xNOTYcA9quLRouPw0XKka7m0arg7fSDY3OGyITUM+DXqqBqWmQblvUJm/Vi9qUF00qL0NXjZE15B9\
    g52xwQjawIsGk6fBbtVg2jSYDQ0+NwRsyA1wL89e+uwd0D4I7TPRDo32FdKv0l4y7Z3TMTgds9MBnY6N0/E6\
    HaXT0Tkdg9MxOx3Q6dw4na/TWTqdndM5OJ2z0wmdzo3T+TqdpdN0TvtP3yA1nZlqOtBqOhus6bxa07E6xduU\
    mFJmsYkg2UQbs4letIlKtYk6tol0+l/cQIrjlFilvHYTl3gTd3oTD3wTCzhXQMCJN4ITW5HidUq0KYPiJDPj\
    JITPSBvISV7JSUrKSTrLSWxKcZASOCVX573ivH1L0el2pNMdTKc7o04Xqk7XVilepESd0p7AdTqCKziDKz6E\
    6+oUrtUxvD6Ha3sQ1+kkruAortB4sg3yZK/yZFyPFDrnyQboyWbpyQyn+ColipRae2+190l7B9o71t5X2nuh\
    vdfae6u9T9o70D6w9rHSPgrto9Y+Wu1j0j6A9oG1j5X2UWiftfbZap+T9gm0T6x9rrTPQvustc9W+xy05zNr\
    z4fwNHGjPZ9Xez6l9nw67fnYlOIgJXBKriajr/ZM9XydOu2ZBu2ZZu2ZoPZMtkrxIiXqlE575kF75ll7Zqg9\
    80Z75lsMrEvtma1N8SklQAqevMtq9C7F7F2a4Xs7fZdp/C5g/i54AC+rCbwUI3gpted72kXCoD3fWXu+UHu+\
    G+35vtrztTrF25SYUmbtWaH2rBvtWV/tWUvtWTvtWXXa7xhIcZwSq5RXe7ZSe7ZOe7ZBezYBuyqoPdtGezYr\
    UrxOiTZl0t6B9o6195X2Xmjvtfbeau+T9g60d6y9r7SPQvuotY9W+5i0D6B9YO1jpX0U2ketfbTa56R9Au0T\
    a58r7bPQPmvts9U+J+0TaJ9Qezkb7eW82svhek3daS9n0F7OrL0cwym+Sokipd64U79yn3buBJbuhLfutFq7\
    U7F3p3rxTu3mnabVO83aC0PthTfaC7/aC5faC3faC+v0JoSBFMcpsUp5tRcptRfptBcZtBcR8FYH1F5ko72I\
    FSlep0SbMmgvd9ZeLuE3VDbay321l1tqL7fTXq5NKQ5SAqfk6m2bV3vRUnvR9u05HbQXnbUXhdqL2irFi5So\
    UzrtxQbtxWbtxaD2YhvtxW7xElSpvZi1KT6lBEjB2vtKey+091p7b7X3SXsH2jvW3lfae6G919pHq31M2gfQ\
    PrD2sdI+Cu2j1j769+wm7QNon1j7XGmfhfZZa5+t9jlpn0D7xNrnSvv8Wft/AA7EQcrZLAAA
    """
  static let fixedCodes =
    "H4sIGAAAAAAA/25hbWUAY29tbWVudADLSM3JyVfIQCcB41E9jRcAAAA="

  static func inflated(_ bytes: [UInt8]) throws -> [UInt8] {
    var reader = try GzipReader(bytes[...])
    var output: [UInt8] = []
    while let piece = try reader.next() { output += piece }
    return output
  }

  @Test func whatGzipMadeIsRead() throws {
    let bytes = try #require(Base64.decode(Array(Self.dynamicCodes.utf8)))
    var text = ""
    for i in 0..<400 {
      text += "key \(i) has value " + String(repeating: "abc", count: i % 7) + "; "
    }
    #expect(try Self.inflated(bytes) == Array(text.utf8))
    let fixed = try #require(Base64.decode(Array(Self.fixedCodes.utf8)))
    #expect(try Self.inflated(fixed) == Array("hello hello hello hello".utf8))
  }

  @Test func damagedGzipIsAnError() throws {
    let bytes = try #require(Base64.decode(Array(Self.dynamicCodes.utf8)))
    for length in stride(from: 0, to: bytes.count, by: 3) {
      #expect(throws: ArchiveFault.self) { try Self.inflated(Array(bytes[..<length])) }
    }
    #expect(throws: ArchiveFault.self) { try Self.inflated(bytes + [0]) }
    var random = SplitMix(seed: 4)
    for _ in 0..<1500 {
      var damaged = bytes
      for _ in 0...random.below(3) {
        let at = 10 + Int(random.below(UInt64(bytes.count - 10)))
        damaged[at] ^= UInt8(1 << random.below(8))
      }
      if damaged != bytes {
        #expect(throws: ArchiveFault.self) { try Self.inflated(damaged) }
      }
    }
  }

  @Test func storedBlocksComeBack() throws {
    for count in [0, 1, 65_535, 65_536, 300_000] {
      let data = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7) }
      var bytes = StoredGzip.head
      var gzip = StoredGzip()
      gzip.append(data, to: &bytes)
      gzip.finish(into: &bytes)
      #expect(try Self.inflated(bytes) == data)
    }
  }

  @Test func tarHeadersComeBack() throws {
    let header = Tar.header(name: "state.bin", bytes: 1234)
    let entry = try #require(try Tar.parse(header[...]))
    #expect(entry.name == "state.bin" && entry.bytes == 1234 && entry.isFile)
    #expect(try Tar.parse([UInt8](repeating: 0, count: 512)[...]) == nil)
    for index in stride(from: 0, to: 512, by: 5) where !(148..<156).contains(index) {
      var damaged = header
      damaged[index] ^= 0x10
      #expect(throws: ArchiveFault.self) { try Tar.parse(damaged[...]) }
    }
  }
}
