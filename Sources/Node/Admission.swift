import Peer
import Raft
import Wire

/// A node asks the leader to be taken in.
struct AdmissionRequest: Equatable {
  var id: NodeID
  var name: String
  /// Its peer address.
  var address: String

  var encoded: [UInt8] {
    var writer = Writer()
    writer.u8(1)
    writer.u64(id.value)
    writer.text(name)
    writer.text(address)
    return writer.bytes
  }

  init(id: NodeID, name: String, address: String) {
    self.id = id
    self.name = name
    self.address = address
  }

  init(decoding bytes: [UInt8]) throws(WireError) {
    var reader = Reader(bytes)
    let version = try reader.u8()
    guard version == 1 else { throw .unknownTag(UInt64(version)) }
    id = NodeID(try reader.u64())
    name = try reader.text()
    address = try reader.text()
    try reader.finish()
  }
}

/// The leader's answer: whether, and if so whom to be connected with.
struct AdmissionAnswer: Equatable {
  enum Verdict: UInt8 {
    case accepted = 0
    case refused = 1
  }
  /// What a newcomer has to know of the cluster.
  struct Membership: Equatable {
    var clusterID: [UInt8]?
    var configuration: Configuration

    func hosts(except own: NodeID) -> [PeerAddress] {
      configuration.members.compactMap { member in
        guard member.id != own, let context = MemberContext(member.context),
          let address = HostPort(context.address)
        else { return nil }
        return PeerAddress(
          id: member.id, name: context.name, host: address.host, port: address.port)
      }
    }
  }
  var verdict: Verdict
  /// Why not.
  var text: String
  var membership: Membership?

  var encoded: [UInt8] {
    var writer = Writer()
    writer.u8(verdict.rawValue)
    writer.text(text)
    writer.flag(membership != nil)
    if let membership {
      writer.blob(membership.clusterID ?? [])
      writer.blob(membership.configuration.encoded())
    }
    return writer.bytes
  }

  init(verdict: Verdict, text: String, membership: Membership?) {
    self.verdict = verdict
    self.text = text
    self.membership = membership
  }

  init(decoding bytes: [UInt8]) throws(WireError) {
    var reader = Reader(bytes)
    let code = try reader.u8()
    guard let verdict = Verdict(rawValue: code) else { throw .unknownTag(UInt64(code)) }
    self.verdict = verdict
    text = try reader.text()
    if try reader.flag() {
      let clusterID = try reader.blob()
      guard let configuration = Configuration(decoding: try reader.blob()) else {
        throw .truncated
      }
      membership = Membership(
        clusterID: clusterID.isEmpty ? nil : clusterID, configuration: configuration)
    }
    try reader.finish()
  }
}

extension Node {
  var invitation: AdmissionAnswer.Membership {
    AdmissionAnswer.Membership(
      clusterID: transport.identity.clusterID, configuration: raft.configuration)
  }

  /// At the leader. Admission makes a learner and removes nobody; what comes of it is decided when
  /// the learner has caught up (`promoteLearners`).
  func admit(_ ask: AdmissionRequest) -> AdmissionAnswer {
    func refuse(_ text: String) -> AdmissionAnswer {
      AdmissionAnswer(verdict: .refused, text: text, membership: nil)
    }
    guard ask.id.value != 0, ask.id != id, HostPort(ask.address) != nil, !ask.name.isEmpty else {
      return refuse("the request makes no sense")
    }
    if raft.configuration.names(ask.id) {
      return AdmissionAnswer(verdict: .accepted, text: "", membership: invitation)
    }
    let double = raft.configuration.members.first {
      MemberContext($0.context)?.name == ask.name && isAlive($0.id)
    }
    if let double {
      let address = raft.configuration.context(of: double.id)?.address ?? "?"
      logger.log(
        .warning, "membership", "a node with the name of a live member wants to join: refused",
        [("name", ask.name), ("member", address), ("newcomer", ask.address)])
      return refuse("another node named \(ask.name) is alive at \(address); names must be unique")
    }
    let member = Member(
      id: ask.id, context: MemberContext(name: ask.name, address: ask.address).encoded)
    switch change(MembershipChange(addLearners: [member])) {
    case .accepted:
      logger.log(
        .info, "membership", "a node joins as a learner",
        [("name", ask.name), ("id", ask.id.description), ("address", ask.address)])
      return AdmissionAnswer(verdict: .accepted, text: "", membership: invitation)
    case .rejected(.wouldLeaveNoVoter): return refuse("the cluster has too many members")
    case .rejected: return refuse("another change of the membership is under way")
    }
  }
}
