package import Wire

/// The bytes of a command in the log:
///
///     version 1 (u8) · time (u64) · 1 has request id, 2 has origin, 4 has floor (u8) ·
///     [origin (20 bytes)] · [request id (16 bytes)] · [floor (u64)] · tag (u8) · body
///
/// Decoding is strict: an unknown version or tag, a count beyond the end and bytes left over are
/// errors, the same on every node. Nothing here nests, so nothing recurses.
extension CommandEnvelope {
  static var version: UInt8 { 1 }
  static var timeOffset: Int { 1 }

  package func encoded() -> [UInt8] {
    Self.encode(command, time: time, requestID: requestID, floor: floor, origin: origin)
  }

  /// The bytes of an envelope that is not made: its command would be copied.
  package static func encode(
    _ command: Command, time: UInt64, requestID: UniqueID?, floor: UInt64?, origin: OriginStamp?
  ) -> [UInt8] {
    encode(command, Header(time: time, origin: origin, requestID: requestID, floor: floor))
  }

  package static func encode(_ command: Command, _ header: Header) -> [UInt8] {
    var writer = Writer(reserving: Header.bytesMax + command.bodyBytes)
    header.encode(into: &writer)
    command.encode(into: &writer)
    return writer.bytes
  }

  package static func encode(_ set: KVSetParts, _ header: Header) -> [UInt8] {
    var writer = Writer(
      reserving: Header.bytesMax + Command.kvSetBytes(set.key.count, set.value.count))
    header.encode(into: &writer)
    writer.u8(CommandTag.kvSet.rawValue)
    set.encode(into: &writer)
    return writer.bytes
  }

  /// Sets the time in encoded bytes without decoding them; nothing happens if they are too short.
  package static func stamp(_ bytes: inout [UInt8], time: UInt64) {
    guard bytes.count >= timeOffset + 8 else { return }
    bytes.setU64(time, at: timeOffset)
  }

  /// Sets the floor in encoded bytes that have one.
  package static func stamp(_ bytes: inout [UInt8], floor: UInt64) {
    guard bytes.count > timeOffset + 8, bytes[timeOffset + 8] & hasFloor != 0 else { return }
    let start = timeOffset + 9 + (bytes[timeOffset + 8] & hasOrigin != 0 ? 20 : 0) + 16
    guard bytes.count >= start + 8 else { return }
    bytes.setU64(floor, at: start)
  }

  /// What stands before the command.
  package struct Header {
    let time: UInt64
    let origin: OriginStamp?
    let requestID: UniqueID?
    let floor: UInt64?

    static var bytesMax: Int { 1 + 8 + 1 + 20 + 16 + 8 }

    package init(time: UInt64, origin: OriginStamp?, requestID: UniqueID?, floor: UInt64?) {
      self.time = time
      self.origin = origin
      self.requestID = requestID
      self.floor = floor
    }

    func encode(into writer: inout Writer) {
      let start = writer.zeros(
        CommandEnvelope.originOffset + (origin == nil ? 0 : OriginStamp.bytes))
      writer.bytes[start] = CommandEnvelope.version
      writer.bytes.setU64(time, at: start + CommandEnvelope.timeOffset)
      writer.bytes[start + CommandEnvelope.originOffset - 1] =
        (requestID == nil ? 0 : hasRequestID) | (origin == nil ? 0 : hasOrigin)
        | (floor == nil ? 0 : hasFloor)
      origin?.store(into: &writer.bytes, at: start + CommandEnvelope.originOffset)
      if let requestID { writer.uniqueID(requestID) }
      if let floor { writer.u64(floor) }
    }

    init(from reader: inout Reader) throws(WireError) {
      let version = try reader.u8()
      guard version == CommandEnvelope.version else { throw .unknownTag(UInt64(version)) }
      time = try reader.u64()
      let parts = try reader.u8()
      guard parts <= 7, parts & hasFloor == 0 || parts & hasRequestID != 0 else {
        throw .unknownTag(UInt64(parts))
      }
      origin = parts & hasOrigin != 0 ? try OriginStamp(from: &reader) : nil
      requestID = parts & hasRequestID != 0 ? try reader.uniqueID() : nil
      floor = parts & hasFloor != 0 ? try reader.u64() : nil
    }
  }

  package init(decoding bytes: [UInt8]) throws(WireError) {
    var reader = Reader(bytes)
    let header = try Header(from: &reader)
    let command = try Command(tag: try CommandTag(from: &reader), from: &reader)
    try reader.finish()
    self.init(
      time: header.time, requestID: header.requestID, floor: header.floor, origin: header.origin,
      command: command)
  }
}

/// Fixed for ever: they are in logs on disk. A new command takes the next number.
enum CommandTag: UInt8 {
  case kvSet = 1
  case kvDelete, kvDeleteTree, register, deregister, agentRegister, agentDeregister
  case agentCheckRegister, agentCheckDeregister, checkUpdate, maintenance, hostJoin, hostDown
  case hostLeave, sessionCreate, sessionDestroy, transaction, reapTombstones
  case configSet, configDelete, autopilotSet, eventFire, querySet, queryDelete
  case restoreChunk, restoreCommit, restoreAbort, cluster

  init(from reader: inout Reader) throws(WireError) {
    let byte = try reader.u8()
    guard let tag = CommandTag(rawValue: byte) else { throw .unknownTag(UInt64(byte)) }
    self = tag
  }
}

extension Command {
  /// About as many bytes as it takes: what is large is not to be moved while it is encoded.
  fileprivate var bodyBytes: Int {
    switch self {
    case .kvSet(let set): Self.kvSetBytes(set.key.bytes.count, set.value.count)
    case .restoreChunk(let chunk): 64 + chunk.bytes.count
    default: 64
    }
  }

  fileprivate static func kvSetBytes(_ key: Int, _ value: Int) -> Int { 32 + key + value }

  var tag: CommandTag {
    switch self {
    case .kvSet: .kvSet
    case .kvDelete: .kvDelete
    case .kvDeleteTree: .kvDeleteTree
    case .register: .register
    case .deregister: .deregister
    case .agentRegister: .agentRegister
    case .agentDeregister: .agentDeregister
    case .agentCheckRegister: .agentCheckRegister
    case .agentCheckDeregister: .agentCheckDeregister
    case .checkUpdate: .checkUpdate
    case .maintenance: .maintenance
    case .hostJoin: .hostJoin
    case .hostDown: .hostDown
    case .hostLeave: .hostLeave
    case .sessionCreate: .sessionCreate
    case .sessionDestroy: .sessionDestroy
    case .transaction: .transaction
    case .reapTombstones: .reapTombstones
    case .configSet: .configSet
    case .configDelete: .configDelete
    case .autopilotSet: .autopilotSet
    case .eventFire: .eventFire
    case .querySet: .querySet
    case .queryDelete: .queryDelete
    case .restoreChunk: .restoreChunk
    case .restoreCommit: .restoreCommit
    case .restoreAbort: .restoreAbort
    case .cluster: .cluster
    }
  }

  func encode(into writer: inout Writer) {
    writer.u8(tag.rawValue)
    switch self {
    case .kvSet(let set): set.encode(into: &writer)
    case .kvDelete(let key, let cas):
      writer.key(key)
      writer.optional(cas) { $0.varint($1) }
    case .kvDeleteTree(let prefix): writer.key(prefix)
    case .register(let registration): registration.encode(into: &writer)
    case .deregister(let node, let serviceID, let checkID):
      for text in [node, serviceID, checkID] { writer.text(text) }
    case .agentRegister(let registration): registration.encode(into: &writer)
    case .agentDeregister(let serviceID, let onlyIf):
      writer.text(serviceID)
      writer.optional(onlyIf) { writer, condition in
        writer.text(condition.checkID)
        writer.varint(condition.modifyIndex)
      }
    case .agentCheckRegister(let check, let host):
      check.encode(into: &writer)
      writer.text(host)
    case .agentCheckDeregister(let checkID, let host):
      writer.text(checkID)
      writer.text(host)
    case .checkUpdate(let update): update.encode(into: &writer)
    case .maintenance(let host, let serviceID, let enable, let reason):
      writer.text(host)
      writer.text(serviceID)
      writer.flag(enable)
      writer.text(reason)
    case .hostJoin(let host):
      host.node.encode(into: &writer)
      writer.int(host.port)
    case .hostDown(let host, let liveHosts), .hostLeave(let host, let liveHosts):
      writer.text(host)
      writer.texts(liveHosts)
    case .sessionCreate(let session): session.encode(into: &writer)
    case .sessionDestroy(let id): writer.uniqueID(id)
    case .transaction(let operations): writer.list(operations) { $1.encode(into: &$0) }
    case .reapTombstones(let through): writer.varint(through)
    case .configSet, .configDelete, .autopilotSet, .eventFire, .querySet, .queryDelete,
      .restoreChunk, .restoreCommit, .restoreAbort:
      encodeCluster(into: &writer)
    case .cluster(let record, let replacesID):
      record.encode(into: &writer)
      writer.flag(replacesID)
    }
  }

  init(tag: CommandTag, from reader: inout Reader) throws(WireError) {
    switch tag {
    case .kvSet: self = .kvSet(try KVSet(from: &reader))
    case .kvDelete:
      let key = try reader.key()
      let cas = try reader.optional { (reader) throws(WireError) in try reader.varint() }
      self = .kvDelete(key: key, cas: cas)
    case .kvDeleteTree: self = .kvDeleteTree(prefix: try reader.key())
    case .sessionCreate: self = .sessionCreate(try SessionRecord(from: &reader))
    case .sessionDestroy: self = .sessionDestroy(try reader.uniqueID())
    case .transaction:
      self = .transaction(
        try reader.list { (reader) throws(WireError) in try TransactionOperation(from: &reader) })
    case .reapTombstones: self = .reapTombstones(through: try reader.varint())
    case .cluster:
      self = .cluster(try ClusterRecord(from: &reader), replacesID: try reader.flag())
    default: self = try Command.catalog(tag: tag, from: &reader)
    }
  }

  private static func catalog(
    tag: CommandTag, from reader: inout Reader
  ) throws(WireError) -> Command {
    switch tag {
    case .register: return .register(try Registration(from: &reader))
    case .deregister:
      let node = try reader.text()
      let serviceID = try reader.text()
      return .deregister(node: node, serviceID: serviceID, checkID: try reader.text())
    case .agentRegister: return .agentRegister(try AgentRegistration(from: &reader))
    case .agentDeregister:
      let serviceID = try reader.text()
      let onlyIf = try reader.optional { (reader) throws(WireError) in
        let checkID = try reader.text()
        return CheckUnchanged(checkID: checkID, modifyIndex: try reader.varint())
      }
      return .agentDeregister(serviceID: serviceID, onlyIf: onlyIf)
    case .agentCheckRegister:
      let check = try CheckRecord(from: &reader)
      return .agentCheckRegister(check, host: try reader.text())
    case .agentCheckDeregister:
      let checkID = try reader.text()
      return .agentCheckDeregister(checkID: checkID, host: try reader.text())
    case .checkUpdate: return .checkUpdate(try CheckUpdate(from: &reader))
    case .maintenance:
      let host = try reader.text()
      let serviceID = try reader.text()
      let enable = try reader.flag()
      return .maintenance(
        host: host, serviceID: serviceID, enable: enable, reason: try reader.text())
    case .hostJoin:
      let node = try NodeRecord(from: &reader)
      return .hostJoin(HostRegistration(node: node, port: try reader.int()))
    case .hostDown:
      let host = try reader.text()
      return .hostDown(host: host, liveHosts: try reader.texts())
    case .hostLeave:
      let host = try reader.text()
      return .hostLeave(host: host, liveHosts: try reader.texts())
    default: return try cluster(tag: tag, from: &reader)
    }
  }
}
