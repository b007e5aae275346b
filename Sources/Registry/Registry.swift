package import Wire

/// The replicated state machine: KV, catalog, health, sessions, request ids. A value: a copy is an
/// O(1) snapshot that stays as it is while the original moves on. STUB.
package struct Registry: Sendable {
  package struct Options: Equatable, Sendable {
    /// Outcomes remembered for request ids; the oldest are dropped first.
    package var requestIDsMax = 100_000
    package var datacenter = "dc1"
    package init() {}
  }

  package init(options: Options) { fatalError("stub") }

  // MARK: Apply

  /// Applies one encoded `CommandEnvelope`. `index` must grow. Bytes that do not decode are
  /// refused deterministically and change nothing. Adds to `changes`.
  package mutating func apply(
    _ payload: [UInt8], index: UInt64, changes: inout ChangeSet
  ) -> Outcome { fatalError("stub") }

  /// The index of the last apply.
  package var lastIndex: UInt64 { fatalError("stub") }
  /// A hash over the whole logical state; equal states give equal hashes on every node.
  package func stateHash() -> UInt64 { fatalError("stub") }

  // MARK: Snapshot

  /// Encodes the state piece by piece (about 64 KB each); call until it returns nil. Works on this
  /// value while others change theirs.
  package func makeEncoder() -> SnapshotEncoder { fatalError("stub") }

  // MARK: KV. Indexes are those of X-Consul-Index, never 0 (consul-api.md 4.6)

  package func kv(_ key: Key) -> KVEntry? { fatalError("stub") }
  package func kvIndex(_ key: Key) -> UInt64 { fatalError("stub") }
  package func kvPrefixIndex(_ prefix: Key) -> UInt64 { fatalError("stub") }
  /// In key order; stops when `body` returns false.
  package func forEachKV(prefix: Key, _ body: (borrowing KVEntry) -> Bool) { fatalError("stub") }
  package var kvCount: Int { fatalError("stub") }

  // MARK: Catalog. Names match without case; lists are in name order

  package func nodes() -> [NodeRecord] { fatalError("stub") }
  package func node(named name: String) -> NodeRecord? { fatalError("stub") }
  /// By full id, or by a unique prefix of an even number of hex digits.
  package func node(id prefix: String) -> NodeRecord? { fatalError("stub") }
  package var nodesIndex: UInt64 { fatalError("stub") }
  package func nodeIndex(_ name: String) -> UInt64 { fatalError("stub") }
  /// Every service name with the union of its instances' tags.
  package func services() -> [(name: String, tags: [String])] { fatalError("stub") }
  package var servicesIndex: UInt64 { fatalError("stub") }
  package func services(onNode name: String) -> [ServiceRecord] { fatalError("stub") }
  package func service(onNode name: String, id: String) -> ServiceRecord? { fatalError("stub") }
  package func instances(ofService name: String) -> [ServiceRecord] { fatalError("stub") }
  package func serviceIndex(_ name: String) -> UInt64 { fatalError("stub") }
  package var serviceInstanceCount: Int { fatalError("stub") }

  // MARK: Checks

  package func checks(onNode name: String) -> [CheckRecord] { fatalError("stub") }
  /// Checks attached to instances of that service.
  package func checks(ofService name: String) -> [CheckRecord] { fatalError("stub") }
  /// Checks of one instance, without those of its node.
  package func checks(onNode name: String, serviceID: String) -> [CheckRecord] {
    fatalError("stub")
  }
  package func nodeLevelChecks(onNode name: String) -> [CheckRecord] { fatalError("stub") }
  /// Nil: every check.
  package func checks(withStatus status: String?) -> [CheckRecord] { fatalError("stub") }
  package var checksIndex: UInt64 { fatalError("stub") }

  // MARK: Agent services (belong to the cluster; ids unique)

  package func agentServices() -> [ServiceRecord] { fatalError("stub") }
  package func agentService(_ id: String) -> ServiceRecord? { fatalError("stub") }
  package func agentChecks() -> [CheckRecord] { fatalError("stub") }
  /// A node-level agent check of `host` wins over one of the same id elsewhere.
  package func agentCheck(_ id: String, host: String) -> CheckRecord? { fatalError("stub") }
  /// What `host` has to run.
  package func agentChecks(onHost host: String) -> [CheckRecord] { fatalError("stub") }

  // MARK: Sessions

  package func session(_ id: UniqueID) -> SessionRecord? { fatalError("stub") }
  package func sessions() -> [SessionRecord] { fatalError("stub") }
  package func sessions(onNode name: String) -> [SessionRecord] { fatalError("stub") }
  package var sessionsIndex: UInt64 { fatalError("stub") }

  // MARK: Transactions without a write

  /// Judges operations that only read against this state.
  package func evaluate(_ operations: [TransactionOperation]) -> TransactionOutcome {
    fatalError("stub")
  }
}

/// Produces a snapshot's bytes piece by piece. STUB.
package struct SnapshotEncoder: Sendable {
  package mutating func next() -> [UInt8]? { fatalError("stub") }
}

/// Takes a snapshot's bytes piece by piece, split anywhere. STUB.
package struct SnapshotDecoder {
  package init(options: Registry.Options) { fatalError("stub") }
  package mutating func feed(_ bytes: [UInt8]) throws(WireError) { fatalError("stub") }
  /// Throws when the input was incomplete.
  package consuming func finish() throws(WireError) -> Registry { fatalError("stub") }
}
