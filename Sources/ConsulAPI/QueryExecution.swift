import Basics
import HTTP
package import Registry

/// Running a prepared query (consul-api.md 16): resolve the name, fill in a template, choose the
/// instances, shuffle or put the near ones first, cut. There is one datacenter, so nothing fails
/// over.
extension Queries {
  fileprivate static func resolve(
    _ name: String, _ registry: Registry
  ) throws(Refusal) -> PreparedQuery? {
    guard let query = registry.query(idOrName: name) else { return nil }
    do throws(QueryTemplate.Fault) {
      return try QueryTemplate.rendered(query, name: name)
    } catch {
      throw .failed(error.message)
    }
  }

  private static func notFound(_ registry: Registry) -> Answer {
    var answer = Answer.text(404, "Query not found")
      .depending(on: .queries, index: registry.queriesIndex)
    answer.blocking = .never
    return answer
  }

  static func explain(
    _ name: String, _ read: Read, _ registry: Registry, _ site: Site
  ) throws(Refusal) -> Answer {
    guard let query = try resolve(name, registry) else { return notFound(registry) }
    var writer = read.writer(reserving: 512)
    writer.beginObject()
    writer.key("Query")
    writer.query(query)
    writer.endObject()
    var answer = Answer.json(writer).depending(on: .queries, index: registry.queriesIndex)
    answer.blocking = .never
    return answer
  }

  static func execute(
    _ name: String, _ read: Read, _ registry: Registry, _ site: Site
  ) throws(Refusal) -> Answer {
    guard let query = try resolve(name, registry) else { return notFound(registry) }
    var found =
      query.connect || read.query.has("connect") ? [] : instances(of: query, registry)
    var random = SplitMix(seed: site.random())
    for index in stride(from: found.count - 1, to: 0, by: -1) {
      found.swapAt(index, Int(random.below(UInt64(index + 1))))
    }
    var near = read.query.text("near") ?? ""
    if near.isEmpty { near = query.near }
    Catalog.sort(&found, near: near, site.nodeName) { instance in instance.node.name }
    if let limit = read.query.text("limit").flatMap({ Int($0) }), limit > 0 {
      found = Array(found.prefix(limit))
    }
    var writer = read.writer(reserving: 256 + found.count * 1024)
    writer.beginObject()
    writer.field("Service", query.service)
    writer.key("Nodes")
    writer.beginArray()
    for instance in found {
      let view = ServiceHealthView(
        instance: Catalog.Instance(service: instance.service, node: instance.node),
        checks: instance.checks, datacenter: site.datacenter)
      writer.serviceHealth(view, emptyTagsAreNull: true)
    }
    writer.endArray()
    writer.key("DNS")
    writer.beginObject()
    writer.field("TTL", query.dnsTTL)
    writer.endObject()
    writer.field("Datacenter", site.datacenter)
    writer.field("Failovers", 0)
    writer.endObject()
    var answer = Answer.json(writer)
      .depending(
        on: .queries, index: max(registry.queriesIndex, registry.serviceIndex(query.service)))
    answer.blocking = .never
    return answer
  }

  /// The instances that are healthy enough and have the tags and meta asked for, by node and id.
  static func instances(
    of query: PreparedQuery, _ registry: Registry
  ) -> [PreparedSelection.Instance] {
    let ignored = query.ignoreCheckIDs ?? []
    var found: [PreparedSelection.Instance] = []
    for service in registry.instances(ofService: query.service) {
      guard let node = registry.node(named: service.node), hasTags(service, query.tags ?? []),
        contains(node.meta, query.nodeMeta), contains(service.meta, query.serviceMeta)
      else { continue }
      let checks =
        registry.nodeLevelChecks(onNode: node.name)
        + registry.checks(onNode: node.name, serviceID: service.id)
      let isHealthy = checks.allSatisfy { check in
        if ignored.contains(check.id) { return true }
        return query.onlyPassing ? check.isPassing : check.status != "critical"
      }
      if isHealthy { found.append((service, node, checks)) }
    }
    return found
  }

  /// Every tag, and none of those behind a `!`; without case.
  private static func hasTags(_ service: ServiceRecord, _ wanted: [String]) -> Bool {
    guard !wanted.isEmpty else { return true }
    let tags = service.tags.map { foldedName($0) }
    return wanted.allSatisfy { text in
      let isExcluded = text.utf8.first == 0x21
      let tag = foldedName(isExcluded ? String(text.dropFirst()) : text)
      return tag.isEmpty || tags.contains(tag) != isExcluded
    }
  }

  private static func contains(_ meta: StringMap?, _ wanted: StringMap?) -> Bool {
    guard let wanted else { return true }
    return wanted.pairs.allSatisfy { meta?[$0.name] == $0.value }
  }
}

/// What a prepared query selects, for those who answer it in another way than HTTP.
package struct PreparedSelection {
  package typealias Instance = (service: ServiceRecord, node: NodeRecord, checks: [CheckRecord])

  package var service: String
  package var instances: [Instance]
  /// So many of the instances, from the first on, are on the node that the query wants near.
  package var nearCount: Int
  /// In nanoseconds; nil when the query says nothing.
  package var timeToLive: Int64?

  /// Nil when no query has that id or name, or when a template cannot be filled in for it.
  package init?(idOrName name: String, in registry: Registry, at nodeName: String) {
    guard let found = try? Queries.resolve(name, registry) else { return nil }
    service = found.service
    instances = found.connect ? [] : Queries.instances(of: found, registry)
    nearCount = Catalog.sort(&instances, near: found.near, nodeName) { $0.node.name }
    timeToLive = found.dnsTTL.isEmpty ? nil : try? GoDuration.parse(found.dnsTTL)
  }
}
