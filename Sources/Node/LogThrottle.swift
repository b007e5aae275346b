/// Lets one and the same message through once in a while, and counts what it held back. Pure.
///
/// A peer that dials a wrong address does so several times a second; the log needs to say it once.
struct LogThrottle {
  private struct Seen {
    var key: String
    var saidAt: UInt64
    var heldBack: Int
  }

  static let periodNanoseconds: UInt64 = 10_000_000_000
  /// The one said longest ago is forgotten when there are more.
  static let keysMax = 64

  private var seen: [Seen] = []

  /// How many of its kind were held back since the last one; nil: this one is held back too.
  mutating func admit(_ key: String, now: UInt64) -> Int? {
    if let index = seen.firstIndex(where: { $0.key == key }) {
      guard now >= seen[index].saidAt + Self.periodNanoseconds else {
        seen[index].heldBack += 1
        return nil
      }
      let heldBack = seen[index].heldBack
      seen[index] = Seen(key: key, saidAt: now, heldBack: 0)
      return heldBack
    }
    if seen.count == Self.keysMax,
      let oldest = seen.indices.min(by: { seen[$0].saidAt < seen[$1].saidAt })
    {
      seen.remove(at: oldest)
    }
    seen.append(Seen(key: key, saidAt: now, heldBack: 0))
    return 0
  }
}
