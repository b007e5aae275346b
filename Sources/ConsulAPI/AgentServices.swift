import EventLoop
import HTTP
import Node
import Registry

/// `PUT /v1/agent/service/…` and `/v1/agent/maintenance` (consul-api.md 8.5 to 8.7). What is
/// registered belongs to the cluster; this node becomes its host and runs its checks.
extension ConsulAPI {
  static func agentRegister(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    var service = ServiceRecord(node: api.site.nodeName, id: "", name: "")
    var bodies: [CheckBody] = []
    do {
      let body = try BodyDecoder.parse(call.request.body)
      try readService(body, &service, &bodies)
    } catch {
      throw Refusal(error)
    }
    try ServiceRules.check(service)
    let checks = try api.checks(
      of: service, bodies, allowsScripts: api.backend.configuration.enableScriptChecks)
    service.origin = .agent
    ServiceRules.addTaggedAddresses(&service)
    let registration = AgentRegistration(
      host: api.site.nodeName, service: service, checks: checks,
      replaceExistingChecks: try replacesChecks(call.query))
    return Proposal(command: .agentRegister(registration), reply: .empty)
  }

  private static func replacesChecks(_ query: QueryParameters) throws(Refusal) -> Bool {
    guard let text = query.text("replace-existing-checks") else { return false }
    if text.isEmpty { return true }
    guard let flag = QueryParameters.boolean(text) else {
      throw .bad("Invalid value for ?replace-existing-checks")
    }
    return flag
  }

  static func readService(
    _ body: JSONValue, _ service: inout ServiceRecord, _ checks: inout [CheckBody]
  ) throws(DecodeError) {
    var first: CheckBody?
    try BodyDecoder.object(body, "structs.ServiceDefinition") { name, field throws(DecodeError) in
      switch name {
      case "id": try field.read(&service.id)
      case "name": try field.read(&service.name)
      case "kind": try field.read(&service.kind)
      case "tags": try field.read(&service.tags)
      case "address": try field.read(&service.address)
      case "taggedaddresses", "tagged_addresses":
        try CatalogBody.readAddresses(field, &service.taggedAddresses)
      case "meta": try field.read(&service.meta)
      case "port": try field.read(&service.port)
      case "socketpath": try field.read(&service.socketPath)
      case "weights": try CatalogBody.readWeights(field, &service)
      case "enabletagoverride", "enable_tag_override":
        try field.read(&service.enableTagOverride)
      case "proxy": field.readRaw(&service.proxyJSON)
      case "connect": field.readRaw(&service.connectJSON)
      case "check":
        let check = try CheckBody(field.value)
        if !check.isEmpty { first = check }
      case "checks":
        for item in try field.items("structs.CheckTypes") { checks.append(try CheckBody(item)) }
      case "token", "namespace", "partition", "locality", "ports": break
      default: return false
      }
      return true
    }
    if let first { checks.insert(first, at: 0) }
    if service.id.isEmpty { service.id = service.name }
  }

  /// The records of a service's checks, with the ids and names of 8.5.
  func checks(
    of service: ServiceRecord, _ bodies: [CheckBody], allowsScripts: Bool
  ) throws(Refusal) -> [CheckRecord] {
    for body in bodies {
      if let fault = body.fault { throw .bad("Invalid check: \(fault)") }
    }
    for body in bodies {
      guard body.hasValidStatus else {
        throw .bad("Status for checks must 'passing', 'warning', 'critical'")
      }
    }
    var checks: [CheckRecord] = []
    for (index, body) in bodies.enumerated() {
      try checkScripts(body, isAllowed: allowsScripts)
      let numbered =
        bodies.count == 1 ? "service:\(service.id)" : "service:\(service.id):\(index + 1)"
      var check = body.record(
        node: site.nodeName, id: body.id.isEmpty ? numbered : body.id,
        name: body.name.isEmpty ? "Service '\(service.name)' check" : body.name)
      check.serviceID = service.id
      check.serviceName = service.name
      check.serviceTags = service.tags
      checks.append(check)
    }
    return checks
  }

  /// A check that runs commands sent over HTTP is a remote shell: off unless asked for by name.
  func checkScripts(_ body: CheckBody, isAllowed: Bool) throws(Refusal) {
    if body.isScript, !isAllowed {
      throw .failed(
        "Scripts are disabled on this agent from remote calls; to enable, configure "
          + "'enable_script_checks' to true")
    }
  }

  static func agentDeregister(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    guard !call.name.isEmpty else { throw .failed("ServiceID missing") }
    return Proposal(
      command: .agentDeregister(serviceID: call.text, onlyIf: nil), reply: .empty)
  }

  // MARK: Maintenance

  static func serviceMaintenance(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    guard !call.name.isEmpty else { throw .bad("Missing service ID") }
    let enable = try enabled(call.query)
    return Proposal(
      command: .maintenance(
        host: api.site.nodeName, serviceID: call.text, enable: enable,
        reason: call.query.text("reason") ?? ""),
      reply: .empty)
  }

  static func nodeMaintenance(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    let enable = try enabled(call.query)
    return Proposal(
      command: .maintenance(
        host: api.site.nodeName, serviceID: "", enable: enable,
        reason: call.query.text("reason") ?? ""),
      reply: .empty)
  }

  private static func enabled(_ query: QueryParameters) throws(Refusal) -> Bool {
    guard let text = query.text("enable") else { throw .bad("Missing value for enable") }
    guard let flag = QueryParameters.boolean(text) else {
      throw .bad("Invalid value for enable: \(quoted(text))")
    }
    return flag
  }
}

/// What a service must be to be registered, in the order Consul looks at it.
enum ServiceRules {
  private static let metaPairsMax = 64
  private static let metaKeyMax = 128
  private static let metaValueMax = 512

  static func check(_ service: ServiceRecord) throws(Refusal) {
    if service.name.isEmpty { throw .bad("Missing service name") }
    if CatalogRules.isAnyAddress(service.address) { throw .bad("Invalid service address") }
    if let fault = weightsFault(service) { throw .bad("Invalid Weights: \(fault)") }
    if let fault = metaFault(service.meta) { throw .bad("Invalid Service Meta: \(fault)") }
  }

  private static func weightsFault(_ service: ServiceRecord) -> String? {
    if service.weightPassing < 1 { return "Passing must be greater than 0" }
    if service.weightWarning < 0 { return "Warning must be greater or equal than 0" }
    if service.weightPassing > 65535 || service.weightWarning > 65535 {
      return "DNS Weight must be between 0 and 65535"
    }
    return nil
  }

  private static func metaFault(_ meta: StringMap?) -> String? {
    guard let meta else { return nil }
    if meta.pairs.count > metaPairsMax {
      return "Node metadata cannot contain more than \(metaPairsMax) key/value pairs"
    }
    for pair in meta.pairs {
      if let fault = pairFault(pair) {
        return "Couldn't load metadata pair ('\(pair.name)', '\(pair.value)'): \(fault)"
      }
    }
    return nil
  }

  private static func pairFault(_ pair: StringPair) -> String? {
    if pair.name.isEmpty { return "Key cannot be blank" }
    let isPlain = pair.name.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x5F: true
      default: false
      }
    }
    if !isPlain { return "Key contains invalid characters" }
    if pair.name.utf8.count > metaKeyMax {
      return "Key is too long (limit: \(metaKeyMax) characters)"
    }
    if pair.name.hasPrefix("consul-") { return "Key prefix 'consul-' is reserved for internal use" }
    if pair.value.utf8.count > metaValueMax {
      return "Value is too long (limit: \(metaValueMax) characters)"
    }
    return nil
  }

  /// 8.3: the address is its own `lan` and `wan` address of its family unless those are given.
  static func addTaggedAddresses(_ service: inout ServiceRecord) {
    guard let address = SocketAddress(host: service.address, port: 0) else { return }
    let family = address.ip.count == 4 ? "ipv4" : "ipv6"
    var tagged = service.taggedAddresses ?? []
    let value = ServiceAddress(address: service.address, port: service.port)
    for name in ["lan_\(family)", "wan_\(family)"]
    where !tagged.contains(where: { $0.name == name }) {
      tagged.append(NamedServiceAddress(name: name, value: value))
    }
    service.taggedAddresses = tagged.sorted {
      $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
    }
  }
}
