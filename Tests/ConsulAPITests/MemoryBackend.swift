import Basics
import ConsulAPI
import EventLoop
@testable import Node
import Raft
import Registry
import Synchronization

/// A backend of one node in memory: a real registry, commands applied at once, a clock that only
/// moves when a test says so. Completions and wake-ups wait until `run`, since a node never calls
/// them from inside the call.
final class MemoryBackend: Backend {
  var configuration: NodeConfiguration
  let id = NodeID(1)
  let metrics = Metrics()
  func collectMetrics(_ done: @escaping (Metrics.Report) -> Void) { done(metrics.report()) }
  private(set) var registry: Registry
  /// What reads and writes meet instead of a leader.
  var failure: RequestFailure?
  /// False: the barrier never comes back.
  var answersBarriers = true
  var lastContactMilliseconds: UInt64 = 0
  var now: UInt64 = 1_000_000_000
  private(set) var barriers = 0
  private(set) var commands: [Command] = []
  private(set) var contexts: [RequestContext] = []
  var transferredTo: NodeID??
  var removed: [NodeID] = []
  private(set) var added: [String] = []

  private var pending: [() -> Void] = []
  private var pickUp: [() -> Bool] = []
  private var timers: [(id: TimerID, due: UInt64, body: () -> Void)] = []
  private var watches: [(id: WatchID, topics: [Topic], wake: () -> Void)] = []
  private var nextID: UInt64 = 1
  private var index: UInt64 = 0

  init(nodeName: String = "n1") {
    configuration = NodeConfiguration(nodeName: nodeName)
    registry = Registry(options: Registry.Options())
    var host = NodeRecord(name: nodeName, address: "127.0.0.1")
    host.id = Self.uuid(of: id)
    _ = apply(.hostJoin(HostRegistration(node: host, port: 8300)))
  }

  var hasLeader: Bool { failure != .noLeader }
  var wallClock: UInt64 { 1_795_000_000_000_000_000 + now }

  static func uuid(of id: NodeID) -> String {
    UniqueID(high: 0x1111_2222_3333_4444, low: id.value).description
  }

  var members: [MemberStatus] = [
    MemberStatus(
      id: NodeID(1), name: "n1", peerAddress: "127.0.0.1:8300", isVoter: true, isLeader: true,
      isReachable: true, matchIndex: 9, lastContactMilliseconds: 0, httpAddress: nil)
  ]

  var status: NodeStatus {
    NodeStatus(
      role: hasLeader ? .leader : .follower, term: 2, leader: hasLeader ? id : nil,
      leaderName: hasLeader ? configuration.nodeName : nil,
      leaderPeerAddress: hasLeader ? "127.0.0.1:8300" : nil, commitIndex: index,
      lastApplied: index, lastIndex: index, firstIndex: 1, snapshotIndex: 0,
      lastContactMilliseconds: lastContactMilliseconds, members: members)
  }

  // MARK: Time

  /// Runs everything that was put off, and what that puts off in turn.
  func run() {
    repeat { runPending() } while deliverResults()
  }

  private func deliverResults() -> Bool {
    var isAny = false
    for pick in pickUp where pick() { isAny = true }
    return isAny || !pending.isEmpty
  }

  private func runPending() {
    while !pending.isEmpty {
      let batch = pending
      pending = []
      for body in batch { body() }
    }
  }

  func advance(milliseconds: UInt64) {
    now += milliseconds * 1_000_000
    let due = timers.filter { $0.due <= now }
    timers.removeAll { $0.due <= now }
    for timer in due { timer.body() }
    run()
  }

  var timerCount: Int { timers.count }
  var watchCount: Int { watches.count }

  func schedule(after nanoseconds: UInt64, _ body: @escaping () -> Void) -> TimerID {
    nextID += 1
    timers.append((TimerID(nextID), now &+ nanoseconds, body))
    return TimerID(nextID)
  }

  func cancel(_ timer: TimerID) { timers.removeAll { $0.id == timer } }

  // MARK: State

  private func apply(_ command: Command) -> Outcome {
    index += 1
    commands.append(command)
    var changes = ChangeSet()
    let envelope = CommandEnvelope(
      time: wallClock / 1_000_000, requestID: nil, command: command)
    let outcome = registry.apply(envelope.encoded(), index: index, changes: &changes)
    for hook in changeHooks { hook(changes) }
    wake(changes)
    return outcome
  }

  private func wake(_ changes: ChangeSet) {
    let woken = watches.filter { watch in
      changes.everything || watch.topics.contains { Self.concerns($0, changes) }
    }
    watches.removeAll { watch in woken.contains { $0.id == watch.id } }
    pending += woken.map(\.wake)
  }

  private static func concerns(_ topic: Topic, _ changes: ChangeSet) -> Bool {
    switch topic {
    case .key(let key):
      changes.keys.contains(key) || changes.deletedPrefixes.contains { key.hasPrefix($0) }
    case .prefix(let prefix):
      changes.keys.contains { $0.hasPrefix(prefix) }
        || changes.deletedPrefixes.contains { $0.hasPrefix(prefix) || prefix.hasPrefix($0) }
    default: changes.topics.contains(topic)
    }
  }

  func propose(
    _ command: Command, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void
  ) {
    contexts.append(context)
    if let failure { return pending.append { completion(.failure(failure)) } }
    let outcome = apply(command)
    pending.append { completion(.success(outcome)) }
  }

  func readBarrier(
    _ context: RequestContext, completion: @escaping (RequestFailure?) -> Void
  ) {
    barriers += 1
    contexts.append(context)
    guard answersBarriers else { return }
    let failure = failure
    pending.append { completion(failure) }
  }

  func updateTTLCheck(
    _ update: CheckUpdate, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void
  ) {
    guard let check = registry.agentCheck(update.checkID, host: configuration.nodeName),
      check.definition.ttl > 0
    else {
      let text = "CheckID \"\(update.checkID)\" does not have associated TTL"
      let refusal = Refusal(status: 500, text: text)
      return pending.append { completion(.success(.refused(refusal))) }
    }
    propose(.checkUpdate(update), context, completion: completion)
  }

  func renewSession(
    _ id: UniqueID, _ context: RequestContext,
    completion: @escaping (Result<SessionRecord?, RequestFailure>) -> Void
  ) {
    let session = registry.session(id)
    let failure = failure
    pending.append { completion(failure.map { .failure($0) } ?? .success(session)) }
  }

  func watch(_ topics: [Topic], wake: @escaping () -> Void) -> WatchID {
    nextID += 1
    watches.append((WatchID(nextID), topics, wake))
    return WatchID(nextID)
  }

  func cancelWatch(_ id: WatchID) { watches.removeAll { $0.id == id } }

  func transferLeadership(to id: NodeID?, completion: @escaping (RequestFailure?) -> Void) {
    transferredTo = .some(id)
    let failure = failure
    pending.append { completion(failure) }
  }

  func addPeer(
    name: String, peerAddress: String, completion: @escaping (RequestFailure?) -> Void
  ) {
    added.append("\(name) \(peerAddress)")
    let failure = failure
    pending.append { completion(failure) }
  }

  func removePeer(_ id: NodeID, completion: @escaping (RequestFailure?) -> Void) {
    removed.append(id)
    let failure = failure
    pending.append { completion(failure) }
  }

  let logger = Logger(level: .error, json: false)
  private var changeHooks: [(ChangeSet) -> Void] = []
  func onRegistryChange(_ body: @escaping (ChangeSet) -> Void) { changeHooks.append(body) }

  /// On the spot: the test's thread is the only one.
  func runOnWorker(_ job: @escaping @Sendable () -> Void) -> Bool {
    job()
    return true
  }

  func makePost(
    _ deliver: @escaping ([BackgroundResult]) -> Void
  ) -> @Sendable (BackgroundResult) -> Void {
    let box = PostBox()
    pickUp.append {
      let results = box.takeAll()
      deliver(results)
      return !results.isEmpty
    }
    return { box.post($0) }
  }
}

/// Results on their way back from `runOnWorker`.
private final class PostBox: Sendable {
  private let results = Mutex<[BackgroundResult]>([])
  func post(_ result: BackgroundResult) { results.withLock { $0.append(result) } }
  func takeAll() -> [BackgroundResult] {
    results.withLock { results in
      let all = results
      results = []
      return all
    }
  }
}
