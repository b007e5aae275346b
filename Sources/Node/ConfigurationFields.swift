internal import HTTP

/// One key of the configuration: where it stands and how a value gets into the struct.
///
/// The same setter serves the file and the command line, so both know the same keys and say the
/// same about a bad value.
struct ConfigurationField: Sendable {
  /// Such as `raft.heartbeat_ms`.
  let path: String
  /// Puts the value in place, or says what is wrong with it.
  let set: @Sendable (JSONValue, inout NodeConfiguration) -> String?
}

extension NodeConfiguration {
  /// The paths that may be given on the command line, such as `ports.http`.
  package static var flagPaths: [String] { fields.map(\.path) }

  /// Every key there is. A key that is not here is reported as unknown.
  static let fields = ownFields + dnsFields

  private static let ownFields: [ConfigurationField] = [
    text("node_name") { $0.nodeName = $1 },
    text("cluster") { $0.cluster = $1 },
    text("datacenter") { $0.datacenter = $1 },
    text("data_dir") { $0.dataDirectory = $1 },
    text("bind_addr") { $0.bindAddress = $1 },
    text("client_addr") { $0.clientAddress = $1 },
    text("advertise_addr") { $0.advertiseAddress = $1 },
    integer("ports.http", -1...65535) { $0.ports.http = $1 },
    integer("ports.https", -1...65535) { $0.ports.https = $1 },
    integer("ports.dns", -1...65535) { $0.ports.dns = $1 },
    integer("ports.peer", 0...65535) { $0.ports.peer = $1 },
    integer("ports.peer_advertised", 0...65535) { $0.ports.peerAdvertised = $1 },
    ConfigurationField(path: "members", set: setMembers),
    ConfigurationField(path: "join", set: setJoin),
    ConfigurationField(path: "node_meta", set: setNodeMeta),
    integer("raft.heartbeat_ms", 10...10_000) { $0.raft.heartbeatMilliseconds = $1 },
    integer("raft.election_timeout_ms", 50...120_000) { $0.raft.electionTimeoutMilliseconds = $1 },
    integer("raft.snapshot_after_entries", 100...100_000_000) {
      $0.raft.snapshotAfterEntries = $1
    },
    integer("raft.election_priority", 0...255) { $0.raft.electionPriority = $1 },
    ConfigurationField(path: "log_level", set: setLogLevel),
    flag("log_json") { $0.logJSON = $1 },
    integer("node_dead_after_ms", 500...3_600_000) { $0.nodeDeadAfterMilliseconds = $1 },
    integer("request_timeout_ms", 100...60_000) { $0.requestTimeoutMilliseconds = $1 },
    integer("io_threads", 0...64) { $0.ioThreads = $1 },
    integer("limits.kv_max_value_size", 1...(32 << 20)) { $0.kvMaxValueBytes = $1 },
    integer("limits.txn_max_ops", 1...65_536) { $0.transactionOperationsMax = $1 },
    duration("session_ttl_min") { $0.sessionTTLMillisecondsMin = min(max($1, 1), 86_400_000) },
    flag("enable_script_checks") { $0.enableScriptChecks = $1 },
    flag("enable_local_script_checks") { $0.enableLocalScriptChecks = $1 },
    objects("services") { $0.services = $1 },
    objects("checks") { $0.checks = $1 },
    flag("insecure_allow_remote") { $0.insecureAllowRemote = $1 },
  ]

  static func text(
    _ path: String, _ set: @escaping @Sendable (inout NodeConfiguration, String) -> Void
  ) -> ConfigurationField {
    ConfigurationField(path: path) { value, configuration in
      guard case .string(let text) = value else { return expected("a text", value) }
      guard !text.isEmpty else { return "must not be empty" }
      set(&configuration, text)
      return nil
    }
  }

  static func integer(
    _ path: String, _ range: ClosedRange<Int>,
    _ set: @escaping @Sendable (inout NodeConfiguration, Int) -> Void
  ) -> ConfigurationField {
    ConfigurationField(path: path) { value, configuration in
      guard case .number(let text) = value, let number = Int(text) else {
        return expected("a whole number", value)
      }
      guard range.contains(number) else {
        return "\(number) is out of range: \(range.lowerBound) to \(range.upperBound)"
      }
      set(&configuration, number)
      return nil
    }
  }

  static func flag(
    _ path: String, _ set: @escaping @Sendable (inout NodeConfiguration, Bool) -> Void
  ) -> ConfigurationField {
    ConfigurationField(path: path) { value, configuration in
      guard case .bool(let flag) = value else { return expected("true or false", value) }
      set(&configuration, flag)
      return nil
    }
  }

  /// A list of objects, or one, kept for whoever understands them.
  private static func objects(
    _ path: String, _ set: @escaping @Sendable (inout NodeConfiguration, [JSONValue]) -> Void
  ) -> ConfigurationField {
    ConfigurationField(path: path) { value, configuration in
      let elements = if case .array(let list) = value { list } else { [value] }
      for element in elements {
        guard case .object = element else { return expected("a list of objects", element) }
      }
      set(&configuration, elements)
      return nil
    }
  }

  private static func setMembers(
    _ value: JSONValue, _ configuration: inout NodeConfiguration
  ) -> String? {
    guard case .array(let elements) = value else {
      return expected(#"a list of { "name": …, "peer": "host:port" }"#, value)
    }
    var members: [MemberAddress] = []
    for (position, element) in elements.enumerated() {
      guard case .object(let fields) = element else {
        return "element \(position + 1): " + expected("an object", element)
      }
      var member = MemberAddress(name: "", peer: "")
      for field in fields {
        guard case .string(let text) = field.value else {
          return "element \(position + 1), \(field.name): " + expected("a text", field.value)
        }
        switch field.name {
        case "name": member.name = text
        case "peer": member.peer = text
        default: return #"element \#(position + 1): unknown key "\#(field.name)" (name, peer)"#
        }
      }
      guard !member.name.isEmpty, !member.peer.isEmpty else {
        return "element \(position + 1) needs both name and peer"
      }
      members.append(member)
    }
    configuration.members = members
    return nil
  }

  private static func setJoin(
    _ value: JSONValue, _ configuration: inout NodeConfiguration
  ) -> String? {
    guard let addresses = list(value) else { return expected(#"a list of "host:port""#, value) }
    configuration.join = addresses
    return nil
  }

  /// A list of texts, or one text with commas, as it stands on the command line.
  static func list(_ value: JSONValue) -> [String]? {
    switch value {
    case .string(let one):
      return one.split(separator: ",").map(String.init)
    case .array(let elements):
      var texts: [String] = []
      for element in elements {
        guard case .string(let text) = element else { return nil }
        texts.append(text)
      }
      return texts
    default:
      return nil
    }
  }

  private static func setNodeMeta(
    _ value: JSONValue, _ configuration: inout NodeConfiguration
  ) -> String? {
    guard case .object(let fields) = value else { return expected("an object of texts", value) }
    var meta: [String: String] = [:]
    for field in fields {
      guard case .string(let text) = field.value else {
        return "\(field.name): " + expected("a text", field.value)
      }
      meta[field.name] = text
    }
    configuration.nodeMeta = meta
    return nil
  }

  private static func setLogLevel(
    _ value: JSONValue, _ configuration: inout NodeConfiguration
  ) -> String? {
    let all = LogLevel.allCases.map(\.rawValue).joined(separator: ", ")
    guard case .string(let text) = value else { return expected("one of \(all)", value) }
    // Consul's word for it.
    guard let level = LogLevel(rawValue: text == "warn" ? "warning" : text.lowercased()) else {
      return #""\#(text)" is not one of \#(all)"#
    }
    configuration.logLevel = level
    return nil
  }

  static func expected(_ what: String, _ value: JSONValue) -> String {
    let found =
      switch value {
      case .null: "null"
      case .bool(let flag): String(flag)
      case .number(let text): "the number \(text)"
      case .string(let text): #"the text "\#(text)""#
      case .array: "a list"
      case .object: "an object"
      }
    return "must be \(what), not \(found)"
  }
}
