import HTTP
import Registry

/// `GET /v1/internal/ui/…` (consul-api.md 19): what Consul's own web UI asks for.
enum UI {
  static func services(
    _ read: Read, _ registry: Registry, _ site: Site
  ) throws(Refusal) -> Answer {
    var writer = read.writer(reserving: 2048)
    writer.beginArray()
    for (name, tags) in registry.services() {
      let instances = registry.instances(ofService: name)
      writer.beginObject()
      writer.field("Name", name)
      writer.field("Datacenter", site.datacenter)
      writer.key("Tags")
      if tags.isEmpty { writer.null() } else { writer.strings(tags) }
      writer.field("Nodes", Catalog.union(instances.map { [$0.node] }))
      writer.key("ExternalSources")
      writer.null()
      writer.field("InstanceCount", instances.count)
      checkCounts(of: instances, registry, &writer)
      writer.key("GatewayConfig")
      writer.map(StringMap())
      writer.field("TransparentProxy", false)
      writer.field("ConnectedWithProxy", false)
      writer.field("ConnectedWithGateway", false)
      writer.endObject()
    }
    writer.endArray()
    return .json(writer)
      .depending(on: .services, index: max(registry.servicesIndex, registry.checksIndex))
      .also(on: [.checks, .nodes])
  }

  /// Checks of the instances and of their nodes, each once.
  private static func checkCounts(
    of instances: [ServiceRecord], _ registry: Registry, _ writer: inout JSONWriter
  ) {
    var checks: [CheckRecord] = []
    for node in Catalog.union(instances.map { [$0.node] }) {
      checks += registry.nodeLevelChecks(onNode: node)
    }
    for instance in instances {
      checks += registry.checks(onNode: instance.node, serviceID: instance.id)
    }
    writer.field("ChecksPassing", checks.filter { $0.status == "passing" }.count)
    writer.field("ChecksWarning", checks.filter { $0.status == "warning" }.count)
    writer.field("ChecksCritical", checks.filter { $0.status == "critical" }.count)
  }

  static func nodes(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    var writer = read.writer(reserving: 2048)
    writer.beginArray()
    for node in registry.nodes() {
      let view = info(of: node, registry, site)
      guard read.filter?.accepts(view) ?? true else { continue }
      writer.nodeInfo(view)
    }
    writer.endArray()
    return answer(.json(writer), registry)
  }

  static func node(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    guard let node = registry.node(named: read.text) else {
      return answer(.notFound, registry)
    }
    var writer = read.writer(reserving: 2048)
    writer.nodeInfo(info(of: node, registry, site))
    return answer(.json(writer), registry)
  }

  private static func info(
    of node: NodeRecord, _ registry: Registry, _ site: Site
  ) -> NodeInfoView {
    NodeInfoView(
      node: node, datacenter: site.datacenter, services: registry.services(onNode: node.name),
      checks: registry.checks(onNode: node.name))
  }

  private static func answer(_ found: Answer, _ registry: Registry) -> Answer {
    let index = max(registry.nodesIndex, registry.servicesIndex, registry.checksIndex)
    return found.depending(on: .nodes, index: index).also(on: [.services, .checks])
  }
}

extension Answer {
  fileprivate func also(on topics: [Topic]) -> Answer {
    var answer = self
    answer.moreTopics = topics
    return answer
  }
}

extension JSONWriter {
  fileprivate mutating func nodeInfo(_ view: NodeInfoView) {
    beginObject()
    field("ID", view.node.id)
    field("Node", view.node.name)
    field("Address", view.node.address)
    key("TaggedAddresses")
    map(view.node.taggedAddresses)
    key("Meta")
    map(view.node.meta)
    key("Services")
    beginArray()
    for service in view.services { nodeService(service, emptyTagsAreNull: true) }
    endArray()
    key("Checks")
    beginArray()
    for check in view.checks { self.check(check) }
    endArray()
    endObject()
  }
}
