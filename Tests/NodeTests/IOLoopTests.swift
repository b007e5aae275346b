import EventLoop
import Registry
import Testing

@testable import Node

/// Io loops and their core, turned by hand on one thread, so that every order of what happens on
/// them can be had on purpose.
@Suite(.serialized) struct IOLoopTests {
  /// A node in memory with io loops that only turn when a test says so.
  private final class Setup {
    let core: EventLoop
    let node: Node
    var loops: [EventLoop] = []
    var backends: [IOBackend] = []
    var notices: [IONotice] = []

    init(_ count: Int, weightMax: Int = Publication.weightMax) throws {
      core = try EventLoop()
      var configuration = NodeConfiguration(nodeName: "io")
      configuration.isDevelopment = true
      configuration.ports.peer = 0
      configuration.logLevel = .error
      node = try Node(configuration: configuration, loop: core)
      let links = node.openIOLoops(count, weightMax: weightMax) { [unowned self] in
        notices.append($0)
      }
      for link in links {
        let loop = try EventLoop()
        loops.append(loop)
        backends.append(IOBackend(link, loop: loop))
      }
      node.start()
      let node = node
      #expect(core.run(forAtMost: 60_000_000_000) { node.isEstablishedLeader })
      turnIO()
    }

    func turnIO() { for loop in loops { loop.runTurn(waitingAtMost: 0) } }

    /// Turns everything until `condition` holds.
    func run(_ condition: () -> Bool) -> Bool {
      for _ in 0..<20_000 {
        if condition() { return true }
        turnIO()
        core.runTurn(waitingAtMost: 500_000)
      }
      return condition()
    }

    /// Written at the core; io loops do not turn.
    func put(_ key: String, _ value: [UInt8] = [1]) {
      var isDone = false
      let set = KVSet(key: Key(key), value: value, flags: 0, mode: .plain)
      node.propose(.kvSet(set), RequestContext()) { _ in isDone = true }
      #expect(core.run(forAtMost: 60_000_000_000) { isDone })
    }

    func stop() {
      var isStopped = false
      node.stop { isStopped = true }
      #expect(core.run(forAtMost: 60_000_000_000) { isStopped })
    }
  }

  private func set(_ key: String) -> Command {
    .kvSet(KVSet(key: Key(key), value: [1], flags: 0, mode: .plain))
  }

  @Test func aBarrierComesWithWhatWasAcknowledgedBefore() throws {
    let setup = try Setup(2)
    for round in 0..<50 {
      let key = "key\(round)"
      let writer = setup.backends[round % 2]
      let reader = setup.backends[(round + 1) % 2]
      var isWritten = false
      writer.propose(set(key), RequestContext()) { result in
        #expect(result == .success(.flag(true)))
        isWritten = true
        // The writer's own loop has it with the answer.
        #expect(writer.registry.kv(Key(key)) != nil)
      }
      #expect(!isWritten)
      #expect(setup.run { isWritten })
      var seen: Bool?
      reader.readBarrier(RequestContext()) { failure in
        #expect(failure == nil)
        seen = reader.registry.kv(Key(key)) != nil
      }
      #expect(seen == nil, "from inside the call")
      #expect(setup.run { seen != nil })
      #expect(seen == true)
    }
    setup.stop()
  }

  /// All reads of a turn with one deadline are one question.
  @Test func barriersOfATurnAreOne() throws {
    let setup = try Setup(1)
    var answered = 0
    for _ in 0..<500 { setup.backends[0].readBarrier(RequestContext()) { _ in answered += 1 } }
    setup.turnIO()
    setup.core.runTurn(waitingAtMost: 0)
    #expect(setup.node.reads.count <= 1)
    #expect(setup.run { answered == 500 })
    setup.stop()
  }

  /// A change between the evaluation of a query and its watch wakes the query.
  @Test func aWatchOnAnOldVersionIsWoken() throws {
    let setup = try Setup(1)
    let backend = setup.backends[0]
    #expect(backend.registry.kv(Key("late")) == nil)
    setup.put("late")
    // This loop has not heard of it, and parks a query that saw nothing.
    #expect(backend.registry.kv(Key("late")) == nil)
    var woken = 0
    _ = backend.watch([.key(Key("late"))]) {
      woken += 1
      #expect(backend.registry.kv(Key("late")) != nil)
    }
    #expect(woken == 0)
    setup.turnIO()
    #expect(woken == 1)
    setup.stop()
  }

  /// A query that saw a version before its changes came is woken once too often, never too seldom.
  @Test func aWatchOnANewVersionHearsOfTheNextChange() throws {
    let setup = try Setup(1)
    let backend = setup.backends[0]
    setup.put("a")
    backend.takeNewest()
    #expect(backend.registry.kv(Key("a")) != nil)
    var woken: [UInt64] = []
    func watch() {
      _ = backend.watch([.key(Key("a"))]) {
        woken.append(backend.registry.kv(Key("a"))?.modifyIndex ?? 0)
        watch()
      }
    }
    watch()
    setup.turnIO()
    setup.put("a", [2])
    setup.turnIO()
    #expect(woken.count == 2)
    #expect(woken.last == setup.node.registry.kv(Key("a"))?.modifyIndex)
    setup.stop()
  }

  /// What one loop has shown, another one shows when it is asked next, though it has not turned.
  @Test func indexesNeverGoBackFromLoopToLoop() throws {
    let setup = try Setup(2)
    for round in 0..<20 {
      setup.put("k\(round)")
      let (first, second) = (setup.backends[round % 2], setup.backends[(round + 1) % 2])
      first.takeNewest()
      second.takeNewest()
      #expect(second.registry.stateIndex >= first.registry.stateIndex)
      #expect(second.registry.kv(Key("k\(round)")) != nil)
    }
    setup.stop()
  }

  /// A loop that is behind gets all changes at once, in order, with the version they lead to.
  @Test func versionsMergeWhileALoopIsBehind() throws {
    let setup = try Setup(1)
    let backend = setup.backends[0]
    var heard: [ChangeSet] = []
    backend.onRegistryChange { changes in
      heard.append(changes)
      #expect(backend.registry.kv(Key("m/99")) != nil)
    }
    var woken = 0
    _ = backend.watch([.prefix(Key("m/"))]) { woken += 1 }
    for number in 0..<100 { setup.put("m/\(number)") }
    #expect(heard.isEmpty)
    setup.turnIO()
    #expect(heard.count == 1)
    let keys = (heard.first?.records ?? []).compactMap { record in
      if case .set(let entry, _) = record {
        String(decoding: entry.key.bytes, as: UTF8.self)
      } else {
        nil
      }
    }
    #expect(keys.filter { $0.hasPrefix("m/") } == (0..<100).map { "m/\($0)" })
    #expect(heard.first?.everything == false)
    #expect(woken == 1)
    setup.stop()
  }

  /// Above the bound a loop that is behind is told that everything may have changed.
  @Test func tooMuchToTellBecomesEverything() throws {
    let setup = try Setup(1, weightMax: 10_000)
    let backend = setup.backends[0]
    var heard: [ChangeSet] = []
    backend.onRegistryChange { heard.append($0) }
    var woken = 0
    _ = backend.watch([.key(Key("never written"))]) { woken += 1 }
    let value = [UInt8](repeating: 7, count: 1000)
    for number in 0..<12 { setup.put("big/\(number)", value) }
    setup.turnIO()
    #expect(heard.count == 1)
    #expect(heard.first?.everything == true)
    #expect(heard.first?.records.isEmpty == true)
    #expect(woken == 1)
    #expect(backend.registry.stateIndex == setup.node.registry.stateIndex)
    // From then on in detail again.
    setup.put("small")
    setup.turnIO()
    #expect(heard.count == 2)
    #expect(heard.last?.everything == false)
    setup.stop()
  }

  /// A loop that has ended takes nothing with it: the core and the other loop go on.
  @Test func aLoopThatIsGoneHurtsNobody() throws {
    let setup = try Setup(2)
    setup.backends[0].propose(set("last words"), RequestContext()) { _ in
      Issue.record("answered after its end")
    }
    setup.loops[0].runTurn(waitingAtMost: 0)
    setup.backends.removeFirst()
    setup.loops.removeFirst()
    var isDone = false
    setup.backends[0].propose(set("after"), RequestContext()) { _ in isDone = true }
    #expect(setup.run { isDone && setup.node.registry.kv(Key("last words")) != nil })
    #expect(setup.backends[0].registry.kv(Key("last words")) != nil)
    setup.stop()
  }

  @Test func aStoppedCoreRefuses() throws {
    let setup = try Setup(1)
    let backend = setup.backends[0]
    setup.stop()
    var answers: [RequestFailure?] = []
    backend.readBarrier(RequestContext()) { answers.append($0) }
    backend.propose(set("k"), RequestContext()) { result in
      if case .failure(let failure) = result { answers.append(failure) }
    }
    #expect(setup.run { answers.count == 2 })
    #expect(answers == [.stopping, .stopping])
  }

  @Test func tooManyRequestsAreRefused() throws {
    let setup = try Setup(1)
    let backend = setup.backends[0]
    var refused = 0
    var served = 0
    var context = RequestContext()
    context.deadline = backend.loop.now + 60_000_000_000
    for _ in 0..<70_000 {
      backend.readBarrier(context) { failure in
        if case .overloaded = failure { refused += 1 } else { served += 1 }
      }
    }
    #expect(refused == 0, "from inside the call")
    #expect(setup.run { refused + served == 70_000 })
    #expect(served == 65_536)
    var isServed = false
    backend.readBarrier(RequestContext()) { isServed = $0 == nil }
    #expect(setup.run { isServed })
    setup.stop()
  }

  /// Notices come after everything that was asked before them.
  @Test func noticesComeAfterRequests() throws {
    let setup = try Setup(1)
    let backend = setup.backends[0]
    var isDone = false
    backend.notify(.draining)
    backend.propose(set("before"), RequestContext()) { _ in isDone = true }
    setup.turnIO()
    setup.core.runTurn(waitingAtMost: 0)
    #expect(setup.notices.count == 1)
    #expect(setup.node.proposals.count == 1 || setup.node.registry.kv(Key("before")) != nil)
    #expect(setup.run { isDone })
    setup.stop()
  }

  @Test func countsReachTheCore() throws {
    let setup = try Setup(2)
    for backend in setup.backends {
      let counter = backend.metrics.counter("test.counter")
      backend.metrics.increment(counter, by: 3)
    }
    var counted: UInt64?
    setup.backends[1].readBarrier(RequestContext()) { _ in }
    setup.turnIO()
    setup.backends[0].collectMetrics { report in
      counted = report.counters.first { $0.name == "test.counter" }?.value
      #expect(report.gauges.contains { $0.name == "consul.raft.leader" && $0.value == 1 })
    }
    #expect(setup.run { counted != nil })
    #expect(counted == 6)
    setup.stop()
  }

  @Test func statusFollowsTheCore() throws {
    let setup = try Setup(1)
    let backend = setup.backends[0]
    #expect(backend.hasLeader)
    #expect(backend.status.role == .leader)
    #expect(backend.id == setup.node.id)
    #expect(backend.lastContactMilliseconds < 1000)
    setup.stop()
  }

  /// A core that says nothing any more is no contact with the leader either.
  @Test func aSilentCoreIsTimeWithoutContact() throws {
    let setup = try Setup(1)
    let publication = try #require(setup.node.io).publication
    publication.tell(hasLeader: true, lastContactMilliseconds: 5, now: 1_000_000_000)
    #expect(publication.lastContactMilliseconds(now: 1_010_000_000) == 5)
    #expect(publication.lastContactMilliseconds(now: 2_000_000_000) == 1005)
    setup.stop()
  }
}
