import ConsulAPI
import Raft
import Registry

/// A write that looks for the leader.
struct PendingWrite {
  var payload: [UInt8]
  var waiter: Waiter
  /// Given up after that moment.
  var deadline: UInt64
  /// A leader has it, or had it: another copy of it may be applied yet.
  var wasHanded = false

  /// It is about to be handed to a leader.
  mutating func hand() {
    if wasHanded, case .client(var request) = waiter {
      request.isRepeated = true
      waiter = .client(request)
    }
    wasHanded = true
  }
}

/// What clients and other nodes wait for at one node; lost with the process.
struct RequestTables {
  struct Forwarding {
    var id: ForwardID
    var write: PendingWrite
    var hasRequestID: Bool
    /// Tried again after that moment if that is harmless.
    var retryAt: UInt64
  }

  /// Collected in this turn.
  var writes: [PendingWrite] = []
  var reads: [Request] = []
  var isTurnScheduled = false
  /// No leader was known; tried again with every tick.
  var held: [PendingWrite] = []
  /// Given to Raft, not answered yet, in order of the `propose` inputs.
  var proposing: [[PendingWrite]] = []
  /// By log index: a waiter and the term its entry was appended in. Never iterated.
  var waiters: [UInt64: [(term: Term, waiter: Waiter)]] = [:]
  var forwarding: [Forwarding] = []
  var nextNumber: UInt64 = 0
  var readBatches: [(id: ReadID, requests: [Request])] = []
  /// Confirmed reads that wait until enough is applied.
  var readsAtIndex: [(index: UInt64, request: Request)] = []

  /// Batches of reads without an answer; more are dropped, oldest first.
  static let readBatchesMax = 512
}

extension SimulatedNode {
  func dropRequests() { requests = RequestTables() }

  func handle(_ request: Request) {
    switch request.body {
    case .write(let payload, _):
      let deadline = cluster.world.now + cluster.options.attemptMicroseconds
      requests.writes.append(
        PendingWrite(payload: payload, waiter: .client(request), deadline: deadline))
    case .read(_, .stale(let index)):
      guard index > lastApplied, cluster.sabotage != .ignoresIndexOfStaleReads else {
        return answerRead(request)
      }
      requests.readsAtIndex.append((index, request))
      return
    case .read(_, .linearizable):
      if cluster.sabotage == .readsWithoutBarrier { return answerRead(request) }
      requests.reads.append(request)
    case .watch:
      if cluster.sabotage == .watchesWithoutBarrier { return answerRead(request) }
      requests.reads.append(request)
    case .renew: return takeRenewal(request)
    }
    scheduleTurn()
  }

  func scheduleTurn() {
    guard !requests.isTurnScheduled else { return }
    requests.isTurnScheduled = true
    cluster.world.schedule(.turn(process), after: cluster.world.number(0...200))
  }

  /// The end of a turn: all that was collected goes on as one batch.
  func endTurn() {
    requests.isTurnScheduled = false
    answerReadsAtIndex()
    if !requests.reads.isEmpty {
      requests.nextNumber += 1
      let id = ReadID(requests.nextNumber)
      requests.readBatches.append((id, requests.reads))
      requests.reads = []
      if requests.readBatches.count > RequestTables.readBatchesMax {
        requests.readBatches.removeFirst()
      }
      step(.read(id))
    }
    let writes = requests.writes
    requests.writes = []
    if !writes.isEmpty { dispatch(writes) }
  }

  func tick() {
    step(.tick)
    guard isUp else { return }
    idleDisk()
    guard isUp else { return }
    tickSessions()
    tendCluster()
    if diskIdentity.isGivenUp { return rebuild() }
    retryHeld()
    cluster.world.schedule(.tick(process), after: tickMicroseconds)
  }

  private func retryHeld() {
    let now = cluster.world.now
    var retried = requests.held
    requests.held = []
    requests.forwarding.removeAll { forwarding in
      guard forwarding.retryAt <= now else { return false }
      if forwarding.hasRequestID || cluster.sabotage == .retriesWithoutRequestID {
        retried.append(forwarding.write)
      } else {
        let isKnown = cluster.sabotage == .callsLostForwardsNotDone
        answer(forwarding.write.waiter, isKnown ? .notDone : .unknown)
      }
      return true
    }
    let expired = retried.filter { $0.deadline <= now }
    for write in expired { answer(write.waiter, write.wasHanded ? .unknown : .notDone) }
    retried.removeAll { $0.deadline <= now }
    if !retried.isEmpty { dispatch(retried) }
  }

  // MARK: Writes

  private func dispatch(_ writes: [PendingWrite]) {
    if raft.role == .leader {
      var payloads = writes.map(\.payload)
      let time = cluster.wallMilliseconds + wallSkew
      for i in payloads.indices { CommandEnvelope.stamp(&payloads[i], time: time) }
      var handed = writes
      for i in handed.indices { handed[i].hand() }
      requests.proposing.append(handed)
      return step(.propose(payloads))
    }
    for write in writes {
      // What another node forwarded here is its own to forward elsewhere.
      guard case .client(let request) = write.waiter else {
        answer(write.waiter, .notDone)
        continue
      }
      if let leader = raft.leader, leader != id {
        forward(write, request, to: leader)
      } else {
        requests.held.append(write)
      }
    }
  }

  /// Without anyone who waits for it.
  func proposeDirectly(_ payload: [UInt8]) {
    requests.proposing.append([])
    step(.propose([payload]))
  }

  private func forward(_ write: PendingWrite, _ request: Request, to leader: NodeID) {
    guard case .write(_, let hasRequestID) = request.body else { return }
    requests.nextNumber += 1
    let forwardID = ForwardID(incarnation: incarnation, number: requests.nextNumber)
    let retryAt =
      hasRequestID || cluster.sabotage == .retriesWithoutRequestID
        || cluster.sabotage == .callsLostForwardsNotDone
      ? cluster.world.now + cluster.options.attemptMicroseconds / 3 : write.deadline
    var write = write
    write.hand()
    requests.forwarding.append(
      .init(id: forwardID, write: write, hasRequestID: hasRequestID, retryAt: retryAt))
    cluster.send(.forward(forwardID, write.payload), from: slot, to: cluster.slot(of: leader))
  }

  func forwarded(_ forwardID: ForwardID, _ payload: [UInt8], from: Int) {
    requests.writes.append(
      PendingWrite(payload: payload, waiter: .node(from, forwardID), deadline: .max))
    scheduleTurn()
  }

  func forwardAnswered(_ forwardID: ForwardID, _ result: Forwarded) {
    guard let i = requests.forwarding.firstIndex(where: { $0.id == forwardID }) else { return }
    let write = requests.forwarding.remove(at: i).write
    switch result {
    case .outcome(let outcome, let index): answer(write.waiter, .outcome(outcome, index: index))
    case .notDone: requests.held.append(write)
    case .unknown: answer(write.waiter, .unknown)
    }
  }

  /// The answer to the oldest `propose` input that has none yet.
  func proposed(_ result: ProposalResult) {
    guard !requests.proposing.isEmpty else {
      return cluster.fail("proposals: node \(id): an answer to a proposal that nobody made")
    }
    let writes = requests.proposing.removeFirst()
    switch result {
    case .accepted(let first, let term):
      for (i, write) in writes.enumerated() {
        let index = first.value + UInt64(i)
        if cluster.sabotage == .answersBeforeCommit {
          answer(write.waiter, .outcome(.flag(true), index: index))
        } else {
          requests.waiters[index, default: []].append((term, write.waiter))
        }
      }
    case .rejected:
      for write in writes {
        if case .client = write.waiter {
          requests.held.append(write)
        } else {
          answer(write.waiter, .notDone)
        }
      }
    }
  }

  private func answer(_ waiter: Waiter, _ reply: Reply) {
    switch waiter {
    case .client(let request):
      // Of two copies one may have been applied and forgotten.
      if request.isRepeated, case .outcome(.refused(.requestForgotten), _) = reply {
        return cluster.reply(to: request, .unknown, from: slot)
      }
      cluster.reply(to: request, reply, from: slot)
    case .node(let node, let forwardID):
      let result: Forwarded
      switch reply {
      case .outcome(let outcome, let index): result = .outcome(outcome, index: index)
      case .notDone: result = .notDone
      case .values, .unknown, .renewed: result = .unknown
      }
      cluster.send(.forwardReply(forwardID, result), from: slot, to: node)
    case .leader(let key, let leadership): settle(key, leadership)
    }
  }

  // MARK: Applying

  func apply(through index: UInt64) {
    guard index > lastApplied else { return }
    let entries = raft.entries(from: LogIndex(lastApplied + 1), through: LogIndex(index))
    guard entries.first?.index.value == lastApplied + 1, entries.last?.index.value == index else {
      return cluster.fail("log: node \(id): committed through \(index), but its log lacks entries")
    }
    for entry in entries { apply(entry) }
    step(.applied(through: min(LogIndex(index), raft.commitIndex)))
    answerReadsAtIndex()
    maybeSnapshot()
  }

  private func apply(_ entry: Entry) {
    lastApplied = entry.index.value
    var outcome = Outcome.done
    if entry.kind == .command, cluster.sabotage == nil || !sabotageSkips(entry) {
      outcome = registry.apply(entry.payload, index: lastApplied, changes: &changes)
      if cluster.sabotage == .losesChanges, lastApplied % 20 == 0 { changes.removeAll() }
      cluster.checker.changed(self, watched: cluster.watchedKeys)
      noteChanges()
    }
    if cluster.sabotage == .appliesTwiceAfterRestart { applyTwice(entry) }
    cluster.checker.applied(entry, by: self)
    guard !requests.waiters.isEmpty, let waiters = requests.waiters.removeValue(forKey: lastApplied)
    else { return }
    for (term, waiter) in waiters {
      let isOurs = term == entry.term || cluster.sabotage == .answersWithoutTermCheck
      answer(waiter, isOurs ? .outcome(outcome, index: lastApplied) : .notDone)
    }
  }

  /// What one apply changed, for those who follow it.
  private func noteChanges() {
    followSessions(changes)
    changeLog.note(changes, registry, datacenter: "dc1")
    cluster.changed(by: self)
    changes.removeAll()
  }

  /// A snapshot took the place of entries that somebody here waited for: what became of those
  /// is not told by it.
  func replacedBySnapshot(after before: UInt64) {
    noteWatched()
    if !requests.waiters.isEmpty, before < lastApplied {
      for index in (before + 1)...lastApplied {
        for (_, waiter) in requests.waiters.removeValue(forKey: index) ?? [] {
          answer(waiter, .unknown)
        }
      }
    }
    answerReadsAtIndex()
  }

  /// Watches begin with the state as it is.
  func noteWatched() {
    watchedIndexes = cluster.watchedKeys.map { registry.kv($0)?.modifyIndex ?? 0 }
  }

  // MARK: Reads

  func readAnswered(_ result: ReadResult) {
    guard let i = requests.readBatches.firstIndex(where: { $0.id == result.id }) else { return }
    if nextReadPause > 0, let index = result.index { return pauseBeforeReads(i, at: index.value) }
    for request in requests.readBatches.remove(at: i).requests {
      guard let index = result.index else {
        respond(request, .notDone)
        continue
      }
      if index.value <= lastApplied || cluster.sabotage == .readsBeforeApplied {
        answerRead(request)
      } else {
        requests.readsAtIndex.append((index.value, request))
      }
    }
  }

  /// For scenarios: confirmed, and then nothing for a while.
  private func pauseBeforeReads(_ batch: Int, at index: UInt64) {
    for request in requests.readBatches.remove(at: batch).requests {
      requests.readsAtIndex.append((index, request))
    }
    pausedUntil = cluster.world.now + nextReadPause
    nextReadPause = 0
    cluster.note("pauses between a confirmed read and its answer", slot)
    scheduleTurn()
  }

  private func answerReadsAtIndex() {
    guard requests.readsAtIndex.contains(where: { $0.index <= lastApplied }) else { return }
    let ready = requests.readsAtIndex.filter { $0.index <= lastApplied }
    requests.readsAtIndex.removeAll { $0.index <= lastApplied }
    for (_, request) in ready { answerRead(request) }
  }

  private func answerRead(_ request: Request) {
    switch request.body {
    case .read(let keys, _):
      cluster.reply(
        to: request, .values(keys.map { registry.kv($0) }, index: lastApplied), from: slot)
    case .renew: renew(request)
    case .watch(let index): cluster.connected(request, to: self, after: index)
    case .write: break
    }
  }
}
