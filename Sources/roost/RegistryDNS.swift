import ConsulAPI
import DNS
import EventLoop
import Node
import Registry

/// What DNS answers are made of, out of a node's own state.
///
/// The instances of a service are gathered once per change of that service: its index moves with
/// every change of its instances, their checks and nodes. Names that are not in the catalog are
/// never kept, so questions cannot fill the memory.
final class RegistryDNS: DNSDataSource {
  private unowned let node: Node
  private var facts = CatalogFacts()

  init(node: Node) { self.node = node }

  var age: DNSAge {
    node.registry.lastIndex == 0 ? .unknown : .milliseconds(node.lastContactMilliseconds)
  }

  func instances(ofService name: String) -> [DNSInstance] {
    facts.instances(ofService: name, in: node.registry, lag: lag)
  }

  func node(named name: String) -> DNSNode? {
    CatalogFacts.node(named: name, in: node.registry)
  }

  func owner(ofAddress ip: [UInt8]) -> DNSOwner? {
    facts.owner(ofAddress: ip, in: node.registry, lag: lag)
  }

  func preparedQuery(_ name: String) -> DNSPreparedQuery? {
    facts.preparedQuery(
      name, in: node.registry, at: node.configuration.nodeName, lag: lag)
  }

  var mayLackAnsweredWrites: Bool { node.mayLackAnsweredWrites }

  /// A read barrier; without a leader what is here is good enough after a moment.
  func catchUp(_ done: @escaping () -> Void) {
    var context = RequestContext()
    context.deadline = node.loop.now + Self.catchUpNanosecondsMax
    node.readBarrier(context) { _ in done() }
  }

  private static let catchUpNanosecondsMax: UInt64 = 200_000_000

  func confirm(_ done: @escaping (Bool) -> Void) {
    node.readBarrier(RequestContext()) { failure in done(failure == nil) }
  }

  private var lag: CatalogFacts.Lag {
    node.configuration.dns.isStaleAllowed ? .bySize(now: node.loop.now) : .none
  }
}

/// Facts gathered from the catalog and kept until they change.
struct CatalogFacts {
  /// How old what is kept may be when it has changed meanwhile.
  enum Lag {
    case none
    /// A long list of something that changes all the time is not gathered anew for every question:
    /// at most about a tenth of the time goes into it. Short lists are always fresh.
    case bySize(now: UInt64)
  }

  private struct Gathered<Value> {
    var index: UInt64
    var at: UInt64
    /// What had to be looked at.
    var size: Int
    var value: Value

    func isGood(_ index: UInt64, _ lag: Lag) -> Bool {
      if self.index == index { return true }
      guard case .bySize(let now) = lag, size >= alwaysFreshMax, now >= at else { return false }
      return now - at < UInt64(size) * nanosecondsPerItem
    }
  }

  private static let alwaysFreshMax = 64
  /// About ten times what gathering one instance takes.
  private static let nanosecondsPerItem: UInt64 = 20_000
  /// Instances kept, over all services; beyond them everything is gathered anew.
  private static let keptInstancesMax = 200_000
  /// Names of prepared queries with long lists.
  private static let keptQueriesMax = 32

  private var services: [String: Gathered<[DNSInstance]>] = [:]
  /// By the name asked for.
  private var queries: [String: Gathered<DNSPreparedQuery>] = [:]
  private var keptInstances = 0
  private var nodeAddresses: Gathered<[[UInt8]: String]>?
  private var serviceAddresses: Gathered<[[UInt8]: String]>?

  // MARK: Services

  mutating func instances(
    ofService name: String, in registry: Registry, lag: Lag
  ) -> [DNSInstance] {
    let key = foldedName(name)
    let index = registry.serviceIndex(key)
    if let kept = services[key], kept.isGood(index, lag) { return kept.value }
    if let old = services.removeValue(forKey: key) { keptInstances -= max(1, old.value.count) }
    let records = registry.instances(ofService: key)
    guard !records.isEmpty else { return [] }
    let instances = Self.healthy(records, in: registry)
    if keptInstances + max(1, instances.count) > Self.keptInstancesMax {
      services.removeAll()
      keptInstances = 0
    }
    keptInstances += max(1, instances.count)
    services[key] = Gathered(
      index: index, at: Self.time(lag), size: records.count, value: instances)
    return instances
  }

  private static func time(_ lag: Lag) -> UInt64 {
    if case .bySize(let now) = lag { now } else { 0 }
  }

  /// Worse wins.
  private enum Status: Int, Comparable {
    case passing, warning, critical
    static func < (a: Status, b: Status) -> Bool { a.rawValue < b.rawValue }

    /// Words of the catalog's own count as passing, as in Consul.
    init(_ checks: [CheckRecord]) {
      self = .passing
      for check in checks {
        switch check.status {
        case "critical": self = .critical
        case "warning": self = max(self, .warning)
        default: continue
        }
      }
    }
  }

  private static func healthy(
    _ records: [ServiceRecord], in registry: Registry
  ) -> [DNSInstance] {
    var result: [DNSInstance] = []
    result.reserveCapacity(records.count)
    // Instances come in the order of their nodes.
    var last: (name: String, address: String, status: Status)?
    for record in records {
      if last?.name != record.node {
        let address = registry.node(named: record.node)?.address ?? ""
        last = (record.node, address, Status(registry.nodeLevelChecks(onNode: record.node)))
      }
      guard let node = last, node.status < .critical else { continue }
      let own = Status(registry.checks(onNode: record.node, serviceID: record.id))
      let status = max(own, node.status)
      guard status < .critical else { continue }
      if let instance = instance(record, nodeAddress: node.address, status) {
        result.append(instance)
      }
    }
    return result
  }

  /// Nil when there is no address at all.
  private static func instance(
    _ record: ServiceRecord, nodeAddress: String, _ status: Status
  ) -> DNSInstance? {
    let text = record.address.isEmpty ? nodeAddress : record.address
    guard !text.isEmpty else { return nil }
    let weight = status == .passing ? record.weightPassing : record.weightWarning
    return DNSInstance(
      node: record.node, address: address(text), hasOwnAddress: !record.address.isEmpty,
      port: UInt16(clamping: record.port), weight: UInt16(clamping: weight),
      isPassing: status == .passing, foldedTags: record.tags.map { $0.lowercased() })
  }

  // MARK: Prepared queries

  /// What the query selects is kept like the instances of a service. Names are many when a template
  /// answers to them, so few are kept.
  mutating func preparedQuery(
    _ name: String, in registry: Registry, at nodeName: String, lag: Lag
  ) -> DNSPreparedQuery? {
    if let kept = queries[name],
      kept.isGood(Self.index(of: kept.value.service, registry), lag)
    {
      return kept.value
    }
    queries[name] = nil
    guard let found = PreparedSelection(idOrName: name, in: registry, at: nodeName) else {
      return nil
    }
    var query = DNSPreparedQuery(service: found.service, instances: [])
    query.ttl = found.timeToLive.map { UInt32(clamping: $0 / 1_000_000_000) }
    for (position, item) in found.instances.enumerated() {
      let status = Status(item.checks)
      guard
        let instance = Self.instance(item.service, nodeAddress: item.node.address, status)
      else { continue }
      query.instances.append(instance)
      if position < found.nearCount { query.nearCount += 1 }
    }
    guard query.instances.count >= Self.alwaysFreshMax else { return query }
    if queries.count >= Self.keptQueriesMax { queries.removeAll() }
    queries[name] = Gathered(
      index: Self.index(of: found.service, registry), at: Self.time(lag),
      size: query.instances.count, value: query)
    return query
  }

  /// Moves when the query may have changed, or its service.
  private static func index(of service: String, _ registry: Registry) -> UInt64 {
    registry.queriesIndex &+ registry.serviceIndex(foldedName(service))
  }

  static func address(_ text: String) -> DNSAddress {
    SocketAddress(host: text, port: 0).map { .ip($0.ip) } ?? .name(text)
  }

  // MARK: Nodes and addresses

  static func node(named name: String, in registry: Registry) -> DNSNode? {
    registry.node(named: name).map { record in
      DNSNode(
        name: record.name, address: address(record.address),
        meta: record.meta?.pairs.map { ($0.name, $0.value) } ?? [])
    }
  }

  /// A node before a service; of several the first by name.
  mutating func owner(
    ofAddress ip: [UInt8], in registry: Registry, lag: Lag
  ) -> DNSOwner? {
    gatherNodes(registry, lag)
    if let name = nodeAddresses?.value[ip] { return .node(name) }
    gatherServices(registry, lag)
    return serviceAddresses?.value[ip].map { .service($0) }
  }

  private mutating func gatherNodes(_ registry: Registry, _ lag: Lag) {
    let index = registry.nodesIndex
    if let nodeAddresses, nodeAddresses.isGood(index, lag) { return }
    let nodes = registry.nodes()
    var names: [[UInt8]: String] = [:]
    for node in nodes {
      guard case .ip(let ip) = Self.address(node.address), names[ip] == nil else { continue }
      names[ip] = node.name
    }
    nodeAddresses = Gathered(index: index, at: Self.time(lag), size: nodes.count, value: names)
  }

  private mutating func gatherServices(_ registry: Registry, _ lag: Lag) {
    let index = registry.servicesIndex
    if let serviceAddresses, serviceAddresses.isGood(index, lag) { return }
    var names: [[UInt8]: String] = [:]
    for node in registry.nodes() {
      for service in registry.services(onNode: node.name) where !service.address.isEmpty {
        guard case .ip(let ip) = Self.address(service.address), names[ip] == nil else { continue }
        names[ip] = service.name
      }
    }
    serviceAddresses = Gathered(
      index: index, at: Self.time(lag), size: registry.serviceInstanceCount, value: names)
  }
}
