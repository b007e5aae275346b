internal import FoundationEssentials

/// What is registered with `/v1/agent/service/register`.
public struct ServiceRegistration: Sendable, Encodable {
  public var name: String
  /// The name, when empty.
  public var id = ""
  public var address = ""
  public var port = 0
  public var tags: [String] = []
  public var meta: [String: String] = [:]
  public var checks: [Check] = []

  /// How the service is probed: exactly one of `http`, `tcp`, `ttl`. Durations as "10s".
  public struct Check: Sendable, Encodable {
    public var http: String?
    public var tcp: String?
    public var ttl: String?
    public var interval: String?
    public var timeout: String?
    public var deregisterCriticalServiceAfter: String?
    public init() {}

    enum CodingKeys: String, CodingKey {
      case http = "HTTP"
      case tcp = "TCP"
      case ttl = "TTL"
      case interval = "Interval"
      case timeout = "Timeout"
      case deregisterCriticalServiceAfter = "DeregisterCriticalServiceAfter"
    }
  }

  public init(name: String) { self.name = name }

  enum CodingKeys: String, CodingKey {
    case name = "Name"
    case id = "ID"
    case address = "Address"
    case port = "Port"
    case tags = "Tags"
    case meta = "Meta"
    case checks = "Checks"
  }
}

/// One instance of a service with the state of its checks.
public struct ServiceInstance: Sendable, Equatable {
  public var node: String
  public var id: String
  public var name: String
  /// The service's own address, or its node's.
  public var address: String
  public var port: Int
  public var tags: [String]
  public var checks: [CheckState]

  /// The worst state of its checks: `passing`, `warning` or `critical`.
  public var status: String {
    for word in ["critical", "warning"] where checks.contains(where: { $0.status == word }) {
      return word
    }
    return "passing"
  }
}

public struct CheckState: Sendable, Equatable, Codable {
  public var id: String
  public var name: String
  public var status: String
  public var output: String

  enum CodingKeys: String, CodingKey {
    case id = "CheckID"
    case name = "Name"
    case status = "Status"
    case output = "Output"
  }
}

extension Roost {
  /// Registers through the node that answers; the service belongs to the whole cluster.
  public func register(_ service: ServiceRegistration) throws(RoostError) {
    let body: Data
    do {
      body = try JSONEncoder().encode(service)
    } catch {
      throw .unexpectedAnswer(String(describing: error))
    }
    try register(json: Array(body))
  }

  /// Registers from a body as `/v1/agent/service/register` takes it.
  public func register(json: [UInt8]) throws(RoostError) {
    _ = try expectOK("PUT", "/v1/agent/service/register", body: json)
  }

  /// Deregisters through any node, whichever the service was registered through.
  public func deregister(serviceID: String) throws(RoostError) {
    let id = Self.encode(serviceID, keepingSlash: true)
    _ = try expectOK("PUT", "/v1/agent/service/deregister/" + id)
  }

  /// Service names with the tags of their instances.
  public func services(
    consistency: Consistency = .default
  ) throws(RoostError) -> [(name: String, tags: [String])] {
    let response = try read("/v1/catalog/services", [], consistency)
    let names = try Self.decode([String: [String]].self, response.body)
    return names.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// - Parameter passingOnly: only instances all of whose checks pass.
  public func health(
    _ service: String, passingOnly: Bool = false, consistency: Consistency = .default
  ) throws(RoostError) -> [ServiceInstance] {
    let path = "/v1/health/service/" + Self.encode(service, keepingSlash: true)
    let query: [(String, String?)] = passingOnly ? [("passing", nil)] : []
    let response = try read(path, query, consistency)
    return try Self.decode([WireInstance].self, response.body).map(\.instance)
  }
}

private struct WireInstance: Decodable {
  struct NodePart: Decodable {
    var Node: String
    var Address: String
  }
  struct ServicePart: Decodable {
    var ID: String
    var Service: String
    var Address: String?
    var Port: Int?
    var Tags: [String]?
  }
  var Node: NodePart
  var Service: ServicePart
  var Checks: [CheckState]

  var instance: ServiceInstance {
    let own = Service.Address ?? ""
    return ServiceInstance(
      node: Node.Node, id: Service.ID, name: Service.Service,
      address: own.isEmpty ? Node.Address : own, port: Service.Port ?? 0,
      tags: Service.Tags ?? [], checks: Checks)
  }
}
