package import Registry

/// What the leader times, and nobody else: TTL checks, sessions, services that stay critical.
///
/// Pure: it is told what changed, the renewals and the time, and says what has run out. A new leader
/// starts with nothing and gives every deadline its full time afresh, so a failover expires nothing
/// early. Times are nanoseconds on a monotonic clock. A change costs what it changes: the whole
/// state is looked at once per leadership.
package struct LeaderDeadlines {
  /// Folded names.
  package struct CheckKey: Hashable {
    package var node: String
    package var id: String
    package init(node: String, id: String) {
      self.node = foldedName(node)
      self.id = foldedName(id)
    }
    package init(_ check: CheckRecord) { self.init(node: check.node, id: check.id) }
  }
  package enum Key: Hashable {
    case ttl(CheckKey)
    case session(UniqueID)
    case deregister(CheckKey)
  }
  package enum Expired: Equatable {
    case ttl(CheckKey)
    case session(UniqueID)
    case deregister(CheckKey, serviceID: String, CheckUnchanged)
  }
  private struct Armed {
    var since: UInt64
    var duration: UInt64
  }

  /// A renewal that left its node in time may reach the leader a little late: a twentieth of the
  /// time, at most this.
  static let graceNanosecondsMax: UInt64 = 500_000_000
  /// Consul's least value of DeregisterCriticalServiceAfter.
  package static let deregisterLeastNanoseconds: UInt64 = 60_000_000_000
  package static let expiredOutput = "TTL expired"

  private let deregisterLeast: UInt64
  private var queue = DeadlineQueue<Key>()
  private var armed: [Key: Armed] = [:]
  /// Ran out and is being acted on: not timed again until that is settled.
  private var underWay: Set<Key> = []
  private var ttlCount = 0
  private var brake = ExpiryBrake()

  package init(deregisterLeast: UInt64 = Self.deregisterLeastNanoseconds) {
    self.deregisterLeast = deregisterLeast
  }

  var count: Int { queue.count }
  /// When the brake on mass expiry ends; nil: it is off.
  package var brakedUntil: UInt64? { brake.until }

  package mutating func reset() { self = LeaderDeadlines(deregisterLeast: deregisterLeast) }

  // MARK: Following the state

  /// A check as it is now: armed if it has a deadline and none runs yet.
  package mutating func follow(_ check: CheckRecord, now: UInt64) {
    let key = CheckKey(check)
    let hasExpired = check.status == "critical" && check.output == Self.expiredOutput
    if check.definition.ttl > 0, !hasExpired {
      arm(.ttl(key), UInt64(check.definition.ttl), restarts: true, now: now)
    } else {
      disarm(.ttl(key))
    }
    let after = check.definition.deregisterCriticalServiceAfter
    if after > 0, check.status == "critical", !check.serviceID.isEmpty {
      arm(.deregister(key), max(UInt64(after), deregisterLeast), restarts: false, now: now)
    } else {
      disarm(.deregister(key))
    }
  }

  /// What was applied to a check, and the check of that id as it is now, if there is one.
  package mutating func follow(_ change: AgentCheckChange, _ check: CheckRecord?, now: UInt64) {
    let key = CheckKey(node: change.node, id: change.id)
    guard let check, CheckKey(check) == key else { return forget(key) }
    // A new instance under an old id is not critical for as long as the one before it was.
    if change.status != "critical" || change.isRegistration { noteRecovery(key) }
    follow(check, now: now)
    if change.isRegistration, check.output != Self.expiredOutput { renew(check, now: now) }
  }

  package mutating func forget(_ check: CheckKey) {
    disarm(.ttl(check))
    disarm(.deregister(check))
  }

  /// It was not critical for a moment: the time of critical services starts over.
  package mutating func noteRecovery(_ check: CheckKey) { disarm(.deregister(check)) }

  package mutating func follow(_ session: SessionRecord, now: UInt64) {
    guard armed[.session(session.id)] == nil else { return }
    renew(session, now: now)
  }

  package mutating func forget(_ session: UniqueID) { disarm(.session(session)) }

  /// - Parameter restarts: a changed duration counts from now, not from the beginning.
  private mutating func arm(_ key: Key, _ duration: UInt64, restarts: Bool, now: UInt64) {
    if let old = armed[key], old.duration == duration { return }
    let since = restarts ? now : armed[key]?.since ?? now
    set(key, since: since, duration)
  }

  private mutating func set(_ key: Key, since: UInt64, _ duration: UInt64) {
    if armed.updateValue(Armed(since: since, duration: duration), forKey: key) == nil,
      case .ttl = key
    {
      ttlCount += 1
    }
    underWay.remove(key)
    let isRenewed = if case .deregister = key { false } else { true }
    let grace = isRenewed ? min(duration / 20, Self.graceNanosecondsMax) : 0
    queue.set(key, deadline: since + duration + grace)
  }

  private mutating func disarm(_ key: Key) {
    guard armed.removeValue(forKey: key) != nil else { return }
    if case .ttl = key { ttlCount -= 1 }
    underWay.remove(key)
    queue.remove(key)
  }

  // MARK: Renewals

  package mutating func renew(_ session: SessionRecord, now: UInt64) {
    guard session.ttlNanoseconds > 0 else { return }
    set(.session(session.id), since: now, UInt64(session.ttlNanoseconds))
  }

  package mutating func renew(_ check: CheckRecord, now: UInt64) {
    guard check.definition.ttl > 0 else { return }
    set(.ttl(CheckKey(check)), since: now, UInt64(check.definition.ttl))
  }

  // MARK: Expiry

  /// When something runs out next.
  mutating func earliest() -> UInt64? { queue.earliest() }

  /// What ran out by now. Each is named once; whoever acted on it calls `settle`.
  package mutating func takeExpired(now: UInt64, registry: Registry) -> [Expired] {
    var expired: [Expired] = []
    while let key = queue.takeDue(now: now) {
      switch key {
      case .ttl(let check):
        if let until = brake.delay(now: now, timed: ttlCount) {
          queue.set(key, deadline: until)
          continue
        }
        expired.append(.ttl(check))
      case .session(let id):
        expired.append(.session(id))
      case .deregister(let check):
        guard let record = registry.agentCheck(check.id, host: check.node),
          CheckKey(record) == check, record.status == "critical"
        else { continue }
        let condition = CheckUnchanged(checkID: record.id, modifyIndex: record.modifyIndex)
        expired.append(.deregister(check, serviceID: record.serviceID, condition))
      }
      underWay.insert(key)
    }
    return expired
  }

  /// It was acted on; what is still armed (no quorum for a moment, or it changed just then) runs
  /// out again at `retryAt`, unless it was renewed meanwhile.
  package mutating func settle(_ key: Key, retryAt: UInt64) {
    guard underWay.remove(key) != nil, armed[key] != nil else { return }
    queue.set(key, deadline: retryAt)
  }
}

/// Holds back expiries when very many happen at once: then it is rather the network or this
/// cluster that failed than each of the services (Eureka's self-preservation, with an end).
///
/// Up to a quarter of all TTL checks, and always `freeCount`, run out on time within `window`.
/// Beyond that nothing runs out for `pause`; then what was not renewed meanwhile does, without a
/// brake for as long as it takes to have quiet again. Pure.
struct ExpiryBrake {
  static let freeCount = 50
  static let window: UInt64 = 10_000_000_000
  static let pause: UInt64 = 30_000_000_000

  private var windowStart: UInt64 = 0
  private var expired = 0
  private(set) var until: UInt64?

  /// Nil: let it run out now; otherwise not before that time.
  mutating func delay(now: UInt64, timed: Int) -> UInt64? {
    if let until {
      if now < until { return until }
      // Quiet for a window after the pause: armed again.
      guard now >= until + Self.window else { return nil }
      self.until = nil
      expired = 0
    }
    if now >= windowStart + Self.window {
      windowStart = now
      expired = 0
    }
    guard expired >= max(Self.freeCount, timed / 4) else {
      expired += 1
      return nil
    }
    until = now + Self.pause
    return until
  }
}
