import EventLoop
import HTTP
import Raft
import Registry
import Testing

@testable import Node

private let millisecond: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000

@Suite(.serialized, .timeLimit(.minutes(10)))
struct DutiesTests {
  /// fault-scenarios.md R2.
  @Test func checksOfADeadHostAreRunByTheOthers() throws {
    let t = try DutyCluster()
    let dead = t.followerIndex
    let name = t.cluster.places[dead].name
    let ids = (0..<6).map { "web\($0)" }
    for id in ids {
      t.register(id, through: dead) {
        $0.interval = Int64(200 * millisecond)
        if id == "web0" { $0.tcp = "\(t.server.localAddress)" } else { $0.http = t.url(id) }
      }
    }
    #expect(t.run { ids.allSatisfy { t.check($0 + "-check")?.status == "passing" } })
    #expect(t.duty(dead).probeCount == 6 && t.probeCount == 6)

    t.kill(dead)
    let killed = t.loop.now
    let before = t.probes.count
    var wasAlwaysPassing = true
    let areAllProbed = t.run {
      for id in ids where t.check(id + "-check")?.status != "passing" { wasAlwaysPassing = false }
      return ids.dropFirst().allSatisfy { id in
        t.probes[before...].contains { $0.path.hasSuffix(id) }
      } && t.probeCount == 6
    }
    #expect(areAllProbed, "after 3 s only \(t.probes.count - before) probes")
    #expect(wasAlwaysPassing)
    let took = (t.loop.now - killed) / millisecond
    #expect(took < 1500, "took \(took) ms with 500 ms to be found dead")
    #expect(t.run { t.cluster.running.allSatisfy { t.serf($0, name) == "critical" } })
    #expect(ids.allSatisfy { t.check($0 + "-check")?.node != name })

    // Each check is run by one node: five HTTP checks, five probes a second each.
    let start = t.probes.count
    t.pass(1)
    #expect((20...30).contains(t.probes.count - start), "\(t.probes.count - start) probes")

    try t.start(dead)
    #expect(t.run { t.cluster.running.allSatisfy { t.serf($0, name) == "passing" } })
    t.pass(0.3)
    #expect(t.probeCount == 6 && t.duty(dead).probeCount == 0, "services stay where they are")
    #expect(ids.allSatisfy { t.check($0 + "-check")?.status == "passing" })
    t.end()
  }

  @Test func checksOfADeadLeaderAreRunByTheOthers() throws {
    let t = try DutyCluster()
    let dead = t.leaderIndex
    t.register("web", through: dead) {
      $0.interval = Int64(100 * millisecond)
      $0.http = t.url("web")
    }
    #expect(t.run { t.check("web-check")?.status == "passing" })
    t.kill(dead)
    let killed = t.loop.now
    let before = t.probes.count
    #expect(t.run { t.probes.count > before })
    let took = (t.loop.now - killed) / millisecond
    #expect(took < 2000, "took \(took) ms")
    #expect(t.check("web-check", t.cluster[t.followerIndex])?.status == "passing")
    t.end()
  }

  @Test func aTTLRunsOutNotBeforeItsTimeAndAtMostASecondLater() throws {
    let t = try DutyCluster()
    t.register("web", through: t.followerIndex, status: "passing") { $0.ttl = Int64(second) }
    for _ in 0..<4 {
      #expect(t.update("web-check", "passing", through: t.followerIndex) == .success(.done))
      t.pass(0.4)
    }
    #expect(t.check("web-check")?.status == "passing")
    let asked = t.loop.now
    #expect(t.update("web-check", "passing", through: t.leaderIndex) == .success(.done))
    let answered = t.loop.now
    #expect(t.run { t.check("web-check")?.status == "critical" })
    #expect(t.loop.now - asked >= second, "early by \((second - (t.loop.now - asked)) / 1000) us")
    #expect(t.loop.now - answered <= 2 * second, "took \((t.loop.now - answered) / millisecond) ms")
    #expect(t.check("web-check")?.output == "TTL expired")
    // It lives again with the next update.
    #expect(t.update("web-check", "passing", through: t.followerIndex) == .success(.done))
    #expect(t.check("web-check")?.status == "passing")
    t.end()
  }

  /// Clients that register again instead of renewing are alive, too.
  @Test func registeringAgainRenewsATTL() throws {
    let t = try DutyCluster(1)
    for _ in 0..<6 {
      t.register("web", through: 0, status: "passing") { $0.ttl = Int64(second) }
      t.pass(0.5)
      #expect(t.check("web-check")?.status == "passing")
    }
    #expect(t.run { t.check("web-check")?.status == "critical" })
    t.end()
  }

  /// fault-scenarios.md T8.
  @Test func nothingRunsOutEarlyThroughTwoLeaderChanges() throws {
    let t = try DutyCluster()
    let ttl = 2 * second
    t.register("web", through: t.leaderIndex, status: "passing") { $0.ttl = Int64(ttl) }
    let session = t.createSession(1, ttl: 2, node: t.leaderIndex)
    var lastRenewal: UInt64 = 0
    var sent: UInt64 = 0
    func renewForAWhile(_ seconds: Double) {
      let end = t.loop.now + UInt64(seconds * 1e9)
      while t.loop.now < end {
        guard t.loop.now >= sent + 300 * millisecond else {
          t.pass(0.02)
          continue
        }
        let through = t.cluster[
          t.cluster.places.indices.first { t.cluster.places[$0].node != nil }!]
        sent = t.loop.now
        through.renewSession(session, RequestContext()) { result in
          if case .success(let found?) = result, found.id == session { lastRenewal = t.loop.now }
        }
        let update = CheckUpdate(
          checkID: "web-check", fromHost: nil, node: nil, status: "passing", output: "")
        through.updateTTLCheck(update, RequestContext()) { _ in }
        guard let leader = t.cluster.leader else { continue }
        #expect(leader.registry.session(session) != nil)
        #expect(t.check("web-check", leader)?.status == "passing")
      }
    }
    for _ in 0..<2 {
      renewForAWhile(0.6)
      let old = t.leaderIndex
      t.kill(old)
      renewForAWhile(1.5)
      try t.start(old)
      _ = t.cluster.awaitLeader()
      renewForAWhile(0.6)
    }
    let leader = t.cluster.awaitLeader()
    #expect(lastRenewal > t.loop.now - second, "renewals got through")
    #expect(t.run { leader.registry.session(session) == nil })
    #expect(t.loop.now - lastRenewal >= ttl)
    #expect(t.loop.now - lastRenewal <= ttl + second)
    #expect(t.run { t.check("web-check")?.status == "critical" })
    t.end()
  }

  @Test func sessionsRunOutWithinASecondOfTheirTTL() throws {
    let t = try DutyCluster()
    let start = t.loop.now
    let session = t.createSession(1, ttl: 1, node: t.followerIndex)
    let created = t.loop.now
    let lasting = t.createSession(2, ttl: 60, node: t.followerIndex)
    #expect(t.run { t.cluster.leader?.registry.session(session) == nil })
    #expect(t.loop.now - start >= second)
    #expect(t.loop.now - created <= 2 * second)
    #expect(t.cluster.leader?.registry.session(lasting) != nil)
    t.end()
  }

  /// design.md: with a TTL a session lives as long as it is renewed, through any node.
  @Test func aDeadHostEndsOnlySessionsWithoutATTL() throws {
    let t = try DutyCluster()
    let dead = t.followerIndex
    let renewed = t.createSession(1, ttl: 30, node: dead, checks: ["serfHealth"])
    let bound = t.createSession(2, ttl: 0, node: dead, checks: ["serfHealth"])
    t.kill(dead)
    #expect(t.run { t.cluster.leader?.registry.session(bound) == nil })
    #expect(t.cluster.leader?.registry.session(renewed) != nil)
    t.end()
  }

  @Test func aServiceThatStaysCriticalIsDeregistered() throws {
    let t = try DutyCluster { $0.deregisterLeastNanoseconds = 800 * millisecond }
    for id in ["bad", "flapping"] {
      t.register(id, through: t.followerIndex) {
        $0.ttl = Int64(60 * second)
        $0.deregisterCriticalServiceAfter = Int64(millisecond)
      }
    }
    let start = t.loop.now
    var flaps = 0
    let isGone = t.run {
      if t.loop.now - start > 500 * millisecond, flaps == 0 {
        flaps = 1
        for status in ["passing", "critical"] {
          let update = CheckUpdate(
            checkID: "flapping-check", fromHost: nil, node: nil, status: status, output: "")
          t.cluster[t.followerIndex].updateTTLCheck(update, RequestContext()) { _ in flaps += 1 }
        }
      }
      return t.check("bad-check") == nil
    }
    #expect(isGone)
    #expect(t.loop.now - start > 600 * millisecond && t.loop.now - start < 10 * second)
    #expect(flaps == 3 && t.check("flapping-check") != nil, "its time began again")
    #expect(t.run { t.check("flapping-check") == nil })
    #expect(t.cluster.leader?.registry.agentService("flapping") == nil)
    t.end()
  }

  /// An update must not be measured against a state that a running proposal is about to change.
  @Test func anUpdateThatMeetsItsExpiryWins() throws {
    let t = try DutyCluster()
    t.register("web", through: t.followerIndex, status: "passing") { $0.ttl = Int64(second) / 2 }
    let duty = t.duty(t.leaderIndex)
    #expect(t.run { !duty.proposed.isEmpty })
    #expect(t.check("web-check")?.status == "passing", "not applied yet")
    #expect(t.update("web-check", "passing", through: t.leaderIndex) == .success(.done))
    t.pass(0.2)
    #expect(t.check("web-check")?.status == "passing")
    t.end()
  }

  @Test func checksOfANodeAreTheNodesOwn() throws {
    let t = try DutyCluster()
    for index in t.cluster.places.indices {
      var check = CheckRecord(node: "", id: "disk", name: "disk")
      check.definition.ttl = Int64(60 * second)
      let command = Command.agentCheckRegister(check, host: t.cluster.places[index].name)
      #expect(t.propose(command, through: index) == .success(.done))
    }
    #expect(t.update("disk", "passing", through: 1) == .success(.done))
    // Answered as soon as the leader has applied it; here a moment later.
    let isSeen = t.run {
      let registry = t.cluster[1].registry
      let states = (0..<3).map { registry.agentCheck("disk", host: "node\($0 + 1)")?.status }
      return states == ["critical", "passing", "critical"]
    }
    #expect(isSeen)
    t.end()
  }

  // MARK: Reports

  /// The probe goes on while nothing can be written; the last word counts.
  @Test func whatAProbeSaidLastIsNotLostWithoutALeader() throws {
    let t = try DutyCluster(requestTimeout: 300)
    let own = t.leaderIndex
    let others = t.cluster.places.indices.filter { $0 != own }
    t.register("web", through: own) {
      $0.interval = Int64(400 * millisecond)
      $0.http = t.url("web")
    }
    #expect(t.run { t.check("web-check")?.status == "passing" })
    for index in others { t.kill(index) }
    t.answer = { _ in 500 }
    var seen = t.probes.count
    #expect(t.run { t.probes.count >= seen + 3 })
    // Much later than the next probe could say it.
    try t.start(others[0])
    seen = t.probes.count
    #expect(t.run { t.check("web-check", t.cluster[own])?.status == "critical" })
    t.answer = { _ in 200 }
    #expect(t.run { t.check("web-check", t.cluster[own])?.status == "passing" })
    t.end()
  }

  @Test func aChangeOfMindDuringAProposalIsSaid() throws {
    let t = try DutyCluster()
    let host = t.followerIndex
    t.register("web", through: host) {
      $0.interval = Int64(10 * millisecond)
      $0.http = t.url("web")
    }
    #expect(t.run { t.check("web-check")?.status == "passing" })
    var status = 200
    t.answer = { _ in status }
    for _ in 0..<20 {
      status = status == 200 ? 500 : 200
      t.pass(0.03)
    }
    let expected = status == 200 ? "passing" : "critical"
    let isEqual = t.run {
      t.cluster.running.allSatisfy { t.check("web-check", $0)?.status == expected }
    }
    #expect(isEqual)
    t.end()
  }

  @Test func whoeverWritesOverAProbedCheckIsCorrected() throws {
    let t = try DutyCluster(1)
    t.register("web", through: 0) {
      $0.interval = Int64(60 * second)
      $0.http = t.url("web")
    }
    // The first run is within a minute; a change of its interval starts it anew.
    t.register("web", through: 0) {
      $0.interval = Int64(100 * millisecond)
      $0.http = t.url("web")
    }
    #expect(t.run { t.check("web-check")?.status == "passing" })
    let update = CheckUpdate(
      checkID: "web-check", fromHost: nil, node: nil, status: "critical", output: "by hand")
    #expect(t.propose(.checkUpdate(update), through: 0) == .success(.done))
    #expect(t.run { t.check("web-check")?.status == "passing" })
    t.end()
  }

  @Test func aServiceThatMovedLeavesItsProbeBehind() throws {
    let t = try DutyCluster()
    t.answer = { _ in nil }
    func register(_ index: Int) {
      t.register("web", through: index) {
        $0.interval = Int64(100 * millisecond)
        $0.timeout = Int64(600 * millisecond)
        $0.http = t.url("web\(index)")
      }
    }
    register(0)
    #expect(t.run { !t.probes.isEmpty })
    register(1)
    t.answer = { _ in 200 }
    #expect(t.run { t.check("web-check")?.status == "passing" })
    #expect(t.duty(0).probeCount == 0 && t.duty(1).probeCount == 1)
    let index = t.check("web-check")?.modifyIndex
    t.pass(1)
    #expect(t.check("web-check")?.modifyIndex == index, "the late result of the old host")
    t.end()
  }

  @Test func outputAloneIsWrittenWithinItsBudget() throws {
    let t = try DutyCluster(1)
    t.register("web", through: 0, status: "passing") { $0.ttl = Int64(60 * second) }
    var indexes: Set<UInt64> = []
    for number in 0..<40 {
      #expect(t.update("web-check", "passing", "load \(number)", through: 0) == .success(.done))
      indexes.insert(t.check("web-check")?.modifyIndex ?? 0)
    }
    #expect(indexes.count <= OutputBudget.burst + 1)
    #expect(t.update("web-check", "warning", "load 99", through: 0) == .success(.done))
    #expect(t.check("web-check")?.output == "load 99")
    t.end()
  }

  @Test func anAliasFollowsItsTarget() throws {
    let t = try DutyCluster()
    t.register("base", through: 0, status: "passing") { $0.ttl = Int64(60 * second) }
    t.register("top", through: 1) { $0.aliasService = "base" }
    t.register("lost", through: 1) { $0.aliasService = "nothing" }
    #expect(t.run { t.check("top-check")?.status == "passing" })
    #expect(t.check("top-check")?.output == "All checks passing.")
    let text = "Service nothing could not be found on node node2"
    #expect(t.run { t.check("lost-check")?.output == text })
    #expect(t.update("base-check", "critical", "out of order", through: 2) == .success(.done))
    #expect(t.run { t.check("top-check")?.status == "critical" })
    #expect(t.check("top-check")?.output == "Aliased check \"base\" failing: out of order")
    t.end()
  }

  /// S3: a script that got into the registry somehow runs nowhere it is not allowed.
  @Test func scriptsAreNotRunUnlessTheyAreAllowed() throws {
    let t = try DutyCluster(1)
    t.register("web", through: 0) {
      $0.interval = Int64(50 * millisecond)
      $0.args = ["/bin/true"]
    }
    #expect(t.run { t.check("web-check")?.output == "Scripts are disabled on this agent" })
    #expect(t.check("web-check")?.status == "critical")
    t.end()
  }

  /// What the configuration defines comes into the catalog by itself, one refusal aside.
  @Test func definitionsOfTheConfigurationAreRegistered() throws {
    func registration(_ id: String) -> Command {
      var service = ServiceRecord(node: "", id: id, name: id)
      service.origin = .agent
      return .agentRegister(
        AgentRegistration(
          host: "node1", service: service, checks: [], replaceExistingChecks: true))
    }
    let t = try DutyCluster(1) {
      $0.registrations = ["one", "consul", "two"].map(registration)
    }
    #expect(t.run { t.cluster[0].registry.agentService("two") != nil })
    #expect(t.cluster[0].registry.agentService("one")?.node == "node1")
    t.end()
  }

  // MARK: Cost

  @Test func tenThousandChecksCostNothingWhileNothingChanges() throws {
    let t = try DutyCluster(1)
    for number in 0..<100 {
      var service = ServiceRecord(node: "", id: "s\(number)", name: "s\(number)")
      service.origin = .agent
      let checks = (0..<100).map { index in
        var check = CheckRecord(node: "", id: "c\(number).\(index)", name: "c")
        check.serviceID = service.id
        check.definition.ttl = Int64(600 * second)
        return check
      }
      let registration = AgentRegistration(
        host: "node1", service: service, checks: checks, replaceExistingChecks: true)
      #expect(t.propose(.agentRegister(registration), through: 0) == .success(.done))
    }
    #expect(t.duty(0).deadlines.count == 10_000)
    t.pass(0.3)
    let start = threadCPUNanoseconds()
    for _ in 0..<100 { t.duty(0).tick() }
    let idle = (threadCPUNanoseconds() - start) / 100
    #expect(idle < millisecond, "\(idle) ns per tick")
    let middle = threadCPUNanoseconds()
    for number in 0..<100 {
      _ = t.update("c\(number).1", "passing", through: 0)
    }
    let changed = threadCPUNanoseconds() - middle
    // A quarter of what one look at all checks per change takes.
    #expect(changed < second, "\(changed) ns for 100 changes")
    t.end()
  }
}

struct LeadersOwnProposalTests {
  /// A leader's verdict (this session ran out) must not reach its successor, who may have heard of
  /// a renewal.
  @Test func whatALeaderDecidedEndsWithItsLeadership() {
    var table = ProposalTable(origin: 1)
    table.add([1], deadline: 100, now: 0) { _ in }
    table.add([2], deadline: 100, now: 0, isLeadersOwn: true) { _ in }
    table.add([3], deadline: 100, now: 0) { _ in }
    var handed: [[UInt8]] = []
    _ = table.hand(time: nil, now: 1) { _, payload in
      handed.append(payload)
      return true
    }
    #expect(handed == [[1], [2], [3]])
    let ended = table.takeLeadersOwn()
    #expect(ended.map(\.payload) == [[2]] && ended.map(\.isHanded) == [true])
    handed = []
    table.handAllAgain()
    _ = table.hand(time: nil, now: 2) { _, payload in
      handed.append(payload)
      return true
    }
    #expect(handed == [[1], [3]])
    let none = table.takeLeadersOwn()
    #expect(none.isEmpty)
  }

  @Test func aFollowerProposesNothingOfALeaders() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    let follower = cluster.running.first { $0 !== leader }!
    var context = RequestContext()
    context.isLeadersOwn = true
    var result: Result<Outcome, RequestFailure>?
    follower.propose(.kvDelete(key: Key("a"), cas: nil), context) { result = $0 }
    let start = cluster.loop.now
    #expect(cluster.run { result != nil })
    #expect(result == .failure(.noLeader))
    #expect(cluster.loop.now - start < 100_000_000)
    cluster.stopAll()
  }
}
