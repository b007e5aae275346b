import EventLoop
import HTTP
import Node
import Registry

/// Reads: barrier once, evaluate, and for blocking queries wait for a change of what was read.
///
/// A blocking query is linearizable as a whole: the barrier at its start makes the state at least
/// as new as the call, and the local state only moves forward from there, so every answer is a
/// state that the cluster had during the call.
extension ConsulAPI {
  func start(
    _ read: Read, _ evaluate: @escaping (Read, Registry, Site) throws(Refusal) -> Answer,
    _ consistency: Consistency, _ context: RequestContext, _ responder: HTTPResponder
  ) {
    if read.options.mode == .stale && read.options.maxStaleMilliseconds == nil {
      return answerOrPark(read, evaluate, consistency, responder)
    }
    barrier(consistency, read.options, context) { [self] failure in
      if let failure { return respond(Answer(failure), responder) }
      answerOrPark(read, evaluate, consistency, responder)
    }
  }

  private func answerOrPark(
    _ read: Read, _ evaluate: @escaping (Read, Registry, Site) throws(Refusal) -> Answer,
    _ consistency: Consistency, _ responder: HTTPResponder
  ) {
    do {
      let answer = try evaluated(read, evaluate)
      if shallWait(read, answer) && parkedCount < limits.parkedMax && responder.isOpen {
        let parked = Parked(self, read, evaluate, consistency, responder, answer)
        return parked.wait(for: answer)
      }
      send(answer, consistency, read.options, responder)
    } catch {
      respond(Answer(error), responder)
    }
  }

  func evaluated(
    _ read: Read, _ evaluate: (Read, Registry, Site) throws(Refusal) -> Answer
  ) throws(Refusal) -> Answer {
    try backend.withRegistry { registry throws(Refusal) in try evaluate(read, registry, site) }
  }

  /// Whether the client has seen this answer already.
  func shallWait(_ read: Read, _ answer: Answer) -> Bool {
    if let hash = answer.hash {
      guard let sent = read.query.text("hash"), !sent.isEmpty else { return false }
      return sent == String(hash, radix: 16)
    }
    guard read.options.index > 0 else { return false }
    switch answer.blocking {
    case .whileNotAbove: return max(1, answer.index) <= read.options.index
    case .whileEqual: return max(1, answer.index) == read.options.index
    case .never: return false
    }
  }
}

/// One blocking query that waits. Kept alive by its timer, its watch and the responder's `onClose`,
/// which end together. (None is weak: that would cost an allocation, and a detour at each use.)
private final class Parked<B: Backend> {
  private let api: ConsulAPI<B>
  private let read: Read
  private let evaluate: (Read, Registry, Site) throws(Refusal) -> Answer
  private let consistency: Consistency
  private let responder: HTTPResponder
  /// The result's index when it was parked: a lower one later means that the state went back
  /// (a snapshot was restored), and the client must know (consul-api.md 4.10).
  private let index: UInt64
  private var timer: TimerID?
  private var watch: WatchID?

  init(
    _ api: ConsulAPI<B>, _ read: Read,
    _ evaluate: @escaping (Read, Registry, Site) throws(Refusal) -> Answer,
    _ consistency: Consistency, _ responder: HTTPResponder, _ answer: Answer
  ) {
    self.api = api
    self.read = read
    self.evaluate = evaluate
    self.consistency = consistency
    self.responder = responder
    index = answer.index
  }

  func wait(for answer: Answer) {
    api.parkedCount += 1
    // Up to a sixteenth more, so that clients that came together do not come back together (4.4).
    let jitter = read.options.wait / 16
    let extra = jitter > 0 ? api.random() % jitter : 0
    timer = api.backend.schedule(after: read.options.wait &+ extra) { self.timeOut() }
    responder.onClose = { self.end() }
    watchTopics(of: answer)
  }

  private func watchTopics(of answer: Answer) {
    watch = api.backend.watch(answer.topics) { self.wake() }
  }

  private func wake() {
    watch = nil
    // The client left in this very turn.
    guard timer != nil else { return }
    api.backend.metrics.increment(api.wakes)
    do {
      let answer = try api.evaluated(read, evaluate)
      if api.shallWait(read, answer) && answer.index >= index {
        return watchTopics(of: answer)
      }
      finish(answer)
    } catch {
      finish(error)
    }
  }

  private func timeOut() {
    do {
      let answer = try api.evaluated(read, evaluate)
      finish(answer)
    } catch {
      finish(error)
    }
  }

  private func finish(_ answer: Answer) {
    end()
    api.send(answer, consistency, read.options, responder)
  }

  private func finish(_ refusal: Refusal) {
    end()
    api.respond(Answer(refusal), responder)
  }

  /// Gives back timer, watch and `onClose`, and with them this object.
  private func end() {
    guard let timer else { return }
    self.timer = nil
    api.parkedCount -= 1
    api.backend.cancel(timer)
    if let watch { api.backend.cancelWatch(watch) }
    watch = nil
    responder.onClose = nil
  }
}
