import HTTP
import Registry

/// `GET /v1/health/…` (consul-api.md 9).
enum Health {
  static func node(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    let checks = registry.checks(onNode: read.text)
    return list(checks, read, registry, site)
      .depending(on: .node(foldedName(read.text)), index: registry.checksIndex)
  }

  static func checks(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    let name = read.text
    return list(registry.checks(ofService: name), read, registry, site)
      .depending(on: .service(foldedName(name)), index: registry.serviceIndex(name))
  }

  static func state(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    let status = read.text
    let checks = registry.checks(withStatus: status == "any" ? nil : status)
    return list(checks, read, registry, site)
      .depending(on: .checks, index: registry.checksIndex)
  }

  private static func list(
    _ checks: [CheckRecord], _ read: Read, _ registry: Registry, _ site: Site
  ) -> Answer {
    let meta = NodeMetaFilter(read.query)
    var selected = checks.filter { check in
      let isOnNode = meta.isEmpty || (registry.node(named: check.node).map(meta.accepts) ?? false)
      return isOnNode && (read.filter?.accepts(check) ?? true)
    }
    Catalog.sort(&selected, near: read, site) { check in check.node }
    var writer = read.writer(reserving: 64 + selected.count * 320)
    writer.beginArray()
    for check in selected { writer.check(check) }
    writer.endArray()
    return .json(writer)
  }

  static func checkService(_ read: Read) throws(Refusal) {
    if read.name.isEmpty { throw .bad("Missing service name") }
    _ = try isPassingOnly(read.query)
  }

  private static func isPassingOnly(_ query: QueryParameters) throws(Refusal) -> Bool {
    guard let text = query.text("passing") else { return false }
    if text.isEmpty { return true }
    guard let flag = QueryParameters.boolean(text) else {
      throw .bad("Invalid value for ?passing")
    }
    return flag
  }

  /// 9.5: instances with the checks of the instance and of its node.
  static func service(
    _ read: Read, _ registry: Registry, _ site: Site
  ) throws(Refusal) -> Answer {
    let name = read.text
    let isPassingOnly = try isPassingOnly(read.query)
    let index = registry.serviceIndex(name)
    let key = DiscoveryCache.key(read, isPassingOnly: isPassingOnly)
    if let key, let body = site.discovery.body(key, index: index) {
      return finished(Answer(contentType: Answer.jsonType, body: body), name, index, read)
    }
    var instances: [ServiceHealthView] = []
    for instance in Catalog.selectedInstances(of: name, read, registry) {
      let view = ServiceHealthView(
        instance: instance,
        checks: registry.nodeLevelChecks(onNode: instance.node.name)
          + registry.checks(onNode: instance.node.name, serviceID: instance.service.id),
        datacenter: site.datacenter)
      if isPassingOnly && !view.checks.allSatisfy(\.isPassing) { continue }
      if let filter = read.filter, !filter.accepts(view) { continue }
      instances.append(view)
    }
    Catalog.sort(&instances, near: read, site) { view in view.instance.node.name }
    var writer = read.writer(reserving: 64 + instances.count * 1024)
    writer.beginArray()
    for view in instances { writer.serviceHealth(view) }
    writer.endArray()
    let answer = Answer.json(writer)
    if let key { site.discovery.keep(key, index: index, body: answer.body) }
    return finished(answer, name, index, read)
  }

  private static func finished(
    _ found: Answer, _ name: String, _ index: UInt64, _ read: Read
  ) -> Answer {
    var answer = found.depending(on: .service(foldedName(name)), index: index)
    answer.deniesLeader = read.options.index > 0
    return answer
  }
}

extension JSONWriter {
  /// 9.5. What a prepared query answers shows missing tags as null.
  mutating func serviceHealth(_ view: ServiceHealthView, emptyTagsAreNull: Bool = false) {
    beginObject()
    key("Node")
    node(view.instance.node, view.datacenter)
    key("Service")
    nodeService(view.instance.service, emptyTagsAreNull: emptyTagsAreNull)
    key("Checks")
    beginArray()
    for check in view.checks { self.check(check, emptyTagsAreNull: emptyTagsAreNull) }
    endArray()
    endObject()
  }
}
