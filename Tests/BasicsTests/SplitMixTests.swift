import Basics
import Testing

@Suite struct SplitMixTests {
  /// The first outputs for seed 1234567, as published with the reference implementation.
  @Test func matchesTheReference() {
    var random = SplitMix(seed: 1_234_567)
    #expect(random.next() == 6_457_827_717_110_365_317)
    #expect(random.next() == 3_203_168_211_198_807_973)
    #expect(random.next() == 9_817_491_932_198_370_423)
  }

  @Test func sameSeedSameSequence() {
    var a = SplitMix(seed: 9)
    var b = SplitMix(seed: 9)
    for _ in 0..<100 { #expect(a.next() == b.next()) }
    #expect(a == b)
  }

  @Test func staysBelowTheBound() {
    var random = SplitMix(seed: 1)
    var seen = [Bool](repeating: false, count: 7)
    for _ in 0..<1000 { seen[Int(random.below(7))] = true }
    #expect(seen.allSatisfy { $0 })
    #expect(random.below(1) == 0)
  }

  @Test func aBrokenInvariantStopsWithItsMessage() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      invariant(1 + 1 == 3, "sum of \(1) and \(1)")
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("invariant: sum of 1 and 1"))
  }
}
