import Basics
import EventLoop
import Testing

@Suite(.serialized) struct TimerTests {
  @Test func fireByDeadlineThenByOrderOfScheduling() throws {
    let loop = try EventLoop()
    var fired: [Int] = []
    for (name, delay) in [(3, 3), (1, 1), (4, 3), (2, 1)] {
      loop.schedule(after: UInt64(delay) * millisecond) { fired.append(name) }
    }
    #expect(loop.run(forAtMost: 60 * second) { fired.count == 4 })
    #expect(fired == [1, 2, 3, 4])
    #expect(loop.timerCount == 0)
  }

  @Test func cancelledTimersDoNotFire() throws {
    let loop = try EventLoop()
    var fired: [Int] = []
    let ids = (0..<10).map { n in loop.schedule(after: millisecond) { fired.append(n) } }
    for n in stride(from: 0, to: 10, by: 2) { loop.cancel(ids[n]) }
    loop.cancel(ids[0])
    #expect(loop.timerCount == 5)
    #expect(loop.run(forAtMost: 60 * second) { fired.count == 5 })
    #expect(fired == [1, 3, 5, 7, 9])
    // The slots are used again: old ids must not reach the new timers.
    var isNewFired = false
    loop.schedule(after: 0) { isNewFired = true }
    for id in ids { loop.cancel(id) }
    #expect(loop.run(forAtMost: 60 * second) { isNewFired })
  }

  @Test func thousandsInRandomOrderWithCancellations() throws {
    let loop = try EventLoop()
    var random = SplitMix(seed: 4)
    var fired: [UInt64] = []
    var expected: [UInt64] = []
    var ids: [TimerID] = []
    for _ in 0..<10_000 {
      let delay = random.below(20 * millisecond)
      let isKept = random.chance(1, in: 2)
      let id = loop.schedule(after: delay) { fired.append(loop.now) }
      if isKept { expected.append(delay) } else { ids.append(id) }
    }
    for id in ids { loop.cancel(id) }
    #expect(loop.timerCount == expected.count)
    #expect(loop.run(forAtMost: 60 * second) { loop.timerCount == 0 })
    #expect(fired.count == expected.count)
    #expect(fired == fired.sorted())
  }

  @Test func neverEarlyAndHardlyLate() throws {
    let loop = try EventLoop()
    var latest: UInt64 = 0
    var isEarly = false
    for delay in [1, 2, 5, 10] {
      var hasFired = false
      let start = loop.now
      loop.schedule(after: UInt64(delay) * millisecond) {
        hasFired = true
        let passed = loop.now - start
        if passed < UInt64(delay) * millisecond { isEarly = true }
        latest = max(latest, passed &- UInt64(delay) * millisecond)
      }
      #expect(loop.run(forAtMost: 60 * second) { hasFired })
    }
    #expect(!isEarly)
    // The promise is one millisecond; the machine that runs the tests may be busy.
    #expect(latest < 10 * second)
  }

  @Test func aTimerThatSchedulesItselfAtOnceDoesNotKeepTheTurn() throws {
    let loop = try EventLoop()
    var count = 0
    func again() {
      count += 1
      loop.schedule(after: 0) { again() }
    }
    again()
    loop.runTurn(waitingAtMost: 0)
    #expect(count == 2)
    loop.runTurn(waitingAtMost: 0)
    #expect(count == 3)
  }

  @Test func cancellingInsideATimer() throws {
    let loop = try EventLoop()
    var fired: [Int] = []
    var second: TimerID?
    loop.schedule(after: 0) {
      fired.append(1)
      second.map(loop.cancel)
    }
    second = loop.schedule(after: 0) { fired.append(2) }
    loop.schedule(after: 0) { fired.append(3) }
    #expect(loop.run(forAtMost: 1_000_000_000) { fired.count == 2 })
    #expect(fired == [1, 3])
  }

  @Test func aFarDeadlineIsNoOverflow() throws {
    let loop = try EventLoop()
    loop.schedule(after: .max) {}
    loop.runTurn(waitingAtMost: 0)
    #expect(loop.timerCount == 1)
  }
}
