/// The leader's linearizable reads (dissertation 6.4), batched into rounds of heartbeats.
///
/// A read that arrives while a round is in flight waits for the next: its index must be taken, and
/// leadership be confirmed, after it arrived.
struct ReadQueue: Equatable, Sendable {
  struct Request: Equatable, Sendable {
    /// Who asked; the leader itself or a follower on behalf of its clients.
    var origin: NodeID
    var id: ReadID
  }

  private(set) var waiting: [Request] = []
  private(set) var inRound: [Request] = []
  /// The newest round; grows for as long as the process lives.
  private(set) var round: UInt64 = 0
  /// The commit index when the round started: what its reads may see.
  private(set) var roundIndex: LogIndex = .zero

  var isRoundInFlight: Bool { !inRound.isEmpty }
  var count: Int { waiting.count + inRound.count }

  mutating func add(_ request: Request) { waiting.append(request) }

  mutating func startRound(commitIndex: LogIndex) {
    swap(&waiting, &inRound)
    round += 1
    roundIndex = commitIndex
  }

  /// The reads of the round, which a quorum confirmed.
  mutating func finishRound() -> [Request] {
    defer { inRound.removeAll(keepingCapacity: true) }
    return inRound
  }

  mutating func removeAll() -> [Request] {
    let all = inRound + waiting
    waiting.removeAll()
    inRound.removeAll()
    return all
  }
}

/// The reads a follower has asked its leader about.
///
/// On the wire they carry numbers of their own, from a random start: the answer to a question
/// that this node asked before it restarted must not be taken for the answer to a new one.
struct ForwardedReads: Equatable, Sendable {
  struct Pending: Equatable, Sendable {
    var id: ReadID
    var wireID: ReadID
    var ticks = 0
  }

  private(set) var pending: [Pending] = []
  private var nextWireID: UInt64

  init(start: UInt64) { nextWireID = start }

  var count: Int { pending.count }

  mutating func add(_ id: ReadID) -> ReadID {
    let wireID = ReadID(nextWireID)
    nextWireID &+= 1
    pending.append(Pending(id: id, wireID: wireID))
    return wireID
  }

  mutating func take(_ wireID: ReadID) -> ReadID? {
    guard let position = pending.firstIndex(where: { $0.wireID == wireID }) else { return nil }
    return pending.remove(at: position).id
  }

  mutating func removeAll() -> [ReadID] {
    defer { pending.removeAll(keepingCapacity: true) }
    return pending.map(\.id)
  }

  mutating func tick() {
    for position in pending.indices { pending[position].ticks += 1 }
  }

  /// Takes out those that have waited for so long; the oldest come first.
  mutating func expired(after ticks: Int) -> [ReadID] {
    let count = pending.prefix { $0.ticks >= ticks }.count
    guard count > 0 else { return [] }
    defer { pending.removeSubrange(..<count) }
    return pending[..<count].map(\.id)
  }
}
