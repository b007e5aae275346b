internal import FoundationEssentials
internal import Glibc

/// One of `limit` places below a prefix, as Consul's clients take it: every contender locks a key of
/// its own with its session, and the holders stand in `PREFIX/.lock`, changed by compare-and-set.
///
/// A holder whose session has ended counts no longer: its contender key is gone or unlocked.
public struct Semaphore: Exclusion {
  static let flags: UInt64 = 16_210_313_421_097_356_768
  private static let retryMicroseconds: UInt32 = 100_000

  /// What the shared key holds.
  struct Holders: Codable, Equatable {
    var Limit: Int
    var Holders: [String: Bool]
  }

  private let roost: Roost
  private let prefix: String
  private let limit: Int
  public let key: String
  public let session: String

  public init(_ roost: Roost, prefix: String, limit: Int, session: String) {
    self.roost = roost
    self.limit = limit
    self.session = session
    key = Lock.key(prefix)
    self.prefix = String(key.dropLast(".lock".count))
  }

  public func acquire(until deadline: ContinuousClock.Instant?) throws(RoostError) -> Bool {
    // Deleted with the session, so that dead contenders leave nothing behind.
    guard try roost.acquire(prefix + session, [], session: session, flags: Self.flags) else {
      throw .conflict("\(prefix + session) is held by another session")
    }
    var watch = Watch(roost, prefix: prefix)
    while true {
      if let seconds = secondsLeft(deadline) {
        guard seconds > 0 else { return false }
        watch.waitSeconds = min(60, seconds)
      }
      let (held, modifyIndex) = try holders(Roost.pairs(watch.poll()))
      if held.Holders[session] != nil { return true }
      guard held.Holders.count < held.Limit else { continue }
      var wanted = held
      wanted.Holders[session] = true
      if try write(wanted, ifAt: modifyIndex) { return true }
      usleep(Self.retryMicroseconds)
      watch = Watch(roost, prefix: prefix)
    }
  }

  public func waitUntilLost() throws(RoostError) {
    var watch = Watch(roost, prefix: prefix)
    while true {
      let held = try holders(Roost.pairs(watch.poll())).held
      guard held.Holders[session] != nil else { return }
    }
  }

  public func release() throws(RoostError) {
    while true {
      var (held, modifyIndex) = try holders(roost.list(prefix))
      guard held.Holders.removeValue(forKey: session) != nil else { break }
      // The last one leaves nothing behind; others who wait begin with a fresh key.
      if held.Holders.isEmpty {
        if try roost.delete(key, cas: modifyIndex) { break }
      } else if try write(held, ifAt: modifyIndex) {
        break
      }
    }
    _ = try roost.delete(prefix + session)
  }

  /// Who holds a place with a session that is alive, and the index to compare with.
  private func holders(
    _ pairs: [KVPair]
  ) throws(RoostError) -> (held: Holders, modifyIndex: UInt64) {
    guard let pair = pairs.first(where: { $0.key == key }) else {
      return (Holders(Limit: limit, Holders: [:]), 0)
    }
    guard pair.flags == Self.flags else { throw .conflict("\(key) exists and is no semaphore") }
    var held = Holders(Limit: limit, Holders: [:])
    if !pair.value.isEmpty { held = try Roost.decode(Holders.self, pair.value) }
    guard held.Limit == limit else {
      throw .conflict("\(key) has \(held.Limit) places, not \(limit)")
    }
    let alive = pairs.compactMap { $0.key == key ? nil : $0.session }
    held.Holders = held.Holders.filter { alive.contains($0.key) }
    return (held, pair.modifyIndex)
  }

  private func write(_ holders: Holders, ifAt index: UInt64) throws(RoostError) -> Bool {
    let json: Data
    do {
      json = try JSONEncoder().encode(holders)
    } catch {
      throw .unexpectedAnswer(String(describing: error))
    }
    return try roost.put(key, Array(json), flags: Self.flags, cas: index)
  }
}
