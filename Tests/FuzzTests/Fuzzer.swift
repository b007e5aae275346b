import Basics
import Glibc
import Testing

/// Hostile inputs for one parser: samples of what is right with bits flipped, pieces lost, doubled,
/// exchanged and mixed, words of the grammar put in, and now and then plain noise.
struct Mutator {
  var random: SplitMix
  let samples: [[UInt8]]
  let words: [[UInt8]]

  mutating func next() -> [UInt8] {
    if random.chance(1, in: 50) {
      return (0..<random.below(200)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }
    var bytes = pick(samples) ?? []
    for _ in 0..<random.below(8) { change(&bytes) }
    return bytes
  }

  mutating func pick<T>(_ items: [T]) -> T? {
    items.isEmpty ? nil : items[Int(random.below(UInt64(items.count)))]
  }

  /// A place in `bytes`, or at its end.
  private mutating func place(_ bytes: [UInt8]) -> Int {
    Int(random.below(UInt64(bytes.count + 1)))
  }

  private mutating func change(_ bytes: inout [UInt8]) {
    let at = place(bytes)
    let end = min(bytes.count, at + Int(random.below(random.chance(1, in: 4) ? 64 : 4)))
    switch random.below(9) {
    case 0 where at < bytes.count: bytes[at] ^= UInt8(1 << random.below(8))
    case 1 where at < bytes.count: bytes[at] = UInt8(truncatingIfNeeded: random.next())
    case 2: bytes.removeSubrange(at..<end)
    case 3: bytes.insert(contentsOf: Array(bytes[at..<end]), at: place(bytes))
    case 4: bytes.removeSubrange(at...)
    case 5, 6: bytes.insert(contentsOf: pick(words) ?? [], at: at)
    case 7:
      let other = pick(samples) ?? []
      let start = place(other)
      bytes.replaceSubrange(at..<end, with: other[start..<min(other.count, start + 40)])
    default:
      // Numbers at the edges of what fits.
      let edge: [UInt8] = pick([[0xFF], [0x7F], [0x80], [0], [0xFF, 0xFF, 0xFF, 0x7F]]) ?? []
      bytes.replaceSubrange(at..<min(bytes.count, at + edge.count), with: edge)
    }
  }
}

/// How long is tried, and from where: `ROOST_FUZZ_SECONDS` for each parser (half a second unless
/// given), `ROOST_FUZZ_SEED` to begin with the batch of a failure. Every batch has a seed of its
/// own; a long run prints it before the batch, so that the last one printed before a crash shows
/// the crash again.
enum Fuzzing {
  private static let batchCount = 2000
  /// Far above what any input may take, in a debug build under load too.
  private static let inputSecondsMax = 10.0

  private static func setting(_ name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }
  }

  static func run(
    _ name: String, samples: [[UInt8]], words: [String],
    _ body: ([UInt8], inout SplitMix) throws -> Void
  ) rethrows {
    let seconds = setting("ROOST_FUZZ_SECONDS").flatMap { Double($0) } ?? 0.5
    var generator = SystemRandomNumberGenerator()
    var seed = setting("ROOST_FUZZ_SEED").flatMap { UInt64($0) } ?? generator.next()
    print("fuzz \(name): ROOST_FUZZ_SEED=\(seed)")
    let clock = ContinuousClock()
    let begin = clock.now
    var count = 0
    var slowest = 0.0
    var lastReport = 0.0
    while true {
      var mutator = Mutator(
        random: SplitMix(seed: seed), samples: samples, words: words.map { Array($0.utf8) })
      for _ in 0..<batchCount {
        let input = mutator.next()
        let start = clock.now
        try body(input, &mutator.random)
        let took = (clock.now - start) / .seconds(1)
        slowest = max(slowest, took)
        #expect(took < inputSecondsMax, "\(name), seed \(seed): \(input) took \(took) s")
        count += 1
        if count.isMultiple(of: 64), (clock.now - begin) / .seconds(1) >= seconds { break }
      }
      let elapsed = (clock.now - begin) / .seconds(1)
      if elapsed >= seconds { break }
      seed = generator.next()
      if elapsed - lastReport > 10 {
        lastReport = elapsed
        print("fuzz \(name): \(count) inputs, ROOST_FUZZ_SEED=\(seed)")
      }
    }
    print("fuzz \(name): \(count) inputs, the slowest took \(Int(slowest * 1e6)) µs")
  }
}
