import EventLoop
import Peer
import Raft
import Storage

/// What was handed to the log's thread and is not durable yet, and what may only be said then.
///
/// Happy path: one batch per turn with a growing ticket; `durable` releases messages and tells
/// Raft. A full disk: refused batches stay here in order and are handed in again, with their own
/// tickets, until they fit; what comes meanwhile queues behind them.
struct PersistQueue {
  struct Write {
    var ticket: UInt64
    var batch: LogBatch
    /// The last entry that is durable when this is.
    var index: LogIndex
    var term: Term
    var submittedAt: UInt64
    /// With the log's thread; otherwise refused, or not yet submitted.
    var isSubmitted: Bool
  }

  private(set) var writes: [Write] = []
  private var head = 0
  private var held: [(ticket: UInt64, envelope: Envelope)] = []
  private var heldHead = 0
  private var nextTicket: UInt64 = 1
  private var lastIndex: LogIndex
  private var lastTerm: Term
  /// Batches wait for room on the disk since this time.
  private(set) var fullSince: UInt64?
  /// Term, vote and commit index that change nothing but the commit index: go along with the next
  /// batch.
  var commitOnly: HardState?

  init(lastIndex: LogIndex, lastTerm: Term) {
    self.lastIndex = lastIndex
    self.lastTerm = lastTerm
  }

  var isEmpty: Bool { head == writes.count }
  var isDiskFull: Bool { fullSince != nil }

  /// Queues a batch; the ticket, and whether it is to be submitted now.
  mutating func add(_ batch: LogBatch, now: UInt64) -> (ticket: UInt64, isToBeSubmitted: Bool) {
    if let last = batch.entries.last {
      lastIndex = last.index
      lastTerm = last.term
    }
    let ticket = nextTicket
    nextTicket += 1
    writes.append(
      Write(
        ticket: ticket, batch: batch, index: lastIndex, term: lastTerm, submittedAt: now,
        isSubmitted: !isDiskFull))
    return (ticket, !isDiskFull)
  }

  /// The log was emptied behind a snapshot.
  mutating func reset(after index: LogIndex, term: Term) {
    lastIndex = index
    lastTerm = term
  }

  /// Keeps a message until everything handed out so far is durable. False: it is already.
  mutating func hold(_ envelope: Envelope) -> Bool {
    guard !isEmpty else { return false }
    held.append((nextTicket - 1, envelope))
    return true
  }

  /// What became durable: its last entry, and since when its oldest write was under way.
  mutating func durable(
    _ ticket: UInt64
  ) -> (index: LogIndex, term: Term, since: UInt64)? {
    var result: (index: LogIndex, term: Term, since: UInt64)?
    while head < writes.count, writes[head].ticket <= ticket {
      let write = writes[head]
      result = (write.index, write.term, result?.since ?? write.submittedAt)
      head += 1
    }
    if isEmpty {
      writes.removeAll(keepingCapacity: true)
      head = 0
      fullSince = nil
    } else if head >= 64, head * 2 > writes.count {
      writes.removeSubrange(..<head)
      head = 0
    }
    return result
  }

  mutating func releaseHeld(_ ticket: UInt64, _ send: (Envelope) -> Void) {
    while heldHead < held.count, held[heldHead].ticket <= ticket {
      send(held[heldHead].envelope)
      heldHead += 1
    }
    if heldHead == held.count {
      held.removeAll(keepingCapacity: true)
      heldHead = 0
    } else if heldHead >= 64, heldHead * 2 > held.count {
      held.removeSubrange(..<heldHead)
      heldHead = 0
    }
  }

  mutating func refused(_ ticket: UInt64, now: UInt64) {
    for index in head..<writes.count where writes[index].ticket == ticket {
      writes[index].isSubmitted = false
      if fullSince == nil { fullSince = now }
    }
  }

  /// Batches to submit once more: all that wait, as soon as none is under way any more.
  mutating func takeRefused() -> [(ticket: UInt64, batch: LogBatch)] {
    guard isDiskFull, !writes[head...].contains(where: { $0.isSubmitted }) else { return [] }
    for index in head..<writes.count { writes[index].isSubmitted = true }
    return writes[head...].map { ($0.ticket, $0.batch) }
  }
}

extension Node {
  /// Obeys the part of the effects that concerns the disk.
  func persist(_ effects: inout Effects) {
    if let index = effects.logResetAfter {
      writer.reset(after: index)
      disk.reset(after: index, term: raft.term(at: index) ?? .zero)
      // The vote must not depend on what an emptied log remembers.
      if effects.hardState == nil { effects.hardState = raft.hardState }
      effects.hardStateMustSync = true
    }
    if let hardState = effects.hardState { disk.commitOnly = hardState }
    if effects.hardStateMustSync || !effects.append.isEmpty {
      let batch = LogBatch(
        hardState: disk.commitOnly, entries: effects.append, mustSync: true)
      disk.commitOnly = nil
      submit(batch)
    }
    for envelope in effects.sendAfterSync where !disk.hold(envelope) { send(envelope) }
  }

  private func submit(_ batch: LogBatch) {
    var bytes = 0
    for entry in batch.entries { bytes += entry.payload.count + 32 }
    logBytesSinceSnapshot += bytes
    let (ticket, isToBeSubmitted) = disk.add(batch, now: loop.now)
    if isToBeSubmitted { writer.submit(batch, ticket: ticket) }
  }

  /// Now and then the commit index alone, so that a node that starts again knows where it was.
  func persistCommitIndex() {
    guard let hardState = disk.commitOnly, disk.isEmpty else { return }
    disk.commitOnly = nil
    submit(LogBatch(hardState: hardState, entries: [], mustSync: false))
  }

  func receive(_ completion: LogWriter.Completion) {
    switch completion {
    case .durable(let ticket, let microseconds):
      let wasFull = disk.isDiskFull
      metrics.record(histograms.sync, UInt64(max(0, microseconds)))
      guard let (index, term, since) = disk.durable(ticket) else { return }
      metrics.record(histograms.append, (loop.now - min(loop.now, since)) / 1000)
      transport.persistedIndex = index.value
      disk.releaseHeld(ticket) { send($0) }
      if phase == .forming { return finishForming() }
      raft.step(.persisted(through: index, term: term), into: &effects)
      if wasFull, !disk.isDiskFull { diskHasRoom() }
    case .failed(let ticket, .diskFull(let path)):
      let wasFull = disk.isDiskFull
      disk.refused(ticket, now: loop.now)
      if !wasFull { diskIsFull(path) }
    case .failed(_, let error):
      fatal("the log cannot be written any more: \(error)")
    case .compacted(let index):
      logger.log(.debug, "storage", "log compacted", [("through", index.description)])
    }
  }

  // MARK: A full disk

  private func diskIsFull(_ path: String) {
    logger.log(
      .error, "storage",
      "the disk is full: this node takes no writes and gives leadership away until there is room",
      [("path", path)])
    updateElectable()
    if raft.role == .leader { raft.step(.transferLeadership(to: nil), into: &effects) }
  }

  private func diskHasRoom() {
    logger.log(.info, "storage", "the disk has room again")
    updateElectable()
  }

  /// Every 200 ms.
  func retryRefusedWrites() {
    guard disk.isDiskFull else { return }
    if raft.role == .leader, !raft.isTransferring, raft.configuration.voters.count > 1 {
      raft.step(.transferLeadership(to: nil), into: &effects)
    }
    for (ticket, batch) in disk.takeRefused() { writer.submit(batch, ticket: ticket) }
  }

  /// Several attempts to hand over, and still within the request timeout.
  private static var handoverNanoseconds: UInt64 { 3_000_000_000 }

  /// A leader without room takes no proposals. For a moment they wait for its successor; when it
  /// still leads after that, nobody can take over.
  func holdsProposalsForDisk() -> Bool {
    guard let since = disk.fullSince else { return false }
    if raft.configuration.voters.count > 1, loop.now < since + Self.handoverNanoseconds {
      refuseReceivedProposals(.notLeader)
      return true
    }
    refuseReceivedProposals(.diskFull)
    for sequence in proposals.unsent { fail(sequence, .diskFull) }
    proposals.unsent.removeAll(keepingCapacity: true)
    return true
  }
}
