import EventLoop
import Raft
import Registry
internal import Synchronization

/// What an `IOBackend` is made of: everything that it shares with the core.
package struct IOLink: Sendable {
  let number: Int
  let configuration: NodeConfiguration
  let logger: Logger
  let workers: Workers
  let publication: Publication
  let core: Mailbox<IOBatch>
  let gauges: IOGauges
}

/// What one io loop shows of itself at any time.
final class IOGauges: Sendable {
  let watches = Atomic<Int>(0)
}

/// The core's side of the io loops (`io_threads`): answers that gather in a turn, and what was
/// published last.
///
/// Thread rule: the core's.
final class IODesk {
  /// What `NodeStatus` follows at once; the rest of it may be a coarse tick old.
  struct Place: Equatable {
    var term: Term
    var leader: NodeID?
    var role: NodeStatus.Role
    var configurationIndex: LogIndex
  }

  static let statusNanoseconds: UInt64 = 100_000_000

  let publication: Publication
  var answers: [[Publication.Answer]]
  var hasAnswers = false
  /// What is answered now leaves at the end of this turn in any case.
  var isAtTurnEnd = false
  /// The registry's index that was published last.
  var publishedIndex: UInt64
  var place: Place?
  var statusToldAt: UInt64 = 0
  var onNotice: ((IONotice) -> Void)?
  /// One for each loop.
  let gauges: [IOGauges]

  init(_ publication: Publication, loops: Int, publishedIndex: UInt64) {
    self.publication = publication
    gauges = (0..<loops).map { _ in IOGauges() }
    answers = Array(repeating: [], count: loops)
    self.publishedIndex = publishedIndex
  }
}

extension Node {
  /// Makes ready for `count` io loops; call once, before `start`.
  /// - Parameter onNotice: hears every notice of every loop.
  package func openIOLoops(
    _ count: Int, onNotice: @escaping (IONotice) -> Void
  ) -> [IOLink] {
    openIOLoops(count, weightMax: Publication.weightMax, onNotice: onNotice)
  }

  func openIOLoops(
    _ count: Int, weightMax: Int, onNotice: @escaping (IONotice) -> Void
  ) -> [IOLink] {
    let publication = Publication(
      loops: count, registry: registry, id: id, status: status, now: loop.now,
      weightMax: weightMax)
    let desk = IODesk(publication, loops: count, publishedIndex: registry.lastIndex)
    desk.onNotice = onNotice
    io = desk
    let core = loop.makeMailbox { [weak self] (batches: [IOBatch]) in
      for batch in batches { self?.receive(batch) }
    }
    return (0..<count).map { number in
      IOLink(
        number: number, configuration: configuration, logger: logger, workers: workers,
        publication: publication, core: core, gauges: desk.gauges[number])
    }
  }

  /// Of all loops.
  var watchCount: Int {
    (io?.gauges ?? []).reduce(watchers.count) { $0 + $1.watches.load(ordering: .relaxed) }
  }

  // MARK: What they ask

  private func receive(_ batch: IOBatch) {
    for sample in batch.counted { metrics.add(sample) }
    for item in batch.requests { perform(item.request, item.id, batch.loop) }
    for notice in batch.notices { io?.onNotice?(notice) }
  }

  private func perform(_ request: IORequest, _ id: UInt64, _ number: Int) {
    func done(_ failure: RequestFailure?) { answer(number, id, .done(failure)) }
    switch request {
    case .propose(let command, let context):
      propose(command, context) { [weak self] in self?.answer(number, id, .outcome($0)) }
    case .readBarrier(let deadline):
      var context = RequestContext()
      context.deadline = deadline
      readBarrier(context, completion: done)
    case .updateTTLCheck(let update, let context):
      updateTTLCheck(update, context) { [weak self] in self?.answer(number, id, .outcome($0)) }
    case .renewSession(let session, let context):
      renewSession(session, context) { [weak self] in self?.answer(number, id, .session($0)) }
    case .transferLeadership(let target): transferLeadership(to: target, completion: done)
    case .addPeer(let name, let address):
      addPeer(name: name, peerAddress: address, completion: done)
    case .removePeer(let peer): removePeer(peer, completion: done)
    case .metrics: answer(number, id, .metrics(metrics.report()))
    }
  }

  private func answer(_ number: Int, _ id: UInt64, _ answer: IOAnswer) {
    guard let io else { return }
    io.answers[number].append((id, answer))
    io.hasAnswers = true
    if !io.isAtTurnEnd { loop.requestTurnEnd() }
  }

  // MARK: What they are shown

  /// At the end of a turn, after its replies and before `changes` go to this loop's own watchers.
  func publish() {
    guard let io else { return }
    io.isAtTurnEnd = false
    tellPlace(io)
    let isNew = registry.lastIndex != io.publishedIndex || !changes.isEmpty
    guard isNew || io.hasAnswers else { return }
    io.publishedIndex = registry.lastIndex
    io.publication.publish(isNew ? registry : nil, changes, answers: io.answers)
    guard io.hasAnswers else { return }
    io.hasAnswers = false
    for number in io.answers.indices { io.answers[number] = [] }
  }

  private func tellPlace(_ io: IODesk) {
    let now = loop.now
    io.publication.tell(
      hasLeader: hasLeader, lastContactMilliseconds: lastContactMilliseconds, now: now)
    let place = IODesk.Place(
      term: raft.term, leader: raft.leader, role: role,
      configurationIndex: raft.configurationIndex)
    guard place != io.place || now >= io.statusToldAt + IODesk.statusNanoseconds else { return }
    io.place = place
    io.statusToldAt = now
    io.publication.tell(id, status)
  }
}
