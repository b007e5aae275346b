import Testing

@testable import Node
@testable import Registry

struct DeadlineQueueTests {
  @Test func takesInOrderOfTime() {
    var queue = DeadlineQueue<Int>()
    for (key, deadline) in [(1, 30), (2, 10), (3, 20)] {
      queue.set(key, deadline: UInt64(deadline))
    }
    let taken1 = queue.takeDue(now: 5)
    #expect(taken1 == nil)
    let taken2 = queue.takeDue(now: 100)
    #expect(taken2 == 2)
    let taken3 = queue.takeDue(now: 100)
    #expect(taken3 == 3)
    let taken4 = queue.takeDue(now: 100)
    #expect(taken4 == 1)
    let taken5 = queue.takeDue(now: 100)
    #expect(taken5 == nil)
  }

  @Test func aMovedDeadlineCountsOnce() {
    var queue = DeadlineQueue<Int>()
    queue.set(1, deadline: 10)
    queue.set(1, deadline: 20)
    let taken6 = queue.takeDue(now: 15)
    #expect(taken6 == nil)
    let taken7 = queue.takeDue(now: 20)
    #expect(taken7 == 1)
    let taken8 = queue.takeDue(now: 100)
    #expect(taken8 == nil)
  }

  /// Random operations against a dictionary; renewals do not make it grow.
  @Test func behavesLikeADictionary() {
    var queue = DeadlineQueue<Int>()
    var model: [Int: UInt64] = [:]
    var state: UInt64 = 11
    func next(_ bound: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % bound
    }
    var now: UInt64 = 0
    for _ in 0..<20_000 {
      let key = Int(next(50))
      switch next(4) {
      case 0, 1:
        let deadline = now + next(100)
        queue.set(key, deadline: deadline)
        model[key] = deadline
      case 2:
        queue.remove(key)
        model[key] = nil
      default:
        now += next(10)
        while let due = queue.takeDue(now: now) {
          #expect(model.removeValue(forKey: due).map { $0 <= now } == true)
        }
        #expect(!model.values.contains { $0 <= now })
      }
      #expect(queue.count == model.count)
    }
  }
}

private let second: UInt64 = 1_000_000_000

struct LeaderDeadlineTests {
  private typealias CheckKey = LeaderDeadlines.CheckKey
  private let registry = Registry(options: Registry.Options())
  private let c = LeaderDeadlines.CheckKey(node: "n", id: "c")

  private func ttlCheck(_ id: String, seconds: Int64, status: String = "passing") -> CheckRecord {
    var check = CheckRecord(node: "N", id: id, name: id)
    check.definition.ttl = seconds * 1_000_000_000
    check.status = status
    check.origin = .agent
    check.serviceID = "s"
    return check
  }

  @Test func aTTLRunsOutAfterItsTimeAndNeverBefore() {
    var deadlines = LeaderDeadlines()
    deadlines.follow(ttlCheck("C", seconds: 10), now: 0)
    let early = deadlines.takeExpired(now: 10 * second, registry: registry)
    #expect(early.isEmpty)
    let due = deadlines.takeExpired(now: 11 * second, registry: registry)
    #expect(due == [.ttl(c)])
    let later = deadlines.takeExpired(now: 99 * second, registry: registry)
    #expect(later.isEmpty)
  }

  @Test func aRenewalGivesTheFullTimeAgain() {
    var deadlines = LeaderDeadlines()
    let check = ttlCheck("c", seconds: 10)
    deadlines.follow(check, now: 0)
    deadlines.renew(check, now: 9 * second)
    deadlines.follow(check, now: 9 * second)
    let early = deadlines.takeExpired(now: 19 * second, registry: registry)
    #expect(early.isEmpty)
    let due = deadlines.takeExpired(now: 20 * second, registry: registry)
    #expect(due.count == 1)
  }

  @Test func aShortTTLHasAShortGrace() {
    var deadlines = LeaderDeadlines()
    var check = ttlCheck("c", seconds: 0)
    check.definition.ttl = 100_000_000
    let none = deadlines.earliest()
    deadlines.follow(check, now: 0)
    let next = deadlines.earliest()
    #expect(none == nil && next == 105_000_000)
    let early = deadlines.takeExpired(now: 104_999_999, registry: registry)
    let due = deadlines.takeExpired(now: 105_000_000, registry: registry)
    #expect(early.isEmpty && due == [.ttl(c)])
    let last = deadlines.earliest()
    #expect(last == nil)
  }

  @Test func anotherTTLCountsFromItsChange() {
    var deadlines = LeaderDeadlines()
    deadlines.follow(ttlCheck("c", seconds: 10), now: 0)
    deadlines.follow(ttlCheck("c", seconds: 3), now: 9 * second)
    let early = deadlines.takeExpired(now: 12 * second, registry: registry)
    #expect(early.isEmpty)
    let due = deadlines.takeExpired(now: 13 * second, registry: registry)
    #expect(due.count == 1)
  }

  @Test func aVanishedCheckIsForgotten() {
    var deadlines = LeaderDeadlines()
    deadlines.follow(ttlCheck("c", seconds: 1), now: 0)
    deadlines.forget(c)
    let due = deadlines.takeExpired(now: 99 * second, registry: registry)
    #expect(due.isEmpty)
    #expect(deadlines.count == 0)
  }

  /// Between running out and the entry's apply the check still looks alive: it must not get its
  /// full time again, and must run out again soon when acting on it failed.
  @Test func whatCouldNotBeActedOnRunsOutAgainSoon() {
    var deadlines = LeaderDeadlines()
    let check = ttlCheck("c", seconds: 10)
    deadlines.follow(check, now: 0)
    _ = deadlines.takeExpired(now: 11 * second, registry: registry)
    deadlines.follow(check, now: 11 * second)
    deadlines.settle(.ttl(c), retryAt: 12 * second)
    let due = deadlines.takeExpired(now: 12 * second, registry: registry)
    #expect(due == [.ttl(c)])
    deadlines.renew(check, now: 12 * second)
    deadlines.settle(.ttl(c), retryAt: 13 * second)
    let renewed = deadlines.takeExpired(now: 22 * second, registry: registry)
    #expect(renewed.isEmpty, "renewed while it was being acted on")
  }

  @Test func anExpiredCheckIsNotTimedUntilItLivesAgain() {
    var deadlines = LeaderDeadlines()
    var check = ttlCheck("c", seconds: 10)
    deadlines.follow(check, now: 0)
    check.status = "critical"
    check.output = LeaderDeadlines.expiredOutput
    deadlines.follow(check, now: second)
    #expect(deadlines.count == 0)
    check.status = "passing"
    deadlines.follow(check, now: second)
    #expect(deadlines.count == 1)
  }

  @Test func aMomentOfHealthStartsTheCriticalTimeOver() {
    var check = ttlCheck("c", seconds: 0, status: "critical")
    check.definition.deregisterCriticalServiceAfter = 1
    var deadlines = LeaderDeadlines(deregisterLeast: 10 * second)
    deadlines.follow(check, now: 0)
    // Passing and critical again within one turn: the state at its end looks the same.
    deadlines.noteRecovery(c)
    deadlines.follow(check, now: 9 * second)
    #expect(deadlines.count == 1)
    let early = deadlines.takeExpired(now: 18 * second, registry: registry)
    #expect(early.isEmpty)
    #expect(deadlines.count == 1)
  }

  @Test func aNewRegistrationStartsTheCriticalTimeOver() {
    var check = ttlCheck("c", seconds: 0, status: "critical")
    check.definition.deregisterCriticalServiceAfter = 1
    var deadlines = LeaderDeadlines(deregisterLeast: 10 * second)
    deadlines.follow(check, now: 0)
    var change = AgentCheckChange(node: c.node, id: c.id, status: "critical")
    // Critical with another output: the time goes on.
    deadlines.follow(change, check, now: 5 * second)
    #expect(deadlines.earliest() == 10 * second)
    change.isRegistration = true
    deadlines.follow(change, check, now: 9 * second)
    #expect(deadlines.earliest() == 19 * second)
    deadlines.follow(change, nil, now: 10 * second)
    #expect(deadlines.count == 0)
  }

  @Test func sessionsRunOutWithinASecondOfTheirTTL() {
    var deadlines = LeaderDeadlines()
    var session = SessionRecord(id: UniqueID(high: 1, low: 2), node: "n")
    session.ttlNanoseconds = Int64(10 * second)
    deadlines.follow(session, now: 0)
    deadlines.renew(session, now: 5 * second)
    deadlines.follow(session, now: 6 * second)
    let early = deadlines.takeExpired(now: 15 * second, registry: registry)
    #expect(early.isEmpty)
    let due = deadlines.takeExpired(now: 16 * second, registry: registry)
    #expect(due == [.session(session.id)])
  }

  @Test func aNewLeaderStartsAfresh() {
    var deadlines = LeaderDeadlines()
    deadlines.follow(ttlCheck("c", seconds: 10), now: 0)
    deadlines.reset()
    deadlines.follow(ttlCheck("c", seconds: 10), now: 9 * second)
    let due = deadlines.takeExpired(now: 18 * second, registry: registry)
    #expect(due.isEmpty)
  }

  /// fault-scenarios.md R4: half of all heartbeats vanish at once.
  @Test func aMassExpiryIsHeldBackAndEndsByItself() {
    var deadlines = LeaderDeadlines()
    for number in 0..<400 {
      let check = ttlCheck("c\(number)", seconds: 10)
      deadlines.follow(check, now: 0)
      if number >= 200 { deadlines.renew(check, now: 9 * second) }
    }
    let first = deadlines.takeExpired(now: 11 * second, registry: registry)
    #expect(first.count == 100, "a quarter goes at once")
    #expect(deadlines.brakedUntil == 41 * second)
    for number in 200..<400 {
      deadlines.renew(ttlCheck("c\(number)", seconds: 100), now: 12 * second)
    }
    // Half of the others come back meanwhile.
    for number in 0..<200 where !first.contains(.ttl(CheckKey(node: "n", id: "c\(number)"))) {
      if number % 2 == 0 {
        deadlines.renew(ttlCheck("c\(number)", seconds: 100), now: 20 * second)
      }
    }
    let braked = deadlines.takeExpired(now: 40 * second, registry: registry)
    #expect(braked.isEmpty)
    let after = deadlines.takeExpired(now: 41 * second, registry: registry)
    #expect(!after.isEmpty && after.count < 100)
    #expect(after.count + first.count >= 140)
  }
}

struct HostWatchTests {
  private func member(_ name: String, _ contact: UInt64?, isSelf: Bool = false)
    -> HostWatch.Member
  { HostWatch.Member(name: name, lastContact: contact, isSelf: isSelf) }

  private func host(_ name: String, _ isPassing: Bool = true, _ services: [String] = [])
    -> HostWatch.Host
  { HostWatch.Host(name: name, isPassing: isPassing, services: services) }

  @Test func silenceForTheFullTimeCondemns() {
    var watch = HostWatch(deadAfter: 2000)
    watch.startLeading(now: 0)
    let members = [member("a", nil, isSelf: true), member("b", 1000), member("c", 2500)]
    let hosts = [host("a"), host("b"), host("c")]
    let early = watch.judge(members: members, hosts: hosts, now: 2999)
    #expect(early.isEmpty)
    let due = watch.judge(members: members, hosts: hosts, now: 3000)
    #expect(due == [.down(host: "b", liveHosts: ["a", "c"])])
  }

  @Test func aNewLeaderCondemnsNobodyEarly() {
    var watch = HostWatch(deadAfter: 2000)
    watch.startLeading(now: 10_000)
    let members = [member("a", nil, isSelf: true), member("b", nil)]
    let early = watch.judge(members: members, hosts: [host("a"), host("b")], now: 11_999)
    #expect(early.isEmpty)
    let due = watch.judge(members: members, hosts: [host("a"), host("b")], now: 12_000)
    #expect(due.count == 1)
  }

  @Test func aHostThatIsNoMemberIsGone() {
    var watch = HostWatch(deadAfter: 2000)
    let verdicts = watch.judge(
      members: [member("a", nil, isSelf: true)], hosts: [host("a"), host("x", false)], now: 0)
    #expect(verdicts == [.gone(host: "x", liveHosts: ["a"])])
  }

  /// The catalog keeps a name in whatever case it was written last.
  @Test func namesAreComparedAsTheCatalogDoes() {
    var watch = HostWatch(deadAfter: 2000)
    let verdicts = watch.judge(
      members: [member("node1", nil, isSelf: true), member("node2", 100)],
      hosts: [host("NODE1"), host("Node2")], now: 200)
    #expect(verdicts.isEmpty)
  }

  @Test func theDeadAreCondemnedOnce() {
    var watch = HostWatch(deadAfter: 2000)
    let verdicts = watch.judge(
      members: [member("a", nil, isSelf: true), member("b", nil)],
      hosts: [host("a"), host("b", false)], now: 9999)
    #expect(verdicts.isEmpty)
  }

  @Test func servicesMoveOnlyToHostsThatAreAliveAndPassing() {
    var watch = HostWatch(deadAfter: 2000)
    let verdicts = watch.judge(
      members: [member("a", nil, isSelf: true), member("b", nil), member("c", 9000)],
      hosts: [host("a"), host("b"), host("c", false)], now: 9999)
    #expect(verdicts == [.down(host: "b", liveHosts: ["a"])])
  }

  /// Registered through a host that was found dead before, or that nobody could take then.
  @Test func whatWasLeftBehindIsTriedAgainWhenSomethingChanged() {
    var watch = HostWatch(deadAfter: 2000)
    let members = [member("a", nil, isSelf: true), member("b", nil), member("c", 9000)]
    let left = [host("a"), host("b", false, ["web"]), host("c", false)]
    let first = watch.judge(members: members, hosts: left, now: 9999)
    #expect(first == [.down(host: "b", liveHosts: ["a"])])
    let second = watch.judge(members: members, hosts: left, now: 9999)
    #expect(second.isEmpty)
    let more = [host("a"), host("b", false, ["web"]), host("c")]
    let third = watch.judge(members: members, hosts: more, now: 9999)
    #expect(third == [.down(host: "b", liveHosts: ["a", "c"])])
  }
}

struct OutputBudgetTests {
  @Test func aBurstThenOneAMinute() {
    var budget = OutputBudget()
    for _ in 0..<OutputBudget.burst {
      let taken = budget.take("c", now: 1)
      #expect(taken)
    }
    let taken18 = budget.take("c", now: 2)
    #expect(!taken18)
    let taken19 = budget.take("other", now: 2)
    #expect(taken19)
    let taken20 = budget.take("c", now: 60_000_000_001)
    #expect(taken20)
    let taken21 = budget.take("c", now: 60_000_000_002)
    #expect(!taken21)
  }
}

struct LogThrottleTests {
  @Test func theSameIsSaidOncePerPeriod() {
    var throttle = LogThrottle()
    let first = throttle.admit("a", now: 1)
    let second = throttle.admit("a", now: 2)
    let other = throttle.admit("b", now: 2)
    let later = throttle.admit("a", now: 1 + LogThrottle.periodNanoseconds)
    #expect(first == 0)
    #expect(second == nil)
    #expect(other == 0)
    #expect(later == 1)
  }

  @Test func itStaysBounded() {
    var throttle = LogThrottle()
    for number in 0..<1000 { _ = throttle.admit("k\(number)", now: UInt64(number)) }
    let forgotten = throttle.admit("k0", now: 1001)
    #expect(forgotten == 0)
  }
}
