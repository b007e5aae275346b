/// One thing that a blocking query can wait for.
package enum Topic: Hashable, Sendable {
  case key(Key)
  /// Any key below it changed, or a tree that overlaps it was deleted.
  case prefix(Key)
  /// The list of nodes.
  case nodes
  /// Any change of that node, its services or checks; lower-cased name.
  case node(String)
  /// The list of services and their tags.
  case services
  /// Any change of an instance of that service, its checks, its nodes; lower-cased name.
  case service(String)
  /// Any check.
  case checks
  case sessions
  case configEntries
  case events
  /// Prepared queries.
  case queries
}

/// One agent check after one command; names as they are looked up (folded).
package struct AgentCheckChange: Equatable, Sendable {
  package var node: String
  package var id: String
  /// Nil: it is gone.
  package var status: String?
  /// Named because it was registered (again).
  package var isRegistration = false
}

/// One change, in the order in which they happened: what `ChangeSet` wakes watchers with says that
/// something changed, this says what.
package enum ChangeRecord: Equatable, Sendable {
  case set(KVEntry, old: UInt64)
  case deleted(Key, old: UInt64, index: UInt64)
  /// Every key below the prefix is gone.
  case tree(prefix: Key, index: UInt64)
  case instance(InstanceChange)
}

/// A service instance, one of its checks or its node changed, or the instance is gone.
package struct InstanceChange: Equatable, Sendable {
  package var service: String
  package var node: String
  package var id: String
  /// The instance's own `ModifyIndex` before; 0: it is new.
  package var old: UInt64
  package var index: UInt64

  init(_ record: ServiceRecord, old: UInt64, index: UInt64) {
    service = record.name
    node = record.node
    id = record.id
    self.old = old
    self.index = index
  }
}

/// What one apply touched, for waking watchers: never less than what changed.
package struct ChangeSet: Equatable, Sendable {
  package var keys: [Key] = []
  package var deletedPrefixes: [Key] = []
  /// Everything but `.key` and `.prefix`; no duplicates.
  package var topics: [Topic] = []
  /// Everything may have changed (a snapshot was restored).
  package var everything = false
  /// Ids of agent services or checks whose definition, host or existence changed, so that hosts
  /// look at what they have to run, and the leader at its deadlines.
  package var agentWorkChanged = false
  /// Sessions created or destroyed, for the leader's deadlines.
  package var sessionsChanged = false
  /// Agent checks that were put, changed or removed, in order, as often as they were. A TTL check
  /// that was registered again is named even when nothing changed: that is a sign of life.
  package var agentChecks: [AgentCheckChange] = []
  /// Sessions that were created or destroyed.
  package var sessionIDs: [UniqueID] = []
  package var records: [ChangeRecord] = []
  /// Members of `topics`, to find duplicates; never iterated.
  private var seen: Set<Topic> = []
  package init() {}

  mutating func insert(_ topic: Topic) {
    if seen.insert(topic).inserted { topics.append(topic) }
  }

  /// Adds what another one holds.
  package mutating func merge(_ other: ChangeSet) {
    keys.append(contentsOf: other.keys)
    deletedPrefixes.append(contentsOf: other.deletedPrefixes)
    for topic in other.topics { insert(topic) }
    everything = everything || other.everything
    agentWorkChanged = agentWorkChanged || other.agentWorkChanged
    sessionsChanged = sessionsChanged || other.sessionsChanged
    agentChecks.append(contentsOf: other.agentChecks)
    sessionIDs.append(contentsOf: other.sessionIDs)
    records.append(contentsOf: other.records)
  }

  package var isEmpty: Bool {
    keys.isEmpty && deletedPrefixes.isEmpty && topics.isEmpty && !everything && !agentWorkChanged
      && !sessionsChanged && agentChecks.isEmpty && sessionIDs.isEmpty
  }
  package mutating func removeAll() { self = ChangeSet() }

  /// Empties it and keeps what KV writes use, unless that has become large.
  package mutating func removeAllKeepingRoom() {
    var emptied = ChangeSet()
    if records.capacity <= Self.recordsKept {
      swap(&emptied.keys, &keys)
      swap(&emptied.records, &records)
      emptied.keys.removeAll(keepingCapacity: true)
      emptied.records.removeAll(keepingCapacity: true)
    }
    self = emptied
  }

  /// Room for so many records stays.
  private static let recordsKept = 4096
}
