import EventLoop
import Raft

/// Linearizable reads in batches (dissertation 6.4): all barriers of one turn are one ReadIndex.
///
/// Happy path: gathered in a turn, asked for at its end, confirmed with an index, completed as
/// soon as that index is applied here. A refusal, or silence, asks again under a new name.
struct ReadBarriers {
  typealias Completion = (RequestFailure?) -> Void

  struct Waiter {
    var deadline: UInt64
    var completion: Completion
  }

  struct Batch {
    var id: ReadID
    var waiters: [Waiter]
    var askedAt: UInt64
    /// Confirmed: serve when this is applied.
    var index: LogIndex?
    /// The leader would not say; asked again with the next tick.
    var isRefused = false
    /// To be asked again at the end of this turn.
    var isToBeRetried = false
  }

  static let countMax = 65_536
  /// Batches that wait for the leader's word. While so many do, new barriers gather into the next
  /// one, so a slow network makes batches larger, not more.
  static let unconfirmedMax = 4
  /// So long barriers gather while a batch waits: about one round on a local network, where a second
  /// one beside it only costs all nodes time (a tenth of the reads per second). On a slow one nobody
  /// should wait for two rounds.
  static let gatherNanoseconds: UInt64 = 1_000_000

  var gathered: [Waiter] = []
  var batches: [Batch] = []
  private(set) var count = 0
  private var earliestDeadline: UInt64 = .max
  private var nextID: UInt64 = 1

  mutating func add(deadline: UInt64, completion: @escaping Completion) -> Bool {
    guard count < Self.countMax else { return false }
    count += 1
    earliestDeadline = min(earliestDeadline, deadline)
    gathered.append(Waiter(deadline: deadline, completion: completion))
    return true
  }

  /// The batches to be asked for now.
  mutating func takeDue(now: UInt64) -> [ReadID] {
    var due: [ReadID] = []
    var unconfirmed = 0
    for index in batches.indices where batches[index].index == nil {
      unconfirmed += 1
      guard batches[index].isToBeRetried else { continue }
      due.append(rename(index, now: now))
    }
    let lastAskedAt = batches.last?.askedAt ?? 0
    let mayAsk =
      unconfirmed == 0
      || unconfirmed < Self.unconfirmedMax && now >= lastAskedAt + Self.gatherNanoseconds
    if !gathered.isEmpty, mayAsk {
      batches.append(Batch(id: ReadID(0), waiters: gathered, askedAt: now))
      gathered.removeAll(keepingCapacity: true)
      due.append(rename(batches.count - 1, now: now))
    }
    return due
  }

  /// A late answer to the old name must not count for the new question.
  private mutating func rename(_ index: Int, now: UInt64) -> ReadID {
    batches[index].id = ReadID(nextID)
    nextID += 1
    batches[index].askedAt = now
    batches[index].isToBeRetried = false
    batches[index].isRefused = false
    return batches[index].id
  }

  /// True when the batch was refused.
  mutating func receive(id: ReadID, index: LogIndex?) -> Bool {
    guard let batch = batches.firstIndex(where: { $0.id == id }), batches[batch].index == nil
    else { return false }
    batches[batch].index = index
    batches[batch].isRefused = index == nil
    return index == nil
  }

  mutating func takeServable(applied: LogIndex) -> [Waiter] {
    guard batches.contains(where: { $0.index.map { $0 <= applied } ?? false }) else { return [] }
    var served: [Waiter] = []
    batches.removeAll { batch in
      guard let index = batch.index, index <= applied else { return false }
      served.append(contentsOf: batch.waiters)
      return true
    }
    count -= served.count
    return served
  }

  /// The refused, and those asked for before `time`, are asked for again.
  mutating func retry(askedBefore time: UInt64) {
    for index in batches.indices where batches[index].index == nil {
      if batches[index].isRefused || batches[index].askedAt <= time {
        batches[index].isToBeRetried = true
      }
    }
  }

  mutating func takeExpired(now: UInt64) -> [Waiter] {
    guard now >= earliestDeadline else { return [] }
    earliestDeadline = .max
    var expired: [Waiter] = []
    var earliest = UInt64.max
    func keep(_ waiter: Waiter) -> Bool {
      if waiter.deadline <= now {
        expired.append(waiter)
        return false
      }
      earliest = min(earliest, waiter.deadline)
      return true
    }
    gathered = gathered.filter(keep)
    for index in batches.indices {
      batches[index].waiters = batches[index].waiters.filter(keep)
    }
    batches.removeAll { $0.waiters.isEmpty }
    earliestDeadline = earliest
    count -= expired.count
    return expired
  }

  mutating func takeAll() -> [Waiter] {
    let all = batches.flatMap { $0.waiters } + gathered
    batches = []
    gathered = []
    count = 0
    return all
  }
}

extension Node {
  /// After this succeeds `registry` reflects everything acknowledged before the call, by anyone.
  package func readBarrier(
    _ context: RequestContext, completion: @escaping (RequestFailure?) -> Void
  ) {
    guard !isStopped else { return replyLater(.barrier(completion, .stopping)) }
    guard reads.add(deadline: deadline(context), completion: completion) else {
      metrics.increment(counters.overloaded)
      let failure = RequestFailure.overloaded("too many reads are under way on this node")
      return replyLater(.barrier(completion, failure))
    }
    loop.requestTurnEnd()
  }

  func flushReads() {
    guard reads.count > 0, phase != .discovering, phase != .forming else { return }
    for id in reads.takeDue(now: loop.now) {
      metrics.increment(counters.readRounds)
      raft.step(.read(id), into: &effects)
    }
  }

  func receive(_ results: [ReadResult]) {
    for result in results where reads.receive(id: result.id, index: result.index) {
      // Asked again with the next tick, or as soon as leadership moves.
      metrics.increment(counters.readRetries)
    }
  }

  func completeReads() {
    guard !reads.batches.isEmpty else { return }
    for waiter in reads.takeServable(applied: raft.lastApplied) {
      replies.append(.barrier(waiter.completion, nil))
    }
  }

  /// Every tick: what is late is asked again, what is too late is told so.
  func superviseReads() {
    guard reads.count > 0 else { return }
    let now = loop.now
    for waiter in reads.takeExpired(now: now) {
      metrics.increment(counters.timeouts)
      replies.append(.barrier(waiter.completion, .noLeader))
    }
    let patience = UInt64(max(1, configuration.raft.heartbeatMilliseconds)) * 2_000_000
    reads.retry(askedBefore: now > patience ? now - patience : 0)
  }
}

extension Node {
  /// Long enough for the log to bring what the leader has answered already.
  private static let catchUpNanoseconds: UInt64 = 500_000_000

  /// Clients of this node may have been told of writes that are not applied here yet.
  package var mayLackAnsweredWrites: Bool {
    guard let last = lastForwardedAnswer else { return false }
    return loop.now < last + Self.catchUpNanoseconds
  }
}
