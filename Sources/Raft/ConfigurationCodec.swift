/// The bytes of a configuration entry.
///
///     version (1 byte, 1)
///     voters, outgoing, learners: count (2 bytes), then 8 bytes for each id
///     members: count (2 bytes), then for each id (8 bytes), context length (4 bytes), context
///
/// All numbers little-endian. Decoding accepts only what encoding makes: sorted lists that belong
/// together, and nothing after the end.
extension Configuration {
  private static let version: UInt8 = 1
  /// Members of one configuration at most, and bytes of one context.
  static let membersMax = 1024
  static let contextBytesMax = 1 << 16

  public func encoded() -> [UInt8] {
    var bytes: [UInt8] = [Self.version]
    for list in [voters, outgoing, learners] {
      Self.put(UInt64(list.count), bytes: 2, into: &bytes)
      for id in list { Self.put(id.value, bytes: 8, into: &bytes) }
    }
    Self.put(UInt64(members.count), bytes: 2, into: &bytes)
    for member in members {
      Self.put(member.id.value, bytes: 8, into: &bytes)
      Self.put(UInt64(member.context.count), bytes: 4, into: &bytes)
      bytes.append(contentsOf: member.context)
    }
    return bytes
  }

  /// Nil when the bytes are no configuration, or one whose lists contradict each other.
  public init?(decoding bytes: [UInt8]) {
    guard bytes.first == Self.version else { return nil }
    var rest = bytes[1...]
    guard let voters = Self.takeList(&rest), let outgoing = Self.takeList(&rest),
      let learners = Self.takeList(&rest), let count = Self.take(2, &rest),
      count <= UInt64(Self.membersMax)
    else { return nil }
    var members: [Member] = []
    for _ in 0..<count {
      guard let id = Self.take(8, &rest), let length = Self.take(4, &rest),
        length <= UInt64(Self.contextBytesMax), length <= UInt64(rest.count)
      else { return nil }
      members.append(Member(id: NodeID(id), context: Array(rest.prefix(Int(length)))))
      rest = rest.dropFirst(Int(length))
    }
    self.init(voters: voters, outgoing: outgoing, learners: learners, members: members)
    guard rest.isEmpty, isConsistent else { return nil }
  }

  private static func put(_ value: UInt64, bytes count: Int, into bytes: inout [UInt8]) {
    for position in 0..<count {
      bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * position)))
    }
  }

  private static func take(_ count: Int, _ rest: inout ArraySlice<UInt8>) -> UInt64? {
    guard rest.count >= count else { return nil }
    var value: UInt64 = 0
    for (position, byte) in rest.prefix(count).enumerated() {
      value |= UInt64(byte) << UInt64(8 * position)
    }
    rest = rest.dropFirst(count)
    return value
  }

  private static func takeList(_ rest: inout ArraySlice<UInt8>) -> [NodeID]? {
    guard let count = take(2, &rest), count <= UInt64(membersMax) else { return nil }
    var list: [NodeID] = []
    for _ in 0..<count {
      guard let id = take(8, &rest) else { return nil }
      list.append(NodeID(id))
    }
    return list
  }
}
