import HTTP
import Registry

/// The JSON forms of nodes, services, checks and sessions. One function per form: which fields are
/// left out, null or empty differs between endpoints (consul-api.md 7.4 to 7.7, 8.3, 9.1).
extension JSONWriter {
  mutating func field(_ name: StaticString, _ text: String) {
    key(name)
    value(text)
  }
  mutating func field(_ name: StaticString, _ flag: Bool) {
    key(name)
    value(flag)
  }
  mutating func field(_ name: StaticString, _ number: Int) {
    key(name)
    value(number)
  }
  mutating func field(_ name: StaticString, _ texts: [String]) {
    key(name)
    strings(texts)
  }

  mutating func strings(_ texts: [String]) {
    beginArray()
    for text in texts { value(text) }
    endArray()
  }

  /// Null when it was never given.
  mutating func map(_ map: StringMap?) {
    guard let map else { return null() }
    beginObject()
    for pair in map.pairs {
      key(pair.name)
      value(pair.value)
    }
    endObject()
  }

  mutating func indexes(create: UInt64, modify: UInt64) {
    field("CreateIndex", create)
    field("ModifyIndex", modify)
  }

  mutating func weights(_ service: ServiceRecord) {
    beginObject()
    field("Passing", service.weightPassing)
    field("Warning", service.weightWarning)
    endObject()
  }

  mutating func addresses(_ addresses: [NamedServiceAddress]) {
    beginObject()
    for address in addresses {
      key(address.name)
      beginObject()
      field("Address", address.value.address)
      field("Port", address.value.port)
      endObject()
    }
    endObject()
  }

  /// As it was given; `ifEmpty` when it was not.
  mutating func given(_ json: [UInt8], ifEmpty: StaticString) {
    json.isEmpty ? raw(Array("\(ifEmpty)".utf8)) : raw(json)
  }

  // MARK: Node

  /// 7.4.
  mutating func node(_ node: NodeRecord, _ datacenter: String) {
    beginObject()
    field("ID", node.id)
    field("Node", node.name)
    field("Address", node.address)
    field("Datacenter", datacenter)
    key("TaggedAddresses")
    map(node.taggedAddresses)
    key("Meta")
    map(node.meta)
    indexes(create: node.createIndex, modify: node.modifyIndex)
    endObject()
  }

  // MARK: Service

  /// 7.6: an instance with its node, every field written.
  mutating func catalogService(
    _ service: ServiceRecord, on node: NodeRecord, _ datacenter: String
  ) {
    beginObject()
    field("ID", node.id)
    field("Node", node.name)
    field("Address", node.address)
    field("Datacenter", datacenter)
    key("TaggedAddresses")
    map(node.taggedAddresses)
    key("NodeMeta")
    map(node.meta)
    field("ServiceKind", service.kind)
    field("ServiceID", service.id)
    field("ServiceName", service.name)
    field("ServiceTags", service.tags)
    field("ServiceAddress", service.address)
    if let tagged = service.taggedAddresses, !tagged.isEmpty {
      key("ServiceTaggedAddresses")
      addresses(tagged)
    }
    key("ServiceWeights")
    weights(service)
    key("ServiceMeta")
    map(service.meta ?? StringMap())
    field("ServicePort", service.port)
    field("ServiceSocketPath", service.socketPath)
    field("ServiceEnableTagOverride", service.enableTagOverride)
    key("ServiceProxy")
    given(service.proxyJSON, ifEmpty: Self.noProxy)
    key("ServiceConnect")
    given(service.connectJSON, ifEmpty: "{}")
    indexes(create: service.createIndex, modify: service.modifyIndex)
    endObject()
  }

  /// 7.7: an instance below its node. `Port` and `Kind` are left out when empty; the web UI's
  /// endpoints show untagged services with null.
  mutating func nodeService(_ service: ServiceRecord, emptyTagsAreNull: Bool = false) {
    beginObject()
    if !service.kind.isEmpty { field("Kind", service.kind) }
    field("ID", service.id)
    field("Service", service.name)
    key("Tags")
    if service.tags.isEmpty && emptyTagsAreNull { null() } else { strings(service.tags) }
    field("Address", service.address)
    if let tagged = service.taggedAddresses, !tagged.isEmpty {
      key("TaggedAddresses")
      addresses(tagged)
    }
    key("Meta")
    map(service.meta)
    if service.port != 0 { field("Port", service.port) }
    if !service.socketPath.isEmpty { field("SocketPath", service.socketPath) }
    key("Weights")
    weights(service)
    field("EnableTagOverride", service.enableTagOverride)
    key("Proxy")
    given(service.proxyJSON, ifEmpty: Self.noProxy)
    key("Connect")
    given(service.connectJSON, ifEmpty: "{}")
    indexes(create: service.createIndex, modify: service.modifyIndex)
    endObject()
  }

  private static var noProxy: StaticString { "{\"Mode\":\"\",\"MeshGateway\":{},\"Expose\":{}}" }

  /// 8.3: as the agent shows it, everything written and no indexes. The object is left open for
  /// `ContentHash`.
  mutating func beginAgentService(_ service: ServiceRecord, _ datacenter: String) {
    beginObject()
    if !service.kind.isEmpty { field("Kind", service.kind) }
    field("ID", service.id)
    field("Service", service.name)
    field("Tags", service.tags)
    key("Meta")
    map(service.meta ?? StringMap())
    field("Port", service.port)
    field("Address", service.address)
    if !service.socketPath.isEmpty { field("SocketPath", service.socketPath) }
    if let tagged = service.taggedAddresses, !tagged.isEmpty {
      key("TaggedAddresses")
      addresses(tagged)
    }
    key("Weights")
    weights(service)
    field("EnableTagOverride", service.enableTagOverride)
    if !service.proxyJSON.isEmpty {
      key("Proxy")
      raw(service.proxyJSON)
    }
    if !service.connectJSON.isEmpty {
      key("Connect")
      raw(service.connectJSON)
    }
    field("Datacenter", datacenter)
  }

  // MARK: Check

  enum CheckForm {
    /// 9.1.
    case health
    /// 8.9: the agent's list shows no indexes.
    case agent
    /// 8.14: nor the type.
    case agentHealth
  }

  mutating func check(
    _ check: CheckRecord, _ form: CheckForm = .health, emptyTagsAreNull: Bool = false
  ) {
    beginObject()
    field("Node", check.node)
    field("CheckID", check.id)
    field("Name", check.name)
    field("Status", check.status)
    field("Notes", check.notes)
    field("Output", check.output)
    field("ServiceID", check.serviceID)
    field("ServiceName", check.serviceName)
    key("ServiceTags")
    if check.serviceTags.isEmpty && emptyTagsAreNull { null() } else { strings(check.serviceTags) }
    field("Type", form == .agentHealth ? "" : check.type)
    if form != .agentHealth {
      field("Interval", check.interval)
      field("Timeout", check.timeout)
    }
    field("ExposedPort", 0)
    key("Definition")
    // What an agent probes is its own affair: Consul shows an empty definition for its checks.
    if check.origin == .agent {
      beginObject()
      endObject()
    } else {
      definition(check.definition)
    }
    let isHealth = form == .health
    indexes(
      create: isHealth ? check.createIndex : 0, modify: isHealth ? check.modifyIndex : 0)
    endObject()
  }

  /// Only the fields that are set.
  private mutating func definition(_ definition: CheckDefinition) {
    beginObject()
    if definition.interval != 0 { duration("Interval", definition.interval) }
    if definition.timeout != 0 { duration("Timeout", definition.timeout) }
    if definition.deregisterCriticalServiceAfter != 0 {
      duration("DeregisterCriticalServiceAfter", definition.deregisterCriticalServiceAfter)
    }
    optional("HTTP", definition.http)
    if !definition.header.isEmpty {
      key("Header")
      beginObject()
      for header in definition.header {
        key(header.name)
        strings(header.values)
      }
      endObject()
    }
    optional("Method", definition.method)
    optional("Body", definition.body)
    if definition.disableRedirects { field("DisableRedirects", true) }
    optional("TLSServerName", definition.tlsServerName)
    if definition.tlsSkipVerify { field("TLSSkipVerify", true) }
    optional("TCP", definition.tcp)
    optional("UDP", definition.udp)
    optional("GRPC", definition.grpc)
    if definition.grpcUseTLS { field("GRPCUseTLS", true) }
    optional("H2PING", definition.h2ping)
    optional("AliasNode", definition.aliasNode)
    optional("AliasService", definition.aliasService)
    if definition.ttl != 0 { duration("TTL", definition.ttl) }
    endObject()
  }

  private mutating func optional(_ name: StaticString, _ text: String) {
    if !text.isEmpty { field(name, text) }
  }

  private mutating func duration(_ name: StaticString, _ nanoseconds: Int64) {
    field(name, GoDuration.format(nanoseconds))
  }

  // MARK: Session

  /// 10.2.
  mutating func session(_ session: SessionRecord) {
    beginObject()
    field("ID", session.id.description)
    field("Name", session.name)
    field("Node", session.node)
    field("LockDelay", Int(session.lockDelay))
    field("Behavior", session.behavior == .delete ? "delete" : "release")
    field("TTL", session.ttl)
    field("NodeChecks", session.nodeChecks)
    key("ServiceChecks")
    if let checks = session.serviceChecks {
      beginArray()
      for check in checks {
        beginObject()
        field("ID", check)
        field("Namespace", "")
        endObject()
      }
      endArray()
    } else {
      null()
    }
    indexes(create: session.createIndex, modify: session.modifyIndex)
    endObject()
  }
}
