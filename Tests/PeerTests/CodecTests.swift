import Basics
import Raft
import Testing
import Wire

@testable import Peer

@Suite struct CodecTests {
  private func encoded(_ message: Message) -> [UInt8] {
    var writer = Writer()
    MessageCodec.encode(message, into: &writer)
    return writer.bytes
  }

  private func decoded(_ bytes: [UInt8]) throws(WireError) -> Message {
    var reader = Reader(bytes)
    return try MessageCodec.decode(&reader)
  }

  @Test(arguments: sampleMessages.indices)
  func everyMessageComesBackAsItWas(_ number: Int) throws {
    let message = sampleMessages[number]
    #expect(try decoded(encoded(message)) == message)
    #expect(encoded(message).count <= MessageCodec.bytesMax(of: message))
  }

  @Test(arguments: sampleMessages.indices)
  func noTruncationAndNoTailIsAccepted(_ number: Int) {
    let bytes = encoded(sampleMessages[number])
    for count in bytes.indices {
      #expect(throws: WireError.self) { try decoded(Array(bytes[..<count])) }
    }
    #expect(throws: WireError.self) { try decoded(bytes + [0]) }
  }

  /// Every peer gets the append that is meant for it, whatever was sent before.
  @Test func sharedFramesAreThoseOfTheirAppend() {
    func append(_ index: UInt64, _ payload: [UInt8], commit: UInt64 = 0) -> AppendEntries {
      let entry = Entry(
        index: LogIndex(index), term: Term(1), kind: .command, payload: payload)
      return AppendEntries(
        term: Term(1), previousIndex: LogIndex(index - 1), previousTerm: Term(1),
        commitIndex: LogIndex(commit), entries: [entry])
    }
    var limits = PeerLimits()
    limits.frameBytesMax = 100
    var shared = SharedAppend()
    for one in [
      append(1, [1]), append(1, [1]), append(1, [2]), append(1, [2], commit: 1), append(2, [2]),
    ] {
      var bytes: [UInt8] = []
      let size = Frame.append(.message, to: &bytes, bytesMax: 100) { writer in
        MessageCodec.encode(.append(one), into: &writer)
      }
      #expect(size == bytes.count && shared.frame(of: one, limits) == bytes)
    }
    let long = append(3, [UInt8](repeating: 1, count: 100))
    #expect(shared.frame(of: long, limits).isEmpty && shared.frame(of: long, limits).isEmpty)
    shared.forget()
    #expect(!shared.frame(of: append(4, []), limits).isEmpty)
  }

  @Test func randomBytesAndFlippedBitsNeverTrap() {
    var random = SplitMix(seed: 99)
    for message in sampleMessages {
      let bytes = encoded(message)
      for position in 0..<bytes.count * 8 {
        var flipped = bytes
        flipped[position / 8] ^= 1 << UInt8(position % 8)
        // Some flips are other messages; whatever is accepted must encode to the same bytes.
        if let other = try? decoded(flipped) { #expect(encoded(other) == flipped) }
      }
    }
    for _ in 0..<20_000 {
      let bytes = (0..<random.below(60)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      if let message = try? decoded(bytes) { #expect(encoded(message) == bytes) }
    }
  }

  @Test func absurdNumbersAreRefused() {
    var writer = Writer()
    writer.u8(9)
    writer.varint(.max)
    #expect(throws: WireError.tooLong) { try decoded(writer.bytes) }
    var liar = Writer()
    liar.u8(3)
    for _ in 0..<4 { liar.varint(1) }
    liar.varint(1 << 40)
    #expect(throws: WireError.self) { try decoded(liar.bytes) }
  }

  @Test func framesRejectEveryFlippedBitAndWaitForTheRest() throws {
    var bytes: [UInt8] = []
    let size = Frame.append(.message, to: &bytes, bytesMax: 1000) { $0.raw([1, 2, 3, 4, 5]) }
    #expect(size == bytes.count)
    let whole = Frame.parse(bytes, 0..<bytes.count, payloadBytesMax: 1000)
    #expect(whole == .frame(.message, payload: 9..<14))
    for count in bytes.indices {
      let parsed = Frame.parse(bytes, 0..<count, payloadBytesMax: 1000)
      #expect(parsed == .incomplete(total: count < 9 ? nil : 14))
    }
    for position in 0..<bytes.count * 8 {
      var flipped = bytes
      flipped[position / 8] ^= 1 << UInt8(position % 8)
      if case .frame = Frame.parse(flipped, 0..<flipped.count, payloadBytesMax: 1000) {
        Issue.record("bit \(position) was not noticed")
      }
    }
    #expect(Frame.parse(bytes, 0..<14, payloadBytesMax: 4) == .tooLong(5))
    #expect(Frame.append(.message, to: &bytes, bytesMax: 4) { $0.raw([1, 2, 3, 4, 5]) } == nil)
    #expect(bytes.count == 14)
  }
}
