import HTTP
import Node
import Registry

/// What a caller must be allowed to do. One per route and method; ACLs are decided by this column
/// alone (consul-api.md 18.11), so a route without it does not compile.
enum Permission: Equatable {
  /// Anybody may.
  case none
  case keyRead, keyWrite
  case nodeRead, nodeWrite
  case serviceRead, serviceWrite
  /// Of a service check `serviceWrite`, of a node check `nodeWrite`.
  case checkWrite
  case sessionRead, sessionWrite
  case agentRead, agentWrite
  case operatorRead, operatorWrite
  case aclRead, aclWrite
  case eventRead, eventWrite
  case queryRead, queryWrite
  /// The whole state, secrets included.
  case snapshot
  /// Of keys and of services, whichever the stream shows.
  case stream
  /// Every operation of a transaction by itself.
  case perOperation
  /// Depends on the kind of the config entry.
  case perKind
}

/// How the answer relates to the state (consul-api.md 28: B, C, E, L).
enum Consistency: Equatable {
  /// B C: read barrier unless stale, blocks, index headers.
  case indexed
  /// B C E: the same with `X-Consul-Effective-Consistency`.
  case indexedWithMode
  /// Reads as `agent`, blocks, with an index and nothing about the leader: events (11.5).
  case events
  /// C: read barrier unless stale, no headers.
  case plain
  /// `/v1/agent/…`: read barrier when there is a leader, else what this node has.
  case agent
  /// This node's own knowledge, at once.
  case local
  /// The same below `/v1/agent`.
  case agentLocal
  /// A write, or something the handler does.
  case action

  /// `dc` must name our own datacenter; agent endpoints do not look at it.
  var checksDatacenter: Bool { self != .agent && self != .agentLocal }
  var hasIndex: Bool { self == .indexed || self == .indexedWithMode || self == .events }
}

/// All that the evaluation of a read needs: small, so that a parked query can keep it.
struct Read {
  /// What follows the route's prefix, decoded.
  let name: [UInt8]
  let query: QueryParameters
  var options: QueryOptions
  let filter: Filter?

  var text: String { String(decoding: name, as: UTF8.self) }
  func writer(reserving count: Int = 256) -> JSONWriter {
    JSONWriter(pretty: options.isPretty, reserving: count)
  }
}

/// What answers show of the node that gives them.
struct Site {
  let datacenter: String
  let nodeName: String
  let discovery = DiscoveryCache()
  /// For answers that are shuffled.
  let random: () -> UInt64
}

/// One request on its way to an answer that does not come from `Read`.
struct Call {
  let request: HTTPRequest
  /// What follows the route's prefix, decoded.
  let name: ArraySlice<UInt8>
  let query: QueryParameters
  let isPretty: Bool
  let context: RequestContext
  let responder: HTTPResponder

  var text: String { String(decoding: name, as: UTF8.self) }
  func writer(reserving count: Int = 256) -> JSONWriter {
    JSONWriter(pretty: isPretty, reserving: count)
  }
}

/// A command to propose, and how its success is answered.
struct Proposal {
  enum Reply {
    /// 200 with an empty body.
    case empty
    case truth
    /// The outcome's flag as `true` or `false`.
    case flag
    case body([UInt8])
    case transaction(isPretty: Bool)
  }
  var command: Command
  var reply: Reply
}

/// Who answers. The kinds say what the dispatcher has to do before and after.
enum Handler<B: Backend> {
  /// `check` refuses bad input before anything is waited for; `evaluate` may run many times.
  case read(
    check: (Read) throws(Refusal) -> Void,
    evaluate: (Read, Registry, Site) throws(Refusal) -> Answer)
  /// Answers at once from what the node knows, after the wait its consistency asks for.
  case local((ConsulAPI<B>, Call) throws(Refusal) -> Answer)
  case write((ConsulAPI<B>, Call) throws(Refusal) -> Proposal)
  /// Sees to the answer by itself.
  case act((ConsulAPI<B>, Call) throws(Refusal) -> Void)
}

/// One method of a route.
final class Endpoint<B: Backend> {
  let method: HTTPMethod
  let permission: Permission
  let consistency: Consistency
  /// The fields a `?filter=` may name; nil: there is no filter.
  let filterFields: [FilterField]?
  let handler: Handler<B>

  init(
    _ method: HTTPMethod, _ permission: Permission, _ consistency: Consistency,
    filter filterFields: [FilterField]? = nil, _ handler: Handler<B>
  ) {
    self.method = method
    self.permission = permission
    self.consistency = consistency
    self.filterFields = filterFields
    self.handler = handler
  }
}

/// One row of the table. A path that ends with a slash takes everything below it.
final class Route<B: Backend> {
  let path: String
  let endpoints: [Endpoint<B>]
  /// `OPTIONS,GET,PUT`: for `Allow`.
  let allow: String

  /// - Parameter listsOptions: false where Consul checks the methods in the handler (16).
  init(_ path: String, listsOptions: Bool = true, _ endpoints: [Endpoint<B>]) {
    self.path = path
    self.endpoints = endpoints
    allow = (listsOptions ? "OPTIONS," : "") + endpoints.map(\.method.name).joined(separator: ",")
  }

  func endpoint(for method: HTTPMethod) -> Endpoint<B>? {
    // By index: a loop over the elements would hold and release each.
    for index in endpoints.indices where endpoints[index].method == method {
      return endpoints[index]
    }
    return nil
  }
}
