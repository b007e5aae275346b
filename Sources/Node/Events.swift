import EventLoop
import Peer
import Raft

/// What Raft and the links report: one log line each, and what follows from it.
extension Node {
  func handle(_ events: [RaftEvent]) {
    for event in events {
      log(event)
      react(to: event)
    }
  }

  private func react(to event: RaftEvent) {
    switch event {
    case .leaderChanged:
      leadershipMoved()
      sendGossip()
    case .leadershipEstablished:
      // Only now does the leader answer reads.
      reads.retry(askedBefore: .max)
    case .configurationAppended, .logTruncated:
      if isRemoved, raft.configuration.names(id) {
        isRemoved = false
        updateElectable()
      }
      updatePeers()
    case .configurationCommitted(let configuration, _):
      metrics.increment(counters.membershipChanges)
      updatePeers()
      gossip.keepOnly(configuration)
      if phase == .joining, configuration.hasVoter(id) { admitted() }
      if configuration.outgoing.isEmpty {
        for hook in hooks.membershipChanged { hook(configuration) }
      }
      advanceOperations()
    case .removedFromCluster: becomeRemoved()
    case .learnerCaughtUp: promoteLearners()
    case .transferFinished: advanceOperations()
    case .becameFollower, .becamePreCandidate, .becameCandidate, .becameLeader, .steppedDown,
      .snapshotSendStarted, .snapshotSendFinished, .transferStarted:
      break
    }
  }

  /// What waits for a leader goes to the new one.
  private func leadershipMoved() {
    metrics.increment(counters.leaderChanges)
    endLeadersOwnProposals()
    if raft.leader != nil {
      proposals.handAllAgain()
      repeatRequests { $0.target == .leader }
    }
    reads.retry(askedBefore: .max)
    loop.requestTurnEnd()
  }

  private func log(_ event: RaftEvent) {
    switch event {
    case .becameFollower, .becamePreCandidate, .becameCandidate:
      logger.log(.debug, "raft", "\(event)")
    case .becameLeader(let term):
      logger.log(.info, "raft", "this node leads", [("term", term.description)])
    case .leadershipEstablished(let term):
      logger.log(.debug, "raft", "leadership is established", [("term", term.description)])
    case .steppedDown(let term, let reason):
      logger.log(
        .info, "raft", "this node leads no more: \(reason.words)", [("term", term.description)])
    case .leaderChanged(let leader, let term):
      if let leader, leader != id {
        logger.log(
          .info, "raft", "new leader", [("node", name(of: leader)), ("term", term.description)])
      } else if leader == nil {
        logger.log(.info, "raft", "no leader is known", [("term", term.description)])
      }
    case .configurationAppended: break
    case .configurationCommitted(let configuration, let index):
      let voters = configuration.voters.map { configuration.context(of: $0)?.name ?? "\($0)" }
      let learners = configuration.learners.map { configuration.context(of: $0)?.name ?? "\($0)" }
      logger.log(
        .info, "membership", "the members are",
        [
          ("voters", voters.joined(separator: ",")), ("learners", learners.joined(separator: ",")),
          ("index", index.description),
        ])
    case .removedFromCluster: break
    case .learnerCaughtUp(let node):
      logger.log(.info, "membership", "a learner has caught up", [("node", name(of: node))])
    case .snapshotSendStarted(let to, let index):
      logger.log(
        .info, "snapshot", "sending a snapshot",
        [("to", name(of: to)), ("index", index.description)])
    case .snapshotSendFinished(let to, let index):
      logger.log(
        .info, "snapshot", "a snapshot was installed by the other node",
        [("to", name(of: to)), ("index", index.description)])
    case .transferStarted(let to):
      logger.log(.info, "raft", "handing leadership over", [("to", name(of: to))])
    case .transferFinished(let succeeded):
      if !succeeded { logger.log(.warning, "raft", "leadership was not taken over") }
    case .logTruncated(let from):
      logger.log(
        .info, "raft", "uncommitted entries were replaced by the leader's",
        [("from", from.description)])
    }
  }

  /// The node cannot go on: it serves nothing any more, and its process should end.
  func fatal(_ message: String) {
    guard !isStopped else { return }
    logger.log(.error, "node", message)
    endEverything(.stopping)
    transport.close()
    onFatal?(message)
  }

  /// Answers all that waits.
  func endEverything(_ failure: RequestFailure) {
    isStopped = true
    for slot in proposals.takeAll() {
      let known: RequestFailure =
        slot.timeoutFailure == .noLeader ? failure : .outcomeUnknown("this node stopped")
      replies.append(.outcome(slot.completion, .failure(known)))
    }
    for waiter in reads.takeAll() { replies.append(.barrier(waiter.completion, failure)) }
    for number in requests.pending.keys.sorted() { finishRequest(number, .failure(failure)) }
    for item in operations.pending { replies.append(.barrier(item.completion, failure)) }
    operations.pending = []
    loop.requestTurnEnd()
  }
}

extension StepDownReason {
  var words: String {
    switch self {
    case .higherTerm: "another node has a higher term"
    case .lostQuorum: "a majority has not been heard for an election timeout"
    case .removed: "it was removed from the cluster"
    case .stalled: "its disk or its commits made no progress"
    case .transferred: "it handed over"
    }
  }
}

// MARK: - Links

/// Takes the transport's calls for the node, which the transport need not keep alive.
final class TransportRelay: PeerTransportDelegate {
  weak var node: Node?

  func transport(_ transport: PeerTransport, didReceive message: Message, from peer: NodeID) {
    guard let node, node.isStarted, !node.isStopped else { return }
    guard node.phase != .discovering, node.phase != .forming else { return }
    guard !node.withholdsVote(message) else { return }
    node.takePassedTicks()
    node.raft.step(.message(message, from: peer), into: &node.effects)
  }

  func transport(
    _ transport: PeerTransport, didReceiveFrame kind: UInt8, payload: [UInt8],
    from origin: PeerOrigin
  ) {
    guard let node, node.isStarted, !node.isStopped else { return }
    node.receiveFrame(kind, payload, from: origin)
  }

  func transport(
    _ transport: PeerTransport, linkDidChange state: PeerLinkState, peer: NodeID
  ) {
    guard let node, node.isStarted, !node.isStopped else { return }
    node.linkChanged(state, peer)
  }

  func transport(_ transport: PeerTransport, didHear hello: PeerHello, from origin: PeerOrigin) {
    guard let node, node.isStarted, !node.isStopped else { return }
    node.noteIncarnation(hello.identity)
    node.hear(hello, from: origin)
    if case .probe(let probe) = origin { node.greetAddition(hello, probe: probe) }
  }

  func transport(_ transport: PeerTransport, probeDidEnd probe: ProbeID, error: String?) {
    guard let node, node.isStarted, !node.isStopped else { return }
    node.probeEnded(probe, error: error)
    node.repeatRequests { $0.sentTo == .probe(probe) }
  }

  func transport(_ transport: PeerTransport, rejected rejection: PeerRejection) {
    guard let node else { return }
    node.metrics.increment(node.counters.rejectedConnections)
    node.accused(rejection)
    // The port of who dials differs each time and tells nothing.
    let host = rejection.isOurs ? "" : rejection.address
    let key = "\(host) \(rejection.nodeID?.description ?? "") \(rejection.text)"
    guard let heldBack = node.rejectionThrottle.admit(key, now: node.loop.now) else { return }
    node.logger.log(.warning, "peer", rejection.description, [("repeated", String(heldBack))])
  }
}

extension Node {
  func receiveFrame(_ kind: UInt8, _ payload: [UInt8], from origin: PeerOrigin) {
    switch (kind, origin) {
    case (FrameKind.proposals, .node(let node)): receiveProposals(payload, from: node)
    case (FrameKind.proposalReplies, .node): receiveProposalReplies(payload)
    case (FrameKind.request, _): receiveRequest(payload, from: origin)
    case (FrameKind.response, _): receiveResponse(payload)
    case (FrameKind.gossip, .node(let node)): receiveGossip(payload, from: node)
    case (FrameKind.removed, .node): receiveRemovedNotice(payload)
    case (FrameKind.invitation, _):
      if let answer = try? AdmissionAnswer(decoding: payload) { receive(answer) }
    default:
      logger.log(.debug, "peer", "a frame of an unknown kind", [("kind", String(kind))])
    }
  }

  func linkChanged(_ state: PeerLinkState, _ peer: NodeID) {
    switch state {
    case .connected:
      logger.log(.debug, "peer", "connected", [("node", name(of: peer))])
      raft.step(.linkRestored(peer), into: &effects)
      sendGossip(to: peer)
      // What was sent before the break may be lost.
      if raft.leader == peer {
        proposals.handAllAgain()
        reads.retry(askedBefore: .max)
      }
      repeatRequests { $0.sentTo == .node(peer) }
    case .broken(let refused):
      logger.log(
        .debug, "peer", refused ? "connection refused: the process is gone" : "connection lost",
        [("node", name(of: peer))])
      if refused { raft.step(.linkBroken(peer), into: &effects) }
    }
  }
}
