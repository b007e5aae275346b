import Basics
package import EventLoop
package import Raft
package import Registry
internal import Synchronization

/// A node as an io loop sees it: the newest published version of the state to read, the core to
/// ask for everything else, watchers and timers of its own.
///
/// Happy path of a read: one barrier for all that came in this turn goes to the core, with one
/// wake-up; its answer comes together with a version that is as new as the barrier demands. Of a
/// write: the command goes to the core as if it had come to a connection there. Blocking queries
/// watch here: every change is noted here after the version that has it is at hand, so a query that
/// was evaluated on an older version is always woken.
///
/// Failures are the core's, and `overloaded` when too much is under way. Thread rule: as for
/// `Node`, this loop's thread; completions are called once, never from inside the call.
package final class IOBackend {
  private enum Completion {
    case outcome((Result<Outcome, RequestFailure>) -> Void)
    case done((RequestFailure?) -> Void)
    case barrier([(RequestFailure?) -> Void])
    case session((Result<SessionRecord?, RequestFailure>) -> Void)
    case metrics((Metrics.Report) -> Void)
  }

  /// Requests that wait for the core.
  private static let underWayMax = 65_536
  /// The counts of a loop that has nothing to ask reach the core so late.
  private static let countsNanoseconds: UInt64 = 1_000_000_000

  package let configuration: NodeConfiguration
  package let logger: Logger
  package let loop: EventLoop
  package let metrics = Metrics()
  package private(set) var registry: Registry
  private let link: IOLink
  private var version: UInt64
  private var watchers = Watchers()
  /// The next portion of those that are due is timed.
  private var isWaking = false
  private var changeHandlers: [(ChangeSet) -> Void] = []

  /// By id; only looked up.
  private var underWay: [UInt64: Completion] = [:]
  private var underWayCount = 0
  private var nextID: UInt64 = 1
  /// Of this turn, for the core.
  private var requests: [(id: UInt64, request: IORequest)] = []
  private var barriers: [(deadline: UInt64, completions: [(RequestFailure?) -> Void])] = []
  private var notices: [IONotice] = []
  /// To be called at the end of this turn.
  private var later: [() -> Void] = []
  private var countTimer: TimerID?

  package init(_ link: IOLink, loop: EventLoop) {
    self.link = link
    self.loop = loop
    configuration = link.configuration
    logger = link.logger
    let box = Box()
    let first = link.publication.connect(
      link.number, loop.makeMailbox { (_: [Publication.Signal]) in box.backend?.receiveNews() })
    registry = first.registry
    version = first.number
    box.backend = self
    loop.onTurnEnd { box.backend?.flush() }
  }

  private final class Box {
    weak var backend: IOBackend?
  }

  package var id: NodeID { link.publication.id }
  package var status: NodeStatus { link.publication.status }
  package var hasLeader: Bool { link.publication.hasLeader }
  package var lastContactMilliseconds: UInt64 {
    link.publication.lastContactMilliseconds(now: loop.now)
  }

  package func runOnWorker(_ job: @escaping @Sendable () -> Void) -> Bool {
    link.workers.run(job)
  }

  // MARK: The newest version

  /// Call first in whatever a client or a timer begins on this loop: what another loop of this node
  /// has shown already is then shown here too.
  package func takeNewest() {
    if let newest = link.publication.newest(after: version) { adopt(newest) }
  }

  private func adopt(_ newest: Publication.Version) {
    guard newest.number > version else { return }
    version = newest.number
    registry = newest.registry
  }

  private func receiveNews() {
    var news = link.publication.takeNews(link.number)
    adopt(news.version)
    var changes = news.changes.popLast() ?? ChangeSet()
    if !news.changes.isEmpty {
      // Oldest first.
      var all = news.changes[0]
      for more in news.changes.dropFirst() { all.merge(more) }
      all.merge(changes)
      changes = all
    }
    if !changes.isEmpty {
      for handler in changeHandlers { handler(changes) }
    }
    for item in news.answers { complete(item.id, item.answer) }
    guard !changes.isEmpty else { return }
    watchers.note(changes)
    tellWatches()
    if !isWaking { wakeWatchers() }
  }

  /// In portions, as a node does it.
  private func wakeWatchers() {
    isWaking = false
    for wake in watchers.takeDue(atMost: Node.wakesMax) { wake() }
    guard watchers.hasDue else { return }
    isWaking = true
    _ = schedule(after: 0) { [weak self] in self?.wakeWatchers() }
  }

  package func onRegistryChange(_ body: @escaping (ChangeSet) -> Void) {
    changeHandlers.append(body)
  }

  package func watch(_ topics: [Topic], wake: @escaping () -> Void) -> WatchID {
    if let id = watchers.add(topics, wake: wake) {
      tellWatches()
      return id
    }
    // As on a node: answered as if something had changed.
    _ = schedule(after: 1_000_000_000, wake)
    return WatchID(0)
  }

  package func cancelWatch(_ id: WatchID) {
    let wake = watchers.cancel(id)
    withExtendedLifetime(wake) {}
    tellWatches()
  }

  private func tellWatches() { link.gauges.watches.store(watchers.count, ordering: .relaxed) }

  package func schedule(after nanoseconds: UInt64, _ body: @escaping () -> Void) -> TimerID {
    loop.schedule(after: nanoseconds) { [weak self] in
      self?.takeNewest()
      body()
    }
  }

  /// A mailbox whose receiver sees the newest version.
  package func makeMailbox<Message: Sendable>(
    _ deliver: @escaping ([Message]) -> Void
  ) -> Mailbox<Message> {
    loop.makeMailbox { [weak self] messages in
      self?.takeNewest()
      deliver(messages)
    }
  }

  // MARK: Asking the core

  package func propose(
    _ command: Command, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void
  ) {
    guard hasRoom else { return putOff { completion(.failure(Self.overload)) } }
    ask(.propose(command, completed(context)), .outcome(completion))
  }

  package func readBarrier(
    _ context: RequestContext, completion: @escaping (RequestFailure?) -> Void
  ) {
    guard hasRoom else { return putOff { completion(Self.overload) } }
    underWayCount += 1
    let deadline = deadline(context)
    // The same for almost all of a turn.
    if let place = barriers.suffix(4).firstIndex(where: { $0.deadline == deadline }) {
      barriers[place].completions.append(completion)
    } else {
      barriers.append((deadline, [completion]))
    }
    loop.requestTurnEnd()
  }

  package func updateTTLCheck(
    _ update: CheckUpdate, _ context: RequestContext,
    completion: @escaping (Result<Outcome, RequestFailure>) -> Void
  ) {
    guard hasRoom else { return putOff { completion(.failure(Self.overload)) } }
    ask(.updateTTLCheck(update, completed(context)), .outcome(completion))
  }

  package func renewSession(
    _ id: UniqueID, _ context: RequestContext,
    completion: @escaping (Result<SessionRecord?, RequestFailure>) -> Void
  ) {
    guard hasRoom else { return putOff { completion(.failure(Self.overload)) } }
    ask(.renewSession(id, completed(context)), .session(completion))
  }

  package func transferLeadership(
    to id: NodeID?, completion: @escaping (RequestFailure?) -> Void
  ) {
    guard hasRoom else { return putOff { completion(Self.overload) } }
    ask(.transferLeadership(id), .done(completion))
  }

  package func addPeer(
    name: String, peerAddress: String, completion: @escaping (RequestFailure?) -> Void
  ) {
    guard hasRoom else { return putOff { completion(Self.overload) } }
    ask(.addPeer(name: name, address: peerAddress), .done(completion))
  }

  package func removePeer(_ id: NodeID, completion: @escaping (RequestFailure?) -> Void) {
    guard hasRoom else { return putOff { completion(Self.overload) } }
    ask(.removePeer(id), .done(completion))
  }

  /// What the whole node has counted.
  package func collectMetrics(_ done: @escaping (Metrics.Report) -> Void) {
    ask(.metrics, .metrics(done))
  }

  package func notify(_ notice: IONotice) {
    notices.append(notice)
    loop.requestTurnEnd()
  }

  private var hasRoom: Bool { underWayCount < Self.underWayMax }
  private static let overload = RequestFailure.overloaded("too much is under way on this node")

  private func putOff(_ body: @escaping () -> Void) {
    later.append(body)
    loop.requestTurnEnd()
  }

  private func ask(_ request: IORequest, _ completion: Completion) {
    underWayCount += 1
    enqueue(request, completion)
    loop.requestTurnEnd()
  }

  private func enqueue(_ request: IORequest, _ completion: Completion) {
    requests.append((nextID, request))
    underWay[nextID] = completion
    nextID += 1
  }

  private func deadline(_ context: RequestContext) -> UInt64 {
    if context.deadline != 0 { return context.deadline }
    return loop.now + UInt64(max(1, configuration.requestTimeoutMilliseconds)) * 1_000_000
  }

  /// With what was known when it came: the core may know more by the time it gets there.
  private func completed(_ context: RequestContext) -> RequestContext {
    var result = context
    result.deadline = deadline(context)
    result.requestFloor = min(context.requestFloor ?? .max, registry.stateIndex)
    return result
  }

  // MARK: The end of a turn

  private func flush() {
    let bodies = later
    later = []
    for body in bodies { body() }
    for barrier in barriers {
      enqueue(.readBarrier(deadline: barrier.deadline), .barrier(barrier.completions))
    }
    barriers.removeAll(keepingCapacity: true)
    if requests.isEmpty && notices.isEmpty { return scheduleCounts() }
    post()
  }

  private func post() {
    link.core.post(
      IOBatch(
        loop: link.number, requests: requests, notices: notices, counted: metrics.takeCounts()))
    requests = []
    notices = []
  }

  private func scheduleCounts() {
    guard countTimer == nil, metrics.hasCounts else { return }
    countTimer = loop.schedule(after: Self.countsNanoseconds) { [weak self] in
      guard let self else { return }
      countTimer = nil
      if metrics.hasCounts { post() }
    }
  }

  private func complete(_ id: UInt64, _ answer: IOAnswer) {
    guard let completion = underWay.removeValue(forKey: id) else { return }
    underWayCount -= 1
    switch (completion, answer) {
    case (.outcome(let body), .outcome(let result)): body(result)
    case (.done(let body), .done(let failure)): body(failure)
    case (.barrier(let bodies), .done(let failure)):
      underWayCount -= bodies.count - 1
      for body in bodies { body(failure) }
    case (.session(let body), .session(let result)): body(result)
    case (.metrics(let body), .metrics(let report)): body(report)
    default: invariant(false, "the answer to \(id) is of another kind")
    }
  }
}
