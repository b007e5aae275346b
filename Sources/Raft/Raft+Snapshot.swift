import Basics

/// A snapshot on its way from the leader into this node's store.
struct ReceivedSnapshot: Equatable, Sendable {
  var meta: SnapshotMeta
  /// Two nodes' snapshots of one index need not be the same bytes.
  var sender: NodeID
  var totalBytes: UInt64
  var nextOffset: UInt64 = 0
  /// All chunks arrived; the caller verifies and loads.
  var isComplete = false
}

/// Compaction, and InstallSnapshot in chunks (paper, section 7).
///
/// Happy path: the leader asks its caller for bytes (`snapshotReads`), sends them one chunk at a
/// time, and the follower hands them on in order (`snapshotChunks`); when the caller has installed
/// the whole, the follower's log starts after it. Failures: a lost chunk or answer is sent again
/// after an election timeout or when the link is back; the follower says where to go on, so
/// nothing is sent twice but the chunk in doubt; a snapshot that is gone is replaced by the newest.
extension RaftCore {
  // MARK: Compaction

  mutating func compacted(_ meta: SnapshotMeta, into effects: inout Effects) {
    invariant(meta.index <= commitIndex, "snapshot at \(meta.index), commit at \(commitIndex)")
    guard meta.index > snapshotMeta?.index ?? .zero else { return }
    snapshotMeta = meta
    // It is durable, and so is everything in it.
    persistedIndex = max(persistedIndex, meta.index)
    let through = compactionPoint(meta.index)
    guard through > log.baseIndex else { return }
    log.compact(through: through)
    configurations.compact(through: through)
    effects.compactedThrough = through
  }

  /// Before `index` by what slow followers may still need.
  private func compactionPoint(_ index: LogIndex) -> LogIndex {
    let needed = leastNeededIndex(index)
    var point = index
    var bytes = 0
    while point > log.baseIndex, let entry = log[point] {
      bytes += EntryLog.cost(entry)
      let isTrailing =
        index.value - point.value < options.trailingEntries && bytes <= options.trailingBytes
      guard isTrailing || (point > needed && bytes <= options.catchUpBytesMax) else { break }
      point = point.previous
    }
    return point
  }

  /// A peer that is catching up needs what follows this index. Without it, one that takes longer
  /// for a snapshot than the leader until its next would get snapshots for ever.
  private func leastNeededIndex(_ index: LogIndex) -> LogIndex {
    var least = index
    for peer in peers where peer.isActive(options) {
      var needed = peer.matchIndex
      if case .installing(let installation) = peer.state {
        guard let meta = installation.meta else { continue }
        needed = meta.index
      }
      if needed >= log.baseIndex { least = min(least, needed) }
    }
    return least
  }

  // MARK: The leader

  private mutating func withInstallation(
    of position: Int, _ change: (inout Installation) -> Void
  ) {
    guard case .installing(var installation) = peers[position].state else { return }
    change(&installation)
    peers[position].state = .installing(installation)
  }

  mutating func requestSnapshotRead(for position: Int, into effects: inout Effects) {
    guard case .installing(let installation) = peers[position].state,
      installation.step == .needsRead
    else { return }
    if let meta = installation.meta, installation.offset == installation.totalBytes {
      // All was sent: an empty chunk asks whether it is installed.
      let chunk = SnapshotChunk(
        term: term, meta: meta, offset: installation.offset, totalBytes: installation.totalBytes,
        data: [])
      effects.send.append(Envelope(to: peers[position].id, message: .snapshotChunk(chunk)))
      return withInstallation(of: position) {
        $0.step = .sent
        $0.ticks = 0
      }
    }
    effects.snapshotReads.append(
      SnapshotRead(
        to: peers[position].id, index: installation.meta?.index, offset: installation.offset,
        bytesMax: options.snapshotChunkBytes))
    withInstallation(of: position) {
      $0.step = .reading
      $0.ticks = 0
    }
  }

  mutating func sendChunk(
    _ data: [UInt8], of meta: SnapshotMeta, offset: UInt64, totalBytes: UInt64, to: NodeID,
    into effects: inout Effects
  ) {
    guard role == .leader, let position = peers.firstIndex(where: { $0.id == to }),
      case .installing(let installation) = peers[position].state,
      installation.step == .reading, installation.offset == offset,
      installation.meta == nil || installation.meta?.index == meta.index
    else { return }
    if installation.meta == nil {
      effects.events.append(.snapshotSendStarted(to: to, index: meta.index))
    }
    withInstallation(of: position) {
      $0.meta = meta
      $0.totalBytes = totalBytes
      $0.step = .sent
      $0.ticks = 0
    }
    let chunk = SnapshotChunk(
      term: term, meta: meta, offset: offset, totalBytes: totalBytes, data: data)
    effects.send.append(Envelope(to: to, message: .snapshotChunk(chunk)))
  }

  mutating func snapshotUnavailable(to: NodeID) {
    guard let position = peers.firstIndex(where: { $0.id == to }) else { return }
    withInstallation(of: position) { $0 = Installation(step: .waiting) }
  }

  mutating func receiveSnapshotReply(
    _ reply: SnapshotReply, from position: Int, into effects: inout Effects
  ) {
    guard case .installing(let installation) = peers[position].state,
      let meta = installation.meta, meta.index == reply.index
    else { return }
    if reply.isInstalled {
      effects.events.append(.snapshotSendFinished(to: peers[position].id, index: meta.index))
      _ = peers[position].matched(meta.index)
      peers[position].becomeProbing()
      reportIfCaughtUp(position, into: &effects)
      return advanceLeaderCommit(into: &effects)
    }
    guard installation.step == .sent, reply.nextOffset <= installation.totalBytes else { return }
    if reply.nextOffset > installation.offset || reply.nextOffset == installation.totalBytes {
      voterCaughtUpSome(position)
    }
    withInstallation(of: position) {
      // All of it was there and it is wanted again: it was damaged. Perhaps it is here, too.
      let isRefused = $0.offset > 0 && reply.nextOffset == 0
      $0.offset = reply.nextOffset
      if isRefused {
        $0 = Installation(step: .waiting)
      }
      // At the end there is nothing to read: wait for the follower to load, then ask again.
      else if reply.nextOffset < $0.totalBytes {
        $0.step = .needsRead
      }
    }
  }

  /// Chunks and answers get lost, callers forget: an election timeout is enough patience.
  mutating func tickInstallations() {
    for position in peers.indices {
      guard case .installing(let installation) = peers[position].state else { continue }
      switch installation.step {
      case .needsRead: break
      case .waiting where installation.ticks >= options.heartbeatTicks:
        resumeInstallation(position)
      case .reading where installation.ticks >= 4 * options.electionTicks:
        resumeInstallation(position)
      case .sent where installation.ticks >= options.electionTicks:
        if peers[position].isActive(options) { resumeInstallation(position) }
      case .waiting, .reading, .sent: break
      }
    }
  }

  mutating func resumeInstallation(_ position: Int) {
    withInstallation(of: position) { $0.step = .needsRead }
  }

  // MARK: The follower

  mutating func receiveChunk(
    _ chunk: SnapshotChunk, from: NodeID, into effects: inout Effects
  ) {
    guard followLeader(from, into: &effects) else { return }
    let meta = chunk.meta
    if meta.index > commitIndex, receiving?.isComplete != true,
      log.term(at: meta.index) == meta.term
    {
      // Section 7: the log has it all; a snapshot holds only what is committed.
      commit(through: meta.index, into: &effects)
    }
    if meta.index <= commitIndex {
      receiving = receiving?.isComplete == true ? receiving : nil
      return replyInstalled(meta.index, to: from, into: &effects)
    }
    if let current = receiving, current.isComplete {
      // Another one is being loaded: silence, the leader will ask again.
      guard current.meta == meta else { return }
      return replyOffset(current.totalBytes, of: meta, to: from, into: &effects)
    }
    if receiving?.meta != meta || receiving?.totalBytes != chunk.totalBytes {
      receiving = ReceivedSnapshot(meta: meta, sender: from, totalBytes: chunk.totalBytes)
    }
    guard var current = receiving else { return }
    if chunk.offset == 0, current.nextOffset > 0, chunk.data.count > 0 {
      // A repeated first chunk: it is there already.
      return replyOffset(current.nextOffset, of: meta, to: from, into: &effects)
    }
    let isEnd = chunk.offset + UInt64(chunk.data.count) == chunk.totalBytes
    guard chunk.offset == current.nextOffset, !chunk.data.isEmpty || isEnd else {
      return replyOffset(current.nextOffset, of: meta, to: from, into: &effects)
    }
    current.nextOffset += UInt64(chunk.data.count)
    current.isComplete = isEnd
    receiving = current
    effects.snapshotChunks.append(
      ReceivedChunk(
        meta: meta, offset: chunk.offset, totalBytes: chunk.totalBytes, data: chunk.data,
        isLast: isEnd))
    replyOffset(current.nextOffset, of: meta, to: from, into: &effects)
  }

  private func replyOffset(
    _ offset: UInt64, of meta: SnapshotMeta, to: NodeID, into effects: inout Effects
  ) {
    let reply = SnapshotReply(
      term: term, index: meta.index, nextOffset: offset, isInstalled: false)
    effects.send.append(Envelope(to: to, message: .snapshotReply(reply)))
  }

  private func replyInstalled(_ index: LogIndex, to: NodeID, into effects: inout Effects) {
    let reply = SnapshotReply(term: term, index: index, nextOffset: 0, isInstalled: true)
    effects.sendAfterSync.append(Envelope(to: to, message: .snapshotReply(reply)))
  }

  mutating func snapshotInstalled(_ meta: SnapshotMeta, into effects: inout Effects) {
    guard receiving?.isComplete == true, receiving?.meta == meta else { return }
    receiving = nil
    invariant(meta.index > commitIndex, "snapshot \(meta.index) below commit \(commitIndex)")
    invariant(role != .leader, "a leader installs a snapshot")
    let wasMember = configuration.isMember(id)
    if log.term(at: meta.index) == meta.term {
      // Section 7: what follows a matching entry stays.
      log.compact(through: meta.index)
      effects.compactedThrough = meta.index
    } else {
      log.reset(baseIndex: meta.index, baseTerm: meta.term)
      persistedIndex = meta.index
      // What was to be written is void: the log on disk is emptied first.
      effects.append.removeAll(keepingCapacity: true)
      effects.logResetAfter = meta.index
    }
    persistedIndex = max(persistedIndex, meta.index)
    snapshotMeta = meta
    commitIndex = meta.index
    lastApplied = meta.index
    adoptSnapshotConfiguration(meta, wasMember: wasMember, into: &effects)
    if let leader { replyInstalled(meta.index, to: leader, into: &effects) }
  }

  private mutating func adoptSnapshotConfiguration(
    _ meta: SnapshotMeta, wasMember: Bool, into effects: inout Effects
  ) {
    let later = configurations.items.filter { $0.index > meta.index && $0.index <= lastIndex }
    configurations = ConfigurationHistory(meta.configuration, index: meta.configurationIndex)
    for item in later { configurations.append(item.configuration, index: item.index) }
    effects.events.append(
      .configurationCommitted(meta.configuration, index: meta.configurationIndex))
    if wasMember, !meta.configuration.isMember(id), !configuration.isMember(id) {
      effects.events.append(.removedFromCluster)
    }
  }

  mutating func snapshotRejected(index: LogIndex, into effects: inout Effects) {
    guard let current = receiving, current.meta.index == index else { return }
    receiving = nil
    if let leader { replyOffset(0, of: current.meta, to: leader, into: &effects) }
  }
}
