internal import FoundationEssentials

/// Something in maintenance on the node that answered: it, or one of its services.
public struct Maintenance: Sendable, Equatable {
  public var node: String
  /// Nil: the node itself.
  public var serviceID: String?
  public var reason: String
}

/// A user event.
public struct RoostEvent: Sendable, Equatable, Codable {
  public var id: String
  public var name: String

  enum CodingKeys: String, CodingKey {
    case id = "ID"
    case name = "Name"
  }
}

/// A place in the network's coordinate system (Vivaldi), as `/v1/coordinate/nodes` tells it.
public struct Coordinate: Sendable, Codable {
  public var vec: [Double]
  public var adjustment: Double
  public var height: Double

  enum CodingKeys: String, CodingKey {
    case vec = "Vec"
    case adjustment = "Adjustment"
    case height = "Height"
  }

  /// Estimated round trip in seconds, nil when the two cannot be compared.
  public func roundTrip(to other: Coordinate) -> Double? {
    guard vec.count == other.vec.count else { return nil }
    var sum = 0.0
    for (a, b) in zip(vec, other.vec) { sum += (a - b) * (a - b) }
    let distance = sum.squareRoot() + height + other.height
    let adjusted = distance + adjustment + other.adjustment
    return adjusted > 0 ? adjusted : distance
  }
}

extension Roost {
  /// The node's own numbers, by group.
  public func statistics() throws(RoostError) -> [String: [String: String]] {
    struct Answer: Decodable { let Stats: [String: [String: String]] }
    return try Self.decode(Answer.self, expectOK("GET", "/v1/agent/self").body).Stats
  }

  /// Puts the node that answers, or a service, into maintenance or takes it out.
  public func setMaintenance(
    _ isEnabled: Bool, serviceID: String? = nil, reason: String = ""
  ) throws(RoostError) {
    var query: [(String, String?)] = [("enable", String(isEnabled))]
    if !reason.isEmpty { query.append(("reason", reason)) }
    let path =
      serviceID.map { "/v1/agent/service/maintenance/" + Self.encode($0, keepingSlash: true) }
      ?? "/v1/agent/maintenance"
    _ = try expectOK("PUT", path, query: query)
  }

  public func maintenance() throws(RoostError) -> [Maintenance] {
    struct Check: Decodable {
      let Node: String
      let CheckID: String
      let ServiceID: String
      let Notes: String
    }
    let checks = try Self.decode([String: Check].self, expectOK("GET", "/v1/agent/checks").body)
    return checks.sorted { $0.key < $1.key }.compactMap { _, check in
      if check.CheckID == "_node_maintenance" {
        return Maintenance(node: check.Node, serviceID: nil, reason: check.Notes)
      }
      guard check.CheckID.hasPrefix("_service_maintenance:") else { return nil }
      return Maintenance(node: check.Node, serviceID: check.ServiceID, reason: check.Notes)
    }
  }

  public func join(_ address: String) throws(RoostError) {
    _ = try expectOK("PUT", "/v1/agent/join/" + Self.encode(address, keepingSlash: false))
  }

  public func leave() throws(RoostError) { _ = try expectOK("PUT", "/v1/agent/leave") }

  public func reload() throws(RoostError) { _ = try expectOK("PUT", "/v1/agent/reload") }

  public func forceLeave(_ node: String) throws(RoostError) {
    _ = try expectOK("PUT", "/v1/agent/force-leave/" + Self.encode(node, keepingSlash: false))
  }

  public func fireEvent(
    _ name: String, payload: [UInt8] = [], filters: [(String, String?)] = []
  ) throws(RoostError) -> RoostEvent {
    let path = "/v1/event/fire/" + Self.encode(name, keepingSlash: false)
    let response = try expectOK("PUT", path, query: filters, body: payload)
    return try Self.decode(RoostEvent.self, response.body)
  }

  /// Every node's place in the network, by name.
  public func coordinates() throws(RoostError) -> [String: Coordinate] {
    struct Entry: Decodable {
      let Node: String
      let Coord: Coordinate
    }
    let entries = try Self.decode(
      [Entry].self, expectOK("GET", "/v1/coordinate/nodes").body)
    return Dictionary(entries.map { ($0.Node, $0.Coord) }) { first, _ in first }
  }

  /// A snapshot of the whole state, as an archive.
  public func snapshot(consistency: Consistency = .default) throws(RoostError) -> Response {
    var client = self
    client.readSeconds = 600
    let query: [(String, String?)] = consistency == .stale ? [("stale", nil)] : []
    return try client.expectOK("GET", "/v1/snapshot", query: query)
  }

  /// Replaces the whole state of the cluster.
  public func restore(_ archive: [UInt8]) throws(RoostError) {
    var client = self
    client.readSeconds = 600
    _ = try client.expectOK("PUT", "/v1/snapshot", body: archive)
  }
}
