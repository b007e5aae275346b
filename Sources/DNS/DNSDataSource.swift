/// What the answers are made of. Two bodies: the node's registry, and the one of the tests.
///
/// Names are looked up without case. Thread rule: the loop's thread; nothing here calls back into
/// the server from within a call.
package protocol DNSDataSource: AnyObject {
  /// How far what is known here may lag behind the cluster.
  var age: DNSAge { get }
  /// The instances of a service with no critical check, those of their nodes included; in any
  /// order, which has to be the same for the same state. Empty when there is no such service.
  func instances(ofService name: String) -> [DNSInstance]
  func node(named name: String) -> DNSNode?
  /// Who has that address: a node, else a service.
  func owner(ofAddress ip: [UInt8]) -> DNSOwner?
  /// The instances that a prepared query selects now; nil when there is no such query.
  func preparedQuery(_ name: String) -> DNSPreparedQuery?
  /// Whoever asks may have been told of changes that are not known here yet, though stale answers
  /// are allowed: `catchUp` first.
  var mayLackAnsweredWrites: Bool { get }
  /// Calls `done` when they are known, or soon in any case.
  func catchUp(_ done: @escaping () -> Void)
  /// Makes sure that what is read next is not older than this call; false when that cannot be.
  func confirm(_ done: @escaping (Bool) -> Void)
}

package enum DNSAge: Equatable, Sendable {
  /// Since the leader was last heard (0 on the leader).
  case milliseconds(UInt64)
  /// Nothing is known yet: this node has no state of the cluster.
  case unknown
}

/// An address in the catalog: an IP address (4 or 16 bytes), or a host name.
package enum DNSAddress: Hashable, Sendable {
  case ip([UInt8])
  case name(String)
}

package struct DNSInstance: Hashable, Sendable {
  package var node: String
  /// The service's own address, else the node's.
  package var address: DNSAddress
  package var hasOwnAddress: Bool
  package var port: UInt16
  /// Of the instance's present status.
  package var weight: UInt16
  package var isPassing: Bool
  /// In lower case.
  package var foldedTags: [String]

  package init(
    node: String, address: DNSAddress, hasOwnAddress: Bool = false, port: UInt16,
    weight: UInt16 = 1, isPassing: Bool = true, foldedTags: [String] = []
  ) {
    self.node = node
    self.address = address
    self.hasOwnAddress = hasOwnAddress
    self.port = port
    self.weight = weight
    self.isPassing = isPassing
    self.foldedTags = foldedTags
  }
}

package struct DNSNode: Equatable, Sendable {
  package var name: String
  package var address: DNSAddress
  /// In the order of the keys.
  package var meta: [(key: String, value: String)]

  package init(name: String, address: DNSAddress, meta: [(key: String, value: String)] = []) {
    self.name = name
    self.address = address
    self.meta = meta
  }

  package static func == (a: DNSNode, b: DNSNode) -> Bool {
    a.name == b.name && a.address == b.address && a.meta.elementsEqual(b.meta, by: ==)
  }
}

package enum DNSOwner: Equatable, Sendable {
  case node(String)
  case service(String)
}

package struct DNSPreparedQuery: Equatable, Sendable {
  package var service: String
  package var instances: [DNSInstance]
  /// So many of the instances, from the first on, are near: they come before the others.
  package var nearCount: Int
  /// Nil: that of the service.
  package var ttl: UInt32?

  package init(
    service: String, instances: [DNSInstance], nearCount: Int = 0, ttl: UInt32? = nil
  ) {
    self.service = service
    self.instances = instances
    self.nearCount = nearCount
    self.ttl = ttl
  }
}
