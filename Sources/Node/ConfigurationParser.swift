internal import EventLoop
internal import HTTP

extension NodeConfiguration {
  /// One fault found in a configuration: where, and what is wrong.
  package struct Problem: Equatable, Sendable, CustomStringConvertible {
    /// A path such as `raft.heartbeat_ms` (with the line it stands on), or line and column.
    package var place: String
    package var message: String
    package init(place: String, message: String) {
      self.place = place
      self.message = message
    }
    package var description: String { "\(place): \(message)" }
  }

  /// The result of reading a configuration: every problem found, not only the first.
  package enum ParseResult: Sendable {
    case valid(NodeConfiguration)
    case invalid([Problem])
  }

  /// Parses JSON with `//` and `/* */` comments, then applies `overrides` (a path such as
  /// "ports.http" and a value as text, from the command line), then checks the whole.
  package static func parse(
    _ bytes: [UInt8], overrides: [(path: String, value: String)] = []
  ) -> ParseResult {
    var configuration = NodeConfiguration(nodeName: "")
    var problems: [Problem] = []
    let source = withoutComments(bytes)
    do throws(JSONError) {
      let document = try JSONScanner.parse(source[...], depthMax: 16)
      if case .object(let members) = document {
        read(members, prefix: "", source: source, into: &configuration, &problems)
      } else {
        problems.append(Problem(place: "line 1", message: "must be one JSON object: { … }"))
      }
    } catch {
      let (line, column) = position(of: error.offset, in: source)
      problems.append(Problem(place: "line \(line), column \(column)", message: error.message))
    }
    apply(overrides, to: &configuration, &problems)
    return problems.isEmpty ? checked(configuration) : .invalid(problems)
  }

  /// A node of its own, in memory, nothing to configure.
  package static func development(
    overrides: [(path: String, value: String)] = []
  ) -> ParseResult {
    var configuration = NodeConfiguration(nodeName: "dev")
    configuration.isDevelopment = true
    configuration.cluster = "dev"
    var problems: [Problem] = []
    apply(overrides, to: &configuration, &problems)
    return problems.isEmpty ? checked(configuration) : .invalid(problems)
  }

  private static func apply(
    _ overrides: [(path: String, value: String)], to configuration: inout NodeConfiguration,
    _ problems: inout [Problem]
  ) {
    for (path, value) in overrides {
      guard let field = fields.first(where: { $0.path == path }) else {
        problems.append(Problem(place: "flag --\(path)", message: unknown(path)))
        continue
      }
      if let message = set(field, fromText: value, &configuration) {
        problems.append(Problem(place: "flag --\(path)", message: message))
      }
    }
  }

  /// A text is tried as it is first; where the field wants something else, as JSON.
  private static func set(
    _ field: ConfigurationField, fromText text: String, _ configuration: inout NodeConfiguration
  ) -> String? {
    guard let message = field.set(.string(text), &configuration) else { return nil }
    guard let value = try? JSONScanner.parse(Array(text.utf8)[...], depthMax: 16) else {
      return message
    }
    return field.set(value, &configuration)
  }

  private static func read(
    _ members: [JSONMember], prefix: String, source: [UInt8],
    into configuration: inout NodeConfiguration, _ problems: inout [Problem]
  ) {
    for member in members {
      let path = prefix + member.name
      let place = placeName(path, in: source)
      if let field = fields.first(where: { $0.path == path }) {
        if let message = field.set(member.value, &configuration) {
          problems.append(Problem(place: place, message: message))
        }
      } else if fields.contains(where: { $0.path.hasPrefix(path + ".") }) {
        guard case .object(let nested) = member.value else {
          problems.append(Problem(place: place, message: "must be an object: { … }"))
          continue
        }
        read(nested, prefix: path + ".", source: source, into: &configuration, &problems)
      } else {
        problems.append(Problem(place: place, message: unknown(path)))
      }
    }
  }

  private static func unknown(_ path: String) -> String {
    let parent = path.split(separator: ".").dropLast().joined(separator: ".")
    let prefix = parent.isEmpty ? "" : parent + "."
    let known = fields.map(\.path).filter { $0.hasPrefix(prefix) }.map {
      String($0.dropFirst(prefix.count).prefix { $0 != "." })
    }
    var names: [String] = []
    for name in known where !names.contains(name) { names.append(name) }
    return "unknown key; known here: " + names.joined(separator: ", ")
  }

  // MARK: What must hold together

  private static func checked(_ configuration: NodeConfiguration) -> ParseResult {
    var problems: [Problem] = []
    func require(_ holds: Bool, _ place: String, _ message: @autoclosure () -> String) {
      if !holds { problems.append(Problem(place: place, message: message())) }
    }
    let c = configuration
    require(!c.nodeName.isEmpty, "node_name", "is missing; every node needs a name of its own")
    require(isLabel(c.nodeName) || c.nodeName.isEmpty, "node_name", "may hold A-Z a-z 0-9 . _ -")
    require(
      c.dataDirectory != nil || c.isDevelopment, "data_dir",
      "is missing; a node keeps its log there (or use --dev for a node in memory)")
    require(isLabel(c.datacenter), "datacenter", "may hold A-Z a-z 0-9 . _ -")
    for (place, address) in [
      ("bind_addr", c.bindAddress), ("client_addr", c.clientAddress),
      ("advertise_addr", c.advertiseAddress ?? "127.0.0.1"),
    ] {
      let parsed = SocketAddress(host: address, port: 0)
      require(parsed != nil, place, #""\#(address)" is not an IP address"#)
      guard let parsed, place != "advertise_addr" else { continue }
      require(
        isLoopback(parsed) || c.insecureAllowRemote, place,
        "\(address) is reachable from other machines, and neither TLS nor ACLs protect it; "
          + "set insecure_allow_remote (flag --insecure_allow_remote=true) if that is meant")
    }
    require(
      c.raft.electionTimeoutMilliseconds >= 3 * c.raft.heartbeatMilliseconds,
      "raft.election_timeout_ms",
      "must be at least three times raft.heartbeat_ms (\(c.raft.heartbeatMilliseconds))")
    require(c.ports.https == -1, "ports.https", "HTTPS is not available yet; leave it at -1")
    require(isDomain(c.domain), "domain", #""\(c.domain)" is not a domain name"#)
    require(
      c.alternativeDomain.map(isDomain) ?? true, "alt_domain",
      #""\(c.alternativeDomain ?? "")" is not a domain name"#)
    checkMembers(c, &problems)
    return problems.isEmpty ? .valid(configuration) : .invalid(problems)
  }

  private static func checkMembers(_ c: NodeConfiguration, _ problems: inout [Problem]) {
    func add(_ place: String, _ message: String) {
      problems.append(Problem(place: place, message: message))
    }
    if c.members.isEmpty, c.join.isEmpty, !c.isDevelopment {
      add("members", #"is missing; list all nodes of the new cluster, or name live ones in "join""#)
    }
    if !c.members.isEmpty, !c.join.isEmpty {
      add("join", "cannot go with members: a node either starts a cluster or joins one")
    }
    if !c.members.isEmpty, !c.members.contains(where: { $0.name == c.nodeName }) {
      add("members", #"does not list this node ("\#(c.nodeName)")"#)
    }
    for (position, member) in c.members.enumerated() {
      if hostAndPort(member.peer) == nil {
        add("members", #""\#(member.peer)" of \#(member.name) is not "host:port""#)
      }
      for other in c.members[..<position] {
        if other.name == member.name { add("members", "\(member.name) is listed twice") }
        if other.peer == member.peer {
          add("members", "\(member.name) and \(other.name) have the same address \(member.peer)")
        }
      }
    }
    for address in c.join where hostAndPort(address) == nil {
      add("join", #""\#(address)" is not "host:port""#)
    }
    if c.members.count > 9 { add("members", "at most 9 voting members make sense") }
  }

  /// "host:port" or "[v6]:port" in two parts; the host may be a name.
  package static func hostAndPort(_ text: String) -> (host: String, port: UInt16)? {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let digits = text[text.index(after: colon)...].utf8
    guard !digits.isEmpty, digits.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
      let port = UInt16(String(text[text.index(after: colon)...])), port > 0
    else { return nil }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    return host.isEmpty ? nil : (String(host), port)
  }

  private static func isLoopback(_ address: SocketAddress) -> Bool {
    address.ip.count == 4
      ? address.ip[0] == 127 : address.ip == [UInt8](repeating: 0, count: 15) + [1]
  }

  /// Labels of letters, digits, "-" and "_"; a dot may end them.
  private static func isDomain(_ text: String) -> Bool {
    let whole = text.hasSuffix(".") ? text.dropLast() : text[...]
    // Room for the names in it: an instance may need 128 bytes in front.
    guard isLabel(String(whole)), whole.utf8.count <= 100 else { return false }
    return whole.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
      (1...63).contains(label.utf8.count)
    }
  }

  private static func isLabel(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 128
      && text.utf8.allSatisfy {
        ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x41 && $0 <= 0x5A) || ($0 >= 0x61 && $0 <= 0x7A)
          || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F
      }
  }

  // MARK: Places in the text

  /// Comments become blanks, so that offsets keep their lines and columns.
  static func withoutComments(_ bytes: [UInt8]) -> [UInt8] {
    let slash = UInt8(ascii: "/")
    let star = UInt8(ascii: "*")
    let newline = UInt8(ascii: "\n")
    var result = bytes
    var i = 0
    var inText = false
    func at(_ offset: Int) -> UInt8 { offset < bytes.count ? bytes[offset] : 0 }
    while i < bytes.count {
      if inText {
        if bytes[i] == UInt8(ascii: "\\") {
          i += 1
        } else if bytes[i] == UInt8(ascii: "\"") {
          inText = false
        }
        i += 1
      } else if bytes[i] == UInt8(ascii: "\"") {
        inText = true
        i += 1
      } else if bytes[i] == slash, at(i + 1) == slash {
        while i < bytes.count, bytes[i] != newline {
          result[i] = 0x20
          i += 1
        }
      } else if bytes[i] == slash, at(i + 1) == star {
        let start = i
        i += 2
        while i < bytes.count, !(bytes[i] == star && at(i + 1) == slash) { i += 1 }
        i = min(i + 2, bytes.count)
        for j in start..<i where result[j] != newline { result[j] = 0x20 }
      } else {
        i += 1
      }
    }
    return result
  }

  private static func position(of offset: Int, in source: [UInt8]) -> (line: Int, column: Int) {
    let before = source.prefix(max(0, offset))
    let line = before.count { $0 == UInt8(ascii: "\n") } + 1
    let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    return (line, before.count - lineStart + 1)
  }

  /// The path, with the line on which its last key first stands after its parents.
  private static func placeName(_ path: String, in source: [UInt8]) -> String {
    var from = 0
    for name in path.split(separator: ".") {
      let quoted = Array("\"\(name)\"".utf8)
      guard let found = firstRange(of: quoted, in: source, from: from) else { return path }
      from = found
    }
    return "\(path) (line \(position(of: from, in: source).line))"
  }

  private static func firstRange(of needle: [UInt8], in source: [UInt8], from: Int) -> Int? {
    guard source.count >= needle.count, from <= source.count - needle.count else { return nil }
    return (from...(source.count - needle.count)).first {
      source[$0..<$0 + needle.count].elementsEqual(needle)
    }
  }
}
