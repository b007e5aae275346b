import Wire

/// The form of a snapshot: a sequence of frames,
///
///     section (u8) · length of the body (u32) · body: records of that section until its end
///
/// The first frame is the header with the version; the last is `end`. Tables come in the order of
/// `SnapshotSection`, their records in key order, over as many frames as they need. A later version
/// adds sections; a section that is not known is an error, since state must not get lost silently.
/// What can be derived (lookups by name, held keys, …) is not written but built again.
enum SnapshotSection: UInt8, CaseIterable {
  case header = 1
  case serviceIndexes, nodeIndexes, keys, tombstones, lockDelays, nodes, services, checks
  case sessions, remembered, origins
  case cluster, configEntries, events, queries, staged, clusterRecord
  case forgotten
  case end = 255

  static var version: UInt8 { 1 }
  static var frameHeadBytes: Int { 5 }
  /// A frame is full when its body reached this.
  static var frameBytes: Int { 64 << 10 }
  /// A single record may be larger than a frame, never as large as this.
  static var frameBytesMax: Int { 256 << 20 }
}

/// Produces a snapshot's bytes piece by piece. Holds its own copy of the registry and a cursor, so
/// it can work on another thread while the original moves on.
package struct SnapshotEncoder: Sendable {
  private let registry: Registry
  private let isLogical: Bool
  private var section: SnapshotSection? = .header
  private var cursor = Cursor()

  /// Where the next frame of the current section starts; nil at its beginning.
  private struct Cursor: Sendable {
    var key: Key?
    var pair: Pair?
    var id: UniqueID?
    var number: UInt64?
    var position = 0
  }

  init(_ registry: Registry) {
    self.registry = registry
    isLogical = false
  }

  /// Leaves out what tells of the way to the state, not of the state itself.
  init(logicalStateOf registry: Registry) {
    self.registry = registry
    isLogical = true
  }

  package mutating func next() -> [UInt8]? {
    while let current = section {
      var writer = Writer(reserving: SnapshotSection.frameBytes + 1024)
      writer.u8(current.rawValue)
      writer.u32(0)
      let isDone = encode(current, into: &writer)
      if isDone {
        section = Self.successor(of: current)
        cursor = Cursor()
      }
      let bodyBytes = writer.bytes.count - SnapshotSection.frameHeadBytes
      if bodyBytes == 0, current != .end { continue }
      writer.patchU32(at: 1, UInt32(truncatingIfNeeded: bodyBytes))
      return writer.bytes
    }
    return nil
  }

  private static func successor(of section: SnapshotSection) -> SnapshotSection? {
    let all = SnapshotSection.allCases
    guard let position = all.firstIndex(of: section), position + 1 < all.count else { return nil }
    return all[position + 1]
  }

  /// Fills one frame; true when the section is complete.
  private mutating func encode(_ section: SnapshotSection, into writer: inout Writer) -> Bool {
    switch section {
    case .header: encodeHeader(into: &writer)
    case .end: break
    case .serviceIndexes: return numbers(registry.serviceIndexes, into: &writer)
    case .nodeIndexes: return numbers(registry.nodeIndexes, into: &writer)
    case .tombstones: return numbers(registry.tombstones, into: &writer)
    case .lockDelays: return numbers(registry.lockDelays, into: &writer)
    case .keys:
      return Self.fill(registry.kvTable, from: &cursor.key, into: &writer) { writer, key, stored in
        stored.entry(key: key).encode(into: &writer)
      }
    case .nodes:
      return Self.fill(registry.nodesTable, from: &cursor.key, into: &writer) { writer, _, record in
        record.encode(into: &writer)
      }
    case .services:
      return Self.fill(registry.servicesTable, from: &cursor.pair, into: &writer) {
        $2.encode(into: &$0)
      }
    case .checks:
      return Self.fill(registry.checksTable, from: &cursor.pair, into: &writer) {
        $2.encode(into: &$0)
      }
    case .sessions:
      return Self.fill(registry.sessionsTable, from: &cursor.id, into: &writer) {
        $2.encode(into: &$0)
      }
    case .cluster: encodeCluster(into: &writer)
    case .configEntries:
      return Self.fill(registry.configEntriesTable, from: &cursor.pair, into: &writer) {
        $2.encode(into: &$0)
      }
    case .events:
      return Self.fill(registry.eventsTable, from: &cursor.number, into: &writer) {
        $2.encode(into: &$0)
      }
    case .queries:
      return Self.fill(registry.queriesTable, from: &cursor.id, into: &writer) {
        $2.encode(into: &$0)
      }
    case .staged: return encodeStaged(into: &writer)
    case .origins:
      for origin in registry.origins.known { origin.encode(into: &writer) }
    case .clusterRecord:
      if registry.cluster != ClusterRecord() { registry.cluster.encode(into: &writer) }
    case .forgotten:
      if registry.forgottenThrough > 0 { writer.varint(registry.forgottenThrough) }
    case .remembered:
      return Self.fill(registry.remembered, from: &cursor.id, into: &writer) { writer, id, entry in
        writer.uniqueID(id)
        writer.varint(entry.index)
        writer.int(entry.bytes)
        entry.outcome.encode(into: &writer)
      }
    }
    return true
  }

  private mutating func numbers(_ table: Tree<Key, UInt64>, into writer: inout Writer) -> Bool {
    Self.fill(table, from: &cursor.key, into: &writer) { writer, key, value in
      writer.key(key)
      writer.varint(value)
    }
  }

  private static func fill<K, V>(
    _ table: Tree<K, V>, from start: inout K?, into writer: inout Writer,
    _ encode: (inout Writer, K, V) -> Void
  ) -> Bool {
    var next: K?
    table.forEach(from: start) { key, value in
      if writer.bytes.count >= SnapshotSection.frameBytes {
        next = key
        return false
      }
      encode(&writer, key, value)
      return true
    }
    start = next
    return next == nil
  }

  private func encodeCluster(into writer: inout Writer) {
    writer.varint(registry.indexOffset)
    writer.varint(registry.clusterIndexes.configEntries)
    writer.varint(registry.clusterIndexes.queries)
    writer.optional(registry.autopilot) { $1.encode(into: &$0) }
  }

  /// A piece of the restore that is under way, as a record of its own.
  private mutating func encodeStaged(into writer: inout Writer) -> Bool {
    guard let staged = registry.staged else { return true }
    while cursor.position < staged.chunks.count {
      if writer.bytes.count >= SnapshotSection.frameBytes { return false }
      writer.uniqueID(staged.id)
      writer.u64(staged.time)
      writer.blob(staged.chunks[cursor.position])
      cursor.position += 1
    }
    return true
  }

  private func encodeHeader(into writer: inout Writer) {
    writer.u8(SnapshotSection.version)
    writer.u64(registry.lastIndex)
    writer.u64(isLogical ? 0 : registry.runningHash)
    let indexes = registry.indexes
    for value in [indexes.kv, indexes.nodes, indexes.services, indexes.checks, indexes.sessions] {
      writer.varint(value)
    }
    writer.varint(indexes.lastExtinction)
    writer.varint(indexes.tombstoneFloor)
  }
}
