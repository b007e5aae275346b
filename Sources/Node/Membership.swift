import EventLoop
import Peer
package import Raft
import Registry
import Wire

/// Changes of the membership that an operator asks for, and those the leader makes on its own.
///
/// Happy path: asked on any node, sent to the leader as a request, done when the configuration
/// that says so is committed. Raft takes one change at a time: what comes meanwhile waits for its
/// turn until its deadline.
struct MembershipOperations {
  enum Goal: Equatable {
    case transfer(to: NodeID?)
    case add(name: String, address: String)
    case remove(NodeID)
  }
  struct Pending {
    var goal: Goal
    var deadline: UInt64
    var wasProposed = false
    var isFinished = false
    var probe: ProbeID?
    var probeAt: UInt64 = 0
    var completion: (RequestFailure?) -> Void
  }
  static let pendingMax = 64
  var pending: [Pending] = []
}

extension MembershipOperations.Goal {
  var encoded: [UInt8] {
    var writer = Writer()
    switch self {
    case .transfer(let id):
      writer.u8(1)
      writer.u64(id?.value ?? 0)
    case .add(let name, let address):
      writer.u8(2)
      writer.text(name)
      writer.text(address)
    case .remove(let id):
      writer.u8(3)
      writer.u64(id.value)
    }
    return writer.bytes
  }

  init(decoding bytes: [UInt8]) throws(WireError) {
    var reader = Reader(bytes)
    switch try reader.u8() {
    case 1:
      let id = try reader.u64()
      self = .transfer(to: id == 0 ? nil : NodeID(id))
    case 2: self = .add(name: try reader.text(), address: try reader.text())
    case 3: self = .remove(NodeID(try reader.u64()))
    case let other: throw .unknownTag(UInt64(other))
    }
    try reader.finish()
  }
}

extension Node {
  /// Hands leadership to `id`, or to the member best suited when nil.
  package func transferLeadership(
    to id: NodeID?, completion: @escaping (RequestFailure?) -> Void
  ) {
    ask(.transfer(to: id), isRepeatable: false, completion)
  }

  /// Takes a node that waits at `peerAddress` into the cluster: first as a learner, promoted when
  /// it has caught up. Completes when it is a learner. An address where nobody answers changes
  /// nothing.
  package func addPeer(
    name: String, peerAddress: String, completion: @escaping (RequestFailure?) -> Void
  ) {
    ask(.add(name: name, address: peerAddress), isRepeatable: true, completion)
  }

  /// Removes a member, this node or the leader too. Completes when the others agreed.
  package func removePeer(_ id: NodeID, completion: @escaping (RequestFailure?) -> Void) {
    ask(.remove(id), isRepeatable: true, completion)
  }

  private func ask(
    _ goal: MembershipOperations.Goal, isRepeatable: Bool,
    _ completion: @escaping (RequestFailure?) -> Void
  ) {
    request(RequestKind.membership, goal.encoded, isRepeatable: isRepeatable) { answer in
      switch answer {
      case .success: completion(nil)
      case .failure(let failure): completion(failure)
      }
    }
  }

  func registerMembershipHandlers() {
    handleRequests(RequestKind.membership, onLeader: true) { [weak self] payload, _, reply in
      guard let self, let goal = try? MembershipOperations.Goal(decoding: payload) else {
        return reply(.failure(Self.unknownRequest))
      }
      guard operations.pending.count < MembershipOperations.pendingMax else {
        return reply(.failure(.overloaded("too many membership changes wait")))
      }
      operations.pending.append(
        MembershipOperations.Pending(goal: goal, deadline: deadline(RequestContext())) { failure in
          reply(failure.map { .failure($0) } ?? .success([]))
        })
      advanceOperations()
    }
    // A newcomer may know one member only: whoever is asked passes it on to the leader.
    handleRequests(RequestKind.admission, onLeader: false) { [weak self] payload, origin, reply in
      guard let self, let ask = try? AdmissionRequest(decoding: payload) else {
        return reply(.failure(Self.unknownRequest))
      }
      if raft.role == .leader { return reply(.success(admit(ask).encoded)) }
      guard case .probe = origin else { return reply(.failure(.noLeader)) }
      request(
        RequestKind.admission, payload, deadline: loop.now + 1_000_000_000, isRepeatable: true,
        completion: reply)
    }
  }

  // MARK: At the leader

  /// Called with every coarse tick and whenever something moved.
  func advanceOperations() {
    guard !operations.pending.isEmpty else { return }
    var waiting = operations.pending
    operations.pending = []
    let now = loop.now
    for index in waiting.indices {
      if let result = advance(&waiting[index], now: now) {
        replyLater(.barrier(waiting[index].completion, result.failure))
        waiting[index].isFinished = true
      }
    }
    operations.pending = waiting.filter { !$0.isFinished } + operations.pending
  }

  private struct Finished { var failure: RequestFailure? }

  /// Nil: not yet.
  private func advance(
    _ item: inout MembershipOperations.Pending, now: UInt64
  ) -> Finished? {
    if case .transfer(let target) = item.goal { return advanceTransfer(&item, target, now) }
    let isCommitted =
      raft.configurationIndex <= raft.commitIndex && raft.configuration.outgoing.isEmpty
    switch item.goal {
    case .remove(let id):
      if isCommitted, !raft.configuration.names(id) { return Finished(failure: nil) }
      if now >= item.deadline { break }
      return raft.role == .leader ? advanceRemoval(&item, id) : Finished(failure: .noLeader)
    case .add(let name, let address):
      let isThere = raft.configuration.members.contains {
        let context = MemberContext($0.context)
        return context?.address == address && (name.isEmpty || context?.name == name)
      }
      if isCommitted, isThere {
        if let probe = item.probe { transport.closeProbe(probe) }
        return Finished(failure: nil)
      }
      if now >= item.deadline { break }
      return raft.role == .leader
        ? advanceAddition(&item, address, now) : Finished(failure: .noLeader)
    case .transfer: break
    }
    if let probe = item.probe { transport.closeProbe(probe) }
    if item.wasProposed {
      return Finished(failure: .outcomeUnknown("the membership change is not finished"))
    }
    let text =
      "nothing was changed: "
      + (item.probe == nil ? "another change is under way" : "the node does not answer or waits")
    return Finished(failure: .refused(Refusal(status: 503, text: text)))
  }

  private func advanceTransfer(
    _ item: inout MembershipOperations.Pending, _ target: NodeID?, _ now: UInt64
  ) -> Finished? {
    if item.wasProposed {
      if raft.role != .leader { return Finished(failure: nil) }
      if raft.isTransferring, now < item.deadline { return nil }
      let text = "leadership stays here: the other node did not take over in time"
      return Finished(failure: .refused(Refusal(status: 503, text: text)))
    }
    guard raft.role == .leader else { return Finished(failure: .noLeader) }
    if let target, target == id { return Finished(failure: nil) }
    if let target, !raft.configuration.voters.contains(target) {
      return Finished(
        failure: .refused(Refusal(status: 404, text: "no voting member has the id \(target)")))
    }
    raft.step(.transferLeadership(to: target), into: &effects)
    guard raft.isTransferring else {
      return Finished(
        failure: .refused(Refusal(status: 503, text: "no other voter can take over now")))
    }
    item.wasProposed = true
    return nil
  }

  private func advanceRemoval(
    _ item: inout MembershipOperations.Pending, _ id: NodeID
  ) -> Finished? {
    guard !item.wasProposed else { return nil }
    guard raft.configuration.names(id) else { return nil }
    switch change(MembershipChange(remove: [id])) {
    case .accepted: item.wasProposed = true
    case .rejected(.wouldLeaveNoVoter):
      return Finished(
        failure: .refused(Refusal(status: 400, text: "the last voter cannot be removed")))
    case .rejected: break
    }
    return nil
  }

  private func advanceAddition(
    _ item: inout MembershipOperations.Pending, _ address: String, _ now: UInt64
  ) -> Finished? {
    guard let target = HostPort(address) else {
      return Finished(
        failure: .refused(Refusal(status: 400, text: "\(address) is no address of host:port")))
    }
    if item.probe == nil || now >= item.probeAt + 500_000_000 {
      if let probe = item.probe { transport.closeProbe(probe) }
      item.probe = transport.probe(host: target.host, port: target.port)
      item.probeAt = now
    }
    return nil
  }

  /// A probe of `addPeer` found somebody: a node that waits is invited, and asks for admission.
  func greetAddition(_ hello: PeerHello, probe: ProbeID) {
    guard operations.pending.contains(where: { $0.probe == probe }) else { return }
    if hello.identity.isEstablished, !raft.configuration.names(hello.identity.nodeID) {
      // It was a member before, and waits with its old log.
      let address = HostPort(host: hello.advertisedHost, port: hello.advertisedPort).text
      let context = MemberContext(name: hello.identity.nodeName, address: address)
      let member = Member(id: hello.identity.nodeID, context: context.encoded)
      _ = change(MembershipChange(addLearners: [member]))
    } else {
      let invitation = AdmissionAnswer(verdict: .accepted, text: "", membership: self.invitation)
      _ = transport.sendFrame(
        kind: FrameKind.invitation, payload: invitation.encoded, toProbe: probe)
    }
  }

  func change(_ change: MembershipChange) -> MembershipResult {
    raft.step(.changeMembership(change), into: &effects)
    return effects.membership.take() ?? .rejected(.busy)
  }

  // MARK: What the leader does by itself

  /// Learners that have caught up get their vote, one after the other; an older incarnation of the
  /// same name goes in the same step.
  func promoteLearners() {
    let configuration = raft.configuration
    guard !configuration.learners.isEmpty, mayChangeMembership else { return }
    for peer in raft.progress where configuration.learners.contains(peer.id) {
      let lag = raft.lastIndex.value - min(peer.matchIndex.value, raft.lastIndex.value)
      guard peer.isActive, !peer.isInstallingSnapshot, peer.matchIndex > .zero,
        lag <= raft.options.caughtUpEntries
      else { continue }
      let name = configuration.context(of: peer.id)?.name
      let old = configuration.members.filter {
        $0.id != peer.id && name != nil && MemberContext($0.context)?.name == name
      }
      guard !old.contains(where: { isAlive($0.id) }) else { continue }
      let change = MembershipChange(promote: [peer.id], remove: old.map(\.id))
      if case .accepted = self.change(change) { return }
    }
  }

  /// A member that tells another address than the configuration has gets it changed there.
  func followMoves() {
    guard mayChangeMembership else { return }
    let configuration = raft.configuration
    for note in gossip.members where configuration.names(note.id) {
      guard let context = configuration.context(of: note.id), !note.peerAddress.isEmpty,
        context.address != note.peerAddress
      else { continue }
      let new = MemberContext(name: context.name, address: note.peerAddress)
      let member = Member(id: note.id, context: new.encoded)
      if case .accepted = change(MembershipChange(addLearners: [member])) {
        logger.log(
          .info, "membership", "a member has moved",
          [("node", context.name), ("from", context.address), ("to", note.peerAddress)])
        return
      }
    }
  }

  private var mayChangeMembership: Bool {
    raft.isEstablishedLeader && raft.configuration.outgoing.isEmpty
      && raft.configurationIndex <= raft.commitIndex && !isStopping
  }

  /// Heard of within the last second.
  func isAlive(_ peer: NodeID) -> Bool {
    if peer == id { return true }
    guard let progress = raft.progress.first(where: { $0.id == peer }) else { return false }
    return progress.isActive && transport.isConnected(peer)
  }

  /// Keeps the links in line with who is a member. Those that were removed keep theirs for a
  /// while: the leader has to tell them, and may be one of them and hand over.
  func updatePeers() {
    guard !isStopped else { return }
    var peers: [PeerAddress] = []
    for member in raft.configuration.members where member.id != id && !isRemoved {
      // A node that lost its disk is still named there under its old id, at its own address.
      guard let context = MemberContext(member.context), let address = HostPort(context.address),
        address != advertisedAddress
      else { continue }
      peers.append(
        PeerAddress(
          id: member.id, name: context.name, host: address.host, port: address.port))
    }
    if !raft.configuration.names(id) {
      for peer in bootstrap.hosts where !peers.contains(where: { $0.id == peer.id }) {
        guard HostPort(host: peer.host, port: peer.port) != advertisedAddress else { continue }
        peers.append(peer)
      }
    }
    for gone in links.current where !peers.contains(where: { $0.id == gone.id }) {
      links.keep(gone, until: loop.now + PeerLinks.departingNanoseconds)
    }
    links.current = peers
    for departing in links.departing
    where !peers.contains(where: { $0.id == departing.address.id }) {
      peers.append(departing.address)
    }
    transport.setPeers(peers)
  }

  func letDepartingGo() {
    guard links.forgetDeparted(now: loop.now) else { return }
    updatePeers()
  }

  func name(of node: NodeID) -> String {
    raft.configuration.context(of: node)?.name ?? node.description
  }
}

/// Whom this node keeps connections with.
struct PeerLinks {
  struct Departing {
    var address: PeerAddress
    var until: UInt64
  }
  /// Several election timeouts, so that a removed leader can hand over and a removed follower hear.
  static let departingNanoseconds: UInt64 = 5_000_000_000
  static let departingMax = 16

  /// Members, or the hosts that a newcomer was told.
  var current: [PeerAddress] = []
  private(set) var departing: [Departing] = []

  mutating func keep(_ address: PeerAddress, until: UInt64) {
    departing.removeAll { $0.address.id == address.id }
    if departing.count == Self.departingMax { departing.removeFirst() }
    departing.append(Departing(address: address, until: until))
  }

  /// True when there were any.
  mutating func forgetDeparted(now: UInt64) -> Bool {
    let count = departing.count
    departing.removeAll { item in
      item.until <= now || current.contains { $0.id == item.address.id }
    }
    return departing.count < count
  }
}
