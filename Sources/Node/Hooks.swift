package import Raft
package import Registry

/// Where duties (checks, deadlines, dead hosts) hang on to the node. All are called on the loop's
/// thread; they may propose, ask and watch, and must not block.
package struct NodeHooks {
  package typealias OutcomeCompletion = (Result<Outcome, RequestFailure>) -> Void

  /// At the end of a turn in which it changed. True: this node leads and has committed an entry
  /// of its term, so its registry is up to date.
  package var leadershipChanged: [(_ isEstablishedLeader: Bool) -> Void] = []
  /// After each apply pass that changed anything, before watchers are woken.
  package var registryChanged: [(_ changes: ChangeSet) -> Void] = []
  /// Every 100 ms, and once more for whoever needs a clock of his own: `Node.loop`.
  package var coarseTick: [() -> Void] = []
  /// A committed configuration that is not joint took effect here.
  package var membershipChanged: [(_ configuration: Configuration) -> Void] = []
  /// Before a command that needs this node's entry in the catalog is proposed: puts it right
  /// first, so that a client of a node that has just started is not refused.
  package var beforeHostCommand: (() -> Void)?
  /// When set, `Node.updateTTLCheck` and `renewSession` go here instead of proposing directly.
  package var updateTTLCheck: ((CheckUpdate, RequestContext, @escaping OutcomeCompletion) -> Void)?
  package var renewSession:
    (
      (
        UniqueID, RequestContext, @escaping (Result<SessionRecord?, RequestFailure>) -> Void
      ) -> Void
    )?
}

extension Node {
  /// Restarts the deadline of a TTL check at the leader; goes through the log only when status or
  /// output change (output alone is limited in rate).
  package func updateTTLCheck(
    _ update: CheckUpdate, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void
  ) {
    if let handler = hooks.updateTTLCheck { return handler(update, context, completion) }
    propose(.checkUpdate(update), context, completion: completion)
  }

  /// Restarts a session's deadline at the leader; no log write.
  package func renewSession(
    _ id: UniqueID, _ context: RequestContext,
    completion: @escaping (Result<SessionRecord?, RequestFailure>) -> Void
  ) {
    if let handler = hooks.renewSession { return handler(id, context, completion) }
    readBarrier(context) { [weak self] failure in
      if let failure { return completion(.failure(failure)) }
      completion(.success(self?.registry.session(id)))
    }
  }
}
