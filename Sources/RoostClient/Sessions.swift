internal import FoundationEssentials

/// A session: what a lock belongs to. It ends when its TTL passes without renewal, when one of its
/// checks fails, or when it is destroyed; its locks end with it.
public struct Session: Sendable, Equatable {
  public enum Behavior: String, Sendable, CaseIterable {
    /// Its keys are unlocked.
    case release
    /// Its keys are deleted.
    case delete
  }

  public var id: String
  public var name: String
  public var node: String
  public var behavior: String
  /// As it was given, such as "15s"; empty: none.
  public var ttl: String
  public var lockDelaySeconds: Double
  public var checks: [String]
  public var createIndex: UInt64
}

extension Roost {
  /// - Parameter checks: node checks that it depends on; nil: those that the server chooses.
  /// - Returns: the new session's id.
  public func createSession(
    name: String = "", ttl: String = "", behavior: Session.Behavior = .release,
    lockDelay: String? = nil, node: String? = nil, checks: [String]? = nil
  ) throws(RoostError) -> String {
    struct Body: Encodable {
      let Name: String
      let TTL: String
      let Behavior: String
      let LockDelay: String?
      let Node: String?
      let NodeChecks: [String]?
    }
    struct Answer: Decodable { let ID: String }
    let body = Body(
      Name: name, TTL: ttl, Behavior: behavior.rawValue, LockDelay: lockDelay, Node: node,
      NodeChecks: checks)
    let json: Data
    do {
      json = try JSONEncoder().encode(body)
    } catch {
      throw .unexpectedAnswer(String(describing: error))
    }
    let response = try expectOK("PUT", "/v1/session/create", body: Array(json))
    return try Self.decode(Answer.self, response.body).ID
  }

  /// - Parameter node: only those of this node.
  public func sessions(node: String? = nil) throws(RoostError) -> [Session] {
    let path = node.map { "/v1/session/node/" + Self.encode($0, keepingSlash: true) }
    return try sessions(at: path ?? "/v1/session/list")
  }

  /// Nil when there is no such session (any more).
  public func session(_ id: String) throws(RoostError) -> Session? {
    try sessions(at: "/v1/session/info/" + Self.encode(id, keepingSlash: false)).first
  }

  /// False when there is no such session (any more).
  public func renewSession(_ id: String) throws(RoostError) -> Bool {
    let path = "/v1/session/renew/" + Self.encode(id, keepingSlash: false)
    let response = try request("PUT", path)
    if response.status == 404 { return false }
    guard response.status == 200 else {
      throw .status(response.status, Self.text(response.body, "PUT", path))
    }
    return true
  }

  public func destroySession(_ id: String) throws(RoostError) {
    _ = try expectOK("PUT", "/v1/session/destroy/" + Self.encode(id, keepingSlash: false))
  }

  private func sessions(at path: String) throws(RoostError) -> [Session] {
    try Self.decode([WireSession].self, expectOK("GET", path).body).map(\.session)
  }
}

private struct WireSession: Decodable {
  var ID: String
  var Name: String?
  var Node: String?
  var LockDelay: Double?
  var Behavior: String?
  var TTL: String?
  var NodeChecks: [String]?
  var CreateIndex: UInt64?

  var session: Session {
    Session(
      id: ID, name: Name ?? "", node: Node ?? "", behavior: Behavior ?? "", ttl: TTL ?? "",
      lockDelaySeconds: (LockDelay ?? 0) / 1e9, checks: NodeChecks ?? [],
      createIndex: CreateIndex ?? 0)
  }
}
