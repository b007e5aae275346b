import Registry

/// What sessions, locks and fencing promise, judged by a clock that nobody in the run can see.
///
/// Happy path: clients say when they send and what they were told; the first node that applies an
/// entry says what became of sessions and locks. Failures: a session that ends before the TTL of
/// its last acknowledged renewal, or long after the last one that was sent; a renewal acknowledged
/// for a session that is gone; a lock that goes to another while its holder may rely on it; a token
/// that does not grow; a write under an old token.
struct SessionLedger {
  struct Known {
    var client: Int
    var ttl: UInt64
    /// When the last acknowledged renewal (or the creation) was sent; nil: none was.
    var renewedAt: UInt64?
    /// When the last one was sent, whatever came of it.
    var sentAt: UInt64
    var isCreated = false
    /// When it was applied first: its time begins then, however long it waited in the log.
    var createdAt: UInt64 = 0
    var endedAt: UInt64?
    /// Its client wants it gone.
    var isEndAsked = false
  }
  /// Looked up by id; iterated only by `order`.
  private(set) var known: [UniqueID: Known] = [:]
  private var order: [UniqueID] = []
  /// The highest token of each lock, and the last one used for a write, by lock.
  private var lockTokens: [UInt64]
  private var usedTokens: [UInt64]
  private var holders: [UniqueID?]
  /// Clocks run by so much slower or faster.
  let driftPermille: UInt64
  private(set) var violation: String?
  private(set) var expiries: UInt64 = 0
  /// Writes under a token of the past.
  private(set) var lateWrites: UInt64 = 0

  init(locks: Int, driftPermille: UInt64) {
    lockTokens = Array(repeating: 0, count: locks)
    usedTokens = lockTokens
    holders = Array(repeating: nil, count: locks)
    self.driftPermille = driftPermille
  }

  private mutating func fail(_ text: String) { if violation == nil { violation = text } }

  /// What a client may rely on with the worst of clocks.
  func least(_ ttl: UInt64) -> UInt64 { ttl * (1000 - driftPermille) / 1000 }
  func most(_ ttl: UInt64) -> UInt64 { ttl * (1000 + driftPermille) / 1000 }

  /// Nothing may end it before that moment.
  func reliableUntil(_ id: UniqueID) -> UInt64? {
    guard let session = known[id], let renewedAt = session.renewedAt, !session.isEndAsked else {
      return nil
    }
    return renewedAt + least(session.ttl)
  }

  // MARK: What clients tell

  mutating func sent(_ id: UniqueID, by client: Int, ttl: UInt64, at now: UInt64) {
    if known[id] == nil {
      order.append(id)
      known[id] = Known(client: client, ttl: ttl, sentAt: now)
    }
    known[id]?.sentAt = now
  }

  mutating func endAsked(_ id: UniqueID) { known[id]?.isEndAsked = true }

  /// A renewal or a creation that was sent at `sentAt` is acknowledged.
  mutating func acknowledged(_ id: UniqueID, sentAt: UInt64) {
    guard var session = known[id] else { return }
    if let endedAt = session.endedAt, !session.isEndAsked, endedAt < sentAt + least(session.ttl) {
      fail(
        "sessions: \(id) was acknowledged at \(sentAt / 1000) ms or later, and ended at "
          + "\(endedAt / 1000) ms")
    }
    session.renewedAt = max(session.renewedAt ?? 0, sentAt)
    known[id] = session
  }

  /// A client was told that its session does not exist.
  mutating func denied(_ id: UniqueID, at now: UInt64) {
    guard let until = reliableUntil(id), now < until else { return }
    fail("sessions: \(id) is said to be gone at \(now / 1000) ms, before its TTL ran out")
  }

  /// A write under a lock succeeded; it was sent at `sentAt`.
  mutating func wrote(_ id: UniqueID, sentAt: UInt64) {
    guard let endedAt = known[id]?.endedAt, endedAt < sentAt else { return }
    fail("fencing: a write of session \(id) is taken after the session ended")
  }

  mutating func lateWriteWasRefused() { lateWrites += 1 }

  /// A write under a lock was refused; the client held it when it sent that.
  mutating func wasRefused(_ id: UniqueID, at now: UInt64) {
    guard let until = reliableUntil(id), now < until else { return }
    fail("locks: a write of session \(id) is refused while it holds the lock")
  }

  // MARK: What the state machine did

  /// Called for the first apply of each index.
  mutating func applied(_ registry: Registry, _ changes: ChangeSet, locks: [Key], at now: UInt64) {
    for id in changes.sessionIDs where known[id] != nil {
      let isThere = registry.session(id) != nil
      guard isThere else {
        ended(id, at: now)
        continue
      }
      if known[id]?.isCreated == false { known[id]?.createdAt = now }
      known[id]?.isCreated = true
    }
    for (place, key) in locks.enumerated() {
      if changes.keys.contains(key) { lockChanged(place, registry.kv(key), at: now) }
      let resource = Self.resource(key)
      guard changes.keys.contains(resource), let entry = registry.kv(resource) else { continue }
      let token = UInt64(String(decoding: entry.value, as: UTF8.self)) ?? 0
      if token < usedTokens[place] || token != registry.kv(key)?.lockIndex {
        fail("fencing: a write under token \(token) of \(key), after \(usedTokens[place])")
      }
      usedTokens[place] = token
    }
  }

  private mutating func ended(_ id: UniqueID, at now: UInt64) {
    if let until = reliableUntil(id), now < until {
      fail(
        "sessions: \(id) ends at \(now / 1000) ms, promised until \(until / 1000) ms at least")
    }
    if known[id]?.isEndAsked == false { expiries += 1 }
    known[id]?.endedAt = now
  }

  private mutating func lockChanged(_ place: Int, _ entry: KVEntry?, at now: UInt64) {
    let holder = entry?.session
    defer { holders[place] = holder }
    guard let holder, holder != holders[place] else { return }
    let token = entry?.lockIndex ?? 0
    if token <= lockTokens[place] {
      fail("locks: token \(token) of a new holder, after \(lockTokens[place])")
    }
    lockTokens[place] = max(lockTokens[place], token)
  }

  /// Where what a lock protects is written.
  static func resource(_ lock: Key) -> Key { Key("\(lock)/resource") }

  // MARK: The end

  /// A session that lives although nobody renewed it since so long before; `since`: when the
  /// present leader began. One whose end is in the leader's log waits for its commit, however long
  /// the queue before it is; that all end is judged when the load has ended.
  func overdue(
    leaderSince since: UInt64, at now: UInt64, straggling: UInt64, ending: [UniqueID],
    registry: Registry
  ) -> String? {
    for id in order {
      guard let session = known[id], session.isCreated, session.endedAt == nil, !ending.contains(id)
      else { continue }
      // Half a second of grace, looked at every 0.1 s, and a commit.
      let begin = max(session.sentAt + straggling, session.createdAt, since)
      let bound = begin + most(session.ttl + 1_000_000) + 500_000
      guard now > bound else { continue }
      let known = registry.session(id).map { "\($0)" } ?? "not known to the leader"
      return "sessions: \(id) lives \((now - bound) / 1000) ms too long: \(known)"
    }
    return nil
  }

  var areAllEnded: Bool {
    order.allSatisfy { known[$0].map { !$0.isCreated || $0.endedAt != nil } ?? true }
  }
}
