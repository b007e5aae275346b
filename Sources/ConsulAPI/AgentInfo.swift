import EventLoop
import Glibc
import HTTP
import Node
import Raft
import Registry

/// What the agent says about itself and the cluster (consul-api.md 8.1, 8.2, 8.15).
extension ConsulAPI {
  static func agentSelf(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    let status = api.backend.status
    var writer = call.writer(reserving: 2048)
    writer.beginObject()
    writer.key("Config")
    writer.beginObject()
    writer.field("Datacenter", api.site.datacenter)
    writer.field("PrimaryDatacenter", api.site.datacenter)
    writer.field("NodeName", api.site.nodeName)
    writer.field("NodeID", B.uuid(of: api.backend.id))
    writer.field("Revision", "roost")
    writer.field("Server", true)
    writer.field("Version", Compatibility.version)
    writer.field("VersionMetadata", "")
    writer.field("BuildDate", "0001-01-01T00:00:00Z")
    writer.endObject()
    writer.key("DebugConfig")
    writer.map(StringMap())
    writer.key("Coord")
    writer.coordinate()
    writer.key("Member")
    if let member = status.members.first(where: { $0.id == api.backend.id }) {
      api.member(member, &writer)
    } else {
      // Not a member yet: still joining.
      writer.map(StringMap())
    }
    writer.key("Stats")
    api.stats(status, &writer)
    writer.key("Meta")
    writer.map(StringMap([StringPair("consul-network-segment", "")]))
    writer.key("xDS")
    writer.map(StringMap())
    writer.endObject()
    return .json(writer)
  }

  /// Every value is a string (8.1).
  private func stats(_ status: NodeStatus, _ writer: inout JSONWriter) {
    let isLeader = status.role == .leader
    writer.beginObject()
    writer.key("agent")
    writer.map(
      StringMap([
        StringPair("checks", String(backend.registry.agentChecks().count)),
        StringPair("services", String(backend.registry.agentServices().count)),
      ]))
    writer.key("build")
    writer.map(
      StringMap([
        StringPair("prerelease", ""), StringPair("revision", "roost"),
        StringPair("version", Compatibility.version),
      ]))
    writer.key("consul")
    writer.map(
      StringMap([
        StringPair("bootstrap", "false"), StringPair("known_datacenters", "1"),
        StringPair("leader", isLeader ? "true" : "false"),
        StringPair("leader_addr", status.leaderPeerAddress ?? ""),
        StringPair("server", "true"),
      ]))
    writer.key("raft")
    let role = isLeader ? "Leader" : status.role == .candidate ? "Candidate" : "Follower"
    let contact =
      isLeader
      ? "0" : GoDuration.format(Int64(clamping: status.lastContactMilliseconds) &* 1_000_000)
    writer.map(
      StringMap([
        StringPair("applied_index", String(status.lastApplied)),
        StringPair("commit_index", String(status.commitIndex)),
        StringPair("last_contact", contact),
        StringPair("last_log_index", String(status.lastIndex)),
        StringPair("last_log_term", String(status.term)),
        StringPair("last_snapshot_index", String(status.snapshotIndex)),
        StringPair("num_peers", String(max(0, status.members.count - 1))),
        StringPair("protocol_version", "3"), StringPair("state", role),
        StringPair("term", String(status.term)),
      ]))
    writer.key("runtime")
    writer.map(
      StringMap([StringPair("arch", Self.architecture), StringPair("os", "linux")]))
    writer.key("serf_lan")
    writer.map(
      StringMap([
        StringPair("members", String(status.members.count)),
        StringPair("failed", String(status.members.filter { !$0.isReachable }.count)),
      ]))
    writer.key("serf_wan")
    writer.map(StringMap([StringPair("members", String(status.members.count))]))
    writer.endObject()
  }

  private static var architecture: String {
    #if arch(x86_64)
      "amd64"
    #elseif arch(arm64)
      "arm64"
    #else
      "unknown"
    #endif
  }

  // MARK: Members

  static func members(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    let isWide = !(call.query.bytes("wan") ?? []).isEmpty
    if isWide, let segment = call.query.bytes("segment"), !segment.isEmpty {
      throw .bad("Cannot provide a segment with wan=true")
    }
    var writer = call.writer(reserving: 1024)
    writer.beginArray()
    for member in api.members(api.backend.status) {
      var shown = member
      if isWide { shown.name += ".\(api.site.datacenter)" }
      api.member(shown, &writer)
    }
    writer.endArray()
    return .json(writer)
  }

  /// The one that is asked comes first: some clients look no further, and it is alive.
  func members(_ status: NodeStatus) -> [MemberStatus] {
    status.members.filter { $0.id == backend.id } + status.members.filter { $0.id != backend.id }
  }

  private func member(_ member: MemberStatus, _ writer: inout JSONWriter) {
    let (host, port) = Self.split(member.peerAddress)
    writer.beginObject()
    writer.field("Name", member.name)
    writer.field("Addr", host)
    writer.field("Port", port)
    writer.key("Tags")
    writer.map(
      StringMap([
        StringPair("acls", "0"), StringPair("build", "\(Compatibility.version):"),
        StringPair("dc", site.datacenter), StringPair("id", B.uuid(of: member.id)),
        StringPair("port", String(port)), StringPair("raft_vsn", "3"),
        StringPair("role", "consul"), StringPair("segment", ""), StringPair("vsn", "2"),
        StringPair("vsn_max", "3"), StringPair("vsn_min", "2"),
        StringPair("wan_join_port", String(port)),
      ]))
    writer.field("Status", member.isReachable ? 1 : 4)
    writer.field("ProtocolMin", 1)
    writer.field("ProtocolMax", 5)
    writer.field("ProtocolCur", 2)
    writer.field("DelegateMin", 2)
    writer.field("DelegateMax", 5)
    writer.field("DelegateCur", 4)
    writer.endObject()
  }

  /// "host:port", the host without brackets.
  static func split(_ address: String) -> (host: String, port: Int) {
    guard let colon = address.utf8.lastIndex(of: 0x3A) else { return (address, 0) }
    let host = address[..<colon].drop { $0 == "[" }
    let port = Int(address[address.utf8.index(after: colon)...]) ?? 0
    return (String(host.last == "]" ? host.dropLast() : host), port)
  }

  static func forceLeave(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    let name = call.text
    guard let member = api.backend.status.members.first(where: { $0.name == name }) else {
      throw .failed("agent: No node found with name '\(name)'")
    }
    // As in Consul it is for failed nodes: one that is alive stays.
    guard !member.isReachable else { return api.respond(.empty, call.responder) }
    let responder = call.responder
    api.backend.removePeer(member.id) { failure in
      api.respond(failure.map { Answer($0) } ?? .empty, responder)
    }
  }

  /// Nodes are admitted by name (`join` in their configuration); joining who is there already
  /// succeeds.
  static func agentJoin(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    let address = call.text
    let isMember = api.backend.status.members.contains { member in
      member.peerAddress == address || split(member.peerAddress).host == address
    }
    if isMember { return .empty }
    throw .failed(
      "1 error occurred:\n\t* Failed to join \(address): a Roost node joins by the \"join\" list "
        + "of its own configuration\n\n")
  }

  static func agentLeave(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    guard let leave = api.onLeave else {
      throw .failed("This node cannot be stopped through the API")
    }
    leave()
    return .empty
  }

  static func agentReload(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    api.onReload?()
    return .empty
  }

  // MARK: Host, version

  static func agentVersion(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    var writer = call.writer()
    writer.beginObject()
    writer.field("SHA", "roost")
    writer.field("BuildDate", "0001-01-01T00:00:00Z")
    writer.field("HumanVersion", Compatibility.version)
    writer.field("FIPS", "")
    writer.endObject()
    return .json(writer)
  }

  /// Memory and processors; what else Consul shows is for its own support.
  static func agentHost(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    let page = max(0, sysconf(Int32(_SC_PAGESIZE)))
    var writer = call.writer(reserving: 512)
    writer.beginObject()
    writer.key("Memory")
    writer.beginObject()
    writer.field("total", page &* max(0, sysconf(Int32(_SC_PHYS_PAGES))))
    writer.field("available", page &* max(0, sysconf(Int32(_SC_AVPHYS_PAGES))))
    writer.endObject()
    writer.key("CPU")
    writer.beginArray()
    for index in 0..<max(0, sysconf(Int32(_SC_NPROCESSORS_ONLN))) {
      writer.beginObject()
      writer.field("cpu", index)
      writer.endObject()
    }
    writer.endArray()
    writer.key("Host")
    writer.beginObject()
    writer.field("hostname", api.site.nodeName)
    writer.field("os", "linux")
    writer.field("kernelArch", architecture)
    writer.endObject()
    writer.key("Disk")
    writer.map(StringMap())
    writer.field("CollectionTime", api.backend.wallClock)
    writer.key("Errors")
    writer.null()
    writer.endObject()
    return .json(writer)
  }
}
