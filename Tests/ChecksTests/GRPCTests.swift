import EventLoop
import Testing

@testable import Checks

/// Bytes of a hexadecimal text.
private func hex(_ text: String) -> [UInt8] {
  let digits = Array(text.utf8).compactMap { UInt8(String(UnicodeScalar($0)), radix: 16) }
  return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

@Suite struct HPACKTests {
  /// RFC 7541 C.6: three answers on one connection, with Huffman code and a table of 256 bytes,
  /// so that entries are dropped. The table's size is announced first, as a server would.
  @Test func decodesTheExamplesOfTheRFC() throws {
    var decoder = HPACKDecoder()
    let one = decoder.decode(
      hex(
        "3fe101 488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff"
          + "6e919d29ad171863c78f0b97c8e9ae82ae43d3"))
    let first = try #require(one)
    let date = HTTP2Header(name: "date", value: "Mon, 21 Oct 2013 20:13:21 GMT")
    let location = HTTP2Header(name: "location", value: "https://www.example.com")
    #expect(first.map(\.name) == [":status", "cache-control", "date", "location"])
    #expect(first[0].value == "302" && first[2] == date && first[3] == location)
    let two = decoder.decode(hex("4883640effc1c0bf"))
    let second = try #require(two)
    #expect(second.map(\.value) == ["307", "private", date.value, location.value])
    let three = decoder.decode(
      hex(
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7"
          + "b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"))
    let third = try #require(three)
    #expect(
      third.map(\.name) == [
        ":status", "cache-control", "date", "location", "content-encoding", "set-cookie",
      ])
    #expect(third[0].value == "200" && third[2].value == "Mon, 21 Oct 2013 20:13:22 GMT")
    #expect(
      third[5].value == "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")
  }

  /// All byte values in order, encoded by nghttp2.
  @Test func decodesEveryByte() {
    let text = [
      "ffc7fffd8fffffe2fffffe3fffffe4fffffe5fffffe6fffffe7fffffe8ffffeafffffff3fffffa7f",
      "ffffabffffffdfffffebfffffecfffffedfffffeefffffefffffff0ffffff1ffffff2fffffffbfff",
      "ffcffffffd3fffffd7fffffdbfffffdffffffe3fffffe7fffffebfffffed4fe3f9ffaffcabf1febf",
      "afefe7fdfd2cbb00089969b71d79fb9f7fff20ffbff3ff50ddbd7f061c58f265cd9f469d5af66ddd",
      "bf871e5f9cff7ff7fffc3ff9ffe45fff4719242cb34e6e9d68a6a3d7dac426defe3cfaf7fffbfe7f",
      "fbffdffffffcfffe6ffff4bfff9ffffa3fffd3ffff53fffd5ffffb3fffeb7fffdaffffb7ffff73ff",
      "feeffffdeffffebffffbfffffd9ffffdbfffebffffe0ffffeeffffc3ffff8bffff1ffffe4fffee7f",
      "ffb1ffff97fffd9ffffcdffff9fffffbffffdafffeeffff4ffffb7fffee7fffe8ffffd3fffdeffff",
      "d5fffeeffffbdffffe1fffdfffff7fffff5ffffecffff07fff87fffe0ffff17fffedffff87ffff77",
      "fffeffffeaffff8bfffe3ffff93ffff87fffcbffff37ffff1fffff83ffffe1fffebfffe3ffff3fff",
      "ff2ffffa3ffffd9fffff17ffffc7fffff27ffffdefffffbffffff2fffff8fffffb7fff97fff8ffff",
      "fe6fffffc1fffff87ffffe7fffffc5ffffe5fffe4ffff2fffffd1fffff4ffffffefffffe3fffffc9",
      "fffff97fffb3ffffcffffb7fffcdffff4ffff9ffffd1ffffcffffeaffffafffffddffffeffffff4f",
      "ffff5fffffabffffa7ffffd7fffff9bffffecfffffb7fffff3fffffe8fffffd3fffffabfffff5fff",
      "ffff7ffffecfffffdbfffffbbfffff7ffffff0fffffbbf",
    ].joined()
    #expect(HPACKHuffman.shared.decode(hex(text)[...], bytesMax: 256) == Array(0...255))
    #expect(HPACKHuffman.shared.decode(hex(text)[...], bytesMax: 255) == nil)
  }

  @Test(arguments: [
    "ff", "ffff", "1fff", "fffffffc",  // padding of eight bits and more, end of string
    "18",  // padding with zeros
  ])
  func refusesWhatIsNoHuffmanText(_ text: String) {
    #expect(HPACKHuffman.shared.decode(hex(text)[...], bytesMax: 99) == nil)
  }

  @Test(arguments: [
    "80", "be", "ff00", "ffffffffffff7f", "40", "4001", "400178", "40017805", "0084ffffffff",
    "3fffff7f", "8820", "7f", "00", "1f", "c0",
  ])
  func refusesBrokenBlocks(_ text: String) {
    var decoder = HPACKDecoder()
    let decoded = decoder.decode(hex(text))
    #expect(decoded == nil, "\(text)")
  }

  @Test func aBombIsRefused() {
    var decoder = HPACKDecoder()
    // One large entry, then many references to it.
    let value = [UInt8](repeating: 0x61, count: 3000)
    let entry: [UInt8] = [0x40, 1, 0x78, 0x7F] + [0xB9, 0x16] + value
    let first = decoder.decode(entry)
    #expect(first?.first?.value.utf8.count == 3000)
    let some = decoder.decode([UInt8](repeating: 0xBE, count: 20))
    #expect(some?.count == 20)
    let many = decoder.decode([UInt8](repeating: 0xBE, count: 30))
    #expect(many == nil)
  }

  @Test func garbageNeverTraps() {
    var state: UInt64 = 99
    func next() -> UInt8 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 33)
    }
    var decoder = HPACKDecoder()
    for _ in 0..<20_000 {
      _ = decoder.decode((0..<Int(next() % 40)).map { _ in next() })
    }
  }
}

@Suite struct GRPCCallTests {
  private static let headers =
    "885f8b1d75d0620d263d4c4d65647697c651d099d80ae053fa49509fb53ffbfffbfe7ffbffe7f7"
  private static let trailers = "40889acac8b21234da8f013040899acac8b5254207317f00c0"

  private static func frame(_ type: UInt8, _ flags: UInt8, _ payload: [UInt8], stream: UInt8 = 1)
    -> [UInt8]
  {
    let count = payload.count
    let length = [UInt8(count >> 16), UInt8(count >> 8 & 0xFF), UInt8(count & 0xFF)]
    return length + [type, flags, 0, 0, 0, stream] + payload
  }
  private static func message(_ status: UInt8) -> [UInt8] { [0, 0, 0, 0, 2, 8, status] }

  /// As a server says it; with the greeting that comes before.
  private static func answer(status: UInt8 = 1) -> [UInt8] {
    frame(4, 0, [0, 3, 0, 0, 0, 100], stream: 0) + frame(4, 1, [], stream: 0)
      + frame(6, 0, [1, 2, 3, 4, 5, 6, 7, 8], stream: 0) + frame(1, 4, hex(headers))
      + frame(0, 0, message(status)) + frame(1, 5, hex(trailers))
  }

  private func outcome(_ bytes: [UInt8]) -> GRPCCall.Outcome? {
    var call = GRPCCall(authority: "h:1", service: "")
    call.receive(bytes[...])
    return call.outcome
  }

  @Test func asksAndUnderstandsTheAnswerHoweverItIsCut() {
    for size in [1, 2, 7, 1000] {
      var call = GRPCCall(authority: "127.0.0.1:50051", service: "my.Service")
      let request = call.takeOutput()
      #expect(request.starts(with: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8))
      let body: [UInt8] = [0, 0, 0, 0, 12, 0x0A, 10] + Array("my.Service".utf8)
      #expect(request.suffix(17) == body[...])
      var rest = Self.answer()[...]
      while !rest.isEmpty {
        #expect(call.outcome == nil)
        call.receive(rest.prefix(size))
        rest = rest.dropFirst(size)
      }
      #expect(call.outcome == .serving)
      let acknowledgements =
        Self.frame(4, 1, [], stream: 0) + Self.frame(6, 1, [1, 2, 3, 4, 5, 6, 7, 8], stream: 0)
      let sent = call.takeOutput()
      #expect(sent == acknowledgements)
    }
  }

  @Test func paddingPriorityAndContinuationsAreTaken() {
    let block = hex(Self.headers)
    let padded = Self.frame(1, 0x28, [2, 0, 0, 0, 0, 16] + block[..<10] + [0, 0])
    let rest = Self.frame(9, 4, Array(block[10...]))
    let data = Self.frame(0, 8, [3] + Self.message(1) + [0, 0, 0])
    #expect(outcome(padded + rest + data + Self.frame(1, 5, hex(Self.trailers))) == .serving)
  }

  @Test func notServingIsCritical() {
    let text = "gRPC application didn't report service healthy"
    for status in [UInt8(0), 2, 3] {
      #expect(outcome(Self.answer(status: status)) == .failed(text))
    }
  }

  @Test func errorsAreSaidInGRPCsWords() {
    // Literal: grpc-status 5, grpc-message "no%20such".
    let block: [UInt8] =
      [0x88, 0, 11] + Array("grpc-status".utf8) + [1, 0x35, 0, 12] + Array("grpc-message".utf8)
      + [9] + Array("no%20such".utf8)
    #expect(
      outcome(Self.frame(1, 5, block)) == .failed("rpc error: code = NotFound desc = no such"))
    #expect(
      outcome(Self.frame(1, 5, [0x8D]))
        == .failed(
          "rpc error: code = Unknown desc = unexpected HTTP status code received from server: 404"))
    let gone = outcome(Self.frame(7, 0, [0, 0, 0, 0, 0, 0, 0, 2], stream: 0))
    #expect(gone == .failed("rpc error: code = Unavailable desc = server is going away"))
    let reset = outcome(Self.frame(3, 0, [0, 0, 0, 8]))
    #expect(reset == .failed("rpc error: code = Unavailable desc = stream reset by the server"))
    let http1 = outcome(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
    #expect(
      http1
        == .failed(
          "rpc error: code = Internal desc = not an HTTP/2 server, or a frame too large"))
  }

  @Test func limitsHold() {
    let large = [UInt8](repeating: 0, count: 10_000)
    let messages = Self.frame(1, 4, [0x88]) + Self.frame(0, 0, large) + Self.frame(0, 0, large)
    #expect(
      outcome(messages) == .failed("rpc error: code = ResourceExhausted desc = message too large"))
    var blocks = Self.frame(1, 0, large)
    for _ in 0..<7 { blocks += Self.frame(9, 0, large) }
    #expect(
      outcome(blocks) == .failed("rpc error: code = ResourceExhausted desc = headers too large"))
    var pings: [UInt8] = []
    for _ in 0..<30 { pings += Self.frame(2, 0, large, stream: 0) }
    #expect(
      outcome(pings) == .failed("rpc error: code = ResourceExhausted desc = answer too large"))
    let between = Self.frame(1, 0, [0x88]) + Self.frame(0, 0, [])
    #expect(
      outcome(between) == .failed("rpc error: code = Internal desc = header block interrupted"))
  }

  @Test func garbageNeverTraps() {
    var state: UInt64 = 7
    func next() -> UInt8 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 33)
    }
    for _ in 0..<3000 {
      var bytes: [UInt8] = []
      for _ in 0..<8 {
        let payload = (0..<Int(next() % 30)).map { _ in next() }
        bytes += Self.frame(next() % 11, next(), payload, stream: next() % 2)
      }
      _ = outcome(bytes)
      // One byte of a good answer changed.
      var broken = Self.answer()
      broken[Int(next()) % broken.count] = next()
      _ = outcome(broken)
    }
  }
}
