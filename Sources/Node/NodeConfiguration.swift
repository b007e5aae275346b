package import EventLoop
package import HTTP

/// Everything a node can be told, with Consul's key names where the meaning is the same.
///
/// What each field means for its user is said at the field; how it is read from JSON and from the
/// command line is in `ConfigurationFields.swift`, what is checked in `ConfigurationParser.swift`.
package struct NodeConfiguration: Equatable, Sendable {
  package struct Ports: Equatable, Sendable {
    /// -1: off. 0: chosen by the kernel (tests).
    package var http = 8500
    package var https = -1
    package var dns = 8600
    package var peer = 8300
    /// What other nodes are told instead of `peer`, where a relay or a port mapping stands between.
    /// 0: the same.
    package var peerAdvertised = 0
    package init() {}
  }
  package struct MemberAddress: Equatable, Sendable {
    package var name: String
    /// "host:port" of its peer protocol.
    package var peer: String
    package init(name: String, peer: String) {
      self.name = name
      self.peer = peer
    }
  }
  package struct RaftSettings: Equatable, Sendable {
    /// Smaller finds a silent partition sooner and costs more messages.
    package var heartbeatMilliseconds = 40
    /// A follower campaigns after 1 to 2 times this without a word from the leader. At least three
    /// heartbeats; on links with long round trips at least ten round trips.
    package var electionTimeoutMilliseconds = 250
    /// Smaller keeps the log short and restarts quick, and writes snapshots more often.
    package var snapshotAfterEntries = 100_000
    /// Campaign earlier (higher) or never (0).
    package var electionPriority = 1
    package init() {}
  }
  package struct DNSSettings: Equatable, Sendable {
    package struct ServiceTTL: Equatable, Sendable {
      /// A service name, "*" or "prefix*".
      package var service: String
      package var seconds: UInt32
    }
    /// In seconds; 0 keeps resolvers from caching, so that they see a change at once.
    package var nodeTTL: UInt32 = 0
    package var serviceTTL: [ServiceTTL] = []
    /// Leaves out instances with a warning.
    package var isOnlyPassing = false
    /// Addresses in a UDP answer to a client without EDNS0; at most 8.
    package var udpAnswerLimit = 3
    /// Tells clients of UDP that there is more; many then ask again over TCP.
    package var isTruncationEnabled = false
    /// A node that heard no leader for longer answers SERVFAIL. 10 years: it goes on answering.
    package var staleMillisecondsMax: UInt64 = 87_600 * 3_600_000
    /// Off: every answer waits for a round to the majority, and there is none without a leader.
    package var isStaleAllowed = true
    package var recursorTimeoutMilliseconds: UInt64 = 2000
    package init() {}
  }
  package enum LogLevel: String, Equatable, Sendable, CaseIterable {
    case error, warning, info, debug
  }

  /// Unique in the cluster; also the node's name in the catalog.
  package var nodeName: String
  /// Nodes of another cluster name are refused.
  package var cluster = "roost"
  package var datacenter = "dc1"
  /// Nil: in memory (`--dev`).
  package var dataDirectory: String?
  /// Where the peer protocol listens.
  package var bindAddress = "127.0.0.1"
  /// Where HTTP and DNS listen.
  package var clientAddress = "127.0.0.1"
  /// What other nodes and the catalog are told; `bindAddress` unless given.
  package var advertiseAddress: String?
  package var ports = Ports()
  /// The members a new cluster starts with, this node among them. Empty with `join`, or with
  /// `--dev` (then this node alone).
  package var members: [MemberAddress] = []
  /// Peer addresses of live members to ask for admission.
  package var join: [String] = []
  package var raft = RaftSettings()
  package var dns = DNSSettings()
  /// The domain that DNS answers for.
  package var domain = "consul"
  /// A second one, answered alike.
  package var alternativeDomain: String?
  /// Servers to ask about other names; none: they are refused.
  package var recursors: [SocketAddress] = []
  package var logLevel = LogLevel.info
  package var logJSON = false
  package var nodeMeta: [String: String] = [:]
  /// A host without contact for so long is dead: its services move.
  package var nodeDeadAfterMilliseconds = 2000
  /// A request that cannot be served is answered after so long.
  package var requestTimeoutMilliseconds = 4500
  /// Threads that serve HTTP beside the core's, for machines with cores to spare. 0: the core serves
  /// it itself, which is best on one or two.
  package var ioThreads = 0
  package var kvMaxValueBytes = 524_288
  package var transactionOperationsMax = 1024
  /// The shortest TTL that a session may have.
  package var sessionTTLMillisecondsMin: UInt64 = 10_000
  /// Script checks may be registered over HTTP: whoever can reach the API can run commands here.
  package var enableScriptChecks = false
  /// Script checks may be defined in this node's configuration, and only there.
  package var enableLocalScriptChecks = false
  /// Registered at this node at every start, as if they came over HTTP: the JSON of
  /// `/v1/agent/service/register` and `/v1/agent/check/register`.
  package var services: [JSONValue] = []
  package var checks: [JSONValue] = []
  package var isDevelopment = false
  /// Binding beyond loopback without TLS and ACLs must be asked for by name.
  package var insecureAllowRemote = false

  package init(nodeName: String) { self.nodeName = nodeName }

  /// What other nodes reach this one by.
  package var advertisedPeerHost: String { advertiseAddress ?? bindAddress }
}
