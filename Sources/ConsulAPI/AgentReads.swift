import HTTP
import Registry

/// `GET /v1/agent/services`, `service`, `checks` and `health` (consul-api.md 8.3, 8.4, 8.9, 8.14):
/// the services of the whole cluster, since any node may be asked about them.
enum Agent {
  static func services(
    _ read: Read, _ registry: Registry, _ site: Site
  ) throws(Refusal) -> Answer {
    var writer = read.writer(reserving: 1024)
    writer.beginObject()
    for service in registry.agentServices() {
      guard read.filter?.accepts(NodeServiceView(service: service)) ?? true else { continue }
      writer.key(service.id)
      writer.beginAgentService(service, site.datacenter)
      writer.endObject()
    }
    writer.endObject()
    return .json(writer)
  }

  static func service(
    _ read: Read, _ registry: Registry, _ site: Site
  ) throws(Refusal) -> Answer {
    guard let service = registry.agentService(read.text) else {
      throw Refusal(status: 404, text: "unknown service ID: \(read.text)")
    }
    var content = JSONWriter(reserving: 512)
    content.beginAgentService(service, site.datacenter)
    content.endObject()
    let hash = fnv1a(content.finish())
    var writer = read.writer(reserving: 512)
    writer.beginAgentService(service, site.datacenter)
    writer.field("ContentHash", String(hash, radix: 16))
    writer.endObject()
    var answer = Answer.json(writer)
    answer.hash = hash
    answer.topic = .service(foldedName(service.name))
    return answer
  }

  /// FNV-1a, 64 bits: the hash has to be a pure function of the content, not a secret one.
  static func fnv1a(_ bytes: [UInt8]) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in bytes {
      hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
    }
    return hash
  }

  static func checks(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    var writer = read.writer(reserving: 1024)
    writer.beginObject()
    for check in visibleChecks(registry, site) {
      guard read.filter?.accepts(check) ?? true else { continue }
      writer.key(check.id)
      writer.check(check, .agent)
    }
    writer.endObject()
    return .json(writer)
  }

  /// One check per id in the order of ids: of node checks with one id this node's counts. Another
  /// node's maintenance mode is none of ours.
  private static func visibleChecks(_ registry: Registry, _ site: Site) -> [CheckRecord] {
    var checks: [CheckRecord] = []
    for check in registry.agentChecks() {
      let isOurs = check.node == site.nodeName
      if !isOurs && check.serviceID.isEmpty && check.id == "_node_maintenance" { continue }
      checks.append(check)
    }
    checks.sort { a, b in
      if a.id != b.id { return a.id.utf8.lexicographicallyPrecedes(b.id.utf8) }
      return a.node == site.nodeName && b.node != site.nodeName
    }
    var visible: [CheckRecord] = []
    for check in checks where visible.last?.id != check.id { visible.append(check) }
    return visible
  }
}

/// One instance with the checks that decide about it.
private struct AgentHealth {
  let service: ServiceRecord
  let checks: [CheckRecord]

  init(_ service: ServiceRecord, _ registry: Registry) {
    self.service = service
    let ofNode = registry.nodeLevelChecks(onNode: service.node).filter { $0.origin == .agent }
    checks = ofNode + registry.checks(onNode: service.node, serviceID: service.id)
  }

  /// The worst of the checks; maintenance is worse than critical.
  var status: String {
    var worst = "passing"
    for check in checks {
      if check.type == "maintenance" { return "maintenance" }
      if AgentHealth.rank(check.status) > AgentHealth.rank(worst) { worst = check.status }
    }
    return worst
  }

  static func rank(_ status: String) -> Int {
    switch status {
    case "passing": 0
    case "warning": 1
    case "maintenance": 3
    default: 2
    }
  }

  static func code(_ status: String) -> Int {
    switch status {
    case "passing": 200
    case "warning": 429
    default: 503
    }
  }

  func write(to writer: inout JSONWriter, _ datacenter: String) {
    writer.beginObject()
    writer.field("AggregatedStatus", status)
    writer.key("Service")
    writer.beginAgentService(service, datacenter)
    writer.endObject()
    writer.key("Checks")
    writer.beginArray()
    for check in checks { writer.check(check, .agentHealth) }
    writer.endArray()
    writer.endObject()
  }
}

extension ConsulAPI {
  private static func wantsText(_ call: Call) -> Bool {
    if call.query.text("format") == "text" { return true }
    return call.request.header("accept")?.elementsEqual("text/plain".utf8) ?? false
  }

  private static func healthText(_ status: String) -> Answer {
    Answer(
      status: AgentHealth.code(status), contentType: "text/plain", body: Array(status.utf8)
    ).withReason(status)
  }

  static func healthByID(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    guard !call.name.isEmpty else { throw .failed("Bad request: Missing serviceID") }
    let registry = api.backend.registry
    var writer = call.writer(reserving: 1024)
    guard let service = registry.agentService(call.text) else {
      let reason = "ServiceId \(call.text) not found"
      if wantsText(call) {
        // Odd, but so it is (23.13): a JSON string.
        writer.value(reason)
      } else {
        writer.beginObject()
        writer.field("AggregatedStatus", "critical")
        writer.key("Service")
        writer.null()
        writer.key("Checks")
        writer.null()
        writer.endObject()
      }
      return Answer.json(writer, status: 404).withReason(reason)
    }
    let health = AgentHealth(service, registry)
    if wantsText(call) { return healthText(health.status) }
    health.write(to: &writer, api.site.datacenter)
    return Answer.json(writer, status: AgentHealth.code(health.status))
      .withReason(health.status)
  }

  static func healthByName(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    guard !call.name.isEmpty else { throw .failed("Bad request: Missing service Name") }
    let registry = api.backend.registry
    let name = call.text
    let instances = registry.instances(ofService: name).filter { $0.origin == .agent }
      .map { AgentHealth($0, registry) }
    guard !instances.isEmpty else {
      let reason = "ServiceName \(name) Not Found"
      if wantsText(call) {
        return Answer(status: 404, contentType: "text/plain", body: Array(reason.utf8))
          .withReason(reason)
      }
      return Answer(status: 404, contentType: Answer.jsonType, body: Array("[]".utf8))
        .withReason(reason)
    }
    let statuses = instances.map(\.status)
    let worst = statuses.max { AgentHealth.rank($0) < AgentHealth.rank($1) } ?? "passing"
    if wantsText(call) { return healthText(worst) }
    var writer = call.writer(reserving: 1024)
    writer.beginArray()
    for health in instances { health.write(to: &writer, api.site.datacenter) }
    writer.endArray()
    return Answer.json(writer, status: AgentHealth.code(worst)).withReason(worst)
  }
}

extension Answer {
  fileprivate func withReason(_ reason: String) -> Answer {
    var answer = self
    answer.headers = [("X-Consul-Reason", .text(reason))]
    return answer
  }
}
