import Checks
import EventLoop
import HTTP
import Registry
import Testing

@testable import Node

/// Nodes with their duties, and a target for their probes, on one loop.
final class DutyCluster {
  let cluster: Cluster
  private(set) var duties: [Int: Duties] = [:]
  private(set) var server: HTTPServer!
  /// Path and time of every probe that came in.
  private(set) var probes: [(path: String, at: UInt64)] = []
  /// Status code of the answer; nil: none is ever given.
  var answer: (String) -> Int? = { _ in 200 }
  private var held: [HTTPResponder] = []
  var options = Duties.Options()
  var loop: EventLoop { cluster.loop }

  init(
    _ count: Int = 3, deadAfter: Int = 500, requestTimeout: Int = 1500,
    change: (inout Duties.Options) -> Void = { _ in }
  ) throws {
    cluster = try Cluster(count) {
      $0.nodeDeadAfterMilliseconds = deadAfter
      $0.requestTimeoutMilliseconds = requestTimeout
    }
    options.checkLimits.intervalNanosecondsMin = 10_000_000
    change(&options)
    server = try HTTPServer(
      address: SocketAddress(ip: [127, 0, 0, 1], port: 0), loop: cluster.loop,
      limits: HTTPLimits(), bodyLimit: { _ in nil },
      handler: { [unowned self] request, responder in
        let path = String(decoding: request.rawPath, as: UTF8.self)
        probes.append((path, loop.now))
        guard let status = answer(path) else { return held.append(responder) }
        responder.respond(.text(status, "it is \(status)"))
      })
    for index in cluster.places.indices { try start(index) }
    _ = cluster.awaitLeader()
    let names = cluster.places.map(\.name)
    #expect(
      run {
        self.cluster.running.allSatisfy { node in
          names.allSatisfy { self.serf(node, $0) == "passing" }
        }
      },
      "the nodes do not come into the catalog")
  }

  func start(_ index: Int) throws {
    duties[index] = Duties(node: try cluster.start(index), options: options)
  }

  func kill(_ index: Int) {
    duties[index]?.stop()
    cluster.kill(index)
    duties[index] = nil
  }

  func end() {
    for (_, duty) in duties { duty.stop() }
    cluster.stopAll()
    server.close()
  }

  @discardableResult
  func run(_ seconds: Double = 60, until condition: () -> Bool) -> Bool {
    cluster.run(seconds: seconds, until: condition)
  }
  func pass(_ seconds: Double) { run(seconds) { false } }

  var leaderIndex: Int { cluster.leader.map { cluster.index(of: $0) } ?? -1 }
  /// A place that does not lead.
  var followerIndex: Int {
    cluster.places.indices.first { $0 != leaderIndex && cluster.places[$0].node != nil } ?? -1
  }
  func duty(_ index: Int) -> Duties {
    guard let duty = duties[index] else { fatalError("node \(index) is down") }
    return duty
  }
  var probeCount: Int { duties.values.reduce(0) { $0 + $1.probeCount } }

  // MARK: The state

  func serf(_ node: Node, _ name: String) -> String? {
    node.registry.nodeLevelChecks(onNode: name).first { $0.id == "serfHealth" }?.status
  }
  func check(_ id: String, _ node: Node? = nil) -> CheckRecord? {
    (node ?? cluster.leader ?? cluster.running.first)?.registry.agentCheck(id, host: "")
  }

  func propose(_ command: Command, through index: Int) -> Result<Outcome, RequestFailure>? {
    var result: Result<Outcome, RequestFailure>?
    cluster[index].propose(command, RequestContext()) { result = $0 }
    run { result != nil }
    return result
  }

  /// Registers service `id` with one check `id-check`, seen by all.
  func register(
    _ id: String, through index: Int, status: String = "critical",
    _ change: (inout CheckDefinition) -> Void
  ) {
    var service = ServiceRecord(node: "", id: id, name: id)
    service.origin = .agent
    var check = CheckRecord(node: "", id: id + "-check", name: id)
    check.serviceID = id
    check.status = status
    change(&check.definition)
    let registration = AgentRegistration(
      host: cluster.places[index].name, service: service, checks: [check],
      replaceExistingChecks: true)
    #expect(propose(.agentRegister(registration), through: index) == .success(.done))
    run {
      self.cluster.running.allSatisfy {
        self.check(check.id, $0)?.node == self.cluster.places[index].name
      }
    }
  }

  func url(_ path: String) -> String { "http://\(server.localAddress)/\(path)" }

  func update(_ id: String, _ status: String, _ output: String = "", through index: Int)
    -> Result<Outcome, RequestFailure>?
  {
    var result: Result<Outcome, RequestFailure>?
    let update = CheckUpdate(
      checkID: id, fromHost: nil, node: nil, status: status, output: output)
    cluster[index].updateTTLCheck(update, RequestContext()) { result = $0 }
    run { result != nil }
    return result
  }

  func createSession(_ number: UInt64, ttl: Double, node index: Int, checks: [String] = [])
    -> UniqueID
  {
    var session = SessionRecord(
      id: UniqueID(high: 7, low: number), node: cluster.places[index].name)
    session.ttlNanoseconds = Int64(ttl * 1e9)
    session.nodeChecks = checks
    #expect(propose(.sessionCreate(session), through: index) == .success(.done))
    return session.id
  }
}
