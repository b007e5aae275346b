import Basics
import Wire

/// The replicated state machine: KV, catalog, health, sessions, request ids. A value: a copy is an
/// O(1) snapshot that stays as it is while the original moves on.
///
/// Every node applies the same bytes at the same indexes, and must come to the same state: nothing
/// here reads a clock, draws a random number, or iterates a hash table. A command either happens
/// wholly, or is refused and changes nothing. What it touched is added to the caller's `ChangeSet`.
package struct Registry: Sendable {
  package struct Options: Equatable, Sendable {
    /// Outcomes remembered for request ids; the oldest are dropped first. Must be the same on all
    /// nodes.
    package var requestIDsMax = 100_000
    package var datacenter = "dc1"
    package init() {}
  }

  package let options: Options
  /// The index of the last apply.
  package internal(set) var lastIndex: UInt64 = 0
  /// What the indexes of objects are ahead of the log's: not 0 once a state with higher indexes
  /// was restored.
  var indexOffset: UInt64 = 0
  /// The index that objects changed by the last apply have.
  package var stateIndex: UInt64 { lastIndex &+ indexOffset }
  /// Over everything applied and its outcomes: replicas that agree have the same at the same index.
  package var runningHash: UInt64 = 0

  var indexes = Indexes()
  /// By folded service name; only of services that have instances.
  var serviceIndexes = Tree<Key, UInt64>()
  /// By folded node name.
  var nodeIndexes = Tree<Key, UInt64>()

  var kvTable = Tree<Key, StoredValue>()
  /// Deleted keys and prefixes, and when.
  var tombstones = Tree<Key, UInt64>()
  /// Session and key, for every lock held.
  var heldKeys = Tree<Pair, Present>()
  /// Until when (ms) a key cannot be acquired.
  var lockDelays = Tree<Key, UInt64>()
  var lockDelayOrder = Tree<LockDelay, Present>()

  /// By folded name.
  var nodesTable = Tree<Key, NodeRecord>()
  /// Node id to folded name.
  var nodeIDs = Tree<Key, Key>()
  /// By folded node name and service id.
  var servicesTable = Tree<Pair, ServiceRecord>()
  /// Service name, node, service id.
  var servicesByName = Tree<Triple, Present>()
  /// By folded node name and check id.
  var checksTable = Tree<Pair, CheckRecord>()
  /// Node, service id (empty: of the node), check id.
  var checksByService = Tree<Triple, Present>()
  /// Folded id of each agent service, and its node.
  var agentServiceNodes = Tree<Key, Key>()
  /// Check id and node of each agent check.
  var agentCheckNodes = Tree<Pair, Present>()

  var sessionsTable = Tree<UniqueID, SessionRecord>()
  /// Node and session id.
  var sessionsByNode = Tree<Pair, Present>()
  /// Node, check id, session id.
  var sessionsByCheck = Tree<Triple, UniqueID>()

  var clusterIndexes = ClusterIndexes()
  /// Nil: never set.
  package internal(set) var autopilot: AutopilotSettings?
  /// By kind and name.
  var configEntriesTable = Tree<Pair, ConfigEntry>()
  /// By their `lTime`.
  var eventsTable = Tree<UInt64, UserEvent>()
  var queriesTable = Tree<UniqueID, PreparedQuery>()
  /// By folded name; a template without a name is below the empty one.
  var queriesByName = Tree<Key, UniqueID>()
  /// Session and query.
  var queriesBySession = Tree<Pair, Present>()
  /// A state that is being sent to take the place of this one.
  var staged: StagedRestore?

  var remembered = Tree<UniqueID, RememberedOutcome>()
  /// By the index of their apply.
  var rememberedOrder = Tree<UInt64, UniqueID>()
  var rememberedBytes = 0
  /// Of the outcomes applied up to this index some are forgotten; of those after it, none.
  var forgottenThrough: UInt64 = 0

  /// Answers that may be asked for again when leadership moves.
  var origins = Origins()

  /// Who the cluster is; survives the restore of a user's backup.
  package internal(set) var cluster = ClusterRecord()

  package init(options: Options) { self.options = options }

  /// A hash over the whole logical state; equal states give equal hashes on every node.
  package func stateHash() -> UInt64 {
    var hash: UInt64 = 0
    var encoder = SnapshotEncoder(logicalStateOf: self)
    while let piece = encoder.next() {
      hash = mix(hash, UInt64(Checksum.crc32c(piece)))
      hash = mix(hash, UInt64(piece.count))
    }
    return hash
  }

  /// Encodes the state piece by piece (about 64 KB each); call until it returns nil. Works on this
  /// value while others change theirs.
  package func makeEncoder() -> SnapshotEncoder { SnapshotEncoder(self) }

  /// The same for an archive: without a restore that is under way.
  package func makeArchiveEncoder() -> SnapshotEncoder {
    var copy = self
    copy.staged = nil
    return SnapshotEncoder(copy)
  }
}

/// One step of SplitMix64 over the hash so far and a new value.
func mix(_ hash: UInt64, _ value: UInt64) -> UInt64 {
  var generator = SplitMix(seed: hash ^ (value &* 0x9E37_79B9_7F4A_7C15))
  return generator.next()
}
