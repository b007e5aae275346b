import EventLoop
import Peer
import Raft
import Storage
import Wire

/// How a node without a log finds out whether to start a cluster or to join one.
///
/// Happy path, a new cluster: every initial member probes the others; when each of them was heard
/// and none has a past, all write the same first log entry, the configuration computed from the
/// configured names, and elect. When only a majority answers, it starts after two seconds.
///
/// Happy path, an existing cluster: somebody who answers is established. The node takes a random
/// id (the one it may have had voted with a disk that is gone), asks for admission through anyone
/// who answers, receives the log as a learner, and is promoted; its old incarnation goes.
///
/// Why the first entry is safe to write without asking: it has term 1, which no leader ever has
/// (nodes start in term 1 and campaign for 2), and it is the same everywhere, or else the hashes
/// of it, exchanged in handshakes, keep the nodes apart. The first leader then gives the cluster
/// an id of its own (see `ClusterIdentity.swift`).
struct Bootstrap {
  struct Candidate {
    var name: String
    var address: HostPort
    var probe: ProbeID?
    var nextProbeAt: UInt64 = 0
    var backoff: UInt64 = Bootstrap.probeNanosecondsMin
    /// Heard of in this process, before it had a past.
    var wasSeenEmpty = false
    var isReachable = false
    var isEstablished = false
  }

  static let probeNanosecondsMin: UInt64 = 20_000_000
  static let probeNanosecondsMax: UInt64 = 500_000_000
  /// A majority without the rest starts the cluster after so long.
  static let majorityNanoseconds: UInt64 = 2_000_000_000
  /// Hellos cross each other: an established one may overtake the empty one sent before it.
  static let overtakingNanoseconds: UInt64 = 300_000_000
  static let admissionNanoseconds: UInt64 = 300_000_000

  var candidates: [Candidate] = []
  /// This node is named among the initial members.
  var isInitialMember = false
  var majoritySince: UInt64?
  var establishedSince: UInt64?
  var nextAdmissionAt: UInt64 = 0
  var lastVerdict = ""
  /// Who to be connected with while the own log names nobody: from the admission.
  var hosts: [PeerAddress] = []
}

extension Node {
  /// The configuration that a new cluster starts with; the same on every member.
  var initialConfiguration: Configuration {
    let members = initialMembers.map { member in
      Member(
        id: .ofInitialMember(cluster: configuration.cluster, name: member.name),
        context: MemberContext(name: member.name, address: member.peer).encoded)
    }.sorted { $0.id < $1.id }
    return Configuration(voters: members.map(\.id), members: members)
  }

  private var initialMembers: [NodeConfiguration.MemberAddress] {
    if !configuration.members.isEmpty { return configuration.members }
    let own = NodeConfiguration.MemberAddress(
      name: configuration.nodeName, peer: advertisedAddress.text)
    return [own]
  }

  func startBootstrap() {
    bootstrap.isInitialMember =
      initialMembers.contains { $0.name == configuration.nodeName }
      && (configuration.join.isEmpty || !configuration.members.isEmpty)
      // What once belonged to a cluster never starts another.
      && transport.identity.clusterID == nil
    var addresses: [(name: String, address: String)] = []
    for member in configuration.members where member.name != configuration.nodeName {
      addresses.append((member.name, member.peer))
    }
    for address in configuration.join where address != advertisedAddress.text {
      if !addresses.contains(where: { $0.address == address }) { addresses.append(("", address)) }
    }
    bootstrap.candidates = addresses.compactMap { name, address in
      HostPort(address).map { Bootstrap.Candidate(name: name, address: $0) }
    }
    if phase == .discovering {
      logger.log(
        .info, "node", "no data yet: looking for the other members",
        [("members", addresses.map(\.address).joined(separator: ","))])
    }
    considerBootstrap()
  }

  /// With every tick while the node has no place in a cluster.
  func tickBootstrap() {
    guard phase == .discovering || phase == .joining else { return }
    let now = loop.now
    for index in bootstrap.candidates.indices {
      let candidate = bootstrap.candidates[index]
      guard candidate.probe == nil, now >= candidate.nextProbeAt else { continue }
      bootstrap.candidates[index].probe = transport.probe(
        host: candidate.address.host, port: candidate.address.port)
    }
    if phase == .discovering { considerBootstrap() } else { askForAdmission() }
  }

  func hear(_ hello: PeerHello, from origin: PeerOrigin) {
    guard phase == .discovering || phase == .joining else { return }
    let index = bootstrap.candidates.firstIndex { candidate in
      if case .probe(let probe) = origin, candidate.probe == probe { return true }
      return !candidate.name.isEmpty && candidate.name == hello.identity.nodeName
    }
    guard let index else { return }
    let isEstablished = hello.identity.isEstablished
    bootstrap.candidates[index].isReachable = true
    bootstrap.candidates[index].backoff = Bootstrap.probeNanosecondsMin
    bootstrap.candidates[index].isEstablished =
      bootstrap.candidates[index].isEstablished || isEstablished
    if !isEstablished { bootstrap.candidates[index].wasSeenEmpty = true }
    if phase == .discovering { considerBootstrap() }
  }

  func probeEnded(_ probe: ProbeID, error: String?) {
    guard let index = bootstrap.candidates.firstIndex(where: { $0.probe == probe }) else { return }
    let backoff = bootstrap.candidates[index].backoff
    bootstrap.candidates[index].probe = nil
    bootstrap.candidates[index].isReachable = false
    bootstrap.candidates[index].nextProbeAt = loop.now + backoff
    bootstrap.candidates[index].backoff = min(backoff * 2, Bootstrap.probeNanosecondsMax)
    if let error {
      logger.log(
        .debug, "node", "a member does not answer yet: \(error)",
        [("address", bootstrap.candidates[index].address.text)])
    }
  }

  private func considerBootstrap() {
    guard phase == .discovering else { return }
    let others = bootstrap.candidates
    let now = loop.now
    if bootstrap.isInitialMember, others.allSatisfy(\.wasSeenEmpty) { return form() }
    if others.contains(where: \.isEstablished) {
      let since = bootstrap.establishedSince ?? now
      bootstrap.establishedSince = since
      let isWaitingForHellos =
        bootstrap.isInitialMember && now < since + Bootstrap.overtakingNanoseconds
      return isWaitingForHellos ? () : join()
    }
    guard bootstrap.isInitialMember else { return }
    let reachable = others.count { $0.wasSeenEmpty && $0.isReachable } + 1
    guard reachable > (others.count + 1) / 2 else { return bootstrap.majoritySince = nil }
    let since = bootstrap.majoritySince ?? now
    bootstrap.majoritySince = since
    if now >= since + Bootstrap.majorityNanoseconds { form() }
  }

  // MARK: A new cluster

  private func form() {
    let configuration = initialConfiguration
    if !configuration.names(id) {
      // Was about to join a cluster of which nothing is left.
      adoptID(
        .ofInitialMember(cluster: self.configuration.cluster, name: self.configuration.nodeName))
    }
    let payload = configuration.encoded()
    var own = transport.identity
    own.foundingID = Self.foundingID(of: payload)
    transport.updateIdentity(own)
    guard writeIdentity(isMember: false) else { return }
    phase = .forming
    let entry = Entry(
      index: LogIndex(1), term: Term(1), kind: .configuration, payload: payload)
    let hardState = HardState(term: Term(1), votedFor: nil, commitIndex: .zero)
    let batch = LogBatch(hardState: hardState, entries: [entry], mustSync: true)
    formingEntry = entry
    let (ticket, _) = disk.add(batch, now: loop.now)
    writer.submit(batch, ticket: ticket)
  }

  /// The first entry is durable: from here on this is a member like any other.
  func finishForming() {
    guard let entry = formingEntry, writeIdentity(isMember: true) else { return }
    formingEntry = nil
    let hardState = HardState(term: Term(1), votedFor: nil, commitIndex: LogIndex(1))
    raft = makeRaft(hardState: hardState, snapshot: nil, entries: [entry])
    logger.log(
      .info, "node", "a new cluster is formed",
      [("members", initialMembers.map(\.name).joined(separator: ","))])
    becomeRunning()
    raft.step(.applied(through: raft.commitIndex), into: &effects)
    campaignFirst()
  }

  /// The members form in the same instant. One of them (the first by id, for all the same) need
  /// not wait for its timer to run out; it tries again while the others are still on their way.
  func campaignFirst(attempts: Int = 6) {
    let voters = raft.configuration.voters
    guard attempts > 0, voters.first == id else { return }
    let delay: UInt64 = voters.count == 1 ? 0 : 30_000_000
    loop.schedule(after: delay) { [weak self] in
      guard let self, !isStopped, raft.leader == nil, raft.role != .candidate else { return }
      let reachable = voters.count { $0 == self.id || self.transport.isConnected($0) }
      if reachable > voters.count / 2 { runOutTimer() }
      loop.requestTurnEnd()
      campaignFirst(attempts: attempts - 1)
    }
  }

  private func runOutTimer() {
    let sent = effects.send.count
    for _ in 0..<(2 * raft.options.electionTicks) {
      raft.step(.tick, into: &effects)
      if effects.send.count > sent || raft.role == .leader { return }
    }
  }

  static func foundingID(of payload: [UInt8]) -> [UInt8] {
    var id: [UInt8] = []
    var state: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in payload { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    for salt in [UInt64(0x9E37_79B9_7F4A_7C15), 0xC2B2_AE3D_27D4_EB4F] {
      let word = NodeID.mixed(state ^ salt)
      for shift in 0..<8 { id.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * shift))) }
    }
    return id
  }

  // MARK: An existing cluster

  /// Under an id that nobody has seen: the old one may have voted and forgotten.
  private func join() {
    phase = .joining
    if let identity, identity.nodeID == id.value, !bootstrap.isInitialMember {
      // Asked before, and was interrupted: nothing was promised under this id.
    } else {
      adoptID(.random())
    }
    guard writeIdentity(isMember: false) else { return }
    logger.log(
      .info, "node", "the cluster is there already: joining it", [("id", id.description)])
    askForAdmission()
  }

  func askForAdmission() {
    guard phase == .joining, loop.now >= bootstrap.nextAdmissionAt else { return }
    if raft.configuration.hasVoter(id) { return admitted() }
    bootstrap.nextAdmissionAt = loop.now + Bootstrap.admissionNanoseconds
    let ask = AdmissionRequest(
      id: id, name: configuration.nodeName, address: advertisedAddress.text)
    let target: RequestTarget
    if let leader = raft.leader, transport.isConnected(leader) {
      target = .node(leader)
    } else {
      let ready = bootstrap.candidates.filter { $0.isEstablished && $0.probe != nil }
      guard let chosen = ready.randomElement(), let probe = chosen.probe else { return }
      target = .probe(probe)
    }
    request(
      RequestKind.admission, ask.encoded, to: target, deadline: loop.now + 1_000_000_000,
      isRepeatable: false
    ) { [weak self] answer in
      guard case .success(let bytes) = answer, let answer = try? AdmissionAnswer(decoding: bytes)
      else { return }
      self?.receive(answer)
    }
  }

  func receive(_ answer: AdmissionAnswer) {
    guard phase == .joining || phase == .discovering else { return }
    if phase == .discovering {
      // Invited by a leader's `addPeer`.
      guard case .accepted = answer.verdict else { return }
      join()
    }
    if answer.verdict == .refused, answer.text != bootstrap.lastVerdict {
      bootstrap.lastVerdict = answer.text
      logger.log(.warning, "node", "the cluster does not admit this node yet: \(answer.text)")
    }
    guard let membership = answer.membership else { return }
    if let clusterID = membership.clusterID, transport.identity.clusterID == nil {
      setClusterID(clusterID)
      _ = writeIdentity(isMember: false)
    }
    bootstrap.hosts = membership.hosts(except: id)
    updatePeers()
  }

  /// The own log says that this node votes.
  func admitted() {
    guard writeIdentity(isMember: true) else { return }
    logger.log(.info, "node", "this node is a voting member now")
    becomeRunning()
  }

  func becomeRunning() {
    phase = .running
    for candidate in bootstrap.candidates {
      if let probe = candidate.probe { transport.closeProbe(probe) }
    }
    bootstrap = Bootstrap()
    updatePeers()
  }

  // MARK: Identity

  func adoptID(_ new: NodeID) {
    id = new
    raft = makeRaft(hardState: HardState(), snapshot: nil, entries: [])
    var own = transport.identity
    own.nodeID = new
    transport.updateIdentity(own)
  }

  func setClusterID(_ clusterID: [UInt8]) {
    var own = transport.identity
    own.clusterID = clusterID
    transport.updateIdentity(own)
  }

  /// Others must know as soon as this node may have voted.
  func noteEstablished() {
    guard !transport.identity.isEstablished, raft.term > Term(1) else { return }
    var own = transport.identity
    own.isEstablished = true
    transport.updateIdentity(own)
  }

  /// False when it cannot be written; the node ends then.
  func writeIdentity(isMember: Bool) -> Bool {
    var new = NodeIdentity(
      cluster: configuration.cluster, nodeName: configuration.nodeName, nodeID: id.value,
      bootstrapped: isMember, clusterInstance: transport.identity.clusterID)
    new.founding = transport.identity.foundingID
    new.incarnation = identity?.incarnation ?? 0
    guard new != identity else { return true }
    do throws(StorageError) {
      try saveIdentity(new)
      identity = new
      return true
    } catch {
      fatal("the node's identity cannot be written: \(error)")
      return false
    }
  }
}
