import Testing

@testable import EventLoop

/// What may still be sent must be, byte for byte, what was appended, however it is cut.
@Suite struct OutputQueueTests {
  private static let limit = OutputQueue.sharedBytesMin

  /// A body whose bytes tell where they are.
  private static func body(_ count: Int, _ seed: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 31) &+ ($0 >> 8) &+ seed) }
  }

  /// Takes at most `most` bytes from the front, as a socket would.
  private static func take(_ most: Int, from queue: inout OutputQueue) -> [UInt8] {
    let job = queue.front(to: 1)
    let all = Array(job.own[job.ownRange] + job.shared[job.sharedRange])
    let taken = Array(all.prefix(most))
    queue.consume(taken.count)
    return taken
  }

  @Test(arguments: 0..<200)
  func whatGoesInComesOutHoweverItIsCut(_ seed: UInt64) {
    var random = Seeded(seed)
    var queue = OutputQueue()
    var expected: [UInt8] = []
    var got: [UInt8] = []
    for step in 0..<60 {
      switch random.below(6) {
      case 0, 1:
        let bytes = Self.body(Int(random.below(3000)), step)
        queue.append(bytes)
        expected += bytes
      case 2:
        let size = Self.limit - 2 + Int(random.below(4))
        let bytes = Self.body(size, step)
        queue.append(sharing: bytes)
        expected += bytes
      case 3:
        var other = OutputQueue()
        for part in 0..<random.below(4) {
          let size = part % 2 == 0 ? Int(random.below(500)) : Self.limit
          let bytes = Self.body(size, step)
          other.append(sharing: bytes)
          expected += bytes
        }
        if other.count > 0 {
          let cut = Self.take(Int(random.below(UInt64(other.count))), from: &other)
          expected.removeSubrange(
            (expected.count - other.count - cut.count)..<(expected.count - other.count))
        }
        queue.append(other)
      default:
        got += Self.take(Int(random.below(40_000)), from: &queue)
      }
      #expect(queue.count == expected.count - got.count)
      #expect(queue.isEmpty == (expected.count == got.count))
    }
    while !queue.isEmpty { got += Self.take(.max, from: &queue) }
    #expect(got == expected)
  }

  @Test func aLargeBodyIsNotCopied() {
    let bytes = Self.body(Self.limit, 1)
    var queues = [OutputQueue](repeating: OutputQueue(), count: 3)
    for index in queues.indices { queues[index].append(sharing: bytes) }
    let place = unsafe bytes.withUnsafeBytes { $0.baseAddress }
    for queue in queues {
      let job = queue.front(to: 1)
      #expect(job.ownRange.isEmpty && job.sharedRange == 0..<bytes.count)
      #expect(unsafe job.shared.withUnsafeBytes { $0.baseAddress } == place)
    }
  }

  @Test func aSmallBodyIsCopiedIntoTheOwnBytes() {
    var queue = OutputQueue()
    queue.append("head")
    queue.append(sharing: Self.body(Self.limit - 1, 1))
    let job = queue.front(to: 1)
    #expect(job.sharedRange.isEmpty && job.ownRange.count == Self.limit + 3)
  }

  /// SplitMix64.
  private struct Seeded {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func below(_ limit: UInt64) -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return (z ^ (z >> 31)) % max(1, limit)
    }
  }
}
