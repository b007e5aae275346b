import Registry
import Testing

@testable import Node

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

struct LeaderDeadlineTests {
  private func ttlCheck(_ id: String, seconds: Int64, status: String = "passing") -> CheckRecord {
    var check = CheckRecord(node: "n", id: id, name: id)
    check.definition.ttl = seconds * 1_000_000_000
    check.status = status
    check.origin = .agent
    check.serviceID = "s"
    return check
  }
  private let second: UInt64 = 1_000_000_000

  @Test func aTTLRunsOutAfterItsTimeAndNeverBefore() {
    var deadlines = LeaderDeadlines()
    let registry = Registry(options: Registry.Options())
    deadlines.follow(checks: [ttlCheck("c", seconds: 10)], now: 0)
    let taken9 = deadlines.takeExpired(now: 10 * second, registry: registry)
    #expect(taken9.isEmpty)
    let taken10 = deadlines.takeExpired(now: 11 * second, registry: registry)
    #expect(taken10 == [.ttl(checkID: "c", node: "n")])
    let taken11 = deadlines.takeExpired(now: 99 * second, registry: registry)
    #expect(taken11.isEmpty)
  }

  @Test func aRenewalGivesTheFullTimeAgain() {
    var deadlines = LeaderDeadlines()
    let registry = Registry(options: Registry.Options())
    let check = ttlCheck("c", seconds: 10)
    deadlines.follow(checks: [check], now: 0)
    deadlines.renew(check, now: 9 * second)
    deadlines.follow(checks: [check], now: 9 * second)
    let taken12 = deadlines.takeExpired(now: 19 * second, registry: registry)
    #expect(taken12.isEmpty)
    let taken13 = deadlines.takeExpired(now: 20 * second, registry: registry)
    #expect(taken13.count == 1)
  }

  @Test func aVanishedCheckIsForgotten() {
    var deadlines = LeaderDeadlines()
    let registry = Registry(options: Registry.Options())
    deadlines.follow(checks: [ttlCheck("c", seconds: 1)], now: 0)
    deadlines.follow(checks: [], now: 0)
    let taken14 = deadlines.takeExpired(now: 99 * second, registry: registry)
    #expect(taken14.isEmpty)
  }

  @Test func sessionsRunOutWithinASecondOfTheirTTL() {
    var deadlines = LeaderDeadlines()
    let registry = Registry(options: Registry.Options())
    var session = SessionRecord(id: UniqueID(high: 1, low: 2), node: "n")
    session.ttlNanoseconds = Int64(10 * second)
    deadlines.follow(sessions: [session], now: 0)
    deadlines.renew(session, now: 5 * second)
    deadlines.follow(sessions: [session], now: 6 * second)
    let taken15 = deadlines.takeExpired(now: 15 * second, registry: registry)
    #expect(taken15.isEmpty)
    #expect(
      deadlines.takeExpired(now: 16 * second, registry: registry) == [.session(session.id)])
  }

  @Test func aNewLeaderStartsAfresh() {
    var deadlines = LeaderDeadlines()
    let registry = Registry(options: Registry.Options())
    deadlines.follow(checks: [ttlCheck("c", seconds: 10)], now: 0)
    deadlines.reset()
    deadlines.follow(checks: [ttlCheck("c", seconds: 10)], now: 9 * second)
    let taken16 = deadlines.takeExpired(now: 18 * second, registry: registry)
    #expect(taken16.isEmpty)
  }
}

struct HostWatchTests {
  private func member(_ name: String, _ contact: UInt64?, isSelf: Bool = false)
    -> HostWatch.Member
  { HostWatch.Member(name: name, lastContact: contact, isSelf: isSelf) }

  @Test func silenceForTheFullTimeCondemns() {
    var watch = HostWatch(deadAfter: 2000)
    watch.startLeading(now: 0)
    let members = [member("a", nil, isSelf: true), member("b", 1000), member("c", 2500)]
    let hosts = [("a", true), ("b", true), ("c", true)].map { (name: $0.0, isPassing: $0.1) }
    #expect(watch.judge(members: members, hosts: hosts, now: 2999).isEmpty)
    #expect(
      watch.judge(members: members, hosts: hosts, now: 3000)
        == [.down(host: "b", liveHosts: ["a", "c"])])
  }

  @Test func aNewLeaderCondemnsNobodyEarly() {
    var watch = HostWatch(deadAfter: 2000)
    watch.startLeading(now: 10_000)
    let members = [member("a", nil, isSelf: true), member("b", nil)]
    let hosts = [(name: "a", isPassing: true), (name: "b", isPassing: true)]
    #expect(watch.judge(members: members, hosts: hosts, now: 11_999).isEmpty)
    #expect(watch.judge(members: members, hosts: hosts, now: 12_000).count == 1)
  }

  @Test func aHostThatIsNoMemberIsGone() {
    let watch = HostWatch(deadAfter: 2000)
    let verdicts = watch.judge(
      members: [member("a", nil, isSelf: true)],
      hosts: [(name: "a", isPassing: true), (name: "x", isPassing: false)], now: 0)
    #expect(verdicts == [.gone(host: "x", liveHosts: ["a"])])
  }

  @Test func theDeadAreCondemnedOnce() {
    let watch = HostWatch(deadAfter: 2000)
    let verdicts = watch.judge(
      members: [member("a", nil, isSelf: true), member("b", nil)],
      hosts: [(name: "b", isPassing: false)], now: 9999)
    #expect(verdicts.isEmpty)
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
