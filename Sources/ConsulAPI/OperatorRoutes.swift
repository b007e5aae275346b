import HTTP
import Node
import Raft
import Registry

/// `/v1/status/…` and `/v1/operator/…` (consul-api.md 12, 13).
extension ConsulAPI {
  static func statusLeader(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    var writer = call.writer(reserving: 32)
    let address = api.backend.hasLeader ? api.backend.status.leaderPeerAddress : nil
    writer.value(address ?? "")
    return .json(writer)
  }

  static func statusPeers(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    var writer = call.writer()
    writer.beginArray()
    for member in api.backend.status.members where member.isVoter {
      writer.value(member.peerAddress)
    }
    writer.endArray()
    return .json(writer)
  }

  // MARK: Raft

  static func raftConfiguration(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    let status = api.backend.status
    var writer = call.writer(reserving: 1024)
    writer.beginObject()
    writer.key("Servers")
    writer.beginArray()
    for member in status.members {
      writer.beginObject()
      writer.field("ID", B.uuid(of: member.id))
      writer.field("Node", member.name)
      writer.field("Address", member.peerAddress)
      writer.field("Leader", member.isLeader)
      writer.field("ProtocolVersion", "3")
      writer.field("Voter", member.isVoter)
      if let index = api.lastIndex(of: member, status) { writer.field("LastIndex", index) }
      writer.endObject()
    }
    writer.endArray()
    writer.field("Index", 0)
    writer.endObject()
    return .json(writer)
  }

  /// Known for ourselves, and on the leader for all.
  private func lastIndex(of member: MemberStatus, _ status: NodeStatus) -> UInt64? {
    member.id == backend.id ? status.lastIndex : member.matchIndex
  }

  static func raftRemovePeer(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    let id = call.query.text("id") ?? ""
    let address = call.query.text("address") ?? ""
    if id.isEmpty && address.isEmpty {
      throw .bad(
        "Bad request: Must specify either ?id with the server's ID or ?address with IP:port of "
          + "peer to remove")
    }
    if !id.isEmpty && !address.isEmpty {
      throw .bad("Bad request: Must specify only one of ?id or ?address")
    }
    let found = api.backend.status.members.first { member in
      id.isEmpty ? member.peerAddress == address : B.uuid(of: member.id) == foldedName(id)
    }
    guard let found else {
      let what = id.isEmpty ? "address \(quoted(address))" : "id \(quoted(id))"
      throw .failed("\(what) was not found in the Raft configuration")
    }
    let responder = call.responder
    api.backend.removePeer(found.id) { failure in
      api.respond(failure.map { Answer($0) } ?? .empty, responder)
    }
  }

  static func transferLeader(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    var target: NodeID?
    if let id = call.query.text("id"), !id.isEmpty {
      let found = api.backend.status.members.first { B.uuid(of: $0.id) == foldedName(id) }
      guard let found else {
        throw .failed("id \(quoted(id)) was not found in the Raft configuration")
      }
      target = found.id
    }
    var writer = call.writer(reserving: 32)
    writer.beginObject()
    writer.field("Success", true)
    writer.endObject()
    let success = Answer.json(writer)
    let responder = call.responder
    api.backend.transferLeadership(to: target) { failure in
      api.respond(failure.map { Answer($0) } ?? success, responder)
    }
  }

  // MARK: Autopilot

  /// How many voters may still fail: healthy ones beyond the majority.
  private static func failureTolerance(_ members: [MemberStatus]) -> Int {
    let voters = members.filter(\.isVoter)
    let healthy = voters.filter(\.isReachable).count
    return max(0, healthy - (voters.count / 2 + 1))
  }

  private func lastContact(_ member: MemberStatus) -> String {
    GoDuration.format(Int64(clamping: member.lastContactMilliseconds ?? 0) &* 1_000_000)
  }

  static func autopilotHealth(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    let status = api.backend.status
    let isHealthy = api.backend.hasLeader && status.members.allSatisfy(\.isReachable)
    var writer = call.writer(reserving: 1024)
    writer.beginObject()
    writer.field("Healthy", isHealthy)
    writer.field("FailureTolerance", failureTolerance(status.members))
    writer.key("Servers")
    writer.beginArray()
    for member in api.members(status) {
      writer.beginObject()
      writer.field("ID", B.uuid(of: member.id))
      writer.field("Name", member.name)
      writer.field("Address", member.peerAddress)
      writer.field("SerfStatus", member.isReachable ? "alive" : "failed")
      api.autopilotServer(member, status, &writer)
      writer.field("Leader", member.isLeader)
      writer.field("Voter", member.isVoter)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
    return .json(writer, status: isHealthy ? 200 : 429)
  }

  /// What health and state have in common.
  private func autopilotServer(
    _ member: MemberStatus, _ status: NodeStatus, _ writer: inout JSONWriter
  ) {
    writer.field("Version", Compatibility.version)
    writer.field("LastContact", lastContact(member))
    writer.field("LastTerm", status.term)
    writer.field("LastIndex", lastIndex(of: member, status) ?? 0)
    writer.field("Healthy", member.isReachable)
    writer.field("StableSince", Timestamp.rfc3339(startedAt))
  }

  static func autopilotState(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    let status = api.backend.status
    let isHealthy = api.backend.hasLeader && status.members.allSatisfy(\.isReachable)
    let tolerance = failureTolerance(status.members)
    var writer = call.writer(reserving: 1024)
    writer.beginObject()
    writer.field("Healthy", isHealthy)
    writer.field("FailureTolerance", tolerance)
    writer.field("OptimisticFailureTolerance", tolerance)
    writer.key("Servers")
    writer.beginObject()
    for member in status.members {
      writer.key(B.uuid(of: member.id))
      writer.beginObject()
      writer.field("ID", B.uuid(of: member.id))
      writer.field("Name", member.name)
      writer.field("Address", member.peerAddress)
      writer.field("NodeStatus", member.isReachable ? "alive" : "failed")
      api.autopilotServer(member, status, &writer)
      writer.field("ReadReplica", false)
      writer.field("Status", member.isLeader ? "leader" : member.isVoter ? "voter" : "non-voter")
      writer.key("Meta")
      writer.map(StringMap())
      writer.field("NodeType", "voter")
      writer.endObject()
    }
    writer.endObject()
    writer.field("Leader", status.leader.map { B.uuid(of: $0) } ?? "")
    writer.field("Voters", status.members.filter(\.isVoter).map { B.uuid(of: $0.id) })
    writer.endObject()
    return .json(writer)
  }

  // MARK: Others

  static func keyring(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    throw .failed(
      "1 error occurred:\n\t* \(api.site.nodeName): Keyring is empty (encryption not enabled)\n\n")
  }

  static func usage(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    let registry = api.backend.registry
    var writer = call.writer(reserving: 256)
    writer.beginObject()
    writer.key("Usage")
    writer.beginObject()
    writer.key(api.site.datacenter)
    writer.beginObject()
    writer.field("Nodes", registry.nodes().count)
    // Without the servers themselves, which every cluster has.
    let own = registry.instances(ofService: "consul").count
    let instances = registry.serviceInstanceCount - own
    writer.field("Services", registry.services().count - (own > 0 ? 1 : 0))
    writer.field("ServiceInstances", instances)
    writer.key("ConnectServiceInstances")
    writer.map(StringMap())
    writer.field("BillableServiceInstances", instances)
    writer.endObject()
    writer.endObject()
    writer.field("Index", registry.stateIndex)
    writer.field("LastContact", 0)
    writer.field("KnownLeader", api.backend.hasLeader)
    writer.field("ConsistencyLevel", "leader")
    writer.field("NotModified", false)
    writer.field("Backend", 0)
    writer.field("ResultsFilteredByACLs", false)
    writer.endObject()
    return .json(writer)
  }
}

/// Which Consul a client may take us for: some decide by the version what they may ask.
enum Compatibility {
  static let version = "1.20.0"
}
