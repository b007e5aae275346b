import HTTP
import Node
import Registry

/// What Roost answers beyond Consul: a node's own view of the cluster, and adding a member.
extension ConsulAPI {
  /// `/v1/roost/status`: needs no leader; `roost status` puts those of all nodes together.
  static func roostStatus(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    let status = api.backend.status
    var writer = call.writer(reserving: 1024)
    writer.beginObject()
    writer.field("Node", api.site.nodeName)
    writer.field("ID", B.uuid(of: api.backend.id))
    writer.field("Role", status.role.rawValue)
    writer.field("Term", status.term)
    writer.field("Leader", api.backend.hasLeader ? status.leaderName ?? "" : "")
    writer.field("CommitIndex", status.commitIndex)
    writer.field("AppliedIndex", status.lastApplied)
    writer.field("LastIndex", status.lastIndex)
    writer.field("FirstIndex", status.firstIndex)
    writer.field("SnapshotIndex", status.snapshotIndex)
    writer.field("LastContactMs", status.lastContactMilliseconds)
    writer.field("ServiceInstances", api.backend.registry.serviceInstanceCount)
    writer.field("Keys", api.backend.registry.kvCount)
    writer.field("Version", Node.version)
    writer.key("Members")
    writer.beginArray()
    for member in status.members { write(member, &writer) }
    writer.endArray()
    writer.endObject()
    return .json(writer)
  }

  private static func write(_ member: MemberStatus, _ writer: inout JSONWriter) {
    writer.beginObject()
    writer.field("ID", B.uuid(of: member.id))
    writer.field("Name", member.name)
    writer.field("PeerAddress", member.peerAddress)
    writer.field("HTTPAddress", member.httpAddress ?? "")
    writer.field("Voter", member.isVoter)
    writer.field("Leader", member.isLeader)
    writer.field("Reachable", member.isReachable)
    if let index = member.matchIndex { writer.field("MatchIndex", index) }
    if let contact = member.lastContactMilliseconds { writer.field("LastContactMs", contact) }
    writer.endObject()
  }

  /// `PUT /v1/operator/raft/peer?name=&address=`: a running, empty node becomes a member.
  static func raftAddPeer(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    guard let name = call.query.text("name"), !name.isEmpty else {
      throw .bad("Must specify ?name with the new server's node name")
    }
    guard let address = call.query.text("address"),
      NodeConfiguration.hostAndPort(address) != nil
    else { throw .bad("Must specify ?address with IP:port of the new server's peer protocol") }
    let responder = call.responder
    api.backend.addPeer(name: name, peerAddress: address) { failure in
      api.respond(failure.map { Answer($0) } ?? .empty, responder)
    }
  }
}
