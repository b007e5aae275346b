/// An IPv4 or IPv6 address and port. STUB.
package struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
  /// Network order: 4 or 16 bytes.
  package let ip: [UInt8]
  package let port: UInt16

  package init(ip: [UInt8], port: UInt16) {
    self.ip = ip
    self.port = port
  }
  /// Parses "1.2.3.4:80" and "[::1]:80"; no names. Nil when it is neither.
  package init?(parsing text: String) { fatalError("stub") }
  /// Parses "1.2.3.4" or "::1".
  package init?(host: String, port: UInt16) { fatalError("stub") }
  /// "1.2.3.4" or "::1".
  package var host: String { fatalError("stub") }
  /// "1.2.3.4:80" or "[::1]:80".
  package var description: String { fatalError("stub") }
}
