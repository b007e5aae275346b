package import EventLoop
package import Raft

/// What the transport tells the node; always on the loop's thread.
package protocol PeerTransportDelegate: AnyObject {
  func transport(_ transport: PeerTransport, didReceive message: Message, from peer: NodeID)
  /// A frame of the node's own making: forwards, replies, check duty. `kind` is the sender's.
  func transport(
    _ transport: PeerTransport, didReceiveFrame kind: UInt8, payload: [UInt8],
    from origin: PeerOrigin)
  func transport(_ transport: PeerTransport, linkDidChange state: PeerLinkState, peer: NodeID)
  /// A handshake is complete, on a connection of either direction.
  func transport(_ transport: PeerTransport, didHear hello: PeerHello, from origin: PeerOrigin)
  /// The probe's connection is gone; `error` says why in words, nil when this side closed it.
  func transport(_ transport: PeerTransport, probeDidEnd probe: ProbeID, error: String?)
  /// For the log; bounded by `PeerLimits.rejectionsPerSecondMax`.
  func transport(_ transport: PeerTransport, rejected rejection: PeerRejection)
}

/// The connections of one node with all others. STUB.
package final class PeerTransport {
  package weak var delegate: (any PeerTransportDelegate)?
  /// Where it listens, with the port that the kernel chose.
  package let localAddress: SocketAddress

  /// Listens at once. `advertised` is what others are told; nil: the listen address.
  package init(
    loop: EventLoop, identity: PeerIdentity, listenAddress: SocketAddress,
    advertised: (host: String, port: UInt16)? = nil, limits: PeerLimits = PeerLimits(),
    workers: Workers? = nil, delegate: any PeerTransportDelegate
  ) throws(SystemError) { fatalError("stub") }

  package private(set) var identity: PeerIdentity {
    get { fatalError("stub") }
    set { fatalError("stub") }
  }
  /// Later handshakes use it; connections that exist stay.
  package func updateIdentity(_ identity: PeerIdentity) { fatalError("stub") }

  /// The peers to be connected with from now on: adds, removes, follows changed addresses.
  package func setPeers(_ peers: [PeerAddress]) { fatalError("stub") }
  /// The connection that this node dialed is up.
  package func isConnected(_ peer: NodeID) -> Bool { fatalError("stub") }
  package func counters(of peer: NodeID) -> PeerCounters? { fatalError("stub") }
  /// Rejections of all kinds, the ones not told to the delegate included.
  package var rejections: UInt64 { fatalError("stub") }

  /// Leaves at the end of the turn, or is dropped and counted when it cannot.
  package func send(_ message: Message, to peer: NodeID) { fatalError("stub") }
  /// For snapshot chunks: a connection of its own, so that heartbeats never wait behind them.
  package func sendBulk(_ message: Message, to peer: NodeID) { fatalError("stub") }
  /// False: there is no link, its queue is full, or the payload is too long.
  package func sendFrame(kind: UInt8, payload: [UInt8], to peer: NodeID) -> Bool {
    fatalError("stub")
  }

  /// Connects to an address whose node is not known; the delegate hears its hello or the end.
  package func probe(host: String, port: UInt16) -> ProbeID { fatalError("stub") }
  /// On a probe of either direction.
  package func sendFrame(kind: UInt8, payload: [UInt8], toProbe probe: ProbeID) -> Bool {
    fatalError("stub")
  }
  /// Sends a frame back to where one came from.
  package func reply(kind: UInt8, payload: [UInt8], to origin: PeerOrigin) -> Bool {
    fatalError("stub")
  }
  package func closeProbe(_ probe: ProbeID) { fatalError("stub") }

  package func close() { fatalError("stub") }
}
