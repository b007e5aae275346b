import Basics
import EventLoop
import Testing

@Suite struct ByteQueueTests {
  private func live(_ queue: ByteQueue) -> [UInt8] { Array(queue.storage[queue.readableRange]) }

  @Test func startsEmpty() {
    let queue = ByteQueue()
    #expect(queue.isEmpty)
    #expect(queue.count == 0)
    #expect(queue.readableRange == 0..<0)
  }

  @Test func behavesLikeAnArrayThatDropsItsFront() {
    var random = SplitMix(seed: 17)
    var queue = ByteQueue()
    var model: [UInt8] = []
    for step in 0..<4000 {
      switch random.below(6) {
      case 0:
        let bytes = (0..<random.below(9000)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        queue.append(bytes)
        model += bytes
      case 1:
        let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: 30)
        queue.append(bytes[5..<20])
        model += bytes[5..<20]
      case 2:
        queue.append(UInt8(ascii: "x"))
        queue.append("HTTP/1.1 200\r\n")
        model += Array("xHTTP/1.1 200\r\n".utf8)
      case 3:
        queue.withStorage { $0 += [1, 2, 3] }
        model += [1, 2, 3]
      default:
        let count = Int(random.below(UInt64(model.count + 1)))
        queue.consume(count)
        model.removeFirst(count)
      }
      #expect(queue.count == model.count)
      #expect(live(queue) == model)
      if queue.count != model.count || live(queue) != model { return }
    }
  }

  @Test func deadBytesDoNotPileUp() {
    var queue = ByteQueue()
    queue.append([UInt8](repeating: 1, count: 100))
    for _ in 0..<10_000 {
      queue.append([UInt8](repeating: 2, count: 100))
      queue.consume(100)
    }
    #expect(queue.count == 100)
    #expect(queue.storage.count < 20_000)
  }

  @Test func appendingInPlaceDoesNotCopy() {
    var queue = ByteQueue()
    queue.append([UInt8](repeating: 0, count: 1 << 20))
    queue.withStorage { $0.reserveCapacity(4 << 20) }
    let before = unsafe queue.storage.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    for _ in 0..<1000 { queue.append([UInt8](repeating: 1, count: 100)) }
    let after = unsafe queue.storage.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    #expect(before == after)
  }

  @Test func appendingInPlaceKeepsTheBytesAndGrowsByDoubling() {
    var queue = ByteQueue()
    queue.append(addingCapacity: 300) { output in
      for byte: UInt8 in 1...3 { output.append(byte) }
    }
    queue.consume(1)
    var growths = 0
    var capacity = queue.storage.capacity
    for _ in 0..<1000 {
      queue.append(addingCapacity: 100) { output in
        output.append(repeating: 7, count: 100)
      }
      if queue.storage.capacity != capacity { growths += 1 }
      capacity = queue.storage.capacity
    }
    #expect(queue.count == 100_002)
    #expect(Array(queue.storage[queue.readableRange].prefix(3)) == [2, 3, 7])
    #expect(growths < 12)
  }

  @Test func anEmptiedQueueGivesLargeMemoryBack() {
    var queue = ByteQueue()
    queue.append([UInt8](repeating: 0, count: 1 << 20))
    queue.consume(1 << 20)
    #expect(queue.storage.capacity == 0)
  }
}
