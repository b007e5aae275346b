import EventLoop
import Peer
import Raft

let second: UInt64 = 1_000_000_000
let millisecond: UInt64 = 1_000_000
let anyPort = SocketAddress(ip: [127, 0, 0, 1], port: 0)

/// One node of the peer protocol that writes down what it hears.
final class TestNode: PeerTransportDelegate {
  enum Event: Equatable {
    case link(NodeID, PeerLinkState)
    case probeEnded(ProbeID)
  }

  let id: NodeID
  let transport: PeerTransport?
  var messages: [(Message, NodeID)] = []
  var frames: [(kind: UInt8, payload: [UInt8], origin: PeerOrigin)] = []
  var hellos: [(PeerHello, PeerOrigin)] = []
  var events: [Event] = []
  var rejections: [PeerRejection] = []
  var probeErrors: [String?] = []
  var onFrame: ((UInt8, [UInt8], PeerOrigin) -> Void)?
  var onMessage: ((Message) -> Void)?

  private let holder = Holder()

  /// Passes on to the node, which does not exist yet when its transport is made.
  private final class Holder: PeerTransportDelegate {
    weak var node: TestNode?
    func transport(_ t: PeerTransport, didReceive message: Message, from peer: NodeID) {
      node?.transport(t, didReceive: message, from: peer)
    }
    func transport(
      _ t: PeerTransport, didReceiveFrame kind: UInt8, payload: [UInt8], from origin: PeerOrigin
    ) { node?.transport(t, didReceiveFrame: kind, payload: payload, from: origin) }
    func transport(_ t: PeerTransport, linkDidChange state: PeerLinkState, peer: NodeID) {
      node?.transport(t, linkDidChange: state, peer: peer)
    }
    func transport(_ t: PeerTransport, didHear hello: PeerHello, from origin: PeerOrigin) {
      node?.transport(t, didHear: hello, from: origin)
    }
    func transport(_ t: PeerTransport, probeDidEnd probe: ProbeID, error: String?) {
      node?.transport(t, probeDidEnd: probe, error: error)
    }
    func transport(_ t: PeerTransport, rejected rejection: PeerRejection) {
      node?.transport(t, rejected: rejection)
    }
  }

  init(
    _ id: UInt64, loop: EventLoop, address: SocketAddress = anyPort, cluster: String = "test",
    clusterID: [UInt8]? = nil, limits: PeerLimits = TestNode.limits
  ) throws {
    self.id = NodeID(id)
    let identity = PeerIdentity(
      clusterName: cluster, clusterID: clusterID, nodeID: NodeID(id), nodeName: "node\(id)",
      isEstablished: false)
    transport = try PeerTransport(
      loop: loop, identity: identity, listenAddress: address, limits: limits, delegate: holder)
    holder.node = self
  }

  static var limits: PeerLimits {
    var limits = PeerLimits()
    limits.handshakeNanoseconds = 2 * second
    return limits
  }

  var address: SocketAddress { transport?.localAddress ?? anyPort }
  var peer: PeerAddress {
    PeerAddress(id: id, name: "node\(id)", host: address.host, port: address.port)
  }

  func transport(_ transport: PeerTransport, didReceive message: Message, from peer: NodeID) {
    messages.append((message, peer))
    onMessage?(message)
  }
  func transport(
    _ transport: PeerTransport, didReceiveFrame kind: UInt8, payload: [UInt8],
    from origin: PeerOrigin
  ) {
    frames.append((kind, payload, origin))
    onFrame?(kind, payload, origin)
  }
  func transport(_ transport: PeerTransport, linkDidChange state: PeerLinkState, peer: NodeID) {
    events.append(.link(peer, state))
  }
  func transport(_ transport: PeerTransport, didHear hello: PeerHello, from origin: PeerOrigin) {
    hellos.append((hello, origin))
  }
  func transport(_ transport: PeerTransport, probeDidEnd probe: ProbeID, error: String?) {
    events.append(.probeEnded(probe))
    probeErrors.append(error)
  }
  func transport(_ transport: PeerTransport, rejected rejection: PeerRejection) {
    rejections.append(rejection)
  }
}

/// Two connected nodes on one loop.
struct NodePair {
  let loop: EventLoop
  let a: TestNode
  let b: TestNode

  init(limits: PeerLimits = TestNode.limits) throws {
    loop = try EventLoop()
    a = try TestNode(1, loop: loop, limits: limits)
    b = try TestNode(2, loop: loop, limits: limits)
    a.transport?.setPeers([b.peer])
    b.transport?.setPeers([a.peer])
    _ = run { [a, b] in
      a.transport?.isConnected(b.id) == true && b.transport?.isConnected(a.id) == true
        && a.hellos.count == 4 && b.hellos.count == 4
    }
  }

  func run(_ limit: UInt64 = 60 * second, until condition: () -> Bool) -> Bool {
    loop.run(forAtMost: limit, until: condition)
  }

  func settle() { for _ in 0..<5 { loop.runTurn(waitingAtMost: 2 * millisecond) } }
}

/// One of every kind of message, small and large numbers.
let sampleMessages: [Message] = {
  let n: UInt64 = 1 << 61
  let configuration = Configuration(
    voters: [NodeID(1), NodeID(2)], learners: [NodeID(3)],
    members: (1...3).map { Member(id: NodeID($0), context: [1, 2, 3]) })
  let meta = SnapshotMeta(
    index: LogIndex(9), term: Term(3), configuration: configuration,
    configurationIndex: LogIndex(7))
  let entries = [
    Entry(index: LogIndex(5), term: Term(2), kind: .noop, payload: []),
    Entry(index: LogIndex(6), term: Term(2), kind: .command, payload: [9, 8, 7]),
    Entry(
      index: LogIndex(7), term: Term(n), kind: .configuration,
      payload: [UInt8](repeating: 3, count: 300)),
  ]
  return [
    .voteRequest(
      VoteRequest(
        term: Term(7), lastIndex: LogIndex(n), lastTerm: Term(6), isPreVote: true,
        isTransfer: false)),
    .voteReply(VoteReply(term: Term(7), granted: true, isPreVote: false)),
    .append(
      AppendEntries(
        term: Term(n), previousIndex: LogIndex(4), previousTerm: Term(2),
        commitIndex: LogIndex(3), entries: entries)),
    .append(
      AppendEntries(
        term: .zero, previousIndex: .zero, previousTerm: .zero, commitIndex: .zero, entries: [])),
    .appendReply(AppendReply(term: Term(1), outcome: .matched(LogIndex(77)))),
    .appendReply(
      AppendReply(
        term: Term(1),
        outcome: .conflict(
          previousIndex: LogIndex(9), hintIndex: LogIndex(5), hintTerm: Term(4)))),
    .heartbeat(Heartbeat(term: Term(3), commitIndex: LogIndex(200), readRound: .max)),
    .heartbeatReply(HeartbeatReply(term: Term(3), readRound: 12)),
    .snapshotChunk(
      SnapshotChunk(term: Term(3), meta: meta, offset: 70, totalBytes: 100, data: [5, 5, 5])),
    .snapshotReply(
      SnapshotReply(term: Term(3), index: LogIndex(9), nextOffset: 73, isInstalled: true)),
    .timeoutNow(TimeoutNow(term: Term(8))),
    .readIndex(ReadIndexRequest(term: Term(8), id: ReadID(.max))),
    .readIndexReply(ReadIndexReply(term: Term(8), id: ReadID(4), index: LogIndex(44))),
    .readIndexReply(ReadIndexReply(term: Term(8), id: ReadID(4), index: nil)),
  ]
}()
