package import EventLoop
package import Node
package import Raft
package import Registry

/// What the API needs of a node. Three bodies: `Node`; `IOBackend`, a node seen from another loop
/// of its process; and the one of the tests, which applies commands to a registry of its own at once
/// and has its own clock.
///
/// Thread rule: as for `Node`, everything on the loop's thread; completions are called exactly
/// once and never from inside the call that was given them.
package protocol Backend: AnyObject, SendableMetatype {
  var configuration: NodeConfiguration { get }
  /// Of the configuration, without a copy of all of it.
  var kvMaxValueBytes: Int { get }
  var id: NodeID { get }
  /// A node's id as Consul shows server ids.
  static func uuid(of id: NodeID) -> String
  var status: NodeStatus { get }
  var hasLeader: Bool { get }
  /// Milliseconds since this node heard the leader; 0 on the leader.
  var lastContactMilliseconds: UInt64 { get }
  /// The state as applied here.
  var registry: Registry { get }
  /// The same without a copy, of which each costs a count for every table. `body` must not come back
  /// to the node.
  func withRegistry<R>(_ body: (Registry) throws(Refusal) -> R) throws(Refusal) -> R

  /// Where the API counts.
  var metrics: Metrics { get }
  /// What the whole node has counted.
  func collectMetrics(_ done: @escaping (Metrics.Report) -> Void)

  /// Monotonic nanoseconds.
  var now: UInt64 { get }
  /// Nanoseconds since 1970.
  var wallClock: UInt64 { get }
  func schedule(after nanoseconds: UInt64, _ body: @escaping () -> Void) -> TimerID
  func cancel(_ timer: TimerID)

  func propose(
    _ command: Command, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void)
  /// The same for a KV write, which a node copies once, into the bytes of its log.
  func propose(
    _ set: KVSetParts, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void)
  func readBarrier(
    _ context: RequestContext, completion: @escaping (RequestFailure?) -> Void)
  func updateTTLCheck(
    _ update: CheckUpdate, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void)
  func renewSession(
    _ id: UniqueID, _ context: RequestContext,
    completion: @escaping (Result<SessionRecord?, RequestFailure>) -> Void)
  func watch(_ topics: [Topic], wake: @escaping () -> Void) -> WatchID
  func cancelWatch(_ id: WatchID)
  func transferLeadership(to id: NodeID?, completion: @escaping (RequestFailure?) -> Void)
  func addPeer(
    name: String, peerAddress: String, completion: @escaping (RequestFailure?) -> Void)
  func removePeer(_ id: NodeID, completion: @escaping (RequestFailure?) -> Void)

  var logger: Logger { get }
  /// `body` hears of every apply pass that changed something.
  func onRegistryChange(_ body: @escaping (ChangeSet) -> Void)
  /// Runs `job` on a worker thread; false when too much waits there.
  func runOnWorker(_ job: @escaping @Sendable () -> Void) -> Bool
  /// What the returned closure is given, on any thread, is handed to `deliver` on the loop's.
  func makePost(
    _ deliver: @escaping ([BackgroundResult]) -> Void
  ) -> @Sendable (BackgroundResult) -> Void
}

extension Backend {
  package func propose(
    _ set: KVSetParts, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void
  ) {
    propose(.kvSet(KVSet(set)), context, completion: completion)
  }
  package var kvMaxValueBytes: Int { configuration.kvMaxValueBytes }
  package func withRegistry<R>(
    _ body: (Registry) throws(Refusal) -> R
  ) throws(Refusal) -> R {
    try body(registry)
  }
}

extension Node: Backend {
  package var kvMaxValueBytes: Int { configuration.kvMaxValueBytes }
  package var now: UInt64 { loop.now }
  package var wallClock: UInt64 { loop.wallClock }
  package func schedule(after nanoseconds: UInt64, _ body: @escaping () -> Void) -> TimerID {
    loop.schedule(after: nanoseconds, body)
  }
  package func cancel(_ timer: TimerID) { loop.cancel(timer) }
  package func collectMetrics(_ done: @escaping (Metrics.Report) -> Void) {
    done(metrics.report())
  }
  package func onRegistryChange(_ body: @escaping (ChangeSet) -> Void) {
    hooks.registryChanged.append(body)
  }
  package func runOnWorker(_ job: @escaping @Sendable () -> Void) -> Bool { workers.run(job) }
  package func makePost(
    _ deliver: @escaping ([BackgroundResult]) -> Void
  ) -> @Sendable (BackgroundResult) -> Void {
    let mailbox = loop.makeMailbox(deliver)
    return { result in mailbox.post(result) }
  }
}

extension IOBackend: Backend {
  package static func uuid(of id: NodeID) -> String { Node.uuid(of: id) }
  package var now: UInt64 { loop.now }
  package var wallClock: UInt64 { loop.wallClock }
  package func cancel(_ timer: TimerID) { loop.cancel(timer) }
  package func makePost(
    _ deliver: @escaping ([BackgroundResult]) -> Void
  ) -> @Sendable (BackgroundResult) -> Void {
    let mailbox = makeMailbox(deliver)
    return { result in mailbox.post(result) }
  }
}
