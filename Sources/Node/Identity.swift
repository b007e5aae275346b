package import Raft
import Wire

/// Ids of nodes, and what the replicated configuration keeps about a member beside its id.
extension NodeID {
  /// The id that every member of a new cluster can compute for every other, without a word:
  /// FNV-1a over the names, then mixed so that similar names give unrelated ids. Never 0.
  static func ofInitialMember(cluster: String, name: String) -> NodeID {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    func add(_ text: String) {
      for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
      hash = (hash ^ 0xFF) &* 0x0000_0100_0000_01B3
    }
    add(cluster)
    add(name)
    return NodeID(mixed(hash) | 1)
  }

  /// For a node that joins, or that comes back without its disk.
  static func random() -> NodeID { NodeID(UInt64.random(in: 1 ... .max)) }

  static func mixed(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

extension Node {
  /// The id as Consul shows server ids: its low half is the id itself, so it can be read back.
  package static func uuid(of id: NodeID) -> String {
    func hex(_ value: UInt64, _ digits: Int) -> String {
      let text = String(value, radix: 16)
      return String(repeating: "0", count: digits - text.count) + text
    }
    let high = NodeID.mixed(id.value)
    return hex(high >> 32, 8) + "-" + hex((high >> 16) & 0xFFFF, 4) + "-"
      + hex(high & 0xFFFF, 4) + "-" + hex(id.value >> 48, 4) + "-"
      + hex(id.value & 0xFFFF_FFFF_FFFF, 12)
  }

  /// Reads back what `uuid(of:)` wrote, in either case. Nil for anything else.
  package static func id(ofUUID text: String) -> NodeID? {
    let digits = text.utf8.filter { $0 != UInt8(ascii: "-") }
    guard text.utf8.count == 36, digits.count == 32,
      let low = UInt64(String(decoding: digits.suffix(16), as: UTF8.self), radix: 16), low != 0,
      uuid(of: NodeID(low)) == text.lowercased()
    else { return nil }
    return NodeID(low)
  }
}

/// "host:port" as configurations write it; IPv6 addresses in brackets.
struct HostPort: Equatable {
  var host: String
  var port: UInt16

  init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  init?(_ text: String) {
    guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
    var host = text[..<colon]
    let digits = text[text.utf8.index(after: colon)...]
    if host.utf8.first == UInt8(ascii: "["), host.utf8.last == UInt8(ascii: "]") {
      host = host.dropFirst().dropLast()
    }
    guard !host.isEmpty, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
      let port = UInt16(digits), port > 0
    else { return nil }
    self.host = String(host)
    self.port = port
  }

  var text: String {
    host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}

/// `Member.context`: the name and the peer address of a member.
struct MemberContext: Equatable {
  var name: String
  /// "host:port".
  var address: String

  init(name: String, address: String) {
    self.name = name
    self.address = address
  }

  /// Nil when the bytes are none of ours: such a member is shown by its id and not dialed.
  init?(_ bytes: [UInt8]) {
    var reader = Reader(bytes)
    do {
      guard try reader.u8() == 1 else { return nil }
      name = try reader.text()
      address = try reader.text()
      try reader.finish()
    } catch { return nil }
  }

  var encoded: [UInt8] {
    var writer = Writer(reserving: name.utf8.count + address.utf8.count + 4)
    writer.u8(1)
    writer.text(name)
    writer.text(address)
    return writer.bytes
  }
}

extension Configuration {
  func names(_ id: NodeID) -> Bool { members.contains { $0.id == id } }
  func hasVoter(_ id: NodeID) -> Bool { voters.contains(id) || outgoing.contains(id) }
  func context(of id: NodeID) -> MemberContext? {
    members.first { $0.id == id }.flatMap { MemberContext($0.context) }
  }
}
