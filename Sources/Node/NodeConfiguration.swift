/// Everything a node can be told, with Consul's key names where the meaning is the same.
/// What each field means for its user is said in `cluster-configs/example`. STUB: parsing.
package struct NodeConfiguration: Equatable, Sendable {
  package struct Ports: Equatable, Sendable {
    /// -1: off. 0: chosen by the kernel (tests).
    package var http = 8500
    package var https = -1
    package var dns = 8600
    package var peer = 8300
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
    package var heartbeatMilliseconds = 40
    package var electionTimeoutMilliseconds = 250
    package var snapshotAfterEntries = 100_000
    /// Campaign earlier (higher) or never (0).
    package var electionPriority = 1
    package init() {}
  }
  package enum LogLevel: String, Equatable, Sendable, CaseIterable {
    case error, warning, info, debug
  }

  package var nodeName: String
  package var cluster = "roost"
  package var datacenter = "dc1"
  /// Nil: in memory (`--dev`).
  package var dataDirectory: String?
  package var bindAddress = "127.0.0.1"
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
  package var logLevel = LogLevel.info
  package var logJSON = false
  package var nodeMeta: [String: String] = [:]
  /// A host without contact for so long is dead: its services move.
  package var nodeDeadAfterMilliseconds = 2000
  /// A request that cannot be served is answered after so long.
  package var requestTimeoutMilliseconds = 4500
  package var kvMaxValueBytes = 524_288
  package var transactionOperationsMax = 1024
  package var leaseReads = false
  package var enableScriptChecks = false
  package var enableLocalScriptChecks = false
  package var isDevelopment = false
  /// Binding beyond loopback without TLS and ACLs must be asked for by name.
  package var insecureAllowRemote = false

  package init(nodeName: String) { self.nodeName = nodeName }

  /// One fault found in a configuration: where (a path such as `raft.heartbeat_ms`, or line and
  /// column), and what is wrong.
  package struct Problem: Equatable, Sendable, CustomStringConvertible {
    package var place: String
    package var message: String
    package init(place: String, message: String) {
      self.place = place
      self.message = message
    }
    package var description: String { "\(place): \(message)" }
  }

  /// The result of reading a file: every problem found, not only the first.
  package enum ParseResult: Sendable {
    case valid(NodeConfiguration)
    case invalid([Problem])
  }

  /// Parses JSON with `//` and `/* */` comments, then applies `overrides` (path such as
  /// "ports.http" and a value as text, from the command line), then checks the whole.
  package static func parse(
    _ bytes: [UInt8], overrides: [(path: String, value: String)]
  ) -> ParseResult { fatalError("stub") }
}
