internal import EventLoop
internal import Registry
internal import Wire

/// TTL updates and session renewals: they go to the leader, restart its deadline, and cost a log
/// write only when something changes.
///
/// The leader confirms that it still leads (a ReadIndex round, shared by all that arrive in one
/// turn) before it answers. Otherwise a deposed leader could acknowledge a renewal that its
/// successor never hears of, and the deadline would run out early.
extension Duties {
  private enum Kind {
    static let ttlUpdate: UInt8 = 32
    static let sessionRenewal: UInt8 = 33
  }

  func installRenewals() {
    node.hooks.updateTTLCheck = { [unowned self] update, context, completion in
      // Where a check of the node is meant, it is this node's.
      var update = update
      update.node = update.node ?? update.fromHost ?? node.configuration.nodeName
      send(Kind.ttlUpdate, Self.encode(update), context) { result in
        completion(result.flatMap { Self.decodeOutcome($0) })
      }
    }
    node.hooks.renewSession = { [unowned self] id, context, completion in
      var writer = Writer()
      writer.u64(id.high)
      writer.u64(id.low)
      send(Kind.sessionRenewal, writer.bytes, context) { [unowned self] result in
        guard case .success(let answer) = result else {
          return completion(result.map { _ in nil })
        }
        finishRenewal(id, exists: answer.first == 1, completion)
      }
    }
    node.handleRequests(Kind.ttlUpdate, onLeader: true) { [unowned self] payload, _, reply in
      guard let update = try? Self.decodeUpdate(payload) else { return reply(Self.malformed) }
      updateAsLeader(update, reply)
    }
    node.handleRequests(Kind.sessionRenewal, onLeader: true) { [unowned self] payload, _, reply in
      var reader = Reader(payload)
      guard let high = try? reader.u64(), let low = try? reader.u64() else {
        return reply(Self.malformed)
      }
      renewAsLeader(UniqueID(high: high, low: low), reply)
    }
  }

  private func send(
    _ kind: UInt8, _ payload: [UInt8], _ context: RequestContext,
    _ completion: @escaping (RequestAnswer) -> Void
  ) {
    node.request(
      kind, payload, deadline: context.deadline, isRepeatable: true, completion: completion)
  }

  /// The leader knows the session; this node shows it once it has seen as much as the leader.
  private func finishRenewal(
    _ id: UniqueID, exists: Bool,
    _ completion: @escaping (Result<SessionRecord?, RequestFailure>) -> Void
  ) {
    guard exists else { return completion(.success(nil)) }
    if let session = node.registry.session(id) { return completion(.success(session)) }
    node.readBarrier(RequestContext()) { [weak node] failure in
      completion(failure.map { .failure($0) } ?? .success(node?.registry.session(id)))
    }
  }

  // MARK: At the leader

  private func updateAsLeader(
    _ update: CheckUpdate, _ reply: @escaping (RequestAnswer) -> Void
  ) {
    confirm(reply) { [unowned self] in
      guard let check = node.registry.agentCheck(update.checkID, host: update.node ?? ""),
        check.definition.ttl > 0
      else {
        let text = "CheckID \"\(update.checkID)\" does not have associated TTL"
        return reply(.failure(.refused(Refusal(status: 500, text: text))))
      }
      deadlines.renew(check, now: node.loop.now)
      let key = LeaderDeadlines.CheckKey(check)
      // While another status of this check is on its way, the registry's is no measure.
      guard
        proposed[key] != nil || check.status != update.status
          || (check.output != update.output && budget.take(key.id, now: node.loop.now))
      else { return reply(.success(Self.encode(.done))) }
      // A check of a service is found by its id wherever the service moves meanwhile.
      let change = CheckUpdate(
        checkID: check.id, fromHost: nil, node: check.serviceID.isEmpty ? check.node : nil,
        status: update.status, output: update.output)
      propose(change, key) { reply($0.map { Self.encode($0) }) }
    }
  }

  private func renewAsLeader(_ id: UniqueID, _ reply: @escaping (RequestAnswer) -> Void) {
    confirm(reply) { [unowned self] in
      guard let session = node.registry.session(id), !endingSessions.contains(id) else {
        return reply(.success([0]))
      }
      deadlines.renew(session, now: node.loop.now)
      reply(.success([1]))
    }
  }

  private func confirm(
    _ reply: @escaping (RequestAnswer) -> Void, _ body: @escaping () -> Void
  ) {
    node.readBarrier(RequestContext()) { [weak self] failure in
      guard let self else { return reply(.failure(.stopping)) }
      if let failure { return reply(.failure(failure)) }
      guard isLeading else { return reply(.failure(.noLeader)) }
      body()
    }
  }

  // MARK: Bytes

  private static let malformed = RequestAnswer.failure(
    .refused(Refusal(status: 400, text: "the request of the other node cannot be read")))

  private static func encode(_ update: CheckUpdate) -> [UInt8] {
    var writer = Writer()
    writer.text(update.checkID)
    writer.text(update.node ?? "")
    writer.text(update.status)
    writer.text(update.output)
    return writer.bytes
  }

  private static func decodeUpdate(_ payload: [UInt8]) throws(WireError) -> CheckUpdate {
    var reader = Reader(payload)
    let id = try reader.text()
    let host = try reader.text()
    let status = try reader.text()
    let output = try reader.text()
    try reader.finish()
    return CheckUpdate(
      checkID: id, fromHost: nil, node: host.isEmpty ? nil : host, status: status, output: output)
  }

  private static func encode(_ outcome: Outcome) -> [UInt8] {
    var writer = Writer()
    outcome.encode(into: &writer)
    return writer.bytes
  }

  private static func decodeOutcome(_ payload: [UInt8]) -> Result<Outcome, RequestFailure> {
    var reader = Reader(payload)
    guard let outcome = try? Outcome(from: &reader) else {
      return .failure(.outcomeUnknown("the leader's answer cannot be read"))
    }
    return .success(outcome)
  }
}
