internal import Raft
internal import Wire

/// What a connection is for; the dialing side decides.
enum PeerPurpose: UInt8, CaseIterable {
  case raft = 1
  case bulk = 2
  case probe = 3
}

/// The start of every connection.
///
/// Each side sends a preamble ("ROOST", lowest and highest version it speaks, two bytes each) and
/// a hello frame, or a refusal frame instead of it; the dialing side goes first. Nothing else is
/// looked at before both hellos are checked.
enum Handshake {
  static let versionMin: UInt16 = 1
  static let versionMax: UInt16 = 1
  static let preambleBytes = 9
  private static let magic = Array("ROOST".utf8)
  private static let nameBytesMax = 255
  private static let clusterIDBytes = 16

  struct Hello: Equatable {
    var purpose: PeerPurpose
    var identity: PeerIdentity
    /// Whom the sender wants to talk to; nil: whoever is there.
    var target: NodeID?
    var advertisedHost: String
    var advertisedPort: UInt16
  }

  struct Fault: Error, Equatable {
    var reason: PeerRejection.Reason
    var text: String
    /// See `PeerDoubt.heldIndex`; 0 for every other reason.
    var heldIndex: UInt64 = 0
  }

  // MARK: Preamble

  static func appendPreamble(to bytes: inout [UInt8]) {
    bytes += magic
    for version in [versionMin, versionMax] {
      bytes.append(UInt8(truncatingIfNeeded: version))
      bytes.append(UInt8(truncatingIfNeeded: version >> 8))
    }
  }

  /// The version both sides speak, nil when more bytes are needed.
  static func parsePreamble(_ bytes: ArraySlice<UInt8>) throws(Fault) -> UInt16? {
    guard bytes.prefix(magic.count).elementsEqual(magic.prefix(bytes.count)) else {
      throw Fault(reason: .garbage, text: "this is no Roost peer (it speaks another protocol)")
    }
    guard bytes.count >= preambleBytes else { return nil }
    let numbers = Array(bytes.dropFirst(magic.count).prefix(4))
    let lowest = UInt16(numbers[0]) | UInt16(numbers[1]) << 8
    let highest = UInt16(numbers[2]) | UInt16(numbers[3]) << 8
    let common = min(highest, versionMax)
    guard lowest <= highest, common >= max(lowest, versionMin) else {
      throw Fault(
        reason: .wrongVersion,
        text: "it speaks protocol versions \(lowest) to \(highest), this node \(versionMin) to "
          + "\(versionMax); upgrade one version at a time")
    }
    return common
  }

  // MARK: Hello and refusal

  static func encode(_ hello: Hello, into writer: inout Writer) {
    writer.u8(hello.purpose.rawValue)
    writer.text(hello.identity.clusterName)
    writer.flag(hello.identity.clusterID != nil)
    if let id = hello.identity.clusterID { writer.raw(id) }
    writer.u64(hello.identity.nodeID.value)
    writer.text(hello.identity.nodeName)
    writer.flag(hello.identity.isEstablished)
    writer.u64(hello.target?.value ?? 0)
    writer.text(hello.advertisedHost)
    writer.u16(hello.advertisedPort)
    writer.flag(hello.identity.foundingID != nil)
    if let id = hello.identity.foundingID { writer.raw(id) }
    writer.u64(hello.identity.incarnation)
    writer.u64(hello.identity.persistedIndex)
  }

  static func decode(_ reader: inout Reader) throws(WireError) -> Hello {
    let rawPurpose = try reader.u8()
    guard let purpose = PeerPurpose(rawValue: rawPurpose) else {
      throw .unknownTag(UInt64(rawPurpose))
    }
    let clusterName = try name(&reader)
    let clusterID = try reader.flag() ? try reader.raw(clusterIDBytes) : nil
    let nodeID = NodeID(try reader.u64())
    let identity = PeerIdentity(
      clusterName: clusterName, clusterID: clusterID, nodeID: nodeID,
      nodeName: try name(&reader), isEstablished: try reader.flag())
    let target = try reader.u64()
    var hello = Hello(
      purpose: purpose, identity: identity, target: target == 0 ? nil : NodeID(target),
      advertisedHost: try name(&reader), advertisedPort: try reader.u16())
    hello.identity.foundingID = try reader.flag() ? try reader.raw(clusterIDBytes) : nil
    hello.identity.incarnation = try reader.u64()
    hello.identity.persistedIndex = try reader.u64()
    guard nodeID.value != 0 else { throw .unknownTag(0) }
    try reader.finish()
    return hello
  }

  private static func name(_ reader: inout Reader) throws(WireError) -> String {
    let text = try reader.text()
    guard text.utf8.count <= nameBytesMax else { throw .tooLong }
    return text
  }

  static func encode(_ fault: Fault, into writer: inout Writer) {
    writer.u8(fault.reason.rawValue)
    writer.text(fault.text)
    writer.u64(fault.heldIndex)
  }

  static func decodeRefusal(_ reader: inout Reader) throws(WireError) -> Fault {
    let rawReason = try reader.u8()
    guard let reason = PeerRejection.Reason(rawValue: rawReason) else {
      throw .unknownTag(UInt64(rawReason))
    }
    let text = try name(&reader)
    let heldIndex = try reader.u64()
    try reader.finish()
    return Fault(reason: reason, text: text, heldIndex: heldIndex)
  }

  // MARK: The rules

  /// Why this side (`own`) must not talk to the sender of `hello`; nil when it may.
  /// `expected`: whom this side dialed, nil when it accepted or does not know.
  static func fault(
    in hello: Hello, own: PeerIdentity, expected: NodeID?
  ) -> Fault? {
    let other = hello.identity
    guard other.clusterName == own.clusterName else {
      return Fault(
        reason: .wrongCluster,
        text: "cluster \"\(excerpt(other.clusterName))\" meets cluster "
          + "\"\(excerpt(own.clusterName))\"")
    }
    if differ(other.clusterID, own.clusterID)
      || (other.clusterID == nil || own.clusterID == nil)
        && differ(other.foundingID, own.foundingID)
    {
      return Fault(
        reason: .wrongCluster,
        text: "two different clusters have the name \"\(excerpt(own.clusterName))\"")
    }
    if let target = hello.target, target != own.nodeID {
      return Fault(
        reason: .wrongNode, text: "meant for node \(target), but here is node \(own.nodeID)")
    }
    if let expected, expected != other.nodeID {
      return Fault(
        reason: .wrongNode, text: "node \(expected) was expected, but here is \(other.nodeID)")
    }
    guard hello.purpose == .probe || other.nodeID != own.nodeID else {
      return Fault(reason: .sameID, text: "both sides have the node id \(own.nodeID)")
    }
    return nil
  }

  private static func differ(_ a: [UInt8]?, _ b: [UInt8]?) -> Bool {
    if let a, let b { a != b } else { false }
  }

  /// A refusal must fit into the other side's limits.
  private static func excerpt(_ name: String) -> String {
    String(decoding: name.utf8.prefix(40), as: UTF8.self)
  }
}
