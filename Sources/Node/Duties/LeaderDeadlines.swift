import Registry

/// What the leader times, and nobody else: TTL checks, sessions, services that stay critical.
///
/// Pure: it is told the state, the renewals and the time, and says what has run out. A new leader
/// starts with nothing and gives every deadline its full time afresh, so a failover expires nothing
/// early. Times are nanoseconds on a monotonic clock.
struct LeaderDeadlines {
  enum Key: Hashable {
    case ttl(checkID: String, node: String)
    case session(UniqueID)
    case deregister(checkID: String, node: String)
  }
  enum Expired: Equatable {
    case ttl(checkID: String, node: String)
    case session(UniqueID)
    case deregister(serviceID: String, CheckUnchanged)
  }

  /// A renewal that left its node in time may reach the leader a little late.
  static let graceNanoseconds: UInt64 = 500_000_000
  /// Consul's least value of DeregisterCriticalServiceAfter.
  static let deregisterLeastNanoseconds: UInt64 = 60_000_000_000

  private var queue = DeadlineQueue<Key>()
  private var ttlOfCheck: [Key: UInt64] = [:]

  var count: Int { queue.count }

  mutating func reset() {
    queue.removeAll()
    ttlOfCheck.removeAll()
  }

  // MARK: Following the state

  /// Checks came, went, or changed status: new ones get their full time, vanished ones are dropped,
  /// the others keep the deadline they have.
  mutating func follow(checks: [CheckRecord], now: UInt64) {
    var wanted: Set<Key> = []
    for check in checks {
      if check.definition.ttl > 0 {
        let key = Key.ttl(checkID: check.id, node: check.node)
        let ttl = UInt64(check.definition.ttl)
        if check.status != "critical" || check.output != Self.expiredOutput {
          wanted.insert(key)
          if queue.deadline(of: key) == nil || ttlOfCheck[key] != ttl {
            ttlOfCheck[key] = ttl
            queue.set(key, deadline: now + ttl + Self.graceNanoseconds)
          }
        }
      }
      if check.definition.deregisterCriticalServiceAfter > 0, check.status == "critical",
        !check.serviceID.isEmpty
      {
        let key = Key.deregister(checkID: check.id, node: check.node)
        wanted.insert(key)
        if queue.deadline(of: key) == nil {
          let after = UInt64(check.definition.deregisterCriticalServiceAfter)
          queue.set(key, deadline: now + max(after, Self.deregisterLeastNanoseconds))
        }
      }
    }
    ttlOfCheck = ttlOfCheck.filter { wanted.contains($0.key) }
    queue.filter { key in
      if case .session = key { return true }
      return wanted.contains(key)
    }
  }

  mutating func follow(sessions: [SessionRecord], now: UInt64) {
    var wanted: Set<UniqueID> = []
    for session in sessions where session.ttlNanoseconds > 0 {
      wanted.insert(session.id)
      if queue.deadline(of: .session(session.id)) == nil { renew(session, now: now) }
    }
    queue.filter { key in
      if case .session(let id) = key { return wanted.contains(id) }
      return true
    }
  }

  // MARK: Renewals

  mutating func renew(_ session: SessionRecord, now: UInt64) {
    guard session.ttlNanoseconds > 0 else { return }
    let deadline = now + UInt64(session.ttlNanoseconds) + Self.graceNanoseconds
    queue.set(.session(session.id), deadline: deadline)
  }

  mutating func renew(_ check: CheckRecord, now: UInt64) {
    let ttl = UInt64(max(0, check.definition.ttl))
    let key = Key.ttl(checkID: check.id, node: check.node)
    ttlOfCheck[key] = ttl
    queue.set(key, deadline: now + ttl + Self.graceNanoseconds)
  }

  // MARK: Expiry

  static let expiredOutput = "TTL expired"

  /// What ran out by now. Each is named once; whoever fails to act on it calls `retry`.
  mutating func takeExpired(now: UInt64, registry: Registry) -> [Expired] {
    var expired: [Expired] = []
    while let key = queue.takeDue(now: now) {
      switch key {
      case .ttl(let checkID, let node):
        expired.append(.ttl(checkID: checkID, node: node))
      case .session(let id):
        expired.append(.session(id))
      case .deregister(let checkID, let node):
        guard let check = registry.agentCheck(checkID, host: node), check.status == "critical"
        else { continue }
        let condition = CheckUnchanged(checkID: checkID, modifyIndex: check.modifyIndex)
        expired.append(.deregister(serviceID: check.serviceID, condition))
      }
    }
    return expired
  }

  /// Acting on it failed (no quorum for a moment): it runs out again soon.
  mutating func retry(_ key: Key, at deadline: UInt64) {
    if queue.deadline(of: key) == nil { queue.set(key, deadline: deadline) }
  }
}
