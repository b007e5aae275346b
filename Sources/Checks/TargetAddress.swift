import EventLoop

/// Which addresses a check may connect to. Asked for every connection, after name resolution: a
/// name may point anywhere, and elsewhere the next time.
enum TargetAddress {
  /// 169.254.0.0/16 and fe80::/10, also as an IPv4-mapped IPv6 address.
  static func isLinkLocal(_ address: SocketAddress) -> Bool {
    let ip = address.ip
    if ip.count == 4 { return ip[0] == 169 && ip[1] == 254 }
    guard ip.count == 16 else { return false }
    let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
    if ip.starts(with: mapped) { return ip[12] == 169 && ip[13] == 254 }
    return ip[0] == 0xFE && ip[1] & 0xC0 == 0x80
  }
}

/// Why no connection came about, in the words of Go's `net` package, which users of Consul know.
enum DialFault {
  static func text(_ address: SocketAddress, _ error: SystemError) -> String {
    "dial tcp \(address): connect: \(SystemError.text(of: error.code))"
  }
  static func timeout(_ address: SocketAddress) -> String { "dial tcp \(address): i/o timeout" }
  static func lookup(_ failure: Resolver.Failure) -> String {
    "dial tcp: lookup \(failure.host): no such host (\(failure.text))"
  }
  static func linkLocal(_ address: SocketAddress) -> String {
    "dial tcp \(address): link-local targets are refused"
  }
}
