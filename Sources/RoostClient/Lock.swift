internal import Glibc

/// What a session can hold for its owner alone: a lock or a place in a semaphore.
public protocol Exclusion: Sendable {
  /// Waits until it is held, at most until the deadline; false when the time was up.
  func acquire(until deadline: ContinuousClock.Instant?) throws(RoostError) -> Bool
  /// Returns once it is held no longer.
  func waitUntilLost() throws(RoostError)
  func release() throws(RoostError)
}

/// A lock on `PREFIX/.lock`, as Consul's clients take it: the key is acquired by a session.
///
/// Happy path: `acquire` looks whether the key is free, takes it, or waits by a blocking query until
/// it changes. Failures: a key that something else uses is refused; a dead holder's key stays locked
/// for the session's lock delay, during which every attempt is refused.
public struct Lock: Exclusion {
  /// Marks the key as a lock, the same number as Consul's clients use.
  static let flags: UInt64 = 3_304_740_253_564_472_344
  /// Between attempts while a lock delay runs, which no blocking query tells the end of.
  private static let retryMicroseconds: UInt32 = 500_000

  private let roost: Roost
  public let key: String
  public let session: String

  public init(_ roost: Roost, prefix: String, session: String) {
    self.roost = roost
    self.session = session
    key = Self.key(prefix)
  }

  static func key(_ prefix: String) -> String {
    var rest = Substring(prefix)
    while rest.hasSuffix("/") { rest = rest.dropLast() }
    return rest + "/.lock"
  }

  public func acquire(until deadline: ContinuousClock.Instant?) throws(RoostError) -> Bool {
    var watch = Watch(roost, key: key)
    while true {
      if let seconds = secondsLeft(deadline) {
        guard seconds > 0 else { return false }
        watch.waitSeconds = min(60, seconds)
      }
      let pair = try Roost.pairs(watch.poll()).first
      if let pair, pair.flags != Self.flags {
        throw .conflict("\(key) exists and is not a lock")
      }
      if pair?.session == session { return true }
      guard pair?.session == nil else { continue }
      if try roost.acquire(key, [], session: session, flags: Self.flags) { return true }
      // Refused although free: the lock delay of a holder that died.
      usleep(Self.retryMicroseconds)
      watch = Watch(roost, key: key)
    }
  }

  public func waitUntilLost() throws(RoostError) {
    var watch = Watch(roost, key: key)
    while true {
      guard try Roost.pairs(watch.poll()).first?.session == session else { return }
    }
  }

  public func release() throws(RoostError) {
    _ = try roost.release(key, session: session, flags: Self.flags)
    // Nobody else may hold it by now, or the conditional delete does nothing.
    if let pair = try roost.get(key), pair.session == nil {
      _ = try roost.delete(key, cas: pair.modifyIndex)
    }
  }
}

/// Whole seconds until then, at least 1 while there is time; nil without a deadline.
func secondsLeft(_ deadline: ContinuousClock.Instant?) -> Int? {
  guard let deadline else { return nil }
  let left = ContinuousClock.now.duration(to: deadline)
  return left <= .zero ? 0 : max(1, Int(left.components.seconds))
}
