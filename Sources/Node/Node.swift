package import EventLoop
package import Raft
package import Registry

/// Why a request could not be served. The API maps each to a status and a text, once.
package enum RequestFailure: Error, Equatable, Sendable {
  /// Nothing was done: no leader is known, or none could be reached in time.
  case noLeader
  /// It may have been applied or may yet be: the leader changed or the time ran out after it was
  /// proposed.
  case outcomeUnknown(String)
  /// Nothing was done: too much is under way; try again later.
  case overloaded(String)
  /// Nothing was done: the leader's disk is full.
  case diskFull
  /// Nothing was done, and it would fail again.
  case refused(Refusal)
  /// This node is shutting down.
  case stopping
}

/// What travels with a request from its caller to the leader.
package struct RequestContext: Sendable {
  /// The caller's token; ACLs are decided where the request is executed (empty: anonymous).
  package var token = ""
  package var requestID: UniqueID?
  /// Nanoseconds on the loop's clock (`EventLoop.now`); 0 = the configured request timeout.
  package var deadline: UInt64 = 0
  package init() {}
}

package struct WatchID: Hashable, Sendable {
  package let value: UInt64
  package init(_ value: UInt64) { self.value = value }
}

package struct MemberStatus: Equatable, Sendable {
  package var id: NodeID
  package var name: String
  package var peerAddress: String
  package var isVoter: Bool
  package var isLeader: Bool
  /// As this node sees it: itself, or connected.
  package var isReachable: Bool
  /// On the leader only.
  package var matchIndex: UInt64?
  package var lastContactMilliseconds: UInt64?
  /// From the member's last hello or status gossip; nil when unknown.
  package var httpAddress: String?
}

package struct NodeStatus: Equatable, Sendable {
  package enum Role: String, Sendable { case leader, follower, candidate, learner, joining }
  package var role: Role
  package var term: UInt64
  package var leader: NodeID?
  package var leaderName: String?
  package var leaderPeerAddress: String?
  package var commitIndex: UInt64
  package var lastApplied: UInt64
  package var lastIndex: UInt64
  package var firstIndex: UInt64
  package var snapshotIndex: UInt64
  /// Milliseconds since this node heard the leader; 0 on the leader.
  package var lastContactMilliseconds: UInt64
  package var members: [MemberStatus]
}

/// One node: drives Raft, the log, peers, the state machine, timers, forwarding, read barriers,
/// snapshots and membership. STUB.
///
/// Thread rule: everything here is called on the loop's thread. Completions are called on it too,
/// exactly once, never from inside the call that was given them.
package final class Node {
  package let configuration: NodeConfiguration
  package let loop: EventLoop

  /// Opens the data directory, recovers, binds the peer port. Does not touch the network otherwise.
  package init(configuration: NodeConfiguration, loop: EventLoop) throws(StartFailure) {
    fatalError("stub")
  }
  package func start() { fatalError("stub") }
  /// Hands leadership over, drains what is under way, syncs, then calls `done`.
  package func stop(done: @escaping () -> Void) { fatalError("stub") }
  /// Called when the node cannot go on (disk failed, data damaged, removed from the cluster).
  package var onFatal: ((String) -> Void)? {
    get { fatalError("stub") }
    set { fatalError("stub") }
  }

  package var id: NodeID { fatalError("stub") }
  /// The id as Consul shows server ids.
  package static func uuid(of id: NodeID) -> String { fatalError("stub") }
  package var status: NodeStatus { fatalError("stub") }
  package var hasLeader: Bool { fatalError("stub") }
  package var metrics: Metrics { fatalError("stub") }
  package var logger: Logger { fatalError("stub") }

  /// The state as applied here: for stale reads at once, for others after `readBarrier`.
  package var registry: Registry { fatalError("stub") }

  /// Proposes through the leader, whichever node that is, and answers after it was applied *here
  /// or at the leader*; a following `readBarrier` on any node sees it.
  package func propose(
    _ command: Command, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void
  ) { fatalError("stub") }

  /// After this succeeds `registry` reflects everything acknowledged before the call, by anyone.
  package func readBarrier(
    _ context: RequestContext, completion: @escaping (RequestFailure?) -> Void
  ) { fatalError("stub") }

  /// Restarts the deadline of a TTL check at the leader; goes through the log only when status or
  /// output change (output alone is limited in rate).
  package func updateTTLCheck(
    _ update: CheckUpdate, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void
  ) { fatalError("stub") }

  /// Restarts a session's deadline at the leader; no log write.
  package func renewSession(
    _ id: UniqueID, _ context: RequestContext,
    completion: @escaping (Result<SessionRecord?, RequestFailure>) -> Void
  ) { fatalError("stub") }

  /// Calls `wake` once, at the end of a turn in which one of the topics changed.
  package func watch(_ topics: [Topic], wake: @escaping () -> Void) -> WatchID {
    fatalError("stub")
  }
  package func cancelWatch(_ id: WatchID) { fatalError("stub") }

  package func transferLeadership(
    to id: NodeID?, completion: @escaping (RequestFailure?) -> Void
  ) { fatalError("stub") }
  package func addPeer(
    name: String, peerAddress: String, completion: @escaping (RequestFailure?) -> Void
  ) { fatalError("stub") }
  package func removePeer(_ id: NodeID, completion: @escaping (RequestFailure?) -> Void) {
    fatalError("stub")
  }
}

/// Why a node could not start: shown to the operator, exit status 1.
package struct StartFailure: Error, Equatable, Sendable, CustomStringConvertible {
  package var message: String
  package init(_ message: String) { self.message = message }
  package var description: String { message }
}
