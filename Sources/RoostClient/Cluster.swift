internal import FoundationEssentials

/// How one node sees itself and the cluster (`/v1/roost/status`).
public struct NodeReport: Sendable, Equatable, Codable {
  public struct Member: Sendable, Equatable, Codable {
    public var id: String
    public var name: String
    public var peerAddress: String
    /// Empty while unknown.
    public var httpAddress: String
    public var isVoter: Bool
    public var isLeader: Bool
    public var isReachable: Bool
    /// What this member has acknowledged, as the leader sees it.
    public var matchIndex: UInt64?

    enum CodingKeys: String, CodingKey {
      case id = "ID"
      case name = "Name"
      case peerAddress = "PeerAddress"
      case httpAddress = "HTTPAddress"
      case isVoter = "Voter"
      case isLeader = "Leader"
      case isReachable = "Reachable"
      case matchIndex = "MatchIndex"
    }
  }

  public var node: String
  public var id: String
  /// `leader`, `follower`, `candidate`, `learner` or `joining`.
  public var role: String
  public var term: UInt64
  /// Empty while there is no leader.
  public var leader: String
  public var commitIndex: UInt64
  public var appliedIndex: UInt64
  public var lastIndex: UInt64
  public var snapshotIndex: UInt64
  public var lastContactMilliseconds: UInt64
  /// Service instances in the catalog.
  public var services: Int
  public var version: String
  public var members: [Member]

  enum CodingKeys: String, CodingKey {
    case node = "Node"
    case id = "ID"
    case role = "Role"
    case term = "Term"
    case leader = "Leader"
    case commitIndex = "CommitIndex"
    case appliedIndex = "AppliedIndex"
    case lastIndex = "LastIndex"
    case snapshotIndex = "SnapshotIndex"
    case lastContactMilliseconds = "LastContactMs"
    case services = "ServiceInstances"
    case version = "Version"
    case members = "Members"
  }
}

/// One member of the Raft configuration.
public struct RaftPeer: Sendable, Equatable, Codable {
  public var id: String
  public var node: String
  public var address: String
  public var isLeader: Bool
  public var isVoter: Bool

  enum CodingKeys: String, CodingKey {
    case id = "ID"
    case node = "Node"
    case address = "Address"
    case isLeader = "Leader"
    case isVoter = "Voter"
  }
}

extension Roost {
  /// What the first reachable node says; needs no leader.
  public func report() throws(RoostError) -> NodeReport {
    try Self.decode(NodeReport.self, expectOK("GET", "/v1/roost/status").body)
  }

  /// "host:port" of the leader's peer protocol; nil while there is none.
  public func leaderAddress() throws(RoostError) -> String? {
    let text = try Self.decode(String.self, expectOK("GET", "/v1/status/leader").body)
    return text.isEmpty ? nil : text
  }

  public func raftPeers(stale: Bool = false) throws(RoostError) -> [RaftPeer] {
    struct Answer: Decodable { var Servers: [RaftPeer] }
    let response = try expectOK(
      "GET", "/v1/operator/raft/configuration", query: stale ? [("stale", nil)] : [])
    return try Self.decode(Answer.self, response.body).Servers
  }

  public func removePeer(id: String) throws(RoostError) {
    _ = try expectOK("DELETE", "/v1/operator/raft/peer", query: [("id", id)])
  }

  public func removePeer(address: String) throws(RoostError) {
    _ = try expectOK("DELETE", "/v1/operator/raft/peer", query: [("address", address)])
  }

  /// Adds a member that is running (with `join`) at this peer address.
  public func addPeer(name: String, address: String) throws(RoostError) {
    _ = try expectOK(
      "PUT", "/v1/operator/raft/peer", query: [("name", name), ("address", address)])
  }

  /// - Parameter id: the new leader; nil: whichever is suited best.
  public func transferLeadership(to id: String?) throws(RoostError) {
    let query: [(String, String?)] = id.map { [("id", $0)] } ?? []
    _ = try expectOK("POST", "/v1/operator/raft/transfer-leader", query: query)
  }
}
