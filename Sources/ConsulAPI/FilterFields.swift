import HTTP
import Registry

/// The selectors of each kind of object and their values: the names of the JSON they filter.
enum FilterFields {
  static let indexes = [FilterField("CreateIndex", .number), FilterField("ModifyIndex", .number)]

  static let node: [FilterField] =
    [
      FilterField("ID", .text), FilterField("Node", .text), FilterField("Address", .text),
      FilterField("Datacenter", .text), FilterField("TaggedAddresses", .map),
      FilterField("Meta", .map),
    ] + indexes

  private static let address = [FilterField("Address", .text), FilterField("Port", .number)]
  private static let weights = [FilterField("Passing", .number), FilterField("Warning", .number)]

  /// Of the mesh, which is stored and shown and nothing else.
  private static let proxy = [
    FilterField("DestinationServiceName", .text), FilterField("DestinationServiceID", .text),
    FilterField("LocalServiceAddress", .text), FilterField("LocalServicePort", .number),
    FilterField("Mode", .text), FilterField("MeshGateway", .object([FilterField("Mode", .text)])),
  ]
  private static let connect = [FilterField("Native", .flag)]

  /// catalog/node, catalog/node-services, agent/services.
  static let nodeService: [FilterField] =
    [
      FilterField("Kind", .text), FilterField("ID", .text), FilterField("Service", .text),
      FilterField("Tags", .texts), FilterField("Address", .text),
      FilterField("TaggedAddresses", .named(address)), FilterField("Meta", .map),
      FilterField("Port", .number), FilterField("SocketPath", .text),
      FilterField("Weights", .object(weights)), FilterField("EnableTagOverride", .flag),
      FilterField("Proxy", .object(proxy)), FilterField("Connect", .object(connect)),
    ] + indexes

  static let catalogService: [FilterField] =
    [
      FilterField("ID", .text), FilterField("Node", .text), FilterField("Address", .text),
      FilterField("Datacenter", .text), FilterField("TaggedAddresses", .map),
      FilterField("NodeMeta", .map), FilterField("ServiceKind", .text),
      FilterField("ServiceID", .text), FilterField("ServiceName", .text),
      FilterField("ServiceTags", .texts), FilterField("ServiceAddress", .text),
      FilterField("ServiceTaggedAddresses", .named(address)),
      FilterField("ServiceWeights", .object(weights)), FilterField("ServiceMeta", .map),
      FilterField("ServicePort", .number), FilterField("ServiceSocketPath", .text),
      FilterField("ServiceEnableTagOverride", .flag),
      FilterField("ServiceProxy", .object(proxy)), FilterField("ServiceConnect", .object(connect)),
    ] + indexes

  static let check: [FilterField] =
    [
      FilterField("Node", .text), FilterField("CheckID", .text), FilterField("Name", .text),
      FilterField("Status", .text), FilterField("Notes", .text), FilterField("Output", .text),
      FilterField("ServiceID", .text), FilterField("ServiceName", .text),
      FilterField("ServiceTags", .texts), FilterField("Type", .text),
      FilterField("Interval", .text), FilterField("Timeout", .text),
      FilterField("ExposedPort", .number),
    ] + indexes

  static let health = [
    FilterField("Node", .object(node)), FilterField("Service", .object(nodeService)),
    FilterField("Checks", .objects(check)),
  ]

  /// internal/ui/nodes.
  static let nodeInfo =
    node + [
      FilterField("Services", .objects(nodeService)), FilterField("Checks", .objects(check)),
    ]
}

extension StringMap {
  fileprivate func filterValue(_ rest: ArraySlice<String>) -> FilterValue {
    guard let name = rest.first else { return .texts(pairs.map(\.name)) }
    return self[name].map { .text($0) } ?? .missing
  }
}

private func value(_ map: StringMap?, _ rest: ArraySlice<String>) -> FilterValue {
  (map ?? StringMap()).filterValue(rest)
}

private func value(
  _ addresses: [NamedServiceAddress]?, _ rest: ArraySlice<String>
) -> FilterValue {
  guard let name = rest.first else { return .texts((addresses ?? []).map(\.name)) }
  guard let found = addresses?.first(where: { $0.name == name }) else { return .missing }
  return rest.last == "Port" ? .number(found.value.port) : .text(found.value.address)
}

/// What `Proxy` or `Connect` has at a selector; the zero of its type when it was not given.
private func value(_ json: [UInt8], _ rest: ArraySlice<String>) -> FilterValue {
  var found = json.isEmpty ? nil : try? JSONScanner.parse(json[...])
  for name in rest {
    guard case .object(let members)? = found else { break }
    found = members.last { foldedName($0.name) == foldedName(name) }?.value
  }
  switch found {
  case .string(let text): return .text(text)
  case .number(let text): return .number(Int(text) ?? 0)
  case .bool(let flag): return .flag(flag)
  default:
    switch rest.last {
    case "LocalServicePort": return .number(0)
    case "Native": return .flag(false)
    default: return .text("")
    }
  }
}

/// Indexes are numbers of 64 bits without a sign; no real one is beyond `Int`.
private func value(_ index: UInt64) -> FilterValue { .number(Int(clamping: index)) }

/// A node as every endpoint shows it.
struct NodeView: Filterable {
  let node: NodeRecord
  let datacenter: String

  func filterValue(_ selector: ArraySlice<String>) -> FilterValue {
    let rest = selector.dropFirst()
    return switch selector.first {
    case "ID": .text(node.id)
    case "Node": .text(node.name)
    case "Address": .text(node.address)
    case "Datacenter": .text(datacenter)
    case "TaggedAddresses": value(node.taggedAddresses, rest)
    case "Meta": value(node.meta, rest)
    case "CreateIndex": value(node.createIndex)
    case "ModifyIndex": value(node.modifyIndex)
    default: .missing
    }
  }
}

/// A service as catalog/node and the agent show it.
struct NodeServiceView: Filterable {
  let service: ServiceRecord

  func filterValue(_ selector: ArraySlice<String>) -> FilterValue {
    let rest = selector.dropFirst()
    return switch selector.first {
    case "Kind": .text(service.kind)
    case "ID": .text(service.id)
    case "Service": .text(service.name)
    case "Tags": .texts(service.tags)
    case "Address": .text(service.address)
    case "TaggedAddresses": value(service.taggedAddresses, rest)
    case "Meta": value(service.meta, rest)
    case "Port": .number(service.port)
    case "SocketPath": .text(service.socketPath)
    case "Weights":
      .number(rest.first == "Warning" ? service.weightWarning : service.weightPassing)
    case "EnableTagOverride": .flag(service.enableTagOverride)
    case "Proxy": value(service.proxyJSON, rest)
    case "Connect": value(service.connectJSON, rest)
    case "CreateIndex": value(service.createIndex)
    case "ModifyIndex": value(service.modifyIndex)
    default: .missing
    }
  }
}

/// A service as catalog/service shows it.
struct CatalogServiceView: Filterable {
  let instance: Catalog.Instance
  let datacenter: String

  func filterValue(_ selector: ArraySlice<String>) -> FilterValue {
    guard let name = selector.first else { return .missing }
    switch name {
    case "ID", "Node", "Address", "Datacenter", "TaggedAddresses":
      return NodeView(node: instance.node, datacenter: datacenter).filterValue(selector)
    case "NodeMeta": return value(instance.node.meta, selector.dropFirst())
    case "CreateIndex": return value(instance.service.createIndex)
    case "ModifyIndex": return value(instance.service.modifyIndex)
    default: break
    }
    // `ServicePort` is `Port` of the service, `ServiceName` is `Service`.
    let short = name == "ServiceName" ? "Service" : String(name.dropFirst("Service".count))
    let path = [short] + selector.dropFirst()
    return NodeServiceView(service: instance.service).filterValue(path[...])
  }
}

extension CheckRecord: Filterable {
  func filterValue(_ selector: ArraySlice<String>) -> FilterValue {
    switch selector.first {
    case "Node": .text(node)
    case "CheckID": .text(id)
    case "Name": .text(name)
    case "Status": .text(status)
    case "Notes": .text(notes)
    case "Output": .text(output)
    case "ServiceID": .text(serviceID)
    case "ServiceName": .text(serviceName)
    case "ServiceTags": .texts(serviceTags)
    case "Type": .text(type)
    case "Interval": .text(interval)
    case "Timeout": .text(timeout)
    case "ExposedPort": .number(0)
    case "CreateIndex": value(createIndex)
    case "ModifyIndex": value(modifyIndex)
    default: .missing
    }
  }
}

private func each(_ objects: [some Filterable], _ rest: ArraySlice<String>) -> FilterValue {
  // The list itself: only its emptiness can be asked.
  if rest.isEmpty { return .texts(objects.map { _ in "" }) }
  return .each(objects.map { $0.filterValue(rest) })
}

/// An instance as health/service shows it.
package struct ServiceHealthView: Filterable {
  let instance: Catalog.Instance
  let checks: [CheckRecord]
  let datacenter: String

  func filterValue(_ selector: ArraySlice<String>) -> FilterValue {
    let rest = selector.dropFirst()
    switch selector.first {
    case "Node": return NodeView(node: instance.node, datacenter: datacenter).filterValue(rest)
    case "Service": return NodeServiceView(service: instance.service).filterValue(rest)
    default: return each(checks, rest)
    }
  }
}

/// A node with all that is on it, as internal/ui/nodes shows it.
struct NodeInfoView: Filterable {
  let node: NodeRecord
  let datacenter: String
  let services: [ServiceRecord]
  let checks: [CheckRecord]

  func filterValue(_ selector: ArraySlice<String>) -> FilterValue {
    let rest = selector.dropFirst()
    switch selector.first {
    case "Services": return each(services.map { NodeServiceView(service: $0) }, rest)
    case "Checks": return each(checks, rest)
    default: return NodeView(node: node, datacenter: datacenter).filterValue(selector)
    }
  }
}
