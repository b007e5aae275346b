internal import CRoost

/// An IPv4 or IPv6 address and port.
package struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
  /// Network order: 4 or 16 bytes.
  package let ip: [UInt8]
  package let port: UInt16

  package init(ip: [UInt8], port: UInt16) {
    self.ip = ip
    self.port = port
  }

  /// Parses "1.2.3.4:80" and "[::1]:80"; no names. Nil when it is neither.
  package init?(parsing text: String) {
    let bytes = Array(text.utf8)
    guard let colon = bytes.lastIndex(of: UInt8(ascii: ":")),
      let port = SocketAddress.parsePort(bytes[(colon + 1)...])
    else { return nil }
    var host = bytes[..<colon]
    let isBracketed = host.first == UInt8(ascii: "[") && host.last == UInt8(ascii: "]")
    if isBracketed { host = host.dropFirst().dropLast() }
    self.init(host: String(decoding: host, as: UTF8.self), port: port)
    // "::1:80" could be read in two ways, "[1.2.3.4]:80" is no address of any RFC.
    guard isBracketed == (ip.count == 16) else { return nil }
  }

  /// Parses "1.2.3.4" or "::1".
  package init?(host: String, port: UInt16) {
    guard host.utf8.count < 46, !host.utf8.contains(0) else { return nil }
    var raw = croost_address()
    // Sound: both pointers live for the call, the text ends with a zero.
    guard unsafe host.withCString({ text in unsafe croost_parse_ip(text, &raw) }) == 1 else {
      return nil
    }
    raw.port = port
    self.init(raw)
  }

  init(_ raw: croost_address) {
    let length = raw.ip_length == 4 ? 4 : 16
    self.init(
      ip: unsafe withUnsafeBytes(of: raw.ip) { bytes in
        // Sound: the field has 16 bytes.
        unsafe Array(bytes[..<length])
      }, port: raw.port)
  }

  /// As the C shim wants it. An address of another length than 4 or 16 becomes "any".
  var raw: croost_address {
    var raw = croost_address()
    raw.ip_length = ip.count == 4 ? 4 : 16
    raw.port = port
    unsafe withUnsafeMutableBytes(of: &raw.ip) { bytes in
      // Sound: the field has 16 bytes and at most so many are copied.
      unsafe bytes.copyBytes(from: ip.prefix(16))
    }
    return raw
  }

  private static func parsePort(_ digits: ArraySlice<UInt8>) -> UInt16? {
    guard !digits.isEmpty, digits.count <= 5 else { return nil }
    var value: UInt32 = 0
    for digit in digits {
      guard digit >= 0x30, digit <= 0x39 else { return nil }
      value = value * 10 + UInt32(digit - 0x30)
    }
    return UInt16(exactly: value)
  }

  /// "1.2.3.4" or "::1".
  package var host: String {
    var text = [UInt8](repeating: 0, count: 64)
    var raw = raw
    unsafe text.withUnsafeMutableBytes { buffer in
      // Sound: C writes at most 46 bytes, a terminating zero among them.
      unsafe croost_format_ip(&raw, buffer.baseAddress?.assumingMemoryBound(to: CChar.self))
    }
    return String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
  }

  /// "1.2.3.4:80" or "[::1]:80".
  package var description: String { ip.count == 4 ? "\(host):\(port)" : "[\(host)]:\(port)" }
}
