import HTTP
import Registry

/// `PUT /v1/catalog/register` and `deregister` (consul-api.md 7.1, 7.2).
extension ConsulAPI {
  static func catalogRegister(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    var registration = Registration(node: NodeRecord(name: "", address: ""))
    var datacenter = ""
    do {
      let body = try BodyDecoder.parse(call.request.body)
      try readRegistration(body, &registration, &datacenter)
    } catch {
      throw Refusal(error)
    }
    try api.checkDatacenter(datacenter)
    try CatalogRules.check(&registration)
    return Proposal(command: .register(registration), reply: .truth)
  }

  private static func readRegistration(
    _ body: JSONValue, _ registration: inout Registration, _ datacenter: inout String
  ) throws(DecodeError) {
    var checks: [CheckRecord] = []
    try BodyDecoder.object(body, "structs.RegisterRequest") { name, field throws(DecodeError) in
      switch name {
      case "datacenter": try field.read(&datacenter)
      case "id": try field.read(&registration.node.id)
      case "node": try field.read(&registration.node.name)
      case "address": try field.read(&registration.node.address)
      case "taggedaddresses": try field.read(&registration.node.taggedAddresses)
      case "nodemeta": try field.read(&registration.node.meta)
      case "skipnodeupdate": try field.read(&registration.skipNodeUpdate)
      case "service":
        if !field.isNull { registration.service = try CatalogBody.service(field.value) }
      case "check":
        if !field.isNull { checks.insert(try CatalogBody.check(field.value), at: 0) }
      case "checks":
        for item in try field.items("structs.HealthChecks") {
          checks.append(try CatalogBody.check(item))
        }
      default: return CatalogBody.isIgnored(name)
      }
      return true
    }
    registration.checks = checks
  }

  static func catalogDeregister(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    var node = ""
    var service = ""
    var check = ""
    var datacenter = ""
    do {
      let body = try BodyDecoder.parse(call.request.body)
      try BodyDecoder.object(body, "structs.DeregisterRequest") {
        name, field throws(DecodeError) in
        switch name {
        case "datacenter": try field.read(&datacenter)
        case "node": try field.read(&node)
        case "serviceid": try field.read(&service)
        case "checkid": try field.read(&check)
        default: return CatalogBody.isIgnored(name) || name == "address"
        }
        return true
      }
    } catch {
      throw Refusal(error)
    }
    try api.checkDatacenter(datacenter)
    guard !node.isEmpty else { throw .failed("Must provide node") }
    return Proposal(
      command: .deregister(node: node, serviceID: service, checkID: check), reply: .truth)
  }

  func checkDatacenter(_ name: String) throws(Refusal) {
    if !name.isEmpty && name != site.datacenter { throw .failed("No path to datacenter") }
  }
}

extension Refusal {
  init(_ fault: DecodeError) { self = .bad("Request decode failed: \(fault.message)") }
}

/// What a registration must hold before it is proposed. What depends on the state is refused by the
/// state machine.
enum CatalogRules {
  static func check(_ registration: inout Registration) throws(Refusal) {
    let node = registration.node
    if let fault = nodeFault(node) { throw .failed(fault) }
    if node.address.isEmpty && !registration.skipNodeUpdate {
      throw .failed("Must provide address if SkipNodeUpdate is not set")
    }
    if var service = registration.service {
      if let fault = serviceFault(service) { throw .failed(fault) }
      service.node = node.name
      registration.service = service
    }
    for index in registration.checks.indices {
      let given = registration.checks[index].node
      if !given.isEmpty && foldedName(given) != foldedName(node.name) {
        throw .failed("check node \(quoted(given)) does not match node \(quoted(node.name))")
      }
      registration.checks[index].node = node.name
    }
  }

  static func nodeFault(_ node: NodeRecord) -> String? {
    if node.name.isEmpty { return "Must provide node" }
    guard !node.id.isEmpty else { return nil }
    if node.id.utf8.count != 36 { return "Bad node ID: uuid string is wrong length" }
    return UniqueID(parsing: node.id) == nil ? "Bad node ID: uuid is improperly formatted" : nil
  }

  static func serviceFault(_ service: ServiceRecord) -> String? {
    if service.name.isEmpty { return "Must provide service name with ID" }
    return isAnyAddress(service.address) ? "Invalid service address" : nil
  }

  /// An address to listen on, which nobody can connect to.
  static func isAnyAddress(_ address: String) -> Bool {
    address == "0.0.0.0" || address == "::" || address == "[::]"
  }
}
