import HTTP
import Registry

/// Bodies of catalog objects, as `/v1/catalog/register` and `/v1/txn` have them.
enum CatalogBody {
  /// `Service` of 7.1. `node` is filled in by the caller.
  static func service(_ value: JSONValue) throws(DecodeError) -> ServiceRecord {
    var service = ServiceRecord(node: "", id: "", name: "")
    try BodyDecoder.object(value, "structs.NodeService") { name, field throws(DecodeError) in
      switch name {
      case "id": try field.read(&service.id)
      case "service": try field.read(&service.name)
      case "kind": try field.read(&service.kind)
      case "tags": try field.read(&service.tags)
      case "address": try field.read(&service.address)
      case "taggedaddresses": try readAddresses(field, &service.taggedAddresses)
      case "meta": try field.read(&service.meta)
      case "port": try field.read(&service.port)
      case "socketpath": try field.read(&service.socketPath)
      case "weights": try readWeights(field, &service)
      case "enabletagoverride": try field.read(&service.enableTagOverride)
      case "proxy": field.readRaw(&service.proxyJSON)
      case "connect": field.readRaw(&service.connectJSON)
      case "modifyindex": try field.read(&service.modifyIndex)
      default: return isIgnored(name)
      }
      return true
    }
    if service.id.isEmpty { service.id = service.name }
    return service
  }

  /// Fields of Consul's own structures that mean nothing here.
  static func isIgnored(_ name: String) -> Bool {
    switch name {
    case "createindex", "modifyindex", "namespace", "partition", "peername", "locality",
      "exposedport", "token":
      true
    default: false
    }
  }

  static func readWeights(
    _ field: BodyField, _ service: inout ServiceRecord
  ) throws(DecodeError) {
    guard !field.isNull else { return }
    var passing = 0
    var warning = 0
    try field.object("structs.Weights") { name, field throws(DecodeError) in
      switch name {
      case "passing": try field.read(&passing)
      case "warning": try field.read(&warning)
      default: return false
      }
      return true
    }
    service.weightPassing = passing
    service.weightWarning = warning
  }

  static func readAddresses(
    _ field: BodyField, _ target: inout [NamedServiceAddress]?
  ) throws(DecodeError) {
    guard !field.isNull else { return }
    var addresses: [NamedServiceAddress] = []
    for member in try field.members("map[string]structs.ServiceAddress") {
      var address = ServiceAddress(address: "", port: 0)
      try BodyDecoder.object(member.value, "structs.ServiceAddress") {
        name, field throws(DecodeError) in
        switch name {
        case "address": try field.read(&address.address)
        case "port": try field.read(&address.port)
        default: return false
        }
        return true
      }
      addresses.removeAll { $0.name == member.name }
      addresses.append(NamedServiceAddress(name: member.name, value: address))
    }
    target = addresses.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }

  /// `Check` of 7.1.
  static func check(_ value: JSONValue) throws(DecodeError) -> CheckRecord {
    var check = CheckRecord(node: "", id: "", name: "")
    try BodyDecoder.object(value, "structs.HealthCheck") { name, field throws(DecodeError) in
      switch name {
      case "node": try field.read(&check.node)
      case "checkid": try field.read(&check.id)
      case "name": try field.read(&check.name)
      case "notes": try field.read(&check.notes)
      case "status": try field.read(&check.status)
      case "output": try field.read(&check.output)
      case "serviceid": try field.read(&check.serviceID)
      case "servicename": try field.read(&check.serviceName)
      case "servicetags": try field.read(&check.serviceTags)
      case "type": try field.read(&check.type)
      case "interval": try field.read(&check.interval)
      case "timeout": try field.read(&check.timeout)
      case "definition": try readDefinition(field, &check.definition)
      case "modifyindex": try field.read(&check.modifyIndex)
      default: return isIgnored(name)
      }
      return true
    }
    if check.id.isEmpty { check.id = check.name }
    if check.status.isEmpty { check.status = "critical" }
    if check.type.isEmpty { check.type = kind(of: check.definition) }
    return check
  }

  private static func readDefinition(
    _ field: BodyField, _ definition: inout CheckDefinition
  ) throws(DecodeError) {
    try field.object("structs.HealthCheckDefinition") { name, field throws(DecodeError) in
      if name.hasSuffix("duration") { return true }
      return try CheckBody.read(name, field, &definition)
    }
  }

  /// The type that a definition makes.
  static func kind(of definition: CheckDefinition) -> String {
    if !definition.http.isEmpty { return "http" }
    if !definition.tcp.isEmpty { return "tcp" }
    if !definition.udp.isEmpty { return "udp" }
    if !definition.dockerContainerID.isEmpty { return "docker" }
    if !definition.args.isEmpty { return "script" }
    if !definition.grpc.isEmpty { return "grpc" }
    if !definition.h2ping.isEmpty { return "h2ping" }
    if !definition.aliasNode.isEmpty || !definition.aliasService.isEmpty { return "alias" }
    return definition.ttl > 0 ? "ttl" : ""
  }

  /// `Node` of a transaction (6.8).
  static func node(_ value: JSONValue) throws(DecodeError) -> NodeRecord {
    var node = NodeRecord(name: "", address: "")
    try BodyDecoder.object(value, "api.Node") { name, field throws(DecodeError) in
      switch name {
      case "id": try field.read(&node.id)
      case "node": try field.read(&node.name)
      case "address": try field.read(&node.address)
      case "taggedaddresses": try field.read(&node.taggedAddresses)
      case "meta": try field.read(&node.meta)
      case "modifyindex": try field.read(&node.modifyIndex)
      case "datacenter": break
      default: return isIgnored(name)
      }
      return true
    }
    return node
  }
}
