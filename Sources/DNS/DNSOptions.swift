package import EventLoop

/// What an operator decides about DNS; Consul's names and defaults (`dns_config`).
package struct DNSOptions: Sendable {
  package var datacenter = "dc1"
  package var domain: DNSName
  /// A second domain that is answered like the first.
  package var alternativeDomain: DNSName?
  /// Seconds.
  package var nodeTTL: UInt32 = 0
  /// By service name in lower case; "*" is for all others, "web-*" for a prefix. The longest that
  /// fits counts.
  package var serviceTTL: [(service: String, seconds: UInt32)] = []
  /// Leaves out instances with a warning.
  package var isOnlyPassing = false
  /// Records in a UDP answer to a client that does not speak EDNS0; at most 8 are given.
  package var udpAnswerLimit = 3
  /// Sets TC when records were left out. Off: many clients would repeat over TCP for nothing.
  package var isTruncationEnabled = false
  /// A node that heard no leader for longer does not answer.
  package var staleMillisecondsMax: UInt64 = 87_600 * 3_600_000
  /// Answers come from this node's own state; off, each waits for a read barrier.
  package var isStaleAllowed = true
  /// Who is asked about names outside the domain; nobody unless given (no open resolver).
  package var recursors: [SocketAddress] = []
  package var recursorTimeoutNanoseconds: UInt64 = 2_000_000_000

  package init(domain: DNSName) { self.domain = domain }

  func ttl(ofService name: String) -> UInt32 {
    var best: (length: Int, seconds: UInt32) = (-1, 0)
    for (pattern, seconds) in serviceTTL {
      if pattern == name { return seconds }
      guard pattern.utf8.last == UInt8(ascii: "*") else { continue }
      let prefix = pattern.dropLast()
      if prefix.utf8.count > best.length, name.hasPrefix(prefix) {
        best = (prefix.utf8.count, seconds)
      }
    }
    return best.seconds
  }
}

/// The bounds of the server, and what happens at each.
package struct DNSLimits: Sendable {
  /// Longer questions are malformed: a name has 255 bytes, an OPT record a few options.
  package var queryBytesMax = 4096
  /// More are refused by closing the connection.
  package var connectionsMax = 1024
  package var connectionsPerClientMax = 256
  /// A connection without a question for so long is closed (RFC 7766 6.2.3).
  package var idleNanoseconds: UInt64 = 20_000_000_000
  /// No further question of a connection is read while more than this waits to be sent.
  package var outputHighWater = 256 << 10
  /// Questions that wait for a read barrier or a recursor; more are answered SERVFAIL.
  package var pendingMax = 512
  /// Bytes that one network (IPv4 /24, IPv6 /56) may be sent over UDP beyond three times what its
  /// questions had, per second; four seconds' worth may come at once. Then answers are empty with
  /// TC set, so that a client with a true address comes over TCP (S32). Loopback is free.
  package var amplifiedBytesPerSecond = 1 << 20

  package init() {}
}
