/// A seeded generator (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
///
/// Deterministic on every machine, so a simulation or a test replays from its seed. Not for secrets.
package struct SplitMix: RandomNumberGenerator, Sendable, Equatable {
  /// The whole state; equal states give equal sequences.
  package private(set) var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number in `0 ..< bound`; `bound` must be at least 1.
  package mutating func below(_ bound: UInt64) -> UInt64 {
    invariant(bound > 0, "below(0)")
    return next(upperBound: bound)
  }

  /// True with a probability of `numerator` in `denominator`.
  package mutating func chance(_ numerator: UInt64, in denominator: UInt64) -> Bool {
    below(denominator) < numerator
  }
}
