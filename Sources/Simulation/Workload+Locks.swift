import Basics
import Registry

/// What a client with a session and a lock is doing.
enum LockStep: Equatable {
  case register
  case create(UniqueID)
  case renew(UniqueID)
  case acquire(UniqueID)
  /// Who has the lock, and under which token.
  case observe(UniqueID)
  /// What the lock protects, under a token.
  case write(UniqueID, isHolder: Bool)
  case release(UniqueID)
  case destroy(UniqueID)
}

/// What such a client knows.
struct LockState: Equatable {
  var isRegistered = false
  var session: UniqueID?
  /// It was told that it has the lock; the token is still to be read.
  var hasAcquired = false
  /// It holds the lock as far as it can know, under this token.
  var token: UInt64?
  /// The token of a lock that it had: for a write that must be refused, or do no harm.
  var oldToken: (session: UniqueID, token: UInt64)?

  static func == (a: LockState, b: LockState) -> Bool {
    a.session == b.session && a.token == b.token
  }
}

/// Sessions with a TTL, renewed or not, locks under them, and writes that only the holder may do.
extension Cluster {
  static func lockKey(_ lock: Int) -> Key { Key("lock/\(lock)") }

  func lockCall(_ client: Client, lock: Int) -> Call {
    let state = client.lock
    guard state.isRegistered else {
      let node = Registration(node: NodeRecord(name: "lockers", address: "127.0.0.1"))
      return lockWrite(.register, .register(node))
    }
    guard let session = state.session else { return create() }
    let age = world.now - (sessionLedger.known[session]?.sentAt ?? 0)
    if age > options.sessionMicroseconds / 3 { return renewal(session) }
    if options.keepsSessions, state.token != nil { return renewal(session) }
    guard let token = state.token else {
      if state.hasAcquired { return observation(session, lock: lock) }
      if let old = state.oldToken, old.session != session, world.random.chance(1, in: 3) {
        clients[client.number].lock.oldToken = nil
        return protectedWrite(old.session, token: old.token, lock: lock, isHolder: false)
      }
      return acquisition(session, lock: lock)
    }
    switch world.random.below(100) {
    case 0..<70: return protectedWrite(session, token: token, lock: lock, isHolder: true)
    case 70..<80:
      // Away for longer than the session lives, and then it writes as if nothing had been.
      clients[client.number].pauseMicroseconds =
        sessionLedger.most(options.sessionMicroseconds) + world.number(500_000...2_000_000)
      forgetLock(client.number, session: session)
      return renewal(session)
    case 80..<92:
      // A write that comes late must not meet the same session with the lock again: that one is
      // left to expire.
      forgetLock(client.number, session: session)
      clients[client.number].lock.session = nil
      return lockWrite(
        .release(session),
        .kvSet(KVSet(key: Self.lockKey(lock), value: [], flags: 0, mode: .release(session))))
    default:
      forgetLock(client.number, session: session)
      clients[client.number].lock.session = nil
      sessionLedger.endAsked(session)
      return lockWrite(.destroy(session), .sessionDestroy(session))
    }
  }

  /// From now on the client does not rely on the lock.
  private func forgetLock(_ number: Int, session: UniqueID) {
    if let token = clients[number].lock.token {
      clients[number].lock.oldToken = (session, token)
    }
    clients[number].lock.token = nil
    clients[number].lock.hasAcquired = false
  }

  private func lockWrite(_ step: LockStep, _ command: Command) -> Call {
    Call(
      kind: .write(command),
      requestID: UniqueID(high: world.random.next(), low: world.random.next()),
      attemptsLeft: Self.attemptsMax, lockStep: step)
  }

  private func create() -> Call {
    let id = UniqueID(high: world.random.next(), low: world.random.next())
    var session = SessionRecord(id: id, node: "lockers")
    session.lockDelay = Int64(world.number(0...2)) * 200_000_000
    session.ttl = "\(options.sessionMicroseconds / 1000)ms"
    session.ttlNanoseconds = Int64(options.sessionMicroseconds) * 1000
    return lockWrite(.create(id), .sessionCreate(session))
  }

  private func renewal(_ session: UniqueID) -> Call {
    Call(kind: .renew(session), attemptsLeft: Self.attemptsMax, lockStep: .renew(session))
  }

  private func acquisition(_ session: UniqueID, lock: Int) -> Call {
    let name = Array("\(session)".utf8)
    return lockWrite(
      .acquire(session),
      .kvSet(KVSet(key: Self.lockKey(lock), value: name, flags: 0, mode: .acquire(session))))
  }

  private func observation(_ session: UniqueID, lock: Int) -> Call {
    Call(
      kind: .read([Self.lockKey(lock)], .linearizable), attemptsLeft: Self.attemptsMax,
      lockStep: .observe(session))
  }

  private func protectedWrite(
    _ session: UniqueID, token: UInt64, lock: Int, isHolder: Bool
  ) -> Call {
    let key = Self.lockKey(lock)
    // Consul's way: the session must hold the key for the rest to happen.
    return lockWrite(
      .write(session, isHolder: isHolder),
      .transaction([
        .kv(KVOperation(verb: .checkSession, key: key, session: session)),
        .kv(
          KVOperation(
            verb: .set, key: SessionLedger.resource(key), value: Array(String(token).utf8))),
      ]))
  }

  // MARK: Answers

  func recordLock(_ call: Call, _ reply: Reply, of number: Int) {
    guard let step = call.lockStep else { return }
    switch (step, reply) {
    case (.register, .outcome(.done, _)): clients[number].lock.isRegistered = true
    case (.create(let id), .outcome(.done, _)):
      sessionLedger.acknowledged(id, sentAt: call.firstSentAt)
      clients[number].lock.session = id
    case (.renew(let id), .renewed(true)):
      sessionLedger.acknowledged(id, sentAt: call.sentAt)
    case (.renew(let id), .renewed(false)): sessionIsGone(id, number)
    case (.acquire(let id), .outcome(.refused, _)): sessionIsGone(id, number)
    case (.acquire(let id), .outcome(.flag(true), _)) where clients[number].lock.session == id:
      clients[number].lock.hasAcquired = true
    case (.observe(let id), .values(let entries, _)):
      clients[number].lock.hasAcquired = false
      if let entry = entries.first ?? nil, entry.session == id {
        clients[number].lock.token = entry.lockIndex
      } else {
        sessionLedger.wasRefused(id, at: world.now)
      }
    case (.write(let id, _), .outcome(.transaction(.committed), _)):
      sessionLedger.wrote(id, sentAt: call.firstSentAt)
    case (.write(_, false), .outcome(.transaction(.failed), _)): sessionLedger.lateWriteWasRefused()
    case (.write(let id, true), .outcome(.transaction(.failed), _)):
      sessionLedger.wasRefused(id, at: world.now)
      clients[number].lock.token = nil
    default: break
    }
    if let violation = sessionLedger.violation { fail(violation) }
  }

  private func sessionIsGone(_ id: UniqueID, _ number: Int) {
    sessionLedger.denied(id, at: world.now)
    guard clients[number].lock.session == id else { return }
    forgetLock(number, session: id)
    clients[number].lock.session = nil
  }

  /// Two clients that both may rely on one lock, when it goes to `holder`.
  func checkHolders(of lock: Int, now holder: UniqueID?) {
    for client in clients {
      guard client.workload == .locks(lock), client.lock.token != nil,
        let session = client.lock.session, session != holder
      else { continue }
      let until =
        sabotage == .trustsLocksForever ? UInt64.max : sessionLedger.reliableUntil(session) ?? 0
      if world.now < until {
        fail(
          "locks: \(holder.map { "\($0)" } ?? "nobody") holds lock \(lock) while client "
            + "\(client.number) may rely on it")
      }
    }
  }
}
