import Wire

/// The outcome of a command that came with a request id, kept so that a repeat changes nothing
/// and hears the same (design.md, guarantee 5).
///
/// Happy path: a repeat finds the outcome. Failures: the oldest are forgotten when there are too
/// many. So that a repeat that comes later still (out of the buffers of a node that was paused) is
/// not taken for new, a command tells an index that its sender knew before the first attempt, its
/// floor: had it been applied, then after that index, and if nothing that was applied after it is
/// forgotten, the table would know. Otherwise the command is refused, its outcome unknown. No clock
/// is trusted for this. A client that has sent it only once may send it again with a newer floor.
struct RememberedOutcome: Sendable {
  let outcome: Outcome
  /// When it was applied; the oldest are dropped first.
  let index: UInt64
  /// About what it takes in memory.
  let bytes: Int
}

extension Refusal {
  /// For a request id that is older than what is remembered.
  package static var requestForgotten: Refusal {
    Refusal(
      status: 500,
      text: "outcome unknown: the request is older than the request ids that are remembered; it "
        + "was not applied now, and may have been before")
  }
}

extension Registry {
  /// Bound on what all remembered outcomes take together, since one of a transaction may hold
  /// values: beyond it the oldest go, as beyond `requestIDsMax`.
  static var rememberedBytesMax: Int { 64 << 20 }
  static var rememberedOverhead: Int { 128 }

  mutating func remember(_ id: UniqueID, _ outcome: Outcome, index: UInt64) {
    var bytes = Self.rememberedOverhead
    switch outcome {
    case .transaction, .refused:
      var writer = Writer()
      outcome.encode(into: &writer)
      bytes += writer.bytes.count
    case .done, .flag: break
    }
    insertRemembered(id, RememberedOutcome(outcome: outcome, index: index, bytes: bytes))
    while remembered.count > max(1, options.requestIDsMax)
      || (rememberedBytes > Self.rememberedBytesMax && remembered.count > 1)
    {
      guard let oldest = rememberedOrder.first else { break }
      rememberedOrder.removeValue(forKey: oldest.key)
      forgottenThrough = max(forgottenThrough, oldest.key)
      if let dropped = remembered.removeValue(forKey: oldest.value) {
        rememberedBytes -= dropped.bytes
      }
    }
  }

  mutating func insertRemembered(_ id: UniqueID, _ entry: RememberedOutcome) {
    remembered.updateValue(entry, forKey: id)
    rememberedOrder.updateValue(id, forKey: entry.index)
    rememberedBytes += entry.bytes
  }
}
