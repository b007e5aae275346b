import EventLoop
import Raft
import Registry
internal import Synchronization

/// What the core shows the io loops: the newest version of the state, what changed since each of
/// them looked last, answers to what they asked, and how the node stands.
///
/// All of a turn of the core appears under one lock. So an answer never comes before the version
/// that it speaks of, a loop's changes reach exactly up to the version that it takes with them, and
/// no loop shows a version that another one, asked later, has not got: indexes never go back on one
/// node. Bounded: a loop that is behind has one version and one list of changes waiting, which
/// becomes "everything" when it weighs too much; answers are as many as the loop has asked for.
final class Publication: Sendable {
  struct Signal: Sendable {}

  /// One state of the registry; copied outside of the lock.
  final class Version: Sendable {
    let number: UInt64
    let registry: Registry
    init(_ number: UInt64, _ registry: Registry) {
      self.number = number
      self.registry = registry
    }
  }

  typealias Answer = (id: UInt64, answer: IOAnswer)

  struct News {
    var version: Version
    var changes: [ChangeSet] = []
    var answers: [Answer] = []
  }

  /// Of one loop.
  fileprivate struct Box {
    var changes: [ChangeSet] = []
    var weight = 0
    var answers: [Answer] = []
    var mailbox: Mailbox<Signal>?
    var isSignalled = false
  }

  private struct State {
    var version: Version
    var boxes: [Box]
  }

  /// Bytes of changes that wait for one loop; most of them are shared with the state itself.
  static let weightMax = 64 << 20
  private let weightMax: Int

  private let state: Mutex<State>
  /// The number of the newest version: looked at first, and most often alone.
  private let newestNumber = Atomic<UInt64>(1)
  private let place: Mutex<(id: NodeID, status: NodeStatus)>
  private let knowsLeader: Atomic<Bool>
  private let contactMilliseconds: Atomic<UInt64>
  /// When the core said so.
  private let contactToldAt: Atomic<UInt64>

  init(
    loops: Int, registry: Registry, id: NodeID, status: NodeStatus, now: UInt64,
    weightMax: Int = Publication.weightMax
  ) {
    self.weightMax = weightMax
    let version = Version(1, registry)
    state = Mutex(State(version: version, boxes: Array(repeating: Box(), count: loops)))
    place = Mutex((id, status))
    knowsLeader = Atomic(status.leader != nil)
    contactMilliseconds = Atomic(status.lastContactMilliseconds)
    contactToldAt = Atomic(now)
  }

  // MARK: By the core

  /// - Parameters:
  ///   - registry: nil: it did not change.
  ///   - changes: all that led from the last version to this one.
  func publish(_ registry: Registry?, _ changes: ChangeSet, answers: [[Answer]]) {
    let weight = changes.isEmpty ? 0 : changes.weight
    let (replaced, woken) = state.withLock { state -> (Version?, [Mailbox<Signal>]) in
      let old = registry == nil ? nil : state.version
      if let registry {
        state.version = Version(state.version.number + 1, registry)
        newestNumber.store(state.version.number, ordering: .releasing)
      }
      var woken: [Mailbox<Signal>] = []
      for index in state.boxes.indices {
        guard registry != nil || !answers[index].isEmpty else { continue }
        state.boxes[index].add(changes, weight, weightMax, answers[index])
        if let mailbox = state.boxes[index].takeSignal() { woken.append(mailbox) }
      }
      return (old, woken)
    }
    // System calls, and the release of what only the old version held, come after the lock.
    for mailbox in woken { mailbox.post(Signal()) }
    withExtendedLifetime(replaced) {}
  }

  func tell(hasLeader: Bool, lastContactMilliseconds: UInt64, now: UInt64) {
    knowsLeader.store(hasLeader, ordering: .relaxed)
    contactMilliseconds.store(lastContactMilliseconds, ordering: .relaxed)
    contactToldAt.store(now, ordering: .relaxed)
  }

  func tell(_ id: NodeID, _ status: NodeStatus) { place.withLock { $0 = (id, status) } }

  // MARK: By the io loops

  /// From now on the mailbox hears when there is news for that loop.
  func connect(_ loop: Int, _ mailbox: Mailbox<Signal>) -> Version {
    state.withLock { state in
      state.boxes[loop].mailbox = mailbox
      return state.version
    }
  }

  /// Nil when `number` is the newest there is.
  func newest(after number: UInt64) -> Version? {
    guard newestNumber.load(ordering: .acquiring) != number else { return nil }
    return state.withLock { $0.version }
  }

  func takeNews(_ loop: Int) -> News {
    state.withLock { state in
      let box = state.boxes[loop]
      state.boxes[loop] = Box(mailbox: box.mailbox)
      return News(version: state.version, changes: box.changes, answers: box.answers)
    }
  }

  var id: NodeID { place.withLock { $0.id } }
  var status: NodeStatus { place.withLock { $0.status } }
  var hasLeader: Bool { knowsLeader.load(ordering: .relaxed) }

  /// The core says this at least with every tick; silence beyond that is time without contact too.
  private static let patienceNanoseconds: UInt64 = 50_000_000

  func lastContactMilliseconds(now: UInt64) -> UInt64 {
    let toldAt = contactToldAt.load(ordering: .relaxed)
    let silence = now - min(now, toldAt)
    let told = contactMilliseconds.load(ordering: .relaxed)
    return silence > Self.patienceNanoseconds ? told + silence / 1_000_000 : told
  }
}

extension Publication.Box {
  fileprivate mutating func add(
    _ more: ChangeSet, _ moreWeight: Int, _ weightMax: Int, _ moreAnswers: [Publication.Answer]
  ) {
    if !moreAnswers.isEmpty { answers += moreAnswers }
    guard moreWeight > 0 else { return }
    weight += moreWeight
    if weight <= weightMax {
      changes.append(more)
    } else if changes.count != 1 || !changes[0].everything {
      var all = ChangeSet()
      all.everything = true
      changes = [all]
    }
  }

  /// Whom to wake; nil when that has happened already.
  fileprivate mutating func takeSignal() -> Mailbox<Publication.Signal>? {
    guard !isSignalled else { return nil }
    isSignalled = true
    return mailbox
  }
}

extension ChangeSet {
  /// About so many bytes; more than 0.
  fileprivate var weight: Int {
    var sum = 64 * (1 + keys.count + deletedPrefixes.count + topics.count + records.count)
    for record in records {
      if case .set(let entry, _) = record { sum += entry.value.count }
    }
    return sum
  }
}
