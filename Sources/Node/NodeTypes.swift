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
  /// An index that the client knew before it sent this for the first time; nil: it did not say.
  package var requestFloor: UInt64?
  /// Nanoseconds on the loop's clock (`EventLoop.now`); 0 = the configured request timeout.
  package var deadline: UInt64 = 0
  /// Decided by the leader, on what only it knows (who is silent, what ran out): never handed to
  /// another leader, who may know better. Fails at once when leadership moves.
  package var isLeadersOwn = false
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

/// Why a node could not start: shown to the operator, exit status 1.
package struct StartFailure: Error, Equatable, Sendable, CustomStringConvertible {
  package var message: String
  package init(_ message: String) { self.message = message }
  package var description: String { message }
}
