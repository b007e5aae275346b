/// What a name in the domain asks for (consul-api.md 21.1).
enum DNSLookup: Equatable {
  /// `tag` in lower case.
  case service(name: String, tag: String?)
  case node(String)
  case preparedQuery(String)
  /// The hexadecimal digits of an `addr` name.
  case address(String)
  /// No form that is known, another datacenter, or the mesh: the name does not exist.
  case unknown

  /// - Parameter labels: those in front of the domain, in lower case.
  init(_ labels: [String], type: UInt16, datacenter: String) {
    self = .unknown
    // From the right: what stands behind the kind is the datacenter, before it a name with dots.
    for (position, label) in labels.enumerated().reversed() {
      let parts = labels[..<position]
      let suffix = labels[(position + 1)...]
      switch label {
      case "service", "node", "query", "addr", "connect", "ingress", "virtual":
        guard suffix.count <= 1, !parts.isEmpty else { return }
        guard suffix.first ?? datacenter == datacenter else { return }
        self.init(kind: label, parts: parts)
        return
      default:
        // RFC 2782 names need no `service` for SRV: `_web._tcp.consul`.
        guard type == DNSType.srv, label.hasPrefix("_"), position > 0 else { continue }
        guard suffix.count <= 1, suffix.first ?? datacenter == datacenter else { return }
        self.init(kind: "service", parts: labels[...position])
        return
      }
    }
  }

  private init(kind: String, parts: ArraySlice<String>) {
    switch kind {
    case "service": self = Self.service(parts)
    case "node": self = .node(parts.joined(separator: "."))
    case "query": self = .preparedQuery(parts.joined(separator: "."))
    case "addr": self = parts.count == 1 ? .address(parts.joined()) : .unknown
    default: self = .unknown
    }
  }

  private static func service(_ parts: ArraySlice<String>) -> DNSLookup {
    guard let last = parts.last, let first = parts.first else { return .unknown }
    if parts.count == 2, first.hasPrefix("_"), last.hasPrefix("_") {
      // RFC 2782: the protocol's place holds the tag, and `tcp` stands for none.
      let tag = String(last.dropFirst())
      return .service(name: String(first.dropFirst()), tag: tag == "tcp" ? nil : tag)
    }
    let tags = parts.dropLast()
    return .service(name: last, tag: tags.isEmpty ? nil : tags.joined(separator: "."))
  }
}

/// Addresses written as names.
enum DNSReverse {
  /// The address of `d.c.b.a.in-addr.arpa` or of 32 digits under `ip6.arpa` (RFC 1035 3.5,
  /// RFC 3596 2.5); nil when the name is no whole address.
  static func address(_ labels: [String]) -> [UInt8]? {
    guard labels.count >= 2, labels[labels.count - 1] == "arpa" else { return nil }
    let parts = labels.dropLast(2).reversed()
    switch (labels[labels.count - 2], parts.count) {
    case ("in-addr", 4):
      let bytes = parts.compactMap(decimal)
      return bytes.count == 4 ? bytes : nil
    case ("ip6", 32):
      return hexadecimal(parts.joined())
    default:
      return nil
    }
  }

  /// 0 to 255, without signs and leading zeros.
  private static func decimal(_ text: String) -> UInt8? {
    guard text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), text.utf8.count <= 3,
      text.utf8.count == 1 || text.utf8.first != 0x30
    else { return nil }
    return UInt8(text)
  }

  /// 8 or 32 digits: 4 or 16 bytes.
  static func hexadecimal(_ text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count == 8 || digits.count == 32 else { return nil }
    var bytes: [UInt8] = []
    for i in stride(from: 0, to: digits.count, by: 2) {
      guard let high = value(digits[i]), let low = value(digits[i + 1]) else { return nil }
      bytes.append(high << 4 | low)
    }
    return bytes
  }

  private static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x41...0x46: digit - 0x41 + 10
    case 0x61...0x66: digit - 0x61 + 10
    default: nil
    }
  }

  static func hexadecimal(_ ip: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in ip {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }
}
