import EventLoop
import Peer
import Raft
import Storage

/// A graceful end, so that a rolling restart loses no request.
extension Node {
  private static var transferNanoseconds: UInt64 { 1_000_000_000 }
  private static var drainNanoseconds: UInt64 { 1_000_000_000 }
  private static var pollNanoseconds: UInt64 { 5_000_000 }
  /// The last write, a snapshot's piece, a look-up: each gets so long at most.
  private static var diskMilliseconds: Int { 1500 }

  /// Hands leadership over, finishes what is under way, syncs, then calls `done`. Bounded: about
  /// two seconds, and at most as long again for a last sync that hangs (see `hasEndedCleanly`).
  package func stop(done: @escaping () -> Void) {
    guard isStarted, !isStopping, !isStopped else {
      if !isStopping { close() }
      loop.schedule(after: 0, done)
      return
    }
    isStopping = true
    logger.log(.info, "node", "stopping")
    if raft.role == .leader, raft.configuration.voters.count > 1 {
      raft.step(.transferLeadership(to: nil), into: &effects)
      loop.requestTurnEnd()
    }
    updateElectable()
    awaitSuccessor(until: loop.now + Self.transferNanoseconds, done)
  }

  private func awaitSuccessor(until deadline: UInt64, _ done: @escaping () -> Void) {
    let isLast = raft.configuration.voters.count <= 1
    let isHandedOver = raft.role != .leader && (raft.leader != nil || !raft.configuration.names(id))
    if isLast || isHandedOver || loop.now >= deadline || isStopped {
      return drain(until: loop.now + Self.drainNanoseconds, done)
    }
    loop.schedule(after: Self.pollNanoseconds) { [weak self] in
      self?.awaitSuccessor(until: deadline, done)
    }
  }

  private func drain(until deadline: UInt64, _ done: @escaping () -> Void) {
    let isIdle = proposals.count == 0 && reads.count == 0 && disk.isEmpty
    guard isIdle || loop.now >= deadline || isStopped else {
      loop.schedule(after: Self.pollNanoseconds) { [weak self] in
        self?.drain(until: deadline, done)
      }
      return
    }
    persistCommitIndex()
    if !isStopped { endEverything(.stopping) }
    // What was written in this turn leaves before the links close.
    loop.schedule(after: Self.pollNanoseconds) { [weak self] in
      self?.close()
      done()
    }
  }

  /// Ends threads and connections, answers nobody: alone, what a killed process looks like to the
  /// others.
  func close() {
    guard !isClosed else { return }
    isClosed = true
    isStopped = true
    transport.close()
    let hasEnded = [
      writer.stop(withinMilliseconds: Self.diskMilliseconds),
      desk.stop(withinMilliseconds: Self.diskMilliseconds),
      workers.stop(withinMilliseconds: Self.diskMilliseconds),
    ]
    hasEndedCleanly = !hasEnded.contains(false)
    if !hasEndedCleanly {
      logger.log(
        .error, "node",
        "the disk (or a name server) does not answer: the process ends without waiting for it")
    }
    releaseDirectory()
  }
}
