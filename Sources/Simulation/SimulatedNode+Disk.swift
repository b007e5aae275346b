import ConsulAPI
import Raft
import Registry
import Storage

/// What waits for the log, in order.
enum LogItem {
  /// Nil batch: nothing to write, but the messages wait for what is being written.
  case write(LogBatch?, [Envelope])
  case compact(LogIndex)
  case reset(LogIndex)

  /// A vote waits for it.
  var isVote: Bool {
    guard case .write(_, let envelopes) = self else { return false }
    return envelopes.contains { $0.message.isVote }
  }
}

extension Message {
  /// A vote that counts.
  var isVote: Bool {
    guard case .voteReply(let reply) = self else { return false }
    return reply.granted && !reply.isPreVote
  }
}

extension SimulatedNode {
  // MARK: Recovery

  func recover() throws(StorageError) {
    let options = cluster.options
    let store = try SnapshotStore(disk, directory: "snapshots")
    registry = Registry(options: registryOptions)
    lastApplied = 0
    snapshotMetas = []
    let newest = try store.newest()
    // The log need not reach back to the one before.
    if let error = store.damaged.first { throw error }
    if let meta = newest?.meta, let restored = try read(meta, from: store) {
      registry = restored
      lastApplied = meta.index.value
      snapshotMetas = [meta]
      cluster.checker.restored(self)
    }
    var (log, recovered) = try Log.open(
      disk, directory: "log", options: options.log, snapshot: newest?.meta)
    if cluster.sabotage != nil { try sabotage(&recovered, log, snapshot: newest?.meta) }
    self.store = store
    self.log = log
    changeLog = ChangeLog(
      startingAt: lastApplied, bytesMax: 1 << 20, entriesMax: options.changeLogEntriesMax)
    durable = (newest?.meta.index ?? .zero, newest?.meta.term ?? .zero)
    if let last = recovered.entries.last { durable = (last.index, last.term) }
    raft = RaftCore(
      id: id, options: options.raft, seed: cluster.world.random.next(),
      hardState: recovered.hardState, snapshot: newest?.meta,
      configuration: recoveredConfiguration(newest?.meta), entries: recovered.entries)
  }

  /// The state that the snapshot holds.
  private func read(
    _ meta: SnapshotMeta, from store: SnapshotStore<FaultyFileSystem>
  ) throws(StorageError) -> Registry? {
    var bytes: [[UInt8]] = []
    try store.read(meta) { piece throws(StorageError) in bytes.append(piece) }
    var decoder = SnapshotDecoder(options: registryOptions)
    do {
      for piece in bytes { try decoder.feed(piece) }
      return try decoder.finish()
    } catch {
      if isDamaged {
        throw .damaged(file: "snapshot", offset: 0, reason: "it does not decode")
      }
      cluster.fail("snapshot: node \(id): snapshot \(meta.index) does not decode: \(error)")
      return nil
    }
  }

  // MARK: Writing

  /// Hard state and entries of one step are one batch: durable as a whole or not at all.
  func persist() {
    if let index = obeyed.logResetAfter, cluster.sabotage != .installsWithoutLogReset {
      enqueue(.reset(index))
    }
    var hardState = obeyed.hardState
    if cluster.sabotage == .forgetsVote { hardState = nil }
    if cluster.sabotage == .savesTermWithoutVote { hardState?.votedFor = nil }
    if hardState == nil && obeyed.append.isEmpty {
      if !obeyed.sendAfterSync.isEmpty { enqueue(.write(nil, obeyed.sendAfterSync)) }
      if obeyed.hardState != nil { reportPersisted() }
      return
    }
    var mustSync = obeyed.hardStateMustSync || !obeyed.append.isEmpty
    if cluster.sabotage == .neverSyncs { mustSync = false }
    if cluster.sabotage == .doesNotSyncVotes { mustSync = !obeyed.append.isEmpty }
    let batch = LogBatch(hardState: hardState, entries: obeyed.append, mustSync: mustSync)
    guard cluster.sabotage != .acknowledgesBeforeSync else {
      for envelope in obeyed.sendAfterSync { send(envelope) }
      enqueue(.write(batch, []))
      if let last = batch.entries.last { durable = (last.index, last.term) }
      return reportPersisted()
    }
    enqueue(.write(batch, obeyed.sendAfterSync))
    if cluster.sabotage == .countsOwnEntriesBeforeSync, let last = batch.entries.last {
      step(.persisted(through: last.index, term: last.term))
    }
  }

  private func reportPersisted() {
    step(.persisted(through: durable.index, term: durable.term))
  }

  func enqueue(_ item: LogItem) {
    waitingWrites.append(item)
    startWriting()
  }

  /// Writes what is waiting as one group, up to the first item that is no write.
  private func startWriting() {
    while isUp, !isWriting, let first = waitingWrites.first, let log {
      do {
        switch first {
        case .compact(let index):
          waitingWrites.removeFirst()
          try log.compact(through: index)
        case .reset(let index):
          waitingWrites.removeFirst()
          try log.reset(after: index)
          if let meta = snapshotMetas.first(where: { $0.index == index }) {
            durable = (meta.index, meta.term)
          }
        case .write:
          try writeGroup(log)
        }
      } catch {
        return failedAndRestarts(error, while: "writing the log")
      }
    }
  }

  private func writeGroup(_ log: Log<FaultyFileSystem>) throws(StorageError) {
    var batches: [LogBatch] = []
    var mustSync = false
    var count = 0
    for item in waitingWrites {
      guard case .write(let batch, _) = item else { break }
      count += 1
      guard var batch else { continue }
      if cluster.sabotage == .skipsTruncation { leaveOutKnown(&batch, log) }
      batches.append(batch)
      mustSync = mustSync || batch.mustSync
    }
    writesInFlight = Array(waitingWrites.prefix(count))
    waitingWrites.removeFirst(count)
    if !batches.isEmpty {
      do { try log.append(batches) } catch {
        guard case .diskFull = error, diskFullUntil > 0 else { throw error }
        return waitForSpace()
      }
    }
    guard mustSync else { return writesDone() }
    if writesInFlight.contains(where: \.isVote), diesAt(.beforeVoteSync) { return }
    if diesAt(.afterWrite) { return }
    isWriting = true
    let delay = cluster.syncMicroseconds(slowness: diskSlowness)
    cluster.world.schedule(.diskDone(process), after: delay)
  }

  /// Nothing of the group was written: it stays first in line.
  private func waitForSpace() {
    waitingWrites = writesInFlight + waitingWrites
    writesInFlight = []
    isWriting = true
    if !isShortOfSpace { cluster.note("the disk is full", slot) }
    isShortOfSpace = true
    cluster.world.schedule(.diskRetry(process), after: 20_000)
    step(.setElectable(false))
  }

  /// There is room again when its time has come.
  func clearSpace() {
    guard diskFullUntil > 0, diskFullUntil <= cluster.world.now else { return }
    disk.setCapacity(.max)
    diskFullUntil = 0
  }

  /// No fault that is still to come on this disk comes any more.
  func calmDisk() {
    disk.setCapacity(.max)
    disk.powerOff(afterOperations: .max)
    disk.failNextWrite(after: .max)
    disk.failNextSync(after: .max)
  }

  func retryFullDisk() {
    isWriting = false
    clearSpace()
    startWriting()
    guard isUp, !isWriting || !writesInFlight.isEmpty else { return }
    isShortOfSpace = false
    step(.setElectable(true))
  }

  /// The sync has taken its time.
  func diskDone() {
    guard let log else { return }
    if cluster.syncFails() {
      if cluster.sabotage == .trustsFailedSync { failFirstSync() } else { disk.failNextSync() }
    }
    do {
      try log.sync()
    } catch {
      return failedAndRestarts(error, while: "syncing the log")
    }
    if diesAt(.afterSync) { return }
    isWriting = false
    writesDone()
    startWriting()
  }

  /// Everything in flight is durable: says so, and lets go what waited for it.
  private func writesDone() {
    let done = writesInFlight
    writesInFlight = []
    var isWritten = false
    var isVote = false
    for case .write(let batch, let envelopes) in done {
      for envelope in envelopes {
        send(envelope)
        isVote = isVote || envelope.message.isVote
      }
      guard let batch else { continue }
      isWritten = true
      if let last = batch.entries.last { durable = (last.index, last.term) }
    }
    if isVote, diesAt(.afterVote) { return }
    if isWritten, cluster.sabotage != .acknowledgesBeforeSync { reportPersisted() }
  }

  func failedAndRestarts(_ error: StorageError, while doing: String) {
    failed(error, while: doing)
    cluster.restartLater(self)
  }

  /// What the WAL thread does when it has nothing else to do.
  func idleDisk() {
    guard let log, !isWriting, waitingWrites.isEmpty else { return }
    do {
      if log.needsMark {
        try log.mark()
        try log.sync()
      } else if log.needsPreparation {
        _ = try log.prepareStep()
      }
    } catch {
      failedAndRestarts(error, while: "preparing the log")
    }
  }

  // MARK: Snapshots

  /// Copies the state (in O(1)) when enough was applied; writing it takes its time.
  func maybeSnapshot() {
    let last = snapshotMetas.first?.index.value ?? 0
    guard snapshotInProgress == nil, !isSendingOlderSnapshot,
      lastApplied >= last + cluster.options.snapshotEntries,
      let term = raft.term(at: LogIndex(lastApplied))
    else { return }
    let (configuration, index) = raft.configuration(at: LogIndex(lastApplied))
    var meta = SnapshotMeta(
      index: LogIndex(lastApplied), term: term, configuration: configuration,
      configurationIndex: index)
    if cluster.sabotage == .snapshotsForgetConfiguration { meta.configuration = bootstrap }
    snapshotInProgress = (meta, registry)
    let delay = cluster.world.number(0...cluster.options.disk.snapshotMicroseconds)
    cluster.world.schedule(.snapshotWritten(process), after: delay)
  }

  func writeSnapshot() {
    guard let (meta, registry) = snapshotInProgress.take(), let store else { return }
    // One that was installed meanwhile may be newer.
    if let newest = snapshotMetas.first, newest.index >= meta.index { return }
    let state = cluster.sabotage == .snapshotsLaterState ? self.registry : registry
    var encoder = state.makeEncoder()
    do {
      if cluster.sabotage == .compactsBeforeSnapshot { return step(.compacted(meta)) }
      try store.write(meta) { encoder.next() }
    } catch {
      // The next one may find room.
      if case .diskFull = error, diskFullUntil > 0 { return }
      return failedAndRestarts(error, while: "writing a snapshot")
    }
    cluster.note("snapshot \(meta.index)", slot)
    cluster.totals.snapshots += 1
    if diesAt(.afterSnapshot) { return }
    snapshotMetas = [meta] + snapshotMetas.prefix(1)
    step(.compacted(meta))
  }

  /// The older of two is not replaced while it is being sent.
  private var isSendingOlderSnapshot: Bool {
    cluster.world.now < olderSnapshotReadAt + 2_000_000 && olderSnapshotReadAt > 0
  }

  func serve(_ read: SnapshotRead) {
    guard let store,
      let meta = snapshotMetas.first(where: { read.index == nil || read.index == $0.index })
    else { return step(.snapshotUnavailable(to: read.to)) }
    if meta.index != snapshotMetas.first?.index { olderSnapshotReadAt = cluster.world.now }
    do {
      let piece = try store.readTransfer(meta, offset: read.offset, bytesMax: read.bytesMax)
      step(
        .snapshotData(
          to: read.to, meta: meta, offset: read.offset, totalBytes: piece.totalBytes, piece.data))
    } catch {
      step(.snapshotUnavailable(to: read.to))
    }
  }

  // MARK: Received snapshots

  /// A worker writes the pieces, one after the other; the loop does not wait for it.
  func enqueue(_ chunk: ReceivedChunk) {
    chunks.append(chunk)
    if chunks.count == 1 { scheduleChunk() }
  }

  private func scheduleChunk() {
    guard let chunk = chunks.first else { return }
    let bound = chunk.isLast ? cluster.options.disk.snapshotMicroseconds : 500
    cluster.world.schedule(.chunkWritten(process), after: cluster.world.number(10...bound))
  }

  func writeChunk() {
    guard let store, !chunks.isEmpty else { return }
    let chunk = chunks.removeFirst()
    do {
      try store.receive(chunk)
      if chunk.isLast { try finishReceiving(chunk.meta, store) }
    } catch {
      switch error {
      case .damaged, .diskFull:
        cluster.note("rejected snapshot \(chunk.meta.index): \(error)", slot)
        chunks.removeAll { $0.meta == chunk.meta }
        step(.snapshotRejected(index: chunk.meta.index))
      default: return failedAndRestarts(error, while: "receiving a snapshot")
      }
    }
    if isUp { scheduleChunk() }
  }

  private func finishReceiving(
    _ meta: SnapshotMeta, _ store: SnapshotStore<FaultyFileSystem>
  ) throws(StorageError) {
    if diesAt(.afterInstall) { return }
    guard let registry = try read(meta, from: store) else { return }
    snapshotMetas = [meta] + snapshotMetas.prefix(1)
    guard meta.index > raft.lastApplied else { return }
    loaded = (meta, registry)
    step(.snapshotInstalled(meta))
  }

  /// Raft took the snapshot (or did not want it any more): the state becomes what it says.
  func installed(_ meta: SnapshotMeta) {
    guard let loaded = loaded.take(), loaded.meta == meta, raft.lastApplied == meta.index else {
      return
    }
    let before = lastApplied
    if cluster.sabotage != .keepsOldStateOnInstall { registry = loaded.registry }
    lastApplied = meta.index.value
    snapshotInProgress = nil
    sabotageState.isAfterSnapshot = true
    stateReplaced()
    cluster.totals.installs += 1
    cluster.note("installed snapshot \(meta.index)", slot)
    cluster.checker.restored(self)
    replacedBySnapshot(after: before)
  }
}
