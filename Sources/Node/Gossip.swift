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
/// Two nodes that applied the same index must have the same hash. One that differs from a majority
/// of the voters is broken: it stops serving and is rebuilt. Where there is no majority to differ
/// from, all say so loudly.
///
/// They also tell whom they hear. A leader whom a voter does not hear hands over to one who reaches
/// that voter as well, so that a cut between two nodes leaves the clients of neither without a
/// leader (Alfatafta and others, "Toward a Generic Fault Tolerance Technique for Partial Network
/// Partitioning", OSDI 2020).
struct Gossip {
  struct Sample: Equatable {
    var index: UInt64
    var hash: UInt64
  }
  /// What a member told last beside what is in `MemberNews`.
  private struct Told {
    var id: NodeID
    var samples: [Sample]
    var hears: [NodeID]
  }

  static let intervalNanoseconds: UInt64 = 1_000_000_000
  /// Hashes are compared where the index is a multiple of this.
  static let samplePeriod: UInt64 = 256
  private static let samplesMax = 64

  /// Silence of so long: not heard.
  static let silenceNanoseconds: UInt64 = 2_500_000_000
  /// A leader hands over for the sake of better links at most so often.
  static let betterLinksNanoseconds: UInt64 = 10_000_000_000

  private(set) var members: [MemberNews] = []
  private var told: [Told] = []
  /// The leader lacks a voter since this time.
  var voterMissingSince: UInt64?
  var noHandOverBefore: UInt64 = 0
  private var samples: [Sample] = []

  mutating func sample(index: UInt64, hash: UInt64) {
    if samples.count == Self.samplesMax { samples.removeFirst() }
    samples.append(Sample(index: index, hash: hash))
  }

  func encoded(
    http: String, peer: String, applied: UInt64, version: String, now: UInt64
  ) -> [UInt8] {
    var writer = Writer()
    writer.u8(1)
    writer.text(http)
    writer.text(peer)
    writer.text(version)
    writer.u64(applied)
    let latest = samples.suffix(8)
    writer.varint(UInt64(latest.count))
    for sample in latest {
      writer.u64(sample.index)
      writer.u64(sample.hash)
    }
    let heard = members.filter { now < $0.heardAt + Self.silenceNanoseconds }
    writer.varint(UInt64(heard.count))
    for member in heard { writer.u64(member.id.value) }
    return writer.bytes
  }

  func isHeard(_ node: NodeID, now: UInt64) -> Bool {
    members.contains { $0.id == node && now < $0.heardAt + Self.silenceNanoseconds }
  }

  /// Whether `node` said that it hears `other`.
  func hears(_ node: NodeID, _ other: NodeID) -> Bool {
    told.first { $0.id == node }?.hears.contains(other) ?? false
  }

  /// An index at which a majority of `voters` agrees on another state than this node's.
  func divergence(from voters: [NodeID]) -> UInt64? {
    for own in samples.reversed() {
      let others = told.compactMap { member in
        voters.contains(member.id) ? member.samples.first { $0.index == own.index }?.hash : nil
      }
      let isAlone = others.contains { hash in
        hash != own.hash && others.count { $0 == hash } > voters.count / 2
      }
      if isAlone { return own.index }
    }
    return nil
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
    var news = Told(id: node, samples: [], hears: [])
    for _ in 0..<(try reader.count()) {
      let sample = Sample(index: try reader.u64(), hash: try reader.u64())
      if let own = samples.last(where: { $0.index == sample.index }), own.hash != sample.hash {
        differs = differs ?? sample.index
      }
      news.samples.append(sample)
    }
    for _ in 0..<(try reader.count()) { news.hears.append(NodeID(try reader.u64())) }
    told.removeAll { $0.id == node }
    told.append(news)
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
    told.removeAll { !configuration.names($0.id) }
  }
}

extension Node {
  /// What the other members said last, for duties and status pages.
  package var memberNews: [MemberNews] { gossip.members }

  /// Once a second to all; at once to a peer that has just been connected and when leadership moves,
  /// so that whoever asks a fresh cluster hears of every node.
  func sendGossip(to peer: NodeID? = nil) {
    guard phase == .running || phase == .joining else { return }
    let payload = gossip.encoded(
      http: httpAddress, peer: advertisedAddress.text, applied: raft.lastApplied.value,
      version: Node.version, now: loop.now)
    for member in raft.configuration.members
    where member.id != id && (peer == nil || peer == member.id) {
      _ = transport.sendFrame(kind: FrameKind.gossip, payload: payload, to: member.id)
    }
  }

  func receiveGossip(_ payload: [UInt8], from node: NodeID) {
    guard raft.configuration.names(node) else { return greetStranger(payload, node) }
    do throws(WireError) {
      guard let index = try gossip.receive(payload, from: node, now: loop.now) else { return }
      metrics.increment(counters.stateMismatches)
      if let index = gossip.divergence(from: raft.configuration.voters) {
        return rebuild("the state of this node differs from the majority's at index \(index)")
      }
      guard !reportedMismatch else { return }
      reportedMismatch = true
      logger.log(
        .error, "node",
        "this node and another disagree about the state: the one that differs from the majority"
          + " rebuilds itself; where there is none, move one data directory aside and let it rejoin",
        [("node", name(of: node)), ("index", String(index))])
    } catch {
      logger.log(.debug, "node", "gossip cannot be read: \(error)", [("node", name(of: node))])
    }
  }

  /// Once a second, at the leader: a voter that does not hear it is worth a hand-over when another
  /// voter, which hears all that this one hears, reaches it too. Two rounds of gossip are waited
  /// for: a voter that died is missed by everybody by then.
  func considerBetterLinks() {
    let now = loop.now
    guard raft.isEstablishedLeader, !raft.isTransferring, !isStopping,
      raft.configuration.outgoing.isEmpty
    else { return gossip.voterMissingSince = nil }
    let others = raft.configuration.voters.filter { $0 != id }
    let missing = others.filter { voter in
      !gossip.isHeard(voter, now: now)
        // Not for the sake of one that is refused.
        && !clusterWatch.refused.contains {
          $0.node == voter && now < $0.at + Gossip.silenceNanoseconds
        }
    }
    guard !missing.isEmpty else { return gossip.voterMissingSince = nil }
    let since = gossip.voterMissingSince ?? now
    gossip.voterMissingSince = since
    guard now >= since + 2 * Gossip.intervalNanoseconds, now >= gossip.noHandOverBefore else {
      return
    }
    let better = others.first { candidate in
      !missing.contains(candidate)
        && missing.contains { gossip.hears(candidate, $0) }
        && others.allSatisfy { other in
          other == candidate || missing.contains(other) || gossip.hears(candidate, other)
        }
    }
    guard let better else { return }
    gossip.noHandOverBefore = now + Gossip.betterLinksNanoseconds
    logger.log(
      .warning, "raft", "a voter is cut off from this node and not from another, which shall lead",
      [("voter", missing.map { name(of: $0) }.joined(separator: ",")), ("to", name(of: better))])
    raft.step(.transferLeadership(to: better), into: &effects)
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
    updateElectable()
    updatePeers()
  }
}
