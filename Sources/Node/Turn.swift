import EventLoop
import Peer
import Raft
import Registry

/// The turn: gather, step, send, persist, apply, reply, publish, wake.
extension Node {
  /// Entries applied in one go; a node that catches up lets sockets and timers have their turn.
  static let applyMax: UInt64 = 16_384
  /// Watchers woken in one turn. The answers of one turn are on their way while the next is made,
  /// and a key that everybody watches stops neither the heartbeats nor other clients.
  static let wakesMax = 512
  /// Room for so many replies stays.
  private static let repliesKept = 4096

  func endTurn() {
    io?.isAtTurnEnd = true
    guard isStarted, !isStopped else {
      runReplies()
      return publish()
    }
    flushRequests()
    flushProposals()
    flushReads()
    obey()
    while applyCommitted() { obey() }
    completeReads()
    flushAnswers()
    notePlace()
    runReplies()
    publish()
    wakeWatchers()
    takeSnapshotIfDue()
    planTick()
  }

  /// Does what Raft asks for, until it asks for nothing more.
  func obey() {
    while effects.isWorkLeft {
      swap(&effects, &obeyed)
      transport.send(obeyed.send)
      persist(&obeyed)
      if !obeyed.snapshotReads.isEmpty || !obeyed.snapshotChunks.isEmpty
        || obeyed.compactedThrough != nil
      {
        obeySnapshots(obeyed)
      }
      if !obeyed.reads.isEmpty { receive(obeyed.reads) }
      if !obeyed.events.isEmpty { handle(obeyed.events) }
      obeyed.removeAll()
    }
  }

  func send(_ envelope: Envelope) { transport.send([envelope]) }

  /// Applies what is committed; true when it applied something that Raft must be told.
  @discardableResult
  func applyCommitted() -> Bool {
    let first = raft.lastApplied.next
    let committed = raft.commitIndex
    guard first <= committed else { return false }
    let last = LogIndex(min(committed.value, first.value + Self.applyMax - 1))
    noteCommitted()
    let start = Self.microseconds()
    apply(raft.entries(from: first, through: last), to: &registry)
    metrics.increment(counters.applied, by: last.value - first.value + 1)
    metrics.record(histograms.applyBatch, Self.microseconds() - start)
    raft.step(.applied(through: last), into: &effects)
    guard last == committed else {
      // The rest in the next turn.
      loop.schedule(after: 0) {}
      return false
    }
    return true
  }

  /// One access to the state for the whole pass: a checked one costs as much as a tenth of what
  /// an entry does. So nothing called from here may look at `registry`.
  private func apply(_ entries: ArraySlice<Entry>, to registry: inout Registry) {
    let isLeader = raft.role == .leader
    let now = loop.now
    var context = ApplyContext()
    swap(&context.changes, &changes)
    for entry in entries where entry.kind == .command {
      let outcome = registry.apply(entry.payload, index: entry.index.value, in: &context)
      if let stamp = CommandEnvelope.origin(of: entry.payload) {
        if stamp.origin == proposals.origin {
          complete(stamp.sequence, outcome, now: now)
        } else if isLeader, forwarding.answer(stamp, outcome) {
          flushAnswers()
        }
      }
      if entry.index.value % Gossip.samplePeriod == 0 {
        gossip.sample(index: entry.index.value, hash: registry.runningHash)
      }
    }
    swap(&context.changes, &changes)
  }

  /// Leadership as the rest of the node sees it.
  private func notePlace() {
    noteEstablished()
    if raft.isEstablishedLeader != wasLeader {
      wasLeader = raft.isEstablishedLeader
      for hook in hooks.leadershipChanged { hook(wasLeader) }
    }
  }

  private func runReplies() {
    guard !replies.isEmpty else { return }
    let start = Self.microseconds()
    var batch: [Reply] = []
    swap(&batch, &replies)
    swap(&replies, &spareReplies)
    for reply in batch {
      switch reply {
      case .outcome(let completion, let result): completion(result)
      case .barrier(let completion, let failure): completion(failure)
      case .request(let completion, let answer): completion(answer)
      }
    }
    metrics.record(histograms.reply, Self.microseconds() - start)
    guard batch.capacity <= Self.repliesKept else { return }
    batch.removeAll(keepingCapacity: true)
    swap(&spareReplies, &batch)
  }

  /// Exclusive, though it only reads: it would be copied for a shared access.
  @inline(__always)
  private static func hasChanged(_ changes: inout ChangeSet) -> Bool { !changes.isEmpty }

  private func wakeWatchers() {
    if Self.hasChanged(&changes) {
      var batch = ChangeSet()
      swap(&batch, &changes)
      for hook in hooks.registryChanged { hook(batch) }
      watchers.note(batch)
      // What a hook may have added meanwhile stays.
      if changes.isEmpty {
        batch.removeAllKeepingRoom()
        swap(&batch, &changes)
      }
    }
    guard watchers.hasDue else { return }
    for wake in watchers.takeDue(atMost: Self.wakesMax) { wake() }
    // The rest in the next turn.
    if watchers.hasDue { loop.schedule(after: 0) {} }
  }
}

extension Effects {
  /// Anything that `obey` has to do.
  var isWorkLeft: Bool {
    hardState != nil || !append.isEmpty || !send.isEmpty || !sendAfterSync.isEmpty
      || !reads.isEmpty || !snapshotReads.isEmpty || !snapshotChunks.isEmpty
      || compactedThrough != nil || logResetAfter != nil || !events.isEmpty
  }
}
