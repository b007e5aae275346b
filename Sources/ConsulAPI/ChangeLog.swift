package import Registry

/// The last changes of this node's state, for `/v1/stream`: in the order of their indexes, bounded,
/// in memory only. It begins when the node starts and covers every index above `floor`.
///
/// KV writes are kept one by one. Of a service instance the state at the end of an apply pass is
/// kept: what it was for less than that is not shown. When the state was replaced as a whole, or an
/// entry had to go, whoever needs what is not there is told so (`sequence(after:)` is nil).
package struct ChangeLog {
  package enum Change {
    case set(KVEntry, old: UInt64)
    case deleted(Key, old: UInt64)
    case tree(Key)
    /// Kept apart: it is large, and writes of keys are many.
    indirect case instance(ServiceHealthView, old: UInt64)
    case gone(InstanceChange)
  }

  package struct Entry {
    package let index: UInt64
    package let change: Change
    let bytes: Int
  }

  /// Of an entry beside its key and value; an instance with node and checks takes more.
  private static let overheadBytes = 160
  private static let instanceBytes = 2048

  private let bytesMax: Int
  private let entriesMax: Int
  private var entries: [Entry] = []
  private var head = 0
  private var bytes = 0
  /// Of the oldest entry there is. Sequence numbers count entries, and one for each gap.
  package private(set) var firstSequence: UInt64 = 1
  /// What was at or below this index is not known.
  private(set) var floor: UInt64
  /// Every change up to this index is here, or was.
  private(set) var coveredThrough: UInt64

  package init(startingAt index: UInt64, bytesMax: Int, entriesMax: Int) {
    self.bytesMax = bytesMax
    self.entriesMax = max(1, entriesMax)
    floor = index
    coveredThrough = index
  }

  package var nextSequence: UInt64 { firstSequence + UInt64(entries.count - head) }

  package func entry(_ sequence: UInt64) -> Entry? {
    guard sequence >= firstSequence, sequence < nextSequence else { return nil }
    return entries[head + Int(sequence - firstSequence)]
  }

  /// Where what came after `index` begins; nil when that is not all here.
  package func sequence(after index: UInt64) -> UInt64? {
    guard index >= floor, index <= coveredThrough else { return nil }
    var low = head
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].index > index { high = middle } else { low = middle + 1 }
    }
    return firstSequence + UInt64(low - head)
  }

  package mutating func note(_ changes: ChangeSet, _ registry: Registry, datacenter: String) {
    coveredThrough = registry.stateIndex
    if changes.everything { return forgetAll() }
    // Only for instances: most batches have none.
    var last: [InstanceName: Int]?
    for (place, record) in changes.records.enumerated() {
      guard case .instance(let change) = record else {
        addKeys(record)
        continue
      }
      let places = last ?? Self.lastPlaces(changes.records)
      last = places
      guard places[InstanceName(change)] == place else { continue }
      add(change.index, Self.view(of: change, registry, datacenter), Self.instanceBytes)
    }
    shrink()
  }

  /// Takes the record apart, so that what it holds is not counted twice.
  private mutating func addKeys(_ record: consuming ChangeRecord) {
    switch consume record {
    case .set(let entry, let old):
      let size = entry.key.bytes.count + entry.value.count
      add(entry.modifyIndex, .set(entry, old: old), size)
    case .deleted(let key, let old, let index):
      add(index, .deleted(key, old: old), key.bytes.count)
    case .tree(let prefix, let index): add(index, .tree(prefix), prefix.bytes.count)
    case .instance: break
    }
  }

  private struct InstanceName: Hashable {
    let service: String
    let node: String
    let id: String
    init(_ change: InstanceChange) {
      service = foldedName(change.service)
      node = foldedName(change.node)
      id = foldedName(change.id)
    }
  }

  /// Where each instance is named last; only looked up, never walked.
  private static func lastPlaces(_ records: [ChangeRecord]) -> [InstanceName: Int] {
    var last: [InstanceName: Int] = [:]
    for (place, record) in records.enumerated() {
      if case .instance(let change) = record { last[InstanceName(change)] = place }
    }
    return last
  }

  private static func view(
    of change: InstanceChange, _ registry: Registry, _ datacenter: String
  ) -> Change {
    guard let node = registry.node(named: change.node),
      let service = registry.service(onNode: change.node, id: change.id),
      foldedName(service.name) == foldedName(change.service)
    else { return .gone(change) }
    return .instance(
      ServiceHealthView(service, on: node, registry, datacenter), old: change.old)
  }

  private mutating func add(_ index: UInt64, _ change: consuming Change, _ size: Int) {
    let size = size + Self.overheadBytes
    entries.append(Entry(index: index, change: change, bytes: size))
    bytes += size
  }

  private mutating func shrink() {
    while head < entries.count, bytes > bytesMax || entries.count - head > entriesMax {
      floor = entries[head].index
      bytes -= entries[head].bytes
      head += 1
      firstSequence += 1
    }
    if head > 1024, head * 2 > entries.count {
      entries.removeSubrange(..<head)
      head = 0
    }
  }

  private mutating func forgetAll() {
    // One more, so that whoever stood at the end finds the gap too.
    firstSequence = nextSequence + 1
    entries = []
    head = 0
    bytes = 0
    floor = coveredThrough
  }
}

extension ServiceHealthView {
  /// An instance with the checks of itself and of its node.
  init(
    _ service: ServiceRecord, on node: NodeRecord, _ registry: Registry, _ datacenter: String
  ) {
    self.init(
      instance: Catalog.Instance(service: service, node: node),
      checks: registry.nodeLevelChecks(onNode: node.name)
        + registry.checks(onNode: node.name, serviceID: service.id),
      datacenter: datacenter)
  }
}
