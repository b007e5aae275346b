import Node
import Raft
import Registry

/// Sessions on the leader's clock: the production `LeaderDeadlines`, driven as `Duties` does.
///
/// Happy path: whoever leads and has committed in its term follows all sessions from then on,
/// restarts a deadline for each renewal that it confirmed with a ReadIndex round, and proposes the
/// end of what ran out. Failures: a proposal without success is made again a second later.
struct SessionTimes {
  var deadlines = LeaderDeadlines()
  var isLeading = false
  /// Counts leaderships: what an earlier one proposed is none of this one's business.
  var leadership: UInt64 = 0
  var isFullLookDue = false
  var ending: [UniqueID] = []
  var ticks: UInt64 = 0
  /// Since when it leads.
  var since: UInt64 = 0

  /// Ticks between two looks.
  static let lookTicks: UInt64 = 10
  static let retryNanoseconds: UInt64 = 1_000_000_000
}

extension SimulatedNode {
  /// This node's monotonic clock, in nanoseconds: as fast or slow as its ticks.
  var clock: UInt64 {
    cluster.world.now * 1000 / tickMicroseconds * cluster.options.tickMicroseconds
  }

  /// Called when the end of a turn, or a step, may have changed who leads.
  func noteLeadership() {
    guard raft.isEstablishedLeader != sessions.isLeading else { return }
    sessions.isLeading = raft.isEstablishedLeader
    sessions.leadership += 1
    sessions.ending.removeAll()
    if cluster.sabotage != .keepsOldDeadlines { sessions.deadlines.reset() }
    sessions.isFullLookDue = sessions.isLeading
    sessions.since = cluster.world.now
  }

  func tickSessions() {
    sessions.ticks += 1
    guard sessions.isLeading, sessions.ticks % SessionTimes.lookTicks == 0 else { return }
    if sessions.isFullLookDue {
      sessions.isFullLookDue = false
      for check in registry.agentChecks() { sessions.deadlines.follow(check, now: clock) }
      for session in registry.sessions() { sessions.deadlines.follow(session, now: clock) }
    }
    for expired in sessions.deadlines.takeExpired(now: clock, registry: registry) {
      if cluster.sabotage == .neverExpires { continue }
      cluster.note("ran out: \(expired)", slot)
      switch expired {
      case .session(let id):
        sessions.ending.append(id)
        proposeAsLeader(.sessionDestroy(id), for: .session(id))
      case .ttl(let check):
        let update = CheckUpdate(
          checkID: check.id, fromHost: nil, node: check.node, status: "critical",
          output: LeaderDeadlines.expiredOutput)
        proposeAsLeader(.checkUpdate(update), for: .ttl(check))
      case .deregister(let check, let serviceID, let condition):
        proposeAsLeader(
          .agentDeregister(serviceID: serviceID, onlyIf: condition), for: .deregister(check))
      }
    }
  }

  private func proposeAsLeader(_ command: Command, for key: LeaderDeadlines.Key) {
    let envelope = CommandEnvelope(time: 0, requestID: nil, command: command)
    requests.writes.append(
      PendingWrite(
        payload: envelope.encoded(), waiter: .leader(key, sessions.leadership), deadline: .max))
    scheduleTurn()
  }

  func followSessions(_ changes: ChangeSet) {
    guard sessions.isLeading else { return }
    for change in changes.agentChecks {
      let check = registry.agentCheck(change.id, host: change.node)
      sessions.deadlines.follow(change, check, now: clock)
    }
    for id in changes.sessionIDs {
      if let session = registry.session(id) {
        sessions.deadlines.follow(session, now: clock)
      } else {
        sessions.deadlines.forget(id)
      }
    }
  }

  /// The end that was proposed for a session is done, or is not.
  func settle(_ key: LeaderDeadlines.Key, _ leadership: UInt64) {
    guard leadership == sessions.leadership else { return }
    if case .session(let id) = key { sessions.ending.removeAll { $0 == id } }
    sessions.deadlines.settle(key, retryAt: clock + SessionTimes.retryNanoseconds)
  }

  // MARK: Renewals

  /// To the leader, which confirms that it leads before it answers.
  func takeRenewal(_ request: Request) {
    if raft.role == .leader {
      if cluster.sabotage == .renewsWithoutRound { return renew(request) }
      requests.reads.append(request)
      return scheduleTurn()
    }
    guard let leader = raft.leader, leader != id, request.via == nil else {
      return respond(request, .notDone)
    }
    var request = request
    request.via = slot
    cluster.send(.renewal(request), from: slot, to: cluster.slot(of: leader))
  }

  func renew(_ request: Request) {
    guard case .renew(let id) = request.body else { return }
    let mayLead = sessions.isLeading || cluster.sabotage == .renewsWithoutRound
    guard mayLead else { return respond(request, .notDone) }
    guard let session = registry.session(id), !sessions.ending.contains(id) else {
      return respond(request, .renewed(false))
    }
    sessions.deadlines.renew(session, now: clock)
    respond(request, .renewed(true))
  }

  /// Back to the client, through the node that it asked.
  func respond(_ request: Request, _ reply: Reply) {
    guard let via = request.via, via != slot else {
      return cluster.reply(to: request, reply, from: slot)
    }
    cluster.send(.renewalReply(request, reply), from: slot, to: via)
  }
}
