import Wire

// How the records of `ClusterModels.swift` are written, in commands and snapshots alike.

extension ConfigEntry {
  func encode(into writer: inout Writer) {
    writer.text(kind)
    writer.text(name)
    writer.blob(fieldsJSON)
    writer.varint(createIndex)
    writer.varint(modifyIndex)
  }

  init(from reader: inout Reader) throws(WireError) {
    kind = try reader.text()
    name = try reader.text()
    fieldsJSON = try reader.blob()
    createIndex = try reader.varint()
    modifyIndex = try reader.varint()
  }
}

extension AutopilotSettings {
  func encode(into writer: inout Writer) {
    writer.flag(cleanupDeadServers)
    writer.signed(lastContactThreshold)
    writer.varint(maxTrailingLogs)
    writer.varint(minQuorum)
    writer.signed(serverStabilizationTime)
    writer.text(redundancyZoneTag)
    writer.flag(disableUpgradeMigration)
    writer.text(upgradeVersionTag)
    writer.varint(createIndex)
    writer.varint(modifyIndex)
  }

  init(from reader: inout Reader) throws(WireError) {
    cleanupDeadServers = try reader.flag()
    lastContactThreshold = try reader.signed()
    maxTrailingLogs = try reader.varint()
    minQuorum = try reader.varint()
    serverStabilizationTime = try reader.signed()
    redundancyZoneTag = try reader.text()
    disableUpgradeMigration = try reader.flag()
    upgradeVersionTag = try reader.text()
    createIndex = try reader.varint()
    modifyIndex = try reader.varint()
  }
}

extension UserEvent {
  func encode(into writer: inout Writer) {
    writer.uniqueID(id)
    writer.text(name)
    writer.blob(payload)
    for filter in [nodeFilter, serviceFilter, tagFilter] { writer.text(filter) }
    writer.varint(lTime)
  }

  init(from reader: inout Reader) throws(WireError) {
    id = try reader.uniqueID()
    name = try reader.text()
    payload = try reader.blob()
    nodeFilter = try reader.text()
    serviceFilter = try reader.text()
    tagFilter = try reader.text()
    lTime = try reader.varint()
  }
}

extension PreparedQuery {
  func encode(into writer: inout Writer) {
    writer.uniqueID(id)
    writer.text(name)
    writer.optional(session) { $0.uniqueID($1) }
    for text in [token, templateType, templateRegexp] { writer.text(text) }
    writer.flag(removeEmptyTags)
    writer.text(service)
    writer.signed(nearestN)
    writer.optional(datacenters) { $0.texts($1) }
    writer.flag(onlyPassing)
    writer.optional(ignoreCheckIDs) { $0.texts($1) }
    writer.text(near)
    writer.optional(tags) { $0.texts($1) }
    writer.optional(nodeMeta) { $0.stringMap($1) }
    writer.optional(serviceMeta) { $0.stringMap($1) }
    writer.flag(connect)
    writer.text(dnsTTL)
    writer.varint(createIndex)
    writer.varint(modifyIndex)
  }

  init(from reader: inout Reader) throws(WireError) {
    self.init(id: try reader.uniqueID())
    name = try reader.text()
    session = try reader.optionalID()
    token = try reader.text()
    templateType = try reader.text()
    templateRegexp = try reader.text()
    removeEmptyTags = try reader.flag()
    service = try reader.text()
    nearestN = try reader.signed()
    datacenters = try reader.optionalTexts()
    onlyPassing = try reader.flag()
    ignoreCheckIDs = try reader.optionalTexts()
    near = try reader.text()
    tags = try reader.optionalTexts()
    nodeMeta = try reader.optionalStringMap()
    serviceMeta = try reader.optionalStringMap()
    connect = try reader.flag()
    dnsTTL = try reader.text()
    createIndex = try reader.varint()
    modifyIndex = try reader.varint()
  }
}

extension Reader {
  fileprivate mutating func optionalTexts() throws(WireError) -> [String]? {
    try optional { (reader) throws(WireError) in try reader.texts() }
  }
}

extension RestoreChunk {
  func encode(into writer: inout Writer) {
    writer.uniqueID(id)
    writer.varint(offset)
    writer.blob(bytes)
  }

  init(from reader: inout Reader) throws(WireError) {
    id = try reader.uniqueID()
    offset = try reader.varint()
    bytes = try reader.blob()
  }
}

// The bodies of the commands of this family: what is around them is in `CommandCodec.swift`.

extension Command {
  func encodeCluster(into writer: inout Writer) {
    switch self {
    case .configSet(let entry, let cas):
      entry.encode(into: &writer)
      writer.optional(cas) { $0.varint($1) }
    case .configDelete(let kind, let name, let cas):
      writer.text(kind)
      writer.text(name)
      writer.optional(cas) { $0.varint($1) }
    case .autopilotSet(let settings, let cas):
      settings.encode(into: &writer)
      writer.optional(cas) { $0.varint($1) }
    case .eventFire(let event): event.encode(into: &writer)
    case .querySet(let query, let isNew):
      query.encode(into: &writer)
      writer.flag(isNew)
    case .queryDelete(let id), .restoreAbort(let id): writer.uniqueID(id)
    case .restoreChunk(let chunk): chunk.encode(into: &writer)
    case .restoreCommit(let id, let bytes, let checksum):
      writer.uniqueID(id)
      writer.varint(bytes)
      writer.u32(checksum)
    default: break
    }
  }

  static func cluster(
    tag: CommandTag, from reader: inout Reader
  ) throws(WireError) -> Command {
    switch tag {
    case .configSet:
      let entry = try ConfigEntry(from: &reader)
      return .configSet(entry, cas: try reader.optionalNumber())
    case .configDelete:
      let kind = try reader.text()
      let name = try reader.text()
      return .configDelete(kind: kind, name: name, cas: try reader.optionalNumber())
    case .autopilotSet:
      let settings = try AutopilotSettings(from: &reader)
      return .autopilotSet(settings, cas: try reader.optionalNumber())
    case .eventFire: return .eventFire(try UserEvent(from: &reader))
    case .querySet:
      let query = try PreparedQuery(from: &reader)
      return .querySet(query, isNew: try reader.flag())
    case .queryDelete: return .queryDelete(try reader.uniqueID())
    case .restoreChunk: return .restoreChunk(try RestoreChunk(from: &reader))
    case .restoreCommit:
      let id = try reader.uniqueID()
      let bytes = try reader.varint()
      return .restoreCommit(id: id, bytes: bytes, checksum: try reader.u32())
    case .restoreAbort: return .restoreAbort(try reader.uniqueID())
    default: throw .unknownTag(UInt64(tag.rawValue))
    }
  }
}

extension Reader {
  mutating func optionalNumber() throws(WireError) -> UInt64? {
    try optional { (reader) throws(WireError) in try reader.varint() }
  }
}
