import EventLoop
package import Peer
package import Raft
import Registry
import Wire

/// Requests from node to node: membership changes, admission, renewals, whatever the leader has to
/// decide and no log entry carries.
///
/// Happy path: sent at once to the node meant (the leader, by default), answered by the handler
/// that was registered for its kind there, completed on this node. When leadership moves, or the
/// link breaks, repeatable requests are sent again, others fail with an unknown outcome. Every
/// request ends by its deadline.
package enum RequestTarget: Hashable, Sendable {
  case leader
  case node(NodeID)
  case probe(ProbeID)
}

/// The kinds in use. Below 32: this file's neighbours; from 32 on: duties.
package enum RequestKind {
  package static let membership: UInt8 = 1
  package static let admission: UInt8 = 2
}

package typealias RequestAnswer = Result<[UInt8], RequestFailure>
/// - Parameters:
///   - origin: nil: this node itself.
///   - reply: to be called once, now or later.
package typealias RequestHandler = (
  _ payload: [UInt8], _ origin: PeerOrigin?, _ reply: @escaping (RequestAnswer) -> Void
) -> Void

struct Requests {
  struct Pending {
    var kind: UInt8
    var payload: [UInt8]
    var target: RequestTarget
    var deadline: UInt64
    var isRepeatable: Bool
    /// Who has it, as far as is known. Nil: still to be sent.
    var sentTo: RequestTarget?
    var wasSent = false
    var completion: (RequestAnswer) -> Void
  }
  struct Handler {
    var isForLeader: Bool
    var body: RequestHandler
  }

  static let countMax = 65_536

  var pending: [UInt64: Pending] = [:]
  var unsent: [UInt64] = []
  /// Refused by a node that does not lead; sent again with the next tick.
  var deferred: [UInt64] = []
  var nextNumber: UInt64 = 1
  var earliestDeadline: UInt64 = .max
  /// By kind; searched linearly, there are a few.
  var handlers: [(kind: UInt8, handler: Handler)] = []

  func handler(for kind: UInt8) -> Handler? { handlers.first { $0.kind == kind }?.handler }

  mutating func sendAgain(where isConcerned: (Pending) -> Bool) -> [Pending] {
    var lost: [Pending] = []
    for number in pending.keys.sorted() {
      guard var item = pending[number], item.sentTo != nil, isConcerned(item) else { continue }
      guard item.isRepeatable else {
        lost.append(item)
        pending[number] = nil
        continue
      }
      item.sentTo = nil
      pending[number] = item
      unsent.append(number)
    }
    return lost
  }
}

extension Node {
  /// Registers who answers requests of `kind` on this node. `onLeader`: only while it leads;
  /// otherwise the asking node is told to look for the leader, and does.
  package func handleRequests(
    _ kind: UInt8, onLeader: Bool, _ body: @escaping RequestHandler
  ) {
    requests.handlers.removeAll { $0.kind == kind }
    let handler = Requests.Handler(isForLeader: onLeader, body: body)
    requests.handlers.append((kind, handler))
  }

  /// - Parameter isRepeatable: executing it twice does no harm, so it may be sent again.
  package func request(
    _ kind: UInt8, _ payload: [UInt8], to target: RequestTarget = .leader,
    deadline: UInt64 = 0, isRepeatable: Bool,
    completion: @escaping (RequestAnswer) -> Void
  ) {
    guard !isStopped else { return replyLater(.request(completion, .failure(.stopping))) }
    guard requests.pending.count < Requests.countMax else {
      let failure = RequestFailure.overloaded("too many requests are under way between nodes")
      return replyLater(.request(completion, .failure(failure)))
    }
    let until = deadline == 0 ? self.deadline(RequestContext()) : deadline
    let number = requests.nextNumber
    requests.nextNumber += 1
    requests.earliestDeadline = min(requests.earliestDeadline, until)
    requests.pending[number] = Requests.Pending(
      kind: kind, payload: payload, target: target, deadline: until, isRepeatable: isRepeatable,
      completion: completion)
    requests.unsent.append(number)
    loop.requestTurnEnd()
  }

  func flushRequests() {
    guard !requests.unsent.isEmpty else { return }
    let numbers = requests.unsent
    requests.unsent.removeAll(keepingCapacity: true)
    for number in numbers {
      guard let item = requests.pending[number], item.sentTo == nil else { continue }
      if !send(number, item) { requests.deferred.append(number) }
    }
  }

  private func send(_ number: UInt64, _ item: Requests.Pending) -> Bool {
    var target = item.target
    if target == .leader {
      guard let leader = raft.leader else { return false }
      target = .node(leader)
    }
    if target == .node(id) {
      requests.pending[number]?.sentTo = target
      requests.pending[number]?.wasSent = true
      handleOwn(number, item)
      return true
    }
    var writer = Writer(reserving: item.payload.count + 16)
    writer.u64(number)
    writer.u8(item.kind)
    writer.raw(item.payload)
    let isSent =
      switch target {
      case .node(let node):
        transport.sendFrame(kind: FrameKind.request, payload: writer.bytes, to: node)
      case .probe(let probe):
        transport.sendFrame(kind: FrameKind.request, payload: writer.bytes, toProbe: probe)
      case .leader: false
      }
    if isSent {
      requests.pending[number]?.sentTo = target
      requests.pending[number]?.wasSent = true
    }
    return isSent
  }

  private func handleOwn(_ number: UInt64, _ item: Requests.Pending) {
    guard let handler = requests.handler(for: item.kind) else {
      return finishRequest(number, .failure(Self.unknownRequest))
    }
    handler.body(item.payload, nil) { [weak self] answer in self?.finishRequest(number, answer) }
  }

  static let unknownRequest = RequestFailure.refused(
    Refusal(status: 501, text: "the other node does not know this request; is it older?"))

  func finishRequest(_ number: UInt64, _ answer: RequestAnswer) {
    guard let item = requests.pending[number] else { return }
    if case .failure(.noLeader) = answer, item.isRepeatable, item.target == .leader,
      item.deadline > loop.now, !isStopped
    {
      // It led when it was asked, and leads no more: the next one may know.
      return deferRequest(number)
    }
    requests.pending[number] = nil
    replyLater(.request(item.completion, answer))
  }

  // MARK: Frames

  func receiveRequest(_ payload: [UInt8], from origin: PeerOrigin) {
    var reader = Reader(payload)
    guard let number = try? reader.u64(), let kind = try? reader.u8() else { return }
    let rest = Array(payload[reader.offset...])
    guard let handler = requests.handler(for: kind) else {
      return respond(number, .failure(Self.unknownRequest), to: origin)
    }
    guard !handler.isForLeader || raft.role == .leader else {
      var writer = Writer()
      writer.u64(number)
      writer.u8(RequestFailure.notLeaderCode)
      _ = transport.reply(kind: FrameKind.response, payload: writer.bytes, to: origin)
      return
    }
    handler.body(rest, origin) { [weak self] in self?.respond(number, $0, to: origin) }
  }

  private func respond(_ number: UInt64, _ answer: RequestAnswer, to origin: PeerOrigin) {
    var writer = Writer()
    writer.u64(number)
    switch answer {
    case .success(let payload):
      writer.u8(0)
      writer.raw(payload)
    case .failure(let failure): failure.encode(into: &writer)
    }
    // When it cannot be sent, the asking node's deadline says so to its client.
    _ = transport.reply(kind: FrameKind.response, payload: writer.bytes, to: origin)
  }

  func receiveResponse(_ payload: [UInt8]) {
    var reader = Reader(payload)
    guard let number = try? reader.u64(), let code = try? reader.u8() else { return }
    if code == 0 { return finishRequest(number, .success(Array(payload[reader.offset...]))) }
    guard code != RequestFailure.notLeaderCode else { return deferRequest(number) }
    let failure = (try? RequestFailure(code: code, from: &reader)) ?? Self.unknownRequest
    finishRequest(number, .failure(failure))
  }

  private func deferRequest(_ number: UInt64) {
    requests.pending[number]?.sentTo = nil
    requests.deferred.append(number)
  }

  // MARK: Retries and deadlines

  func repeatRequests(where isConcerned: (Requests.Pending) -> Bool) {
    for item in requests.sendAgain(where: isConcerned) {
      let failure = RequestFailure.outcomeUnknown("the leader changed before it answered")
      replyLater(.request(item.completion, .failure(failure)))
    }
  }

  func superviseRequests() {
    if !requests.deferred.isEmpty {
      requests.unsent.append(contentsOf: requests.deferred)
      requests.deferred.removeAll(keepingCapacity: true)
    }
    let now = loop.now
    guard now >= requests.earliestDeadline else { return }
    requests.earliestDeadline = .max
    for number in requests.pending.keys.sorted() {
      guard let item = requests.pending[number] else { continue }
      if item.deadline <= now {
        let failure: RequestFailure =
          item.wasSent ? .outcomeUnknown("the leader did not answer in time") : .noLeader
        finishRequest(number, .failure(failure))
      } else {
        requests.earliestDeadline = min(requests.earliestDeadline, item.deadline)
      }
    }
  }
}

extension RequestFailure {
  static let notLeaderCode: UInt8 = 1

  func encode(into writer: inout Writer) {
    switch self {
    case .noLeader: writer.u8(2)
    case .outcomeUnknown(let text):
      writer.u8(3)
      writer.text(text)
    case .overloaded(let text):
      writer.u8(4)
      writer.text(text)
    case .diskFull: writer.u8(5)
    case .refused(let refusal):
      writer.u8(6)
      writer.u16(refusal.status)
      writer.text(refusal.text)
    case .stopping: writer.u8(7)
    }
  }

  init(code: UInt8, from reader: inout Reader) throws(WireError) {
    switch code {
    case 2: self = .noLeader
    case 3: self = .outcomeUnknown(try reader.text())
    case 4: self = .overloaded(try reader.text())
    case 5: self = .diskFull
    case 6: self = .refused(Refusal(status: try reader.u16(), text: try reader.text()))
    case 7: self = .stopping
    default: throw .unknownTag(UInt64(code))
    }
  }
}
