import HTTP
import Registry

/// Refuses an empty rest of the path with the endpoint's own words.
func needs(_ text: String) -> (Read) throws(Refusal) -> Void {
  { (read: Read) throws(Refusal) in
    if read.name.isEmpty { throw .bad(text) }
  }
}

/// For reads that nothing can be wrong with.
func anything(_ read: Read) throws(Refusal) {}

/// `GET /v1/catalog/…` (consul-api.md 7.3 to 7.9).
enum Catalog {
  static func nodes(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    let meta = NodeMetaFilter(read.query)
    var nodes = registry.nodes().filter { node in
      meta.accepts(node)
        && (read.filter?.accepts(NodeView(node: node, datacenter: site.datacenter)) ?? true)
    }
    sort(&nodes, near: read, site) { node in node.name }
    var writer = read.writer(reserving: 64 + nodes.count * 192)
    writer.beginArray()
    for node in nodes { writer.node(node, site.datacenter) }
    writer.endArray()
    return .json(writer).depending(on: .nodes, index: registry.nodesIndex)
  }

  static func services(
    _ read: Read, _ registry: Registry, _ site: Site
  ) throws(Refusal) -> Answer {
    let meta = NodeMetaFilter(read.query)
    var writer = read.writer(reserving: 1024)
    writer.beginObject()
    for (name, tags) in registry.services() {
      guard !meta.isEmpty || read.filter != nil else {
        writer.key(name)
        writer.strings(tags)
        continue
      }
      let instances = registry.instances(ofService: name).filter { service in
        guard let node = registry.node(named: service.node), meta.accepts(node) else {
          return false
        }
        let instance = Instance(service: service, node: node)
        return read.filter?.accepts(
          CatalogServiceView(instance: instance, datacenter: site.datacenter)) ?? true
      }
      guard !instances.isEmpty else { continue }
      writer.key(name)
      writer.strings(union(instances.map(\.tags)))
    }
    writer.endObject()
    var answer = Answer.json(writer).depending(on: .services, index: registry.servicesIndex)
    if !meta.isEmpty || read.filter != nil { answer.moreTopics = [.nodes] }
    return answer
  }

  /// Without duplicates, in the order of their first appearance.
  static func union(_ lists: [[String]]) -> [String] {
    var seen: Set<String> = []
    var union: [String] = []
    for tag in lists.joined() where seen.insert(tag).inserted { union.append(tag) }
    return union
  }

  static func service(
    _ read: Read, _ registry: Registry, _ site: Site
  ) throws(Refusal) -> Answer {
    let name = read.text
    var instances: [Instance] = selectedInstances(of: name, read, registry)
    if let filter = read.filter {
      instances = instances.filter { instance in
        filter.accepts(CatalogServiceView(instance: instance, datacenter: site.datacenter))
      }
    }
    sort(&instances, near: read, site) { instance in instance.node.name }
    var writer = read.writer(reserving: 64 + instances.count * 512)
    writer.beginArray()
    for instance in instances {
      writer.catalogService(instance.service, on: instance.node, site.datacenter)
    }
    writer.endArray()
    return .json(writer).depending(
      on: .service(foldedName(name)), index: registry.serviceIndex(name))
  }

  /// An instance with its node.
  struct Instance {
    var service: ServiceRecord
    var node: NodeRecord
  }

  /// Instances of a service that have every `tag` and whose nodes have every `node-meta`.
  static func selectedInstances(
    of name: String, _ read: Read, _ registry: Registry
  ) -> [Instance] {
    // There are no peers, so nothing comes from them.
    guard read.query.bytes("peer")?.isEmpty ?? true else { return [] }
    let meta = NodeMetaFilter(read.query)
    let tags = read.query.all("tag").map { foldedName(String(decoding: $0, as: UTF8.self)) }
    var selected: [Instance] = []
    for service in registry.instances(ofService: name) {
      let hasTags = tags.allSatisfy { wanted in
        service.tags.contains { tag in foldedName(tag) == wanted }
      }
      guard hasTags, let node = registry.node(named: service.node), meta.accepts(node) else {
        continue
      }
      selected.append(Instance(service: service, node: node))
    }
    return selected
  }

  /// By name, or by id: in full or an unambiguous prefix.
  private static func findNode(_ read: Read, _ registry: Registry) -> NodeRecord? {
    let name = read.text
    return registry.node(named: name) ?? registry.node(id: name)
  }

  static func node(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    var writer = read.writer(reserving: 1024)
    guard let node = findNode(read, registry) else {
      writer.null()
      return unknownNode(.json(writer), read)
    }
    writer.beginObject()
    writer.key("Node")
    writer.node(node, site.datacenter)
    writer.key("Services")
    writer.beginObject()
    for service in registry.services(onNode: node.name) {
      guard read.filter?.accepts(NodeServiceView(service: service)) ?? true else { continue }
      writer.key(service.id)
      writer.nodeService(service)
    }
    writer.endObject()
    writer.endObject()
    return .json(writer).depending(
      on: .node(foldedName(node.name)), index: registry.nodeIndex(node.name))
  }

  static func nodeServices(
    _ read: Read, _ registry: Registry, _ site: Site
  ) throws(Refusal) -> Answer {
    var writer = read.writer(reserving: 1024)
    writer.beginObject()
    guard let node = findNode(read, registry) else {
      writer.key("Node")
      writer.null()
      writer.key("Services")
      writer.null()
      writer.endObject()
      return unknownNode(.json(writer), read)
    }
    writer.key("Node")
    writer.node(node, site.datacenter)
    writer.key("Services")
    writer.beginArray()
    for service in registry.services(onNode: node.name) {
      guard read.filter?.accepts(NodeServiceView(service: service)) ?? true else { continue }
      writer.nodeService(service)
    }
    writer.endArray()
    writer.endObject()
    return .json(writer).depending(
      on: .node(foldedName(node.name)), index: registry.nodeIndex(node.name))
  }

  /// Index 1; what was asked for may be a name or an id, so the list of nodes is watched as well.
  private static func unknownNode(_ found: Answer, _ read: Read) -> Answer {
    var answer = found.depending(on: .node(foldedName(read.text)), index: 1)
    answer.moreTopics = [.nodes]
    return answer
  }

  /// Mesh endpoints: there is no mesh, so the list is empty (7.9, 9.6).
  static func nothing(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    var writer = read.writer()
    writer.beginArray()
    writer.endArray()
    return .json(writer).depending(
      on: .service(foldedName(read.text)), index: registry.serviceIndex(read.text))
  }

  /// `near=NODE`: without network coordinates every node is equally far, so only the named one
  /// comes first; the order is otherwise kept.
  static func sort<T>(
    _ items: inout [T], near read: Read, _ site: Site, _ nodeName: (T) -> String
  ) {
    sort(&items, near: read.query.text("near") ?? "", site.nodeName, nodeName)
  }

  /// How many were put in front.
  @discardableResult
  static func sort<T>(
    _ items: inout [T], near given: String, _ agent: String, _ nodeName: (T) -> String
  ) -> Int {
    guard !given.isEmpty else { return 0 }
    let wanted = foldedName(given == "_agent" ? agent : given)
    let first = items.filter { item in foldedName(nodeName(item)) == wanted }
    guard !first.isEmpty else { return 0 }
    items = first + items.filter { item in foldedName(nodeName(item)) != wanted }
    return first.count
  }
}

/// `node-meta=key:value`, repeatable: all of them must be there.
struct NodeMetaFilter {
  private let pairs: [StringPair]

  init(_ query: QueryParameters) {
    pairs =
      query.isEmpty
      ? []
      : query.all("node-meta").map { bytes in
        let mark = bytes.firstIndex(of: 0x3A) ?? bytes.endIndex
        let value = mark < bytes.endIndex ? bytes[(mark + 1)...] : []
        return StringPair(
          String(decoding: bytes[..<mark], as: UTF8.self), String(decoding: value, as: UTF8.self))
      }
  }

  var isEmpty: Bool { pairs.isEmpty }

  func accepts(_ node: NodeRecord) -> Bool {
    pairs.allSatisfy { pair in node.meta?[pair.name] == pair.value }
  }
}

extension Answer {
  func depending(on topic: Topic, index: UInt64) -> Answer {
    var answer = self
    answer.topic = topic
    answer.index = index
    return answer
  }
}
