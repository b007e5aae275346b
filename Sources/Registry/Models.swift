/// A string map in the order of its keys (bytewise): replicated state iterates no `Dictionary`.
package struct StringMap: Equatable, Sendable {
  /// Sorted by name, without duplicates.
  package private(set) var pairs: [StringPair]
  /// Later duplicates win.
  package init(_ pairs: [StringPair] = []) {
    self.pairs = []
    self.pairs.reserveCapacity(pairs.count)
    // `sorted` is stable, so of two equal names the later one stands behind.
    let sorted = pairs.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    for pair in sorted {
      if let last = self.pairs.last, last.name.utf8.elementsEqual(pair.name.utf8) {
        self.pairs.removeLast()
      }
      self.pairs.append(pair)
    }
  }
  package subscript(name: String) -> String? { pairs.first { $0.name == name }?.value }
}

package struct StringPair: Equatable, Sendable {
  package var name: String
  package var value: String
  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

package struct KVEntry: Equatable, Sendable {
  package var key: Key
  package var value: [UInt8]
  package var flags: UInt64
  package var createIndex: UInt64
  package var modifyIndex: UInt64
  package var lockIndex: UInt64
  package var session: UniqueID?
  package init(
    key: Key, value: [UInt8], flags: UInt64, createIndex: UInt64, modifyIndex: UInt64,
    lockIndex: UInt64, session: UniqueID? = nil
  ) {
    self.key = key
    self.value = value
    self.flags = flags
    self.createIndex = createIndex
    self.modifyIndex = modifyIndex
    self.lockIndex = lockIndex
    self.session = session
  }
}

package struct NodeRecord: Equatable, Sendable {
  /// A UUID as text, or empty.
  package var id = ""
  package var name: String
  package var address: String
  package var taggedAddresses: StringMap?
  package var meta: StringMap?
  /// This is a Roost node (a host of agent services), not one from `catalog/register`.
  package var isHost = false
  package var createIndex: UInt64 = 0
  package var modifyIndex: UInt64 = 0
  package init(name: String, address: String) {
    self.name = name
    self.address = address
  }
}

package struct ServiceAddress: Equatable, Sendable {
  package var address: String
  package var port: Int
  package init(address: String, port: Int) {
    self.address = address
    self.port = port
  }
}

package struct NamedServiceAddress: Equatable, Sendable {
  package var name: String
  package var value: ServiceAddress
  package init(name: String, value: ServiceAddress) {
    self.name = name
    self.value = value
  }
}

/// Where a service or check came from.
package enum Origin: UInt8, Sendable {
  /// `/v1/catalog/register` or a transaction: belongs to its node, Consul's rules.
  case catalog = 0
  /// `/v1/agent/…`: belongs to the cluster; its id is unique cluster-wide; hosts run its checks.
  case agent = 1
}

package struct ServiceRecord: Equatable, Sendable {
  /// Name of the node it is on; for agent services the host.
  package var node: String
  package var id: String
  package var name: String
  package var kind = ""
  package var tags: [String] = []
  package var address = ""
  /// Sorted by name; nil when never given.
  package var taggedAddresses: [NamedServiceAddress]?
  package var meta: StringMap?
  package var port = 0
  package var socketPath = ""
  package var weightPassing = 1
  package var weightWarning = 1
  package var enableTagOverride = false
  /// `Proxy` and `Connect` as JSON, kept and shown as given; empty when not given.
  package var proxyJSON: [UInt8] = []
  package var connectJSON: [UInt8] = []
  package var origin: Origin = .catalog
  package var createIndex: UInt64 = 0
  package var modifyIndex: UInt64 = 0
  package init(node: String, id: String, name: String) {
    self.node = node
    self.id = id
    self.name = name
  }
}

/// How a check is probed. Durations in nanoseconds; 0 = not set. Empty strings = not set.
package struct CheckDefinition: Equatable, Sendable {
  package var http = ""
  package var method = ""
  package var header: [HeaderField] = []
  package var body = ""
  package var disableRedirects = false
  package var tcp = ""
  package var udp = ""
  package var grpc = ""
  package var grpcUseTLS = false
  package var h2ping = ""
  package var tlsServerName = ""
  package var tlsSkipVerify = false
  package var args: [String] = []
  package var shell = ""
  package var dockerContainerID = ""
  package var aliasNode = ""
  package var aliasService = ""
  package var interval: Int64 = 0
  package var timeout: Int64 = 0
  package var ttl: Int64 = 0
  package var deregisterCriticalServiceAfter: Int64 = 0
  package var successBeforePassing = 0
  package var failuresBeforeCritical = 0
  package var failuresBeforeWarning = 0
  package var outputMaxSize = 0
  package init() {}
}

package struct HeaderField: Equatable, Sendable {
  package var name: String
  package var values: [String]
  package init(name: String, values: [String]) {
    self.name = name
    self.values = values
  }
}

package struct CheckRecord: Equatable, Sendable {
  package var node: String
  package var id: String
  package var name: String
  /// `passing`, `warning`, `critical`; the catalog stores any other word as it is.
  package var status = "critical"
  package var notes = ""
  package var output = ""
  /// Empty: a check of the node.
  package var serviceID = ""
  package var serviceName = ""
  package var serviceTags: [String] = []
  /// `http`, `tcp`, `ttl`, `maintenance`, … or empty.
  package var type = ""
  /// As shown; set for checks of `agent/check/register` only.
  package var interval = ""
  package var timeout = ""
  package var definition = CheckDefinition()
  package var origin: Origin = .catalog
  package var createIndex: UInt64 = 0
  package var modifyIndex: UInt64 = 0
  package init(node: String, id: String, name: String) {
    self.node = node
    self.id = id
    self.name = name
  }
  package var isPassing: Bool { status == "passing" }
}

package enum SessionBehavior: UInt8, Sendable {
  case release = 0
  case delete = 1
}

package struct SessionRecord: Equatable, Sendable {
  package var id: UniqueID
  package var name = ""
  package var node: String
  /// Nanoseconds.
  package var lockDelay: Int64 = 15_000_000_000
  package var behavior: SessionBehavior = .release
  /// As given ("15.0s"); the parsed value is in `ttlNanoseconds` (0 = none).
  package var ttl = ""
  package var ttlNanoseconds: Int64 = 0
  package var nodeChecks: [String] = []
  package var serviceChecks: [String]?
  package var createIndex: UInt64 = 0
  package var modifyIndex: UInt64 = 0
  package init(id: UniqueID, node: String) {
    self.id = id
    self.node = node
  }
}

/// A record that the catalog and the agents write: services and checks.
protocol OwnedRecord: Equatable {
  var origin: Origin { get set }
  var createIndex: UInt64 { get set }
  var modifyIndex: UInt64 { get set }
}

extension ServiceRecord: OwnedRecord {}
extension CheckRecord: OwnedRecord {}

extension OwnedRecord {
  /// Takes the place of `old`: keeps its creation, and stays an agent's if it was one. False when
  /// nothing changes with it.
  mutating func succeed(_ old: Self?, createIndex given: UInt64?, at index: UInt64) -> Bool {
    if let old {
      if old.origin == .agent { origin = .agent }
      createIndex = old.createIndex
      modifyIndex = old.modifyIndex
      if self == old { return false }
    } else {
      createIndex = given ?? index
    }
    modifyIndex = index
    return true
  }
}
