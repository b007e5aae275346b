internal import FoundationEssentials

/// One KV entry.
public struct KVPair: Sendable, Equatable {
  public var key: String
  public var value: [UInt8]
  public var flags: UInt64
  public var createIndex: UInt64
  public var modifyIndex: UInt64
  public var lockIndex: UInt64
  /// The session that holds the lock on this key.
  public var session: String?

  public init(
    key: String, value: [UInt8], flags: UInt64 = 0, createIndex: UInt64, modifyIndex: UInt64,
    lockIndex: UInt64, session: String? = nil
  ) {
    self.key = key
    self.value = value
    self.flags = flags
    self.createIndex = createIndex
    self.modifyIndex = modifyIndex
    self.lockIndex = lockIndex
    self.session = session
  }
}

extension Roost {
  /// Nil when there is no such key.
  public func get(
    _ key: String, consistency: Consistency = .default
  ) throws(RoostError) -> KVPair? {
    try entries(Self.path(key), [], consistency).first
  }

  /// All entries whose key starts with `prefix`, in key order.
  public func list(
    _ prefix: String, consistency: Consistency = .default
  ) throws(RoostError) -> [KVPair] {
    try entries(Self.path(prefix), [("recurse", nil)], consistency)
  }

  /// Keys that start with `prefix`; with a separator, cut after it.
  public func keys(
    _ prefix: String, separator: String? = nil, consistency: Consistency = .default
  ) throws(RoostError) -> [String] {
    var query: [(String, String?)] = [("keys", nil)]
    if let separator { query.append(("separator", separator)) }
    let response = try read(Self.path(prefix), query, consistency)
    return response.status == 404 ? [] : try Self.decode([String].self, response.body)
  }

  /// - Parameter cas: write only if the key's `modifyIndex` is this (0: if there is no such key).
  /// - Returns: false if the condition did not hold.
  public func put(
    _ key: String, _ value: [UInt8], flags: UInt64 = 0, cas: UInt64? = nil
  ) throws(RoostError) -> Bool {
    var query: [(String, String?)] = []
    if flags != 0 { query.append(("flags", String(flags))) }
    if let cas { query.append(("cas", String(cas))) }
    return try expectOK("PUT", Self.path(key), query: query, body: value).isTrue
  }

  /// Writes the key and locks it for the session; false when another session holds it.
  public func acquire(
    _ key: String, _ value: [UInt8], session: String, flags: UInt64 = 0
  ) throws(RoostError) -> Bool {
    let query: [(String, String?)] = [("flags", String(flags)), ("acquire", session)]
    return try expectOK("PUT", Self.path(key), query: query, body: value).isTrue
  }

  /// Writes the key and unlocks it; false when the session does not hold it.
  public func release(
    _ key: String, _ value: [UInt8] = [], session: String, flags: UInt64 = 0
  ) throws(RoostError) -> Bool {
    let query: [(String, String?)] = [("flags", String(flags)), ("release", session)]
    return try expectOK("PUT", Self.path(key), query: query, body: value).isTrue
  }

  public func delete(_ key: String, cas: UInt64? = nil) throws(RoostError) -> Bool {
    let query: [(String, String?)] = cas.map { [("cas", String($0))] } ?? []
    return try expectOK("DELETE", Self.path(key), query: query).isTrue
  }

  public func deleteTree(_ prefix: String) throws(RoostError) {
    _ = try expectOK("DELETE", Self.path(prefix), query: [("recurse", nil)])
  }

  static func path(_ key: String) -> String {
    "/v1/kv/" + encode(key, keepingSlash: true)
  }

  private func entries(
    _ path: String, _ query: [(String, String?)], _ consistency: Consistency
  ) throws(RoostError) -> [KVPair] {
    let response = try read(path, query, consistency)
    return try Self.pairs(response)
  }

  /// The entries in an answer of `/v1/kv/`; none for a 404.
  static func pairs(_ response: Response) throws(RoostError) -> [KVPair] {
    if response.status == 404 { return [] }
    return try decode([WireEntry].self, response.body).map { entry throws(RoostError) in
      try entry.pair()
    }
  }

  /// A read for which 404 means "nothing there".
  func read(
    _ path: String, _ query: [(String, String?)], _ consistency: Consistency
  ) throws(RoostError) -> Response {
    let mode: [(String, String?)] = consistency == .default ? [] : [(consistency.rawValue, nil)]
    let response = try request("GET", path, query: query + mode)
    guard response.status == 200 || response.status == 404 else {
      throw .status(response.status, Self.text(response.body, "GET", path))
    }
    return response
  }

  static func decode<T: Decodable>(_ type: T.Type, _ body: [UInt8]) throws(RoostError) -> T {
    do {
      return try JSONDecoder().decode(type, from: Data(body))
    } catch {
      throw .unexpectedAnswer(String(describing: error))
    }
  }
}

extension Roost.Response {
  var isTrue: Bool { body.starts(with: Array("true".utf8)) }
}

private struct WireEntry: Decodable {
  var Key: String
  var Value: String?
  var Flags: UInt64
  var CreateIndex: UInt64
  var ModifyIndex: UInt64
  var LockIndex: UInt64
  var Session: String?

  func pair() throws(RoostError) -> KVPair {
    guard let data = Data(base64Encoded: Value ?? "") else {
      throw .unexpectedAnswer("the value of \(Key) is not base64")
    }
    return KVPair(
      key: Key, value: Array(data), flags: Flags, createIndex: CreateIndex,
      modifyIndex: ModifyIndex, lockIndex: LockIndex, session: Session)
  }
}
