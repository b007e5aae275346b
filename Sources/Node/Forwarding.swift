import EventLoop
import Peer
import Raft
import Registry
import Wire

/// What nodes say to each other beside Raft; the kinds of `PeerTransport`'s frames.
enum FrameKind {
  /// Commands for the leader: `u64 origin`, then blobs (encoded envelopes).
  static let proposals: UInt8 = 1
  /// What became of them: `u64 origin`, then `varint sequence`, `u8 answer`, an outcome when 0.
  static let proposalReplies: UInt8 = 2
  /// `u64 number`, `u8 kind`, the rest is the payload.
  static let request: UInt8 = 3
  /// `u64 number`, `u8 result`, the rest depends on it.
  static let response: UInt8 = 4
  static let gossip: UInt8 = 5
  /// "You are no member of this cluster any more": `u64` index of the configuration that says so.
  static let removed: UInt8 = 6
  /// From a leader's `addPeer` to a node that waits: an `AdmissionAnswer`.
  static let invitation: UInt8 = 7
}

/// Proposals of other nodes at the leader, and its answers to them.
struct Forwarding {
  struct Received {
    var node: NodeID
    var sequence: UInt64
    var payload: [UInt8]
  }
  enum Refusal: UInt8 {
    case notLeader = 1
    case overloaded = 2
    case diskFull = 3
  }
  private struct Sender {
    var origin: UInt64
    var node: NodeID
    var answers: Writer
    var answerCount: Int
  }

  /// Of this turn, in the order of their arrival.
  var received: [Received] = []
  /// Who sent proposals of which origin, oldest first. As many as the state machine remembers.
  private var senders: [Sender] = []
  private static let sendersMax = 64
  /// Frames are cut at about this size; one with a larger command exceeds it.
  static let frameBytes = 4 << 20

  mutating func note(origin: UInt64, from node: NodeID) {
    if let index = senders.firstIndex(where: { $0.origin == origin }) {
      senders[index].node = node
      return
    }
    if senders.count == Self.sendersMax { senders.removeFirst() }
    senders.append(Sender(origin: origin, node: node, answers: Writer(), answerCount: 0))
  }

  /// Adds an answer for the node that sent the command; nothing when none of the living did.
  /// True when its answers fill a frame.
  mutating func answer(_ stamp: OriginStamp, _ outcome: Outcome) -> Bool {
    guard let index = senders.firstIndex(where: { $0.origin == stamp.origin }) else {
      return false
    }
    start(index)
    senders[index].answers.varint(stamp.sequence)
    senders[index].answers.u8(0)
    outcome.encode(into: &senders[index].answers)
    senders[index].answerCount += 1
    return senders[index].answers.bytes.count > Self.frameBytes
  }

  mutating func refuse(origin: UInt64, _ sequence: UInt64, _ refusal: Refusal) {
    guard let index = senders.firstIndex(where: { $0.origin == origin }) else { return }
    start(index)
    senders[index].answers.varint(sequence)
    senders[index].answers.u8(refusal.rawValue)
    senders[index].answerCount += 1
  }

  private mutating func start(_ index: Int) {
    if senders[index].answers.bytes.isEmpty { senders[index].answers.u64(senders[index].origin) }
  }

  mutating func takeAnswers(_ send: (_ payload: [UInt8], _ node: NodeID) -> Void) {
    for index in senders.indices where senders[index].answerCount > 0 {
      send(senders[index].answers.bytes, senders[index].node)
      senders[index].answers.bytes.removeAll(keepingCapacity: true)
      senders[index].answerCount = 0
    }
  }
}

extension Node {
  // MARK: At the node that took the request

  func forwardProposals(to leader: NodeID) {
    var isFirst = true
    // A frame at a time.
    while !proposals.unsent.isEmpty {
      var writer = Writer()
      writer.u64(proposals.origin)
      var sequences: [UInt64] = []
      let oldest = proposals.hand(time: nil, now: loop.now) { sequence, payload in
        guard writer.bytes.count <= Forwarding.frameBytes else { return false }
        writer.blob(payload)
        sequences.append(sequence)
        return true
      }
      if isFirst { noteQueued(since: oldest) }
      isFirst = false
      guard !sequences.isEmpty else { return }
      metrics.increment(counters.forwardedOut, by: UInt64(sequences.count))
      guard transport.sendFrame(kind: FrameKind.proposals, payload: writer.bytes, to: leader)
      else {
        for sequence in sequences { proposals.giveBack(sequence) }
        return
      }
    }
  }

  func receiveProposalReplies(_ payload: [UInt8]) {
    var reader = Reader(payload)
    do {
      guard try reader.u64() == proposals.origin else { return }
      while !reader.isAtEnd {
        let sequence = try reader.varint()
        let answer = try reader.u8()
        if answer == 0 {
          lastForwardedAnswer = loop.now
          complete(sequence, try Outcome(from: &reader), now: loop.now)
        } else if answer == Forwarding.Refusal.overloaded.rawValue {
          fail(sequence, .overloaded("the leader has too much under way"))
        } else if answer == Forwarding.Refusal.diskFull.rawValue {
          fail(sequence, .diskFull)
        } else {
          proposals.giveBack(sequence)
        }
      }
    } catch {
      logger.log(.warning, "node", "answers of the leader cannot be read: \(error)")
    }
  }

  // MARK: At the leader

  func receiveProposals(_ payload: [UInt8], from node: NodeID) {
    var reader = Reader(payload)
    do {
      let origin = try reader.u64()
      forwarding.note(origin: origin, from: node)
      while !reader.isAtEnd {
        let command = try reader.blob()
        guard let stamp = CommandEnvelope.origin(of: command), stamp.origin == origin else {
          logger.log(
            .warning, "node", "a forwarded command carries no stamp of its sender",
            [("node", name(of: node))])
          return
        }
        forwarding.received.append(
          Forwarding.Received(node: node, sequence: stamp.sequence, payload: command))
      }
    } catch {
      logger.log(
        .warning, "node", "forwarded commands cannot be read: \(error)",
        [("node", name(of: node))])
    }
  }

  /// Moves the payloads out, stamped with this leader's time. What is refused afterwards needs
  /// only the numbers, which stay.
  func takeReceivedPayloads() -> [[UInt8]] {
    guard !forwarding.received.isEmpty else { return [] }
    let time = stampTime()
    var payloads: [[UInt8]] = []
    payloads.reserveCapacity(forwarding.received.count + proposals.unsent.count)
    for index in forwarding.received.indices {
      CommandEnvelope.stamp(&forwarding.received[index].payload, time: time)
      payloads.append(forwarding.received[index].payload)
    }
    return payloads
  }

  func refuseReceivedProposals(_ refusal: Forwarding.Refusal) {
    guard !forwarding.received.isEmpty else { return }
    let refused = forwarding.received
    forwarding.received.removeAll(keepingCapacity: true)
    for item in refused {
      guard let stamp = CommandEnvelope.origin(of: item.payload) else { continue }
      forwarding.refuse(origin: stamp.origin, item.sequence, refusal)
    }
  }

  func flushAnswers() {
    forwarding.takeAnswers { payload, node in
      // A lost answer is asked for again by the node that waits for it.
      _ = transport.sendFrame(kind: FrameKind.proposalReplies, payload: payload, to: node)
    }
  }
}
