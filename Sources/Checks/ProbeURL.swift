/// The parts of an `http` or `https` URL that a check needs.
struct ProbeURL: Equatable {
  var isSecure: Bool
  /// As in the URL, for the `Host` header: a name or literal, perhaps with brackets and port.
  var authority: String
  /// Without brackets.
  var host: String
  var port: UInt16
  /// Path and query, beginning with `/`.
  var target: String

  struct Fault: Error, Equatable {
    var message: String
  }

  init(_ text: String) throws(Fault) {
    let bytes = Array(text.utf8)
    for byte in bytes where byte <= 0x20 || byte == 0x7F {
      throw Fault(message: "invalid character in URL")
    }
    guard let mark = Self.find("://", in: bytes) else {
      throw Fault(message: "unsupported protocol scheme \"\"")
    }
    let scheme = Self.text(bytes[..<mark]).lowercased()
    switch scheme {
    case "http": isSecure = false
    case "https": isSecure = true
    default: throw Fault(message: "unsupported protocol scheme \(scheme.debugDescription)")
    }
    let start = mark + 3
    // `/`, `?` or `#` ends the authority; what follows `#` is never sent.
    let end = bytes[start...].firstIndex { $0 == 0x2F || $0 == 0x3F || $0 == 0x23 } ?? bytes.count
    let rest = bytes[end...].prefix { $0 != 0x23 }
    target = (rest.first == 0x2F ? "" : "/") + Self.text(rest)
    authority = Self.text(bytes[start..<end])
    (host, port) = try Self.split(bytes[start..<end], defaultPort: isSecure ? 443 : 80)
  }

  /// `host`, `host:port`, `[v6]` or `[v6]:port`.
  private static func split(
    _ authority: ArraySlice<UInt8>, defaultPort: UInt16
  ) throws(Fault) -> (String, UInt16) {
    guard !authority.isEmpty, authority.first != 0x3A else {
      throw Fault(message: "http: no Host in request URL")
    }
    guard !authority.contains(0x40) else {
      throw Fault(message: "user information in a check's URL is not supported, use its headers")
    }
    var host = authority
    var port: ArraySlice<UInt8>?
    if authority.first == 0x5B {
      guard let close = authority.firstIndex(of: 0x5D) else {
        throw Fault(message: "missing ']' in host")
      }
      host = authority[(authority.startIndex + 1)..<close]
      let after = authority[(close + 1)...]
      guard after.isEmpty || after.first == 0x3A else {
        throw Fault(message: "invalid port \(text(after).debugDescription) after host")
      }
      port = after.isEmpty ? nil : after.dropFirst()
    } else if let colon = authority.firstIndex(of: 0x3A) {
      host = authority[..<colon]
      port = authority[(colon + 1)...]
    }
    guard !host.isEmpty else { throw Fault(message: "http: no Host in request URL") }
    guard let port, !port.isEmpty else { return (text(host), defaultPort) }
    guard let number = HostPort.port(port) else {
      throw Fault(message: "invalid port \((":" + text(port)).debugDescription) after host")
    }
    return (text(host), number)
  }

  /// The URL that `location` means when it comes as a redirect of this one (RFC 3986 5.2, without
  /// the removal of dot segments, which is the server's affair).
  func resolving(_ location: String) throws(Fault) -> ProbeURL {
    let scheme = isSecure ? "https" : "http"
    if location.contains("://") { return try ProbeURL(location) }
    if location.hasPrefix("//") { return try ProbeURL(scheme + ":" + location) }
    let origin = scheme + "://" + authority
    if location.hasPrefix("/") { return try ProbeURL(origin + location) }
    let path = target.prefix { $0 != "?" }
    if location.hasPrefix("?") || location.isEmpty { return try ProbeURL(origin + path + location) }
    let folder = path[...(path.lastIndex(of: "/") ?? path.startIndex)]
    return try ProbeURL(origin + folder + location)
  }

  /// As in messages.
  var description: String { (isSecure ? "https" : "http") + "://" + authority + target }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes, as: UTF8.self)
  }

  private static func find(_ needle: StaticString, in bytes: [UInt8]) -> Int? {
    let wanted = Array(needle.description.utf8)
    guard bytes.count >= wanted.count else { return nil }
    return (0...(bytes.count - wanted.count)).first { start in
      bytes[start..<start + wanted.count].elementsEqual(wanted)
    }
  }
}

/// `host:port` of a TCP check, with the faults in the words of Go's `net.Dial`.
struct HostPort: Equatable {
  var host: String
  var port: UInt16

  struct Fault: Error, Equatable {
    var message: String
  }

  init(_ text: String) throws(Fault) {
    let bytes = Array(text.utf8)
    guard let colon = bytes.lastIndex(of: 0x3A) else {
      throw Fault(message: "address \(text): missing port in address")
    }
    var name = bytes[..<colon]
    if name.first == 0x5B {
      guard name.last == 0x5D else {
        throw Fault(message: "address \(text): missing ']' in address")
      }
      name = name.dropFirst().dropLast()
    } else if name.contains(0x3A) {
      throw Fault(message: "address \(text): too many colons in address")
    }
    guard let number = Self.port(bytes[(colon + 1)...]) else {
      throw Fault(message: "address \(text): invalid port")
    }
    // Go dials the local host when the name is empty.
    host = name.isEmpty ? "127.0.0.1" : String(decoding: name, as: UTF8.self)
    port = number
  }

  static func port(_ digits: ArraySlice<UInt8>) -> UInt16? {
    guard !digits.isEmpty, digits.count <= 5 else { return nil }
    var number: UInt32 = 0
    for digit in digits {
      guard digit >= 0x30 && digit <= 0x39 else { return nil }
      number = number * 10 + UInt32(digit - 0x30)
    }
    return UInt16(exactly: number)
  }
}
