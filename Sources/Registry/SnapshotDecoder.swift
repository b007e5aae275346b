package import Wire

/// Takes a snapshot's bytes piece by piece, split anywhere. Tables are built from their sorted
/// records directly; records out of order are an error, as are frames after the end.
package struct SnapshotDecoder: Sendable {
  private var registry: Registry
  /// Bytes of a frame that is not complete yet.
  private var pending: [UInt8] = []
  private var section: SnapshotSection?

  private let isNested: Bool

  /// - Parameter isNested: what is decoded takes the place of a state, so it must not contain a
  ///   restore of its own: no nesting, whatever the bytes say.
  package init(options: Registry.Options, isNested: Bool = false) {
    registry = Registry(options: options)
    self.isNested = isNested
  }

  package mutating func feed(_ bytes: [UInt8]) throws(WireError) {
    if pending.isEmpty { pending = bytes } else { pending.append(contentsOf: bytes) }
    var offset = 0
    while pending.count - offset >= SnapshotSection.frameHeadBytes {
      var head = Reader(pending, in: offset..<pending.count)
      let tag = try head.u8()
      let length = Int(try head.u32())
      guard length <= SnapshotSection.frameBytesMax else { throw .tooLong }
      let start = offset + SnapshotSection.frameHeadBytes
      guard pending.count - start >= length else { break }
      guard let section = SnapshotSection(rawValue: tag) else { throw .unknownTag(UInt64(tag)) }
      var body = Reader(pending, in: start..<(start + length))
      try decode(section, from: &body)
      offset = start + length
    }
    if offset > 0 { pending.removeFirst(offset) }
  }

  /// Throws when the input was incomplete.
  package consuming func finish() throws(WireError) -> Registry {
    guard section == .end else { throw .truncated }
    guard pending.isEmpty else { throw .trailingBytes }
    return registry
  }

  private mutating func decode(
    _ next: SnapshotSection, from body: inout Reader
  ) throws(WireError) {
    if let section {
      // Sections come in order; the header and the end once.
      let isRepeat = next == section && next != .header
      guard section != .end, next.rawValue > section.rawValue || isRepeat else {
        throw .unknownTag(UInt64(next.rawValue))
      }
    } else {
      guard next == .header else { throw .unknownTag(UInt64(next.rawValue)) }
      try decodeHeader(from: &body)
    }
    section = next
    while !body.isAtEnd { try decodeRecord(of: next, from: &body) }
  }

  private mutating func decodeHeader(from body: inout Reader) throws(WireError) {
    let version = try body.u8()
    guard version == SnapshotSection.version else { throw .unknownTag(UInt64(version)) }
    registry.lastIndex = try body.u64()
    registry.runningHash = try body.u64()
    registry.indexes.kv = try body.varint()
    registry.indexes.nodes = try body.varint()
    registry.indexes.services = try body.varint()
    registry.indexes.checks = try body.varint()
    registry.indexes.sessions = try body.varint()
    registry.indexes.lastExtinction = try body.varint()
    registry.indexes.tombstoneFloor = try body.varint()
  }

  private mutating func decodeRecord(
    of section: SnapshotSection, from body: inout Reader
  ) throws(WireError) {
    switch section {
    case .header, .end: throw .trailingBytes
    case .serviceIndexes: try Self.number(into: &registry.serviceIndexes, from: &body)
    case .nodeIndexes: try Self.number(into: &registry.nodeIndexes, from: &body)
    case .tombstones: try Self.number(into: &registry.tombstones, from: &body)
    case .keys: try decodeKey(from: &body)
    case .lockDelays:
      let key = try body.key()
      if let last = registry.lockDelays.lastKey, !(last < key) { throw .unorderedRecords }
      registry.insertLockDelay(key, until: try body.varint())
    case .nodes:
      let record = try NodeRecord(from: &body)
      let name = Key(folding: record.name)
      guard registry.nodesTable.append(name, record) else { throw .unorderedRecords }
      if !record.id.isEmpty {
        registry.nodeIDs.updateValue(name, forKey: Key(nodeID: record.id))
      }
    case .services:
      let record = try ServiceRecord(from: &body)
      let key = Pair(Key(folding: record.node), Key(folding: record.id))
      if let last = registry.servicesTable.lastKey, !(last < key) { throw .unorderedRecords }
      registry.insertService(record)
    case .checks:
      let record = try CheckRecord(from: &body)
      let key = Pair(Key(folding: record.node), Key(folding: record.id))
      if let last = registry.checksTable.lastKey, !(last < key) { throw .unorderedRecords }
      registry.insertCheck(record)
    case .sessions:
      let record = try SessionRecord(from: &body)
      if let last = registry.sessionsTable.lastKey, !(last < record.id) {
        throw .unorderedRecords
      }
      registry.insertSession(record)
    case .remembered: try decodeRemembered(from: &body)
    case .forgotten: registry.forgottenThrough = try body.varint()
    case .cluster, .configEntries, .events, .queries, .staged:
      try decodeClusterRecord(of: section, from: &body)
    case .clusterRecord: registry.cluster = try ClusterRecord(from: &body)
    case .origins:
      guard registry.origins.restore(try Origins.Known(from: &body)) else {
        throw .unorderedRecords
      }
    }
  }

  private mutating func decodeClusterRecord(
    of section: SnapshotSection, from body: inout Reader
  ) throws(WireError) {
    switch section {
    case .cluster:
      registry.indexOffset = try body.varint()
      registry.clusterIndexes.configEntries = try body.varint()
      registry.clusterIndexes.queries = try body.varint()
      registry.autopilot = try body.optional { (reader) throws(WireError) in
        try AutopilotSettings(from: &reader)
      }
    case .configEntries:
      let entry = try ConfigEntry(from: &body)
      let key = Pair(Key(entry.kind), Key(entry.name))
      guard registry.configEntriesTable.append(key, entry) else { throw .unorderedRecords }
    case .events:
      let event = try UserEvent(from: &body)
      guard registry.eventsTable.append(event.lTime, event) else { throw .unorderedRecords }
    case .queries:
      let query = try PreparedQuery(from: &body)
      if let last = registry.queriesTable.lastKey, !(last < query.id) { throw .unorderedRecords }
      registry.insertQuery(query)
    case .staged: try decodeStaged(from: &body)
    default: throw .unknownTag(UInt64(section.rawValue))
    }
  }

  private mutating func decodeStaged(from body: inout Reader) throws(WireError) {
    guard !isNested else { throw .unknownTag(UInt64(SnapshotSection.staged.rawValue)) }
    let id = try body.uniqueID()
    let time = try body.u64()
    var staged =
      registry.staged.take() ?? StagedRestore(id: id, time: time, options: registry.options)
    guard staged.id == id, staged.append(try body.blob()) else { throw .unorderedRecords }
    registry.staged = staged
  }

  private static func number(
    into table: inout Tree<Key, UInt64>, from body: inout Reader
  ) throws(WireError) {
    let key = try body.key()
    guard table.append(key, try body.varint()) else { throw .unorderedRecords }
  }

  private mutating func decodeKey(from body: inout Reader) throws(WireError) {
    let entry = try KVEntry(from: &body)
    guard registry.kvTable.append(entry.key, StoredValue(entry)) else { throw .unorderedRecords }
    if let session = entry.session {
      registry.heldKeys.updateValue(Present(), forKey: Pair(session.key, entry.key))
    }
  }

  private mutating func decodeRemembered(from body: inout Reader) throws(WireError) {
    let id = try body.uniqueID()
    if let last = registry.remembered.lastKey, !(last < id) { throw .unorderedRecords }
    let index = try body.varint()
    let bytes = try body.int()
    // Never more than what its encoding takes and the overhead, so sums cannot overflow.
    guard bytes >= 0, bytes <= SnapshotSection.frameBytesMax else { throw .tooLong }
    guard !registry.rememberedOrder.contains(index) else { throw .unorderedRecords }
    let outcome = try Outcome(from: &body)
    registry.insertRemembered(id, RememberedOutcome(outcome: outcome, index: index, bytes: bytes))
  }
}

extension WireError {
  /// Records that are not in the order of their keys, or twice there.
  static var unorderedRecords: WireError { .unknownTag(0) }
}
