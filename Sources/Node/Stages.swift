import EventLoop
import Glibc
import Peer
import Raft

/// Where the time of a write goes, as histograms in microseconds. A stage is measured per batch,
/// not per request: a batch is what one turn proposed, and its requests share their fate.
///
///     queue -> replicate (beside it: append, of which sync is a part) -> apply -> reply
struct Histograms {
  /// From `propose` to the answer, of each request.
  let commit: Metrics.HistogramID
  /// From the oldest proposal of a batch to its hand-over to Raft, or to the leader's node.
  let queue: Metrics.HistogramID
  /// From handing a batch to Raft to its commit: until a quorum has made it durable.
  let replicate: Metrics.HistogramID
  /// From handing a batch to the log's thread to knowing that it is durable.
  let append: Metrics.HistogramID
  /// The sync alone.
  let sync: Metrics.HistogramID
  /// One pass of applying.
  let applyBatch: Metrics.HistogramID
  /// Answering the requests of one turn, up to their bytes in the connections' buffers.
  let reply: Metrics.HistogramID

  init(_ metrics: Metrics) {
    commit = metrics.histogram("consul.raft.commitTime")
    queue = metrics.histogram("roost.write.queue")
    replicate = metrics.histogram("roost.write.replicate")
    append = metrics.histogram("roost.log.append")
    sync = metrics.histogram("roost.log.sync")
    applyBatch = metrics.histogram("roost.apply.batch")
    reply = metrics.histogram("roost.write.reply")
  }
}

/// The batches that this node proposed as leader and that are not committed yet, oldest first.
/// Bounded by what Raft takes uncommitted.
struct ProposedBatches {
  private var batches: [(last: LogIndex, handedAt: UInt64)] = []
  private var head = 0

  mutating func add(through last: LogIndex, at time: UInt64) { batches.append((last, time)) }

  /// Takes the oldest if it is committed; since when it was on its way.
  mutating func takeCommitted(through index: LogIndex) -> UInt64? {
    guard head < batches.count, batches[head].last <= index else { return nil }
    defer {
      head += 1
      if head == batches.count { forget() }
    }
    return batches[head].handedAt
  }

  /// Leadership ended: nobody waits for them here.
  mutating func forget() {
    batches.removeAll(keepingCapacity: true)
    head = 0
  }
}

extension Node {
  /// Microseconds of a clock that goes on within a turn, as the loop's does not.
  static func microseconds() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1000
  }

  func noteQueued(since oldest: UInt64?) {
    guard let oldest else { return }
    let now = Self.microseconds()
    metrics.record(histograms.queue, now - min(now, oldest / 1000))
  }

  func noteCommitted() {
    guard raft.role == .leader else { return proposedBatches.forget() }
    let committed = raft.commitIndex
    let now = Self.microseconds()
    while let since = proposedBatches.takeCommitted(through: committed) {
      metrics.record(histograms.replicate, now - min(now, since))
    }
  }
}
