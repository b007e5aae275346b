import DNS
import Registry
import Testing

@testable import roost

struct CatalogFactsTests {
  /// A registry and the facts gathered from it.
  final class Catalog {
    var registry = Registry(options: Registry.Options())
    var facts = CatalogFacts()
    private var index: UInt64 = 0

    func register(
      _ node: String, _ nodeAddress: String, service: String? = nil, id: String? = nil,
      address: String = "", port: Int = 80, tags: [String] = [], status: String? = nil,
      nodeStatus: String? = nil
    ) {
      var registration = Registration(node: NodeRecord(name: node, address: nodeAddress))
      if let service {
        var record = ServiceRecord(node: node, id: id ?? service, name: service)
        (record.address, record.port, record.tags) = (address, port, tags)
        (record.weightPassing, record.weightWarning) = (5, 2)
        registration.service = record
      }
      if let status {
        var check = CheckRecord(node: node, id: "c:\(id ?? service ?? "")", name: "c")
        (check.status, check.serviceID) = (status, id ?? service ?? "")
        registration.checks.append(check)
      }
      if let nodeStatus {
        var check = CheckRecord(node: node, id: "n", name: "n")
        check.status = nodeStatus
        registration.checks.append(check)
      }
      apply(.register(registration))
    }

    func apply(_ command: RegistryCommand) {
      index += 1
      var changes = ChangeSet()
      let bytes = CommandEnvelope(time: 1, requestID: nil, command: command).encoded()
      _ = registry.apply(bytes, index: index, changes: &changes)
    }

    func ports(_ service: String, _ lag: CatalogFacts.Lag = .none) -> [UInt16] {
      facts.instances(ofService: service, in: registry, lag: lag).map(\.port)
    }
  }

  @Test func statusesOfInstanceAndNodeCount() {
    let catalog = Catalog()
    catalog.register("a", "10.0.0.1", service: "web", port: 1, tags: ["V1"], status: "passing")
    catalog.register(
      "b", "10.0.0.2", service: "web", address: "10.9.0.2", port: 2, status: "warning")
    catalog.register("c", "10.0.0.3", service: "web", port: 3, status: "critical")
    catalog.register("d", "10.0.0.4", service: "web", port: 4, nodeStatus: "critical")
    catalog.register("e", "10.0.0.5", service: "web", port: 5, nodeStatus: "warning")
    catalog.register("f", "f.example.org", service: "web", port: 6)
    let found = catalog.facts.instances(ofService: "WEB", in: catalog.registry, lag: .none)
    #expect(
      found == [
        DNSInstance(
          node: "a", address: .ip([10, 0, 0, 1]), port: 1, weight: 5, foldedTags: ["v1"]),
        DNSInstance(
          node: "b", address: .ip([10, 9, 0, 2]), hasOwnAddress: true, port: 2, weight: 2,
          isPassing: false),
        DNSInstance(
          node: "e", address: .ip([10, 0, 0, 5]), port: 5, weight: 2, isPassing: false),
        DNSInstance(node: "f", address: .name("f.example.org"), port: 6, weight: 5),
      ])
    #expect(catalog.ports("nosuch").isEmpty)
  }

  /// Whatever changes what is shown moves the service's index: nothing old is ever given.
  @Test func everyChangeIsSeen() {
    let catalog = Catalog()
    catalog.register("a", "10.0.0.1", service: "web", port: 1)
    #expect(catalog.ports("web") == [1])
    catalog.register("a", "10.0.0.1", service: "web", id: "web2", port: 2)
    #expect(catalog.ports("web") == [1, 2])
    catalog.register("a", "10.0.0.1", service: "web", port: 9)
    #expect(catalog.ports("web") == [9, 2])
    catalog.register("a", "10.0.0.7")
    let moved = catalog.facts.instances(ofService: "web", in: catalog.registry, lag: .none)
    #expect(moved.map(\.address) == [.ip([10, 0, 0, 7]), .ip([10, 0, 0, 7])])
    catalog.register("a", "10.0.0.7", nodeStatus: "critical")
    #expect(catalog.ports("web").isEmpty)
    catalog.apply(.deregister(node: "a", serviceID: "", checkID: "n"))
    #expect(catalog.ports("web") == [9, 2])
    catalog.apply(.deregister(node: "a", serviceID: "web2", checkID: ""))
    #expect(catalog.ports("web") == [9])
    catalog.apply(.deregister(node: "a", serviceID: "", checkID: ""))
    #expect(catalog.ports("web").isEmpty)
  }

  @Test func onlyLongListsMayLagAndOnlyForAMoment() {
    let catalog = Catalog()
    for i in 0..<63 { catalog.register("n\(i)", "10.0.0.1", service: "web", port: i) }
    #expect(catalog.ports("web", .bySize(now: 0)).count == 63)
    catalog.register("x", "10.0.0.1", service: "web", port: 100)
    #expect(catalog.ports("web", .bySize(now: 0)).count == 64)
    catalog.register("y", "10.0.0.1", service: "web", port: 101)
    #expect(catalog.ports("web", .bySize(now: 64 * 20_000 - 1)).count == 64)
    #expect(catalog.ports("web", .bySize(now: 64 * 20_000)).count == 65)
    catalog.register("z", "10.0.0.1", service: "web", port: 102)
    #expect(catalog.ports("web", .none).count == 66)
  }

  @Test func addressesBelongToNodesThenServices() {
    let catalog = Catalog()
    catalog.register("b", "10.0.0.1")
    catalog.register("a", "10.0.0.1", service: "web", address: "10.9.0.1")
    catalog.register("c", "fd00::6", service: "api", address: "10.0.0.1")
    func owner(_ ip: [UInt8]) -> DNSOwner? {
      catalog.facts.owner(ofAddress: ip, in: catalog.registry, lag: .none)
    }
    #expect(owner([10, 0, 0, 1]) == .node("a"))
    #expect(owner([10, 9, 0, 1]) == .service("web"))
    #expect(owner([0xFD, 0] + [UInt8](repeating: 0, count: 13) + [6]) == .node("c"))
    #expect(owner([10, 0, 0, 2]) == nil)
    catalog.apply(.deregister(node: "a", serviceID: "", checkID: ""))
    #expect(owner([10, 0, 0, 1]) == .node("b"))
    #expect(owner([10, 9, 0, 1]) == nil)
  }

  private func query(
    _ catalog: Catalog, _ number: UInt64, _ name: String, _ change: (inout PreparedQuery) -> Void
  ) {
    var query = PreparedQuery(id: UniqueID(high: 1, low: number))
    (query.name, query.service) = (name, "web")
    change(&query)
    catalog.apply(.querySet(query, isNew: true))
  }

  @Test func preparedQueriesSelect() throws {
    let catalog = Catalog()
    catalog.register("a", "10.0.0.1", service: "web", port: 1, tags: ["V1"], status: "passing")
    catalog.register("b", "10.0.0.2", service: "web", port: 2, tags: ["v2"], status: "warning")
    catalog.register("c", "10.0.0.3", service: "web", port: 3, status: "critical")
    query(catalog, 1, "all") { $0.dnsTTL = "90s" }
    query(catalog, 2, "strict") { $0.onlyPassing = true }
    query(catalog, 3, "tagged") { $0.tags = ["v2"] }
    query(catalog, 4, "close") { ($0.near, $0.nearestN, $0.datacenters) = ("B", 3, ["dc9"]) }
    query(catalog, 5, "local") { $0.near = "_agent" }
    query(catalog, 6, "ignoring") { $0.ignoreCheckIDs = ["c:web"] }
    query(catalog, 7, "pre-") {
      ($0.templateType, $0.service) = ("name_prefix_match", "${name.suffix}")
    }
    func ask(_ name: String) -> DNSPreparedQuery? {
      catalog.facts.preparedQuery(name, in: catalog.registry, at: "a", lag: .none)
    }
    let all = try #require(ask("all"))
    #expect(all.instances.map(\.port) == [1, 2] && all.instances.map(\.weight) == [5, 2])
    #expect(all.ttl == 90 && all.service == "web" && all.nearCount == 0)
    #expect(ask("ALL") == all)
    #expect(ask(UniqueID(high: 1, low: 1).description) == all)
    #expect(ask("strict")?.instances.map(\.port) == [1])
    #expect(ask("tagged")?.instances.map(\.port) == [2])
    #expect(ask("tagged")?.ttl == nil)
    #expect(ask("close")?.instances.map(\.port) == [2, 1] && ask("close")?.nearCount == 1)
    #expect(ask("local")?.instances.map(\.port) == [1, 2] && ask("local")?.nearCount == 1)
    #expect(ask("ignoring")?.instances.count == 3)
    #expect(ask("pre-web")?.instances.map(\.port) == [1, 2])
    #expect(ask("pre-nosuch")?.instances.isEmpty == true)
    #expect(ask("nosuch") == nil)
  }

  @Test func longPreparedQueriesAreKeptUntilTheyChange() {
    let catalog = Catalog()
    for i in 0..<70 { catalog.register("n\(i)", "10.0.0.1", service: "web", port: i) }
    query(catalog, 1, "q") { _ in }
    func count() -> Int? {
      catalog.facts.preparedQuery("q", in: catalog.registry, at: "n1", lag: .none)?
        .instances.count
    }
    #expect(count() == 70 && count() == 70)
    catalog.register("x", "10.0.0.1", service: "web", port: 100)
    #expect(count() == 71)
    catalog.apply(.queryDelete(UniqueID(high: 1, low: 1)))
    #expect(count() == nil)
  }
}
