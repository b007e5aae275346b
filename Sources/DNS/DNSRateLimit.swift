internal import EventLoop
internal import Basics

/// Keeps the server from being used to flood others: UDP senders can be forged, so what a network
/// is sent beyond three times what seemingly came from it is rationed (S32).
///
/// Token buckets in a table of fixed size. Networks that share a slot share its tokens, which no
/// attacker can aim at, since slots are chosen by a random seed.
struct DNSRateLimit {
  private struct Bucket {
    var tokens: Int
    /// Nanoseconds.
    var filledAt: UInt64
  }

  private static let slotCount = 4096
  /// An answer up to so many times as long as its question is free.
  private static let freeRatio = 3
  private static let burstSeconds = 4

  private let seed: UInt64
  private let bytesPerSecond: Int
  private var buckets: [Bucket]
  private(set) var refused: UInt64 = 0

  init(bytesPerSecond: Int, seed: UInt64, now: UInt64) {
    self.seed = seed
    self.bytesPerSecond = bytesPerSecond
    let full = Bucket(tokens: bytesPerSecond * Self.burstSeconds, filledAt: now)
    buckets = [Bucket](repeating: full, count: Self.slotCount)
  }

  /// Whether an answer of that size may go there now; takes the tokens for it.
  mutating func allows(
    _ answerBytes: Int, to remote: SocketAddress, questionBytes: Int, now: UInt64
  ) -> Bool {
    let excess = answerBytes - Self.freeRatio * questionBytes
    guard excess > 0, !Self.isLoopback(remote.ip) else { return true }
    let slot = slot(of: remote.ip)
    refill(slot, now)
    guard buckets[slot].tokens >= excess else {
      refused &+= 1
      return false
    }
    buckets[slot].tokens -= excess
    return true
  }

  private mutating func refill(_ slot: Int, _ now: UInt64) {
    // Whole milliseconds, so that frequent small steps are not rounded away.
    let elapsed = now > buckets[slot].filledAt ? (now - buckets[slot].filledAt) / 1_000_000 : 0
    guard elapsed > 0 else { return }
    let full = bytesPerSecond * Self.burstSeconds
    let fraction = Int(min(elapsed, UInt64(Self.burstSeconds) * 1000))
    buckets[slot].tokens = min(full, buckets[slot].tokens + bytesPerSecond * fraction / 1000)
    buckets[slot].filledAt = now
  }

  private func slot(of ip: [UInt8]) -> Int {
    // A /24, or a /56: what one customer usually has.
    let network = ip.prefix(ip.count == 4 ? 3 : 7)
    var hash = seed
    for byte in network { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    var generator = SplitMix(seed: hash)
    return Int(truncatingIfNeeded: generator.next() % UInt64(Self.slotCount))
  }

  private static func isLoopback(_ ip: [UInt8]) -> Bool {
    ip.count == 4 ? ip[0] == 127 : ip.last == 1 && ip.dropLast().allSatisfy { $0 == 0 }
  }
}
