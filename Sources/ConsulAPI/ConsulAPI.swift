package import EventLoop
package import HTTP
package import Node
import Raft
import Registry

/// Consul's HTTP API on a node.
///
/// Happy path of a request: decode and clean the path → find its row in the table (`Routes.swift`)
/// → parse the query → a read waits for the node's read barrier and is evaluated against the local
/// registry; a write becomes a command that is proposed and answered with its outcome. Reads with
/// `index` may be parked until something they depend on changes (`BlockingQuery.swift`).
///
/// Failures: what the client did wrong is a `Refusal` thrown by a handler; what the cluster could
/// not do is a `RequestFailure`; both get their status in `Answer.swift` and nowhere else.
///
/// Thread rule: used on the loop's thread only.
package final class ConsulAPI<B: Backend> {
  package let backend: B
  let limits: APILimits
  let site: Site
  let routes: [Route<B>]
  /// What most writes are answered with.
  let truth: HTTPResponse
  private let router: Router
  /// What the router's places mean.
  private let targets: [Target]
  /// Random bits for UUIDs and jitter; tests give their own.
  let random: () -> UInt64
  /// What `agent/leave` and `agent/reload` do, when they do something.
  package var onLeave: (() -> Void)?
  package var onReload: (() -> Void)?
  /// Wall clock when this node began to serve, in nanoseconds since 1970.
  let startedAt: UInt64
  /// Parked blocking queries, for the bound and for metrics.
  package internal(set) var parkedCount = 0
  /// Parked queries that a change had evaluated again.
  let wakes: Metrics.CounterID
  /// Archives that are being sent.
  var archivesUnderWay = 0
  var isRestoring = false
  let background: Background<B>
  /// What changed lately, and who follows it.
  var changeLog: ChangeLog
  var streams: [ChangeStream<B>] = []
  /// Clients that follow the log of this node.
  var monitors = 0

  private enum Target {
    case route(Int)
    /// The path lacks the slash that its route ends with.
    case addSlash
  }

  /// - Parameter random: 64 unpredictable bits; `getrandom` underneath unless given.
  package init(
    node: B, limits: APILimits = APILimits(),
    random: @escaping () -> UInt64 = ConsulAPI.systemRandom
  ) {
    backend = node
    background = Background(node)
    changeLog = ChangeLog(
      startingAt: node.registry.stateIndex, bytesMax: limits.changeLogBytesMax,
      entriesMax: limits.changeLogEntriesMax)
    wakes = node.metrics.counter("roost.blocking_queries.wakes")
    self.limits = limits
    startedAt = node.wallClock
    self.random = random
    site = Site(
      datacenter: node.configuration.datacenter, nodeName: node.configuration.nodeName,
      random: random)
    routes = Self.makeRoutes()
    truth = Self.response(.truth)
    var router = Router()
    var targets: [Target] = []
    for (index, route) in routes.enumerated() {
      targets.append(.route(index))
      guard route.path.hasSuffix("/") else {
        router.add(exact: route.path, targets.count - 1)
        continue
      }
      router.add(prefix: route.path, targets.count - 1)
      let bare = String(route.path.dropLast())
      guard !routes.contains(where: { $0.path == bare }) else { continue }
      targets.append(.addSlash)
      router.add(exact: bare, targets.count - 1)
    }
    self.router = router
    self.targets = targets
    node.onRegistryChange { [weak self] changes in self?.note(changes) }
  }

  /// On Linux this is `getrandom`.
  package static func systemRandom() -> UInt64 {
    var generator = SystemRandomNumberGenerator()
    return generator.next()
  }

  /// A random (version 4) UUID.
  func makeUniqueID() -> UniqueID {
    let high = random() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
    let low = random() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    return UniqueID(high: high, low: low)
  }

  /// Serves the API on `address`; keep the server.
  package func start(
    address: SocketAddress, loop: EventLoop, limits: HTTPLimits = HTTPLimits()
  ) throws(SystemError) -> HTTPServer {
    return try HTTPServer(
      address: address, loop: loop, limits: serverLimits(limits),
      bodyLimit: { [unowned self] head in bodyLimit(head) },
      handler: { [unowned self] request, responder in handle(request, responder) })
  }

  private func serverLimits(_ limits: HTTPLimits) -> HTTPLimits {
    var limits = limits
    limits.largeBodyPath = "/v1/snapshot"
    limits.largeBodyBytesMax = self.limits.archiveBytesMax
    return limits
  }

  // MARK: From request to endpoint

  package func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
    do {
      let path = try decodedPath(request)
      if let cleaned = PathCleaner.cleaned(path) {
        return responder.respond(Self.redirect(to: cleaned, request))
      }
      guard let (place, rest) = router.lookup(path) else {
        return responder.respond(Self.unknownPath(path))
      }
      guard case .route(let index) = targets[place] else {
        return responder.respond(Self.redirect(to: Array(path) + [0x2F], request))
      }
      let route = routes[index]
      guard let endpoint = route.endpoint(for: request.method) else {
        return responder.respond(otherMethod(request, route))
      }
      try dispatch(request, name: path[rest], endpoint, responder)
    } catch {
      responder.respond(response(Answer(error)))
    }
  }

  private func decodedPath(_ request: HTTPRequest) throws(Refusal) -> ArraySlice<UInt8> {
    if !request.isPathEncoded { return request.rawPath }
    do {
      return try PercentCoding.decodePath(request.rawPath)[...]
    } catch {
      // 1.8: an empty 400, for a control character as for an escape that is none.
      throw .bad("")
    }
  }

  private func dispatch(
    _ request: HTTPRequest, name: ArraySlice<UInt8>, _ endpoint: Endpoint<B>,
    _ responder: HTTPResponder
  ) throws(Refusal) {
    let query = try parseQuery(request)
    try refuseEnterprise(request, query)
    let consistency = endpoint.consistency
    if consistency.checksDatacenter, let other = query.text("dc"), !other.isEmpty,
      other != site.datacenter
    {
      throw .failed("No path to datacenter")
    }
    let context = try context(of: request, query)
    if case .read(let check, let evaluate) = endpoint.handler {
      let read = Read(
        name: Array(name), query: query,
        options: try options(query, request, blocks: consistency.hasIndex),
        filter: try parseFilter(query, endpoint.filterFields))
      try check(read)
      return start(read, evaluate, consistency, context, responder)
    }
    let call = Call(
      request: request, name: name, query: query, isPretty: query.has("pretty"), context: context,
      responder: responder)
    switch endpoint.handler {
    case .read: break
    case .local(let answer): try answerLocally(call, consistency, answer)
    case .write(let prepare): propose(try prepare(self, call), call)
    case .act(let act): try act(self, call)
    }
  }

  private func parseQuery(_ request: HTTPRequest) throws(Refusal) -> QueryParameters {
    guard let raw = request.rawQuery else { return QueryParameters() }
    do {
      return try QueryParameters(raw)
    } catch {
      // 1.16: an empty body; 400 as the 1.20 line answers it, since it is the client's fault.
      throw .bad("")
    }
  }

  func options(
    _ query: QueryParameters, _ request: HTTPRequest, blocks: Bool
  ) throws(Refusal) -> QueryOptions {
    if query.isEmpty { return QueryOptions() }
    return try QueryOptions(
      query, blocks: blocks, limits: limits, cacheControl: request.header("cache-control"))
  }

  private func parseFilter(
    _ query: QueryParameters, _ fields: [FilterField]?
  ) throws(Refusal) -> Filter? {
    guard let fields, let text = query.bytes("filter"), !text.isEmpty else { return nil }
    return try Filter(parsing: Array(text), fields: fields)
  }

  /// Namespaces and partitions are refused, not ignored: ignoring them would mix what the caller
  /// believes to be apart (consul-api.md 1.18).
  private func refuseEnterprise(
    _ request: HTTPRequest, _ query: QueryParameters
  ) throws(Refusal) {
    if let value = query.bytes("ns"), !value.isEmpty {
      throw Self.enterprise("query parameter: \"ns\" - Namespaces are")
    }
    if let value = query.bytes("partition"), !value.isEmpty {
      throw Self.enterprise("query parameter: \"partition\" - Partitions are")
    }
    if let value = request.header("x-consul-namespace"), !value.isEmpty {
      throw Self.enterprise("header: \"X-Consul-Namespace\" - Namespaces are")
    }
  }

  private static func enterprise(_ what: String) -> Refusal {
    .bad("Bad request: Invalid \(what) a Consul Enterprise feature")
  }

  /// Token and request id, each looked for once (1.25).
  private func context(
    of request: HTTPRequest, _ query: QueryParameters
  ) throws(Refusal) -> RequestContext {
    var context = RequestContext()
    if let token = query.text("token"), !token.isEmpty {
      context.token = token
    } else if let token = request.header("x-consul-token"), !token.isEmpty {
      context.token = String(decoding: token, as: UTF8.self)
    } else if let value = request.header("authorization") {
      context.token = Self.bearerToken(value)
    }
    if let value = request.header("x-roost-request-id") {
      guard let id = UniqueID(parsing: String(decoding: value, as: UTF8.self)) else {
        throw .bad("Invalid X-Roost-Request-Id: it must be a UUID")
      }
      context.requestID = id
    }
    if let value = request.header("x-roost-request-floor") {
      guard let floor = UInt64(String(decoding: value, as: UTF8.self)) else {
        throw .bad("Invalid X-Roost-Request-Floor: it must be an index")
      }
      context.requestFloor = floor
    }
    return context
  }

  /// Another scheme than `Bearer` is no token at all.
  private static func bearerToken(_ value: ArraySlice<UInt8>) -> String {
    let scheme = Array("bearer ".utf8)
    guard value.count > scheme.count,
      value.prefix(scheme.count).elementsEqual(scheme, by: { $0 == $1 || $0 | 0x20 == $1 })
    else { return "" }
    let token = value.dropFirst(scheme.count).drop { byte in byte == 0x20 }
    return String(decoding: token, as: UTF8.self)
  }

  // MARK: Handlers that answer by themselves

  private func answerLocally(
    _ call: Call, _ consistency: Consistency,
    _ answer: @escaping (ConsulAPI<B>, Call) throws(Refusal) -> Answer
  ) throws(Refusal) {
    guard consistency == .agent || consistency == .plain else {
      return respond(try answer(self, call), call.responder)
    }
    let options = try options(call.query, call.request, blocks: false)
    barrier(consistency, options, call.context) { [self] failure in
      if let failure { return respond(Answer(failure), call.responder) }
      do throws(Refusal) {
        respond(try answer(self, call), call.responder)
      } catch {
        respond(Answer(error), call.responder)
      }
    }
  }

  /// Waits until the local registry may be read. Calls `done` at once when nothing is to wait for.
  func barrier(
    _ consistency: Consistency, _ options: QueryOptions, _ context: RequestContext,
    _ done: @escaping (RequestFailure?) -> Void
  ) {
    if consistency == .agent || consistency == .events {
      // What was registered through another node a moment ago is there; without a leader the
      // node answers with what it has (3.7).
      guard backend.hasLeader else { return done(nil) }
      var bounded = context
      bounded.deadline = backend.now &+ limits.agentReadNanosecondsMax
      return backend.readBarrier(bounded) { _ in done(nil) }
    }
    if options.mode == .stale {
      let limit = options.maxStaleMilliseconds ?? .max
      if limit == .max || backend.hasLeader && backend.lastContactMilliseconds <= limit {
        return done(nil)
      }
    }
    backend.readBarrier(context, completion: done)
  }

  func propose(_ proposal: Proposal, _ call: Call) {
    let responder = call.responder
    let reply = proposal.reply
    backend.propose(proposal.command, call.context) { [self] result in
      switch result {
      case .success(let outcome): respond(answer(reply, outcome), responder)
      case .failure(let failure): respond(Answer(failure), responder)
      }
    }
  }

  func answer(_ reply: Proposal.Reply, _ outcome: Outcome) -> Answer {
    if case .refused(let refusal) = outcome { return Answer(refusal) }
    switch reply {
    case .empty: return .empty
    case .truth: return .truth
    case .flag:
      if case .flag(false) = outcome { return .untruth }
      return .truth
    case .body(let body): return Answer(contentType: Answer.jsonType, body: body)
    case .transaction(let isPretty): return transactionAnswer(outcome, isPretty: isPretty)
    }
  }
}

extension ConsulAPI {
  /// What a service's answer was before a restore says nothing of it afterwards.
  private func forgetDiscoveryWithEverything() {
    let discovery = site.discovery
    backend.onRegistryChange { changes in
      if changes.everything { discovery.removeAll() }
    }
  }
}

extension ConsulAPI where B == Node {
  /// The API of a real node. Made here, in this module, so that all of it is compiled for `Node`:
  /// from elsewhere the generic form would be used, which looks up its types for every request.
  package static func make(node: Node) -> ConsulAPI<Node> {
    let api = ConsulAPI<Node>(node: node)
    api.forgetDiscoveryWithEverything()
    return api
  }

  /// As `start`, compiled for `Node`.
  package func serve(address: SocketAddress, loop: EventLoop) throws(SystemError) -> HTTPServer {
    try start(address: address, loop: loop)
  }
}

extension ConsulAPI where B == IOBackend {
  /// The API on one of `count` io loops.
  package static func make(_ backend: IOBackend, sharedBy count: Int) -> ConsulAPI<IOBackend> {
    let api = ConsulAPI<IOBackend>(node: backend, limits: APILimits().shared(by: count))
    api.forgetDiscoveryWithEverything()
    api.onLeave = { [unowned backend] in backend.notify(.leave) }
    api.onReload = { [unowned backend] in backend.notify(.reload) }
    return api
  }

  /// Serves connections that are accepted elsewhere.
  func serve(
    for address: SocketAddress, _ quota: ConnectionQuota, limits: HTTPLimits
  ) -> HTTPServer {
    HTTPServer(
      servingFor: address, loop: backend.loop, limits: serverLimits(limits), quota: quota,
      bodyLimit: { [unowned self] head in bodyLimit(head) },
      handler: { [unowned self] request, responder in
        backend.takeNewest()
        handle(request, responder)
      })
  }
}
