import EventLoop
import Glibc
import Synchronization
import Testing

/// Counts its deaths.
private final class Canary: Sendable {
  let deaths: Mutex<Int>
  init() { deaths = Mutex(0) }
}

private final class Bird {
  let canary: Canary
  init(_ canary: Canary) { self.canary = canary }
  deinit { canary.deaths.withLock { $0 += 1 } }
}

@Suite(.serialized, .timeLimit(.minutes(10))) struct LoopTests {
  @Test func turnEndHandlersRunInOrderAndAgainWhenAsked() throws {
    let loop = try EventLoop()
    var events: [String] = []
    var asks = 2
    loop.onTurnEnd {
      events.append("a")
      if asks > 0 {
        asks -= 1
        loop.requestTurnEnd()
      }
    }
    loop.onTurnEnd { events.append("b") }
    loop.schedule(after: 0) { events.append("timer") }
    loop.runTurn()
    #expect(events == ["timer", "a", "b", "a", "b", "a", "b"])
    events = []
    loop.runTurn(waitingAtMost: 0)
    #expect(events.isEmpty, "nothing happened in this turn")
  }

  @Test func endlessRequestsDoNotKeepTheTurn() throws {
    let loop = try EventLoop()
    var rounds = 0
    loop.onTurnEnd {
      rounds += 1
      loop.requestTurnEnd()
    }
    loop.requestTurnEnd()
    loop.runTurn()
    #expect(rounds > 0)
    var hasFired = false
    loop.schedule(after: 0) { hasFired = true }
    loop.runTurn()
    #expect(hasFired)
  }

  @Test func timeStandsStillWithinATurn() throws {
    let loop = try EventLoop()
    var isSame = false
    loop.schedule(after: 0) {
      let (now, wall) = (loop.now, loop.wallClock)
      for _ in 0..<10_000 where loop.now != now { return }
      isSame = loop.wallClock == wall && wall > 1_600_000_000 * second
    }
    loop.runTurn()
    #expect(isSame)
  }

  @Test func mailFromThreadsArrivesWholeAndInOrder() throws {
    let loop = try EventLoop()
    var received: [Int: [Int]] = [:]
    var batches = 0
    let mailbox: Mailbox<(Int, Int)> = loop.makeMailbox { batch in
      batches += 1
      for (sender, number) in batch { received[sender, default: []].append(number) }
    }
    let threads = try (0..<4).map { sender in
      try SystemThread(name: "sender") {
        for number in 0..<10_000 { mailbox.post((sender, number)) }
      }
    }
    let isComplete = loop.run(forAtMost: 60 * second) {
      received.values.reduce(0) { $0 + $1.count } == 40_000
    }
    #expect(isComplete)
    for thread in threads { thread.join() }
    for sender in 0..<4 { #expect(received[sender] == Array(0..<10_000)) }
    #expect(batches < 40_000)
  }

  @Test func mailWakesALoopThatWaits() throws {
    let loop = try EventLoop()
    var isHeard = false
    let mailbox: Mailbox<Int> = loop.makeMailbox { _ in isHeard = true }
    let thread = try SystemThread(name: "waker") { mailbox.post(1) }
    #expect(loop.run(forAtMost: 60 * second) { isHeard })
    thread.join()
  }

  @Test func runEndsWhenToldAndLetsGoOfEverything() throws {
    let canary = Canary()
    let posted = Mutex<Mailbox<Int>?>(nil)
    let thread = try SystemThread(name: "loop") {
      guard let loop = try? EventLoop() else { return }
      let bird = Bird(canary)
      let mailbox: Mailbox<Int> = loop.makeMailbox { _ in
        withExtendedLifetime(bird) { loop.stop() }
      }
      loop.onTurnEnd { withExtendedLifetime(bird) {} }
      loop.schedule(after: 3600 * second) { withExtendedLifetime(bird) {} }
      posted.withLock { $0 = mailbox }
      loop.run()
    }
    var mailbox: Mailbox<Int>?
    while mailbox == nil { mailbox = posted.withLock { $0 } }
    mailbox?.post(1)
    thread.join()
    mailbox?.post(2)
    #expect(canary.deaths.withLock { $0 } == 1)
  }

  @Test func workersRunJobsAndBoundTheQueue() throws {
    let workers = Workers(threads: 2, queueMax: 4)
    let isOpen = Atomic<Bool>(false)
    let done = Atomic<Int>(0)
    let started = Atomic<Int>(0)
    for _ in 0..<2 {
      let isTaken = workers.run {
        started.add(1, ordering: .sequentiallyConsistent)
        while !isOpen.load(ordering: .acquiring) { sched_yield() }
        done.add(1, ordering: .sequentiallyConsistent)
      }
      #expect(isTaken)
    }
    while started.load(ordering: .acquiring) < 2 { sched_yield() }
    for _ in 0..<4 {
      #expect(workers.run { done.add(1, ordering: .sequentiallyConsistent) })
    }
    #expect(!workers.run {}, "the queue is full")
    isOpen.store(true, ordering: .releasing)
    while done.load(ordering: .acquiring) < 6 { sched_yield() }
    workers.stop()
    #expect(!workers.run {}, "stopped")
  }

  @Test func resolverAnswersLiteralsAtOnceAndNamesLater() throws {
    let loop = try EventLoop()
    let workers = Workers(threads: 1, queueMax: 8)
    let resolver = Resolver(loop: loop, workers: workers)
    var literal: Resolver.Answer?
    resolver.resolve(host: "127.0.0.1", port: 80) { literal = $0 }
    #expect(literal == .success([SocketAddress(ip: [127, 0, 0, 1], port: 80)]))
    var name: Resolver.Answer?
    resolver.resolve(host: "localhost", port: 81) { name = $0 }
    #expect(name == nil)
    #expect(loop.run(forAtMost: 60 * second) { name != nil })
    let addresses = try #require(try name?.get())
    #expect(addresses.contains { $0.port == 81 && ($0.host == "127.0.0.1" || $0.host == "::1") })
    var bad: Resolver.Answer?
    resolver.resolve(host: "a\0b", port: 1) { bad = $0 }
    #expect(throws: Resolver.Failure.self) { try bad?.get() }
    workers.stop()
  }
}
