/// What is proposed, replicated and applied. Names, not positions, identify things; every time and
/// random value a command needs is in it or in its envelope, so that `apply` is a pure function.
package enum Command: Equatable, Sendable {
  case kvSet(KVSet)
  case kvDelete(key: Key, cas: UInt64?)
  case kvDeleteTree(prefix: Key)
  /// `/v1/catalog/register`.
  case register(Registration)
  /// `/v1/catalog/deregister`: the service, else the check, else the node.
  case deregister(node: String, serviceID: String, checkID: String)
  /// `/v1/agent/service/register` through `host`. Moves the service when it is on another host.
  case agentRegister(AgentRegistration)
  case agentDeregister(serviceID: String, onlyIf: CheckUnchanged?)
  /// `/v1/agent/check/register` through `host` (a check of a service goes where the service is).
  case agentCheckRegister(CheckRecord, host: String)
  case agentCheckDeregister(checkID: String, host: String)
  /// A new status or output of an agent check: from a TTL update, a probe, or an expiry.
  case checkUpdate(CheckUpdate)
  /// Maintenance mode of a service (`serviceID` not empty) or of the host.
  case maintenance(host: String, serviceID: String, enable: Bool, reason: String)
  /// A Roost node is a member: its catalog node, `serfHealth` (passing) and `consul` service.
  case hostJoin(HostRegistration)
  /// The leader found `host` dead: `serfHealth` critical, and its agent services and checks move
  /// to `liveHosts` (rendezvous hashing of the service id), status kept, in this one step.
  case hostDown(host: String, liveHosts: [String])
  /// `host` is a member no more: services move as in `hostDown`, then its catalog node goes.
  case hostLeave(host: String, liveHosts: [String])
  case sessionCreate(SessionRecord)
  case sessionDestroy(UniqueID)
  /// `/v1/txn`: all or nothing.
  case transaction([TransactionOperation])
  /// Tombstones with an index at or below this one are dropped.
  case reapTombstones(through: UInt64)
  case configSet(ConfigEntry, cas: UInt64?)
  case configDelete(kind: String, name: String, cas: UInt64?)
  case autopilotSet(AutopilotSettings, cas: UInt64?)
  case eventFire(UserEvent)
  /// Not new: refused when there is no query of that id.
  case querySet(PreparedQuery, isNew: Bool)
  case queryDelete(UniqueID)
  /// The three steps of a restore: see `StagedRestore`.
  case restoreChunk(RestoreChunk)
  case restoreCommit(id: UniqueID, bytes: UInt64, checksum: UInt32)
  case restoreAbort(UniqueID)
  /// From the leader: who the cluster is, and what its members' disks hold. `replacesID`: only
  /// where a survivor starts a cluster of its own (`roost recover`).
  case cluster(ClusterRecord, replacesID: Bool)
}

/// A `KVSet` whose key and value still lie in something larger, an HTTP request: they are copied
/// once, into the bytes of the command.
package struct KVSetParts {
  package var key: ArraySlice<UInt8>
  package var value: ArraySlice<UInt8>
  package var flags: UInt64 = 0
  package var mode = KVSet.Mode.plain
  package init(key: ArraySlice<UInt8>, value: ArraySlice<UInt8>) {
    self.key = key
    self.value = value
  }
}

package struct KVSet: Equatable, Sendable {
  package enum Mode: Equatable, Sendable {
    case plain
    /// 0: only if the key does not exist.
    case cas(UInt64)
    case acquire(UniqueID)
    case release(UniqueID)
  }
  package var key: Key
  package var value: [UInt8]
  package var flags: UInt64
  package var mode: Mode
  package init(key: Key, value: [UInt8], flags: UInt64, mode: Mode) {
    self.key = key
    self.value = value
    self.flags = flags
    self.mode = mode
  }

  package init(_ parts: KVSetParts) {
    self.init(
      key: Key(Array(parts.key)), value: Array(parts.value), flags: parts.flags, mode: parts.mode)
  }
}

package struct Registration: Equatable, Sendable {
  package var node: NodeRecord
  package var skipNodeUpdate = false
  package var service: ServiceRecord?
  package var checks: [CheckRecord] = []
  package init(node: NodeRecord) { self.node = node }
}

package struct AgentRegistration: Equatable, Sendable {
  package var host: String
  package var service: ServiceRecord
  package var checks: [CheckRecord]
  package var replaceExistingChecks: Bool
  package init(
    host: String, service: ServiceRecord, checks: [CheckRecord], replaceExistingChecks: Bool
  ) {
    self.host = host
    self.service = service
    self.checks = checks
    self.replaceExistingChecks = replaceExistingChecks
  }
}

/// A condition: this check is still critical since that index.
package struct CheckUnchanged: Equatable, Sendable {
  package var checkID: String
  package var modifyIndex: UInt64
  package init(checkID: String, modifyIndex: UInt64) {
    self.checkID = checkID
    self.modifyIndex = modifyIndex
  }
}

package struct CheckUpdate: Equatable, Sendable {
  package var checkID: String
  /// When not nil: applied only if the check still runs on this host (late reports are dropped).
  package var fromHost: String?
  /// Catalog checks are named by node too; nil for agent checks.
  package var node: String?
  package var status: String
  package var output: String
  package init(checkID: String, fromHost: String?, node: String?, status: String, output: String) {
    self.checkID = checkID
    self.fromHost = fromHost
    self.node = node
    self.status = status
    self.output = output
  }
}

package struct HostRegistration: Equatable, Sendable {
  package var node: NodeRecord
  /// Of the `consul` service: the peer port.
  package var port: Int
  package init(node: NodeRecord, port: Int) {
    self.node = node
    self.port = port
  }
}

package enum TransactionOperation: Equatable, Sendable {
  case kv(KVOperation)
  case node(verb: CatalogVerb, NodeRecord)
  case service(verb: CatalogVerb, node: String, ServiceRecord)
  case check(verb: CatalogVerb, CheckRecord)
  /// Kept so that its error appears at its place: the text is the whole error.
  case invalid(String)
}

package enum CatalogVerb: UInt8, Sendable {
  case set = 0
  case cas, get, delete, deleteCAS
}

package struct KVOperation: Equatable, Sendable {
  package enum Verb: UInt8, Sendable {
    case set = 0
    case cas, lock, unlock, get, getOrEmpty, getTree, checkIndex, checkSession, checkNotExists
    case delete, deleteTree, deleteCAS
  }
  package var verb: Verb
  package var key: Key
  package var value: [UInt8]
  package var flags: UInt64
  package var index: UInt64
  package var session: UniqueID?
  package init(
    verb: Verb, key: Key, value: [UInt8] = [], flags: UInt64 = 0, index: UInt64 = 0,
    session: UniqueID? = nil
  ) {
    self.verb = verb
    self.key = key
    self.value = value
    self.flags = flags
    self.index = index
    self.session = session
  }
}

/// What is around every command in the log. The leader stamps the time.
package struct CommandEnvelope: Equatable, Sendable {
  /// Milliseconds since 1970 on the leader's clock when it proposed the command.
  package var time: UInt64
  /// Commands with the same id are applied once; later ones get the first outcome.
  package var requestID: UniqueID?
  /// An index that the sender of the request knew before it sent it for the first time; see
  /// `Registry.forgottenThrough`. Goes with a request id only.
  package var floor: UInt64?
  /// Nil: never sent twice.
  package var origin: OriginStamp?
  package var command: Command
  package init(
    time: UInt64, requestID: UniqueID?, floor: UInt64? = nil, origin: OriginStamp? = nil,
    command: Command
  ) {
    self.time = time
    self.requestID = requestID
    self.floor = requestID == nil ? nil : floor
    self.origin = origin
    self.command = command
  }
}
