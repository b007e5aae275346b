package import Raft

/// One other node, as the membership names it.
package struct PeerAddress: Equatable, Sendable {
  package var id: NodeID
  package var name: String
  /// An address or a host name.
  package var host: String
  package var port: UInt16
  package init(id: NodeID, name: String, host: String, port: UInt16) {
    self.id = id
    self.name = name
    self.host = host
    self.port = port
  }
}

/// Who a node is, as it says in its handshake.
package struct PeerIdentity: Equatable, Sendable {
  /// Nodes of different names never talk.
  package var clusterName: String
  /// 16 bytes; nil while the node belongs to no cluster yet. Two that both have one must agree.
  package var clusterID: [UInt8]?
  package var nodeID: NodeID
  package var nodeName: String
  /// The node has a log of the cluster, so it must not take part in a first bootstrap.
  package var isEstablished: Bool
  /// 16 bytes of the cluster's first log entry; compared where one side has no `clusterID` yet.
  package var foundingID: [UInt8]?
  /// How often the node was started on its data directory.
  package var incarnation: UInt64 = 0
  /// The last log entry on its disk when it said hello.
  package var persistedIndex: UInt64 = 0
  package init(
    clusterName: String, clusterID: [UInt8]?, nodeID: NodeID, nodeName: String,
    isEstablished: Bool
  ) {
    self.clusterName = clusterName
    self.clusterID = clusterID
    self.nodeID = nodeID
    self.nodeName = nodeName
    self.isEstablished = isEstablished
  }
}

/// What a completed handshake told about the other side.
package struct PeerHello: Equatable, Sendable {
  package var identity: PeerIdentity
  /// The version both sides speak on this connection.
  package var protocolVersion: UInt16
  /// Where the other side says that it listens.
  package var advertisedHost: String
  package var advertisedPort: UInt16
  package init(
    identity: PeerIdentity, protocolVersion: UInt16, advertisedHost: String,
    advertisedPort: UInt16
  ) {
    self.identity = identity
    self.protocolVersion = protocolVersion
    self.advertisedHost = advertisedHost
    self.advertisedPort = advertisedPort
  }
}

/// A connection to or from a node that need not be a known peer; unique on one transport.
package struct ProbeID: Hashable, Sendable {
  package let value: UInt64
  package init(_ value: UInt64) { self.value = value }
}

/// Where a frame came from, and so where an answer goes.
package enum PeerOrigin: Hashable, Sendable {
  case node(NodeID)
  case probe(ProbeID)
}

/// The state of the connection that this node dialed to a peer.
package enum PeerLinkState: Equatable, Sendable {
  case connected
  /// The connection is lost. `refused`: an attempt to reconnect was refused or reset as well, so
  /// the process is gone (reported after a first `broken(refused: false)`).
  case broken(refused: Bool)
}

/// Why a node of this cluster must not be spoken to: its disk holds less than it once did.
///
/// A hello may be older than what is known of its sender by other ways, so the refused node looks
/// itself whether its log reaches `heldIndex`: what it had acknowledged before, it has.
package struct PeerDoubt: Equatable, Sendable {
  package var text: String
  /// What it is known to have had; `.max`: another start was seen. 0: nothing may follow from this.
  package var heldIndex: UInt64
  package init(text: String, heldIndex: UInt64) {
    self.text = text
    self.heldIndex = heldIndex
  }
}

/// Why a connection was closed by a handshake or a bad frame; for logs.
package struct PeerRejection: Equatable, Sendable, CustomStringConvertible {
  package enum Reason: UInt8, Sendable, CaseIterable {
    /// Not this protocol at all.
    case garbage = 1
    case wrongVersion = 2
    case wrongCluster = 3
    /// The connection was meant for another node than the one that answered.
    case wrongNode = 4
    /// The other side has this node's own id.
    case sameID = 5
    case checksum = 6
    case malformedFrame = 7
    case frameTooLong = 8
    case handshakeTimeout = 9
    case tooManyConnections = 10
    /// The other side's data directory is an old copy of what it once was.
    case oldCopy = 11
  }
  package var reason: Reason
  /// Address of the other side.
  package var address: String
  /// Nil when the handshake did not get as far.
  package var nodeID: NodeID?
  /// A sentence for people.
  package var text: String
  /// This side refused (or found the fault); otherwise the other side told us so.
  package var isOurs: Bool
  /// With `oldCopy`; see `PeerDoubt`.
  package var heldIndex: UInt64 = 0
  package init(reason: Reason, address: String, nodeID: NodeID?, text: String, isOurs: Bool) {
    self.reason = reason
    self.address = address
    self.nodeID = nodeID
    self.text = text
    self.isOurs = isOurs
  }

  package var description: String {
    let who = nodeID.map { " (node \($0))" } ?? ""
    return isOurs
      ? "refused connection of \(address)\(who): \(text)" : "refused by \(address)\(who): \(text)"
  }
}

/// Bounds of the peer protocol; times in nanoseconds.
package struct PeerLimits: Sendable {
  /// Payload of one frame: an entry of 64 MB and its message around it.
  package var frameBytesMax = 72 << 20
  /// Before the handshake is over no frame may be longer.
  package var handshakeBytesMax = 4 << 10
  /// Raft messages and frames that wait to be written to one peer; beyond, messages are dropped
  /// (Raft sends again) and frames refused. One message always goes into an empty queue.
  package var queueBytesMax = 64 << 20
  package var bulkQueueBytesMax = 80 << 20
  package var inboundConnectionsMax = 512
  package var probesMax = 64
  package var handshakeNanoseconds: UInt64 = 2_000_000_000
  package var pingNanoseconds: UInt64 = 1_000_000_000
  /// Nothing heard for so long: the connection is dead.
  package var deadNanoseconds: UInt64 = 5_000_000_000
  package var backoffNanosecondsMin: UInt64 = 10_000_000
  package var backoffNanosecondsMax: UInt64 = 500_000_000
  /// Rejections told to the delegate per second; the rest is counted only.
  package var rejectionsPerSecondMax = 10
  package init() {}
}

/// What went over the connections with one peer since the transport started.
package struct PeerCounters: Equatable, Sendable {
  package var bytesSent: UInt64 = 0
  package var bytesReceived: UInt64 = 0
  package var messagesSent: UInt64 = 0
  package var messagesReceived: UInt64 = 0
  /// Raft messages thrown away because there was no link or its queue was full.
  package var messagesDropped: UInt64 = 0
  package var framesSent: UInt64 = 0
  package var framesReceived: UInt64 = 0
  package var framesRefused: UInt64 = 0
  package var reconnects: UInt64 = 0
  /// Waiting to be written now.
  package var queueBytes = 0
  package init() {}
}
