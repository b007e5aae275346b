import EventLoop
import HTTP

/// The keys of DNS: Consul's names, durations as Consul writes them ("10s", "1h30m").
extension NodeConfiguration {
  static let dnsFields: [ConfigurationField] = [
    text("domain") { $0.domain = $1 },
    text("alt_domain") { $0.alternativeDomain = $1 },
    ConfigurationField(path: "recursors", set: setRecursors),
    duration("dns_config.node_ttl") { $0.dns.nodeTTL = UInt32(clamping: $1 / 1000) },
    ConfigurationField(path: "dns_config.service_ttl", set: setServiceTTL),
    flag("dns_config.only_passing") { $0.dns.isOnlyPassing = $1 },
    integer("dns_config.udp_answer_limit", 1...65_535) { $0.dns.udpAnswerLimit = $1 },
    flag("dns_config.enable_truncate") { $0.dns.isTruncationEnabled = $1 },
    duration("dns_config.max_stale") { $0.dns.staleMillisecondsMax = $1 },
    flag("dns_config.allow_stale") { $0.dns.isStaleAllowed = $1 },
    duration("dns_config.recursor_timeout") { $0.dns.recursorTimeoutMilliseconds = max(1, $1) },
  ]

  static func duration(
    _ path: String, _ set: @escaping @Sendable (inout NodeConfiguration, UInt64) -> Void
  ) -> ConfigurationField {
    ConfigurationField(path: path) { value, configuration in
      guard case .string(let text) = value else {
        return expected(#"a duration such as "10s""#, value)
      }
      guard let milliseconds = milliseconds(text) else {
        return #""\#(text)" is not a duration such as "10s", "500ms" or "1h30m""#
      }
      set(&configuration, milliseconds)
      return nil
    }
  }

  private static func setServiceTTL(
    _ value: JSONValue, _ configuration: inout NodeConfiguration
  ) -> String? {
    guard case .object(let fields) = value else {
      return expected(#"an object such as { "web": "10s", "*": "1s" }"#, value)
    }
    var settings: [DNSSettings.ServiceTTL] = []
    for field in fields {
      guard case .string(let text) = field.value, let milliseconds = milliseconds(text) else {
        return "\(field.name): " + expected(#"a duration such as "10s""#, field.value)
      }
      settings.append(
        DNSSettings.ServiceTTL(
          service: field.name.lowercased(), seconds: UInt32(clamping: milliseconds / 1000)))
    }
    configuration.dns.serviceTTL = settings
    return nil
  }

  private static func setRecursors(
    _ value: JSONValue, _ configuration: inout NodeConfiguration
  ) -> String? {
    guard let texts = list(value) else {
      return expected(#"a list of addresses such as "10.0.0.2" or "10.0.0.2:53""#, value)
    }
    var recursors: [SocketAddress] = []
    for text in texts {
      guard
        let address = SocketAddress(parsing: text) ?? SocketAddress(host: text, port: 53),
        address.port > 0
      else { return #""\#(text)" is not an IP address, with or without a port"# }
      recursors.append(address)
    }
    configuration.recursors = recursors
    return nil
  }

  /// Numbers with units, one after the other: h, m, s, ms. Nil when it is not that, or longer than
  /// a century.
  static func milliseconds(_ text: String) -> UInt64? {
    let units: [(name: String, milliseconds: UInt64)] = [
      ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000),
    ]
    let centuryMilliseconds: UInt64 = 876_600 * 3_600_000
    if text == "0" { return 0 }
    var total: UInt64 = 0
    var rest = text[...]
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
      let digits = rest.prefix { $0 >= "0" && $0 <= "9" }
      rest = rest.dropFirst(digits.count)
      let name = rest.prefix { $0 >= "a" && $0 <= "z" }
      rest = rest.dropFirst(name.count)
      guard digits.utf8.count <= 12, let number = UInt64(digits),
        let unit = units.first(where: { $0.name == name })
      else { return nil }
      let (product, isTooMuch) = number.multipliedReportingOverflow(by: unit.milliseconds)
      guard !isTooMuch, product <= centuryMilliseconds else { return nil }
      total += product
      guard total <= centuryMilliseconds else { return nil }
    }
    return total
  }
}
