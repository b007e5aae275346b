import EventLoop
import Peer
package import Raft
import Wire

/// What a member said of itself last.
package struct MemberNews: Equatable, Sendable {
  package var id: NodeID
  package var httpAddress: String
  package var peerAddress: String
  package var appliedIndex: UInt64
  package var version: String
  /// On this node's loop clock.
  package var heardAt: UInt64
}

/// What members tell each other once a second: where they serve, how far they are, and the hash of
/// their state there. Nothing depends on it for safety.
///
/// Two nodes that applied the same index must have the same hash; one that differs is broken, and
/// both say so loudly.
struct Gossip {
  private struct Sample {
    var index: UInt64
    var hash: UInt64
  }

  static let intervalNanoseconds: UInt64 = 1_000_000_000
  /// Hashes are compared where the index is a multiple of this.
  static let samplePeriod: UInt64 = 256
  private static let samplesMax = 64

  private(set) var members: [MemberNews] = []
  private var samples: [Sample] = []

  mutating func sample(index: UInt64, hash: UInt64) {
    if samples.count == Self.samplesMax { samples.removeFirst() }
    samples.append(Sample(index: index, hash: hash))
  }

  func encoded(http: String, peer: String, applied: UInt64, version: String) -> [UInt8] {
    var writer = Writer()
    writer.u8(1)
    writer.text(http)
    writer.text(peer)
    writer.text(version)
    writer.u64(applied)
    let told = samples.suffix(8)
    writer.varint(UInt64(told.count))
    for sample in told {
      writer.u64(sample.index)
      writer.u64(sample.hash)
    }
    return writer.bytes
  }

  /// The index at which the other node's state differs; nil when all that can be compared agrees.
  mutating func receive(
    _ payload: [UInt8], from node: NodeID, now: UInt64
  ) throws(WireError) -> UInt64? {
    var reader = Reader(payload)
    guard try reader.u8() == 1 else { return nil }
    var member = try Self.member(from: &reader)
    member.id = node
    member.heardAt = now
    var differs: UInt64?
    for _ in 0..<(try reader.count()) {
      let index = try reader.u64()
      let hash = try reader.u64()
      if let own = samples.last(where: { $0.index == index }), own.hash != hash {
        differs = differs ?? index
      }
    }
    members.removeAll { $0.id == node }
    members.append(member)
    return differs
  }

  /// What the sender says of itself; its id stays to be filled in.
  static func sender(of payload: [UInt8]) throws(WireError) -> MemberNews {
    var reader = Reader(payload)
    guard try reader.u8() == 1 else { throw .unknownTag(0) }
    return try member(from: &reader)
  }

  private static func member(from reader: inout Reader) throws(WireError) -> MemberNews {
    let http = try reader.text()
    let peer = try reader.text()
    let version = try reader.text()
    return MemberNews(
      id: NodeID(0), httpAddress: http, peerAddress: peer, appliedIndex: try reader.u64(),
      version: version, heardAt: 0)
  }

  mutating func keepOnly(_ configuration: Configuration) {
    members.removeAll { !configuration.names($0.id) }
  }
}

extension Node {
  /// What the other members said last, for duties and status pages.
  package var memberNews: [MemberNews] { gossip.members }

  func sendGossip() {
    guard phase == .running || phase == .joining else { return }
    let payload = gossip.encoded(
      http: httpAddress, peer: advertisedAddress.text, applied: raft.lastApplied.value,
      version: Node.version)
    for member in raft.configuration.members where member.id != id {
      _ = transport.sendFrame(kind: FrameKind.gossip, payload: payload, to: member.id)
    }
  }

  func receiveGossip(_ payload: [UInt8], from node: NodeID) {
    guard raft.configuration.names(node) else { return greetStranger(payload, node) }
    do throws(WireError) {
      guard let index = try gossip.receive(payload, from: node, now: loop.now) else { return }
      metrics.increment(counters.stateMismatches)
      guard !reportedMismatch else { return }
      reportedMismatch = true
      logger.log(
        .error, "node",
        "this node and another disagree about the state: move the data directory of the one that"
          + " differs from the majority aside and let it rejoin",
        [("node", name(of: node)), ("index", String(index))])
    } catch {
      logger.log(.debug, "node", "gossip cannot be read: \(error)", [("node", name(of: node))])
    }
  }

  /// It does not know that it was removed, and is told, as soon as there is a link to it.
  private func greetStranger(_ payload: [UInt8], _ node: NodeID) {
    guard raft.leader != nil, raft.configuration.outgoing.isEmpty,
      raft.configurationIndex <= raft.commitIndex
    else { return }
    guard !transport.isConnected(node) else {
      var writer = Writer()
      writer.u64(raft.configurationIndex.value)
      _ = transport.sendFrame(kind: FrameKind.removed, payload: writer.bytes, to: node)
      return
    }
    guard let member = try? Gossip.sender(of: payload), let address = HostPort(member.peerAddress)
    else { return }
    links.keep(
      PeerAddress(id: node, name: "", host: address.host, port: address.port),
      until: loop.now + PeerLinks.departingNanoseconds)
    updatePeers()
  }

  func receiveRemovedNotice(_ payload: [UInt8]) {
    var reader = Reader(payload)
    guard let index = try? reader.u64(), index >= raft.configurationIndex.value,
      phase == .running
    else { return }
    becomeRemoved()
  }

  /// Idles without disturbing anybody, and stays for whoever wants to look at it.
  func becomeRemoved() {
    guard !isRemoved else { return }
    isRemoved = true
    logger.log(
      .warning, "node",
      "this node was removed from the cluster: it only answers stale reads now."
        + " To bring it back, stop it, move its data directory aside and start it again")
    raft.step(.setElectable(false), into: &effects)
    updatePeers()
  }
}
