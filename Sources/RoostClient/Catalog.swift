internal import FoundationEssentials

/// A node as the catalog knows it.
public struct CatalogNode: Sendable, Equatable {
  public var id: String
  public var name: String
  public var address: String
  public var datacenter: String
  public var taggedAddresses: [String: String]
  public var meta: [String: String]
}

extension Roost {
  public func datacenters() throws(RoostError) -> [String] {
    try Self.decode([String].self, expectOK("GET", "/v1/catalog/datacenters").body)
  }

  /// - Parameters:
  ///   - service: only nodes with an instance of it.
  ///   - meta: only nodes with all of these.
  public func nodes(
    service: String? = nil, meta: [String] = [], filter: String? = nil,
    consistency: Consistency = .default
  ) throws(RoostError) -> [CatalogNode] {
    var query: [(String, String?)] = meta.map { ("node-meta", $0) }
    if let filter { query.append(("filter", filter)) }
    let path =
      service.map { "/v1/catalog/service/" + Self.encode($0, keepingSlash: true) }
      ?? "/v1/catalog/nodes"
    let response = try read(path, query, consistency)
    var seen: [String] = []
    return try Self.decode([WireNode].self, response.body).map(\.node).filter { node in
      // A service has several instances on one node.
      if seen.contains(node.name) { return false }
      seen.append(node.name)
      return true
    }
  }

  /// The services of one node, each name once, with its tags; nil when there is no such node.
  public func services(ofNode node: String) throws(RoostError) -> [(name: String, tags: [String])]?
  {
    struct Answer: Decodable {
      struct Service: Decodable {
        let Service: String
        let Tags: [String]?
      }
      let Services: [String: Service]
    }
    let path = "/v1/catalog/node/" + Self.encode(node, keepingSlash: true)
    let answer = try Self.decode(Answer?.self, read(path, [], .default).body)
    guard let answer else { return nil }
    var tags: [String: Set<String>] = [:]
    for service in answer.Services.values {
      tags[service.Service, default: []].formUnion(service.Tags ?? [])
    }
    return tags.sorted { $0.key < $1.key }.map { ($0.key, $0.value.sorted()) }
  }
}

private struct WireNode: Decodable {
  var ID: String?
  var Node: String
  var Address: String?
  var Datacenter: String?
  var TaggedAddresses: [String: String]?
  var Meta: [String: String]?
  var NodeMeta: [String: String]?

  var node: CatalogNode {
    CatalogNode(
      id: ID ?? "", name: Node, address: Address ?? "", datacenter: Datacenter ?? "",
      taggedAddresses: TaggedAddresses ?? [:], meta: NodeMeta ?? Meta ?? [:])
  }
}
