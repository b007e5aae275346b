import Basics
import Testing

@testable import Raft

/// One node with a disk that loses what was not synced, and a state machine that only checks.
struct TestNode {
  struct Write {
    var hardState: HardState?
    var entries: [Entry] = []
    var resetAfter: LogIndex?
    var compactedThrough: LogIndex?
    var replies: [Envelope] = []
  }
  struct Disk {
    var hardState = HardState()
    var entries: [Entry] = []
    var snapshot: SnapshotMeta?
    var configuration: Configuration

    mutating func apply(_ write: Write) {
      if write.resetAfter != nil {
        entries = []
      }
      for entry in write.entries {
        if let last = entries.last, last.index >= entry.index {
          entries.removeAll { $0.index >= entry.index }
        }
        entries.append(entry)
      }
      if let hardState = write.hardState { self.hardState = hardState }
      if let through = write.compactedThrough { entries.removeAll { $0.index <= through } }
    }
  }

  var core: RaftCore
  var disk: Disk
  var writes: [Write] = []
  var isUp = true
  /// A disk that hangs: writes stay pending.
  var isDiskStuck = false
  var applied: LogIndex
  var receivedSnapshot: [UInt8] = []
  var events: [RaftEvent] = []
  var reads: [ReadResult] = []
  var proposal: ProposalResult?
  var membership: MembershipResult?
  /// Highest term and entry whose loss the disk must not suffer.
  var incarnation: UInt64 = 0
}

/// A network of nodes in one process: every message is delivered, dropped, doubled or delayed by
/// the test, every sync happens when the test says so. Checks figure 3 of the paper all the time.
final class TestCluster {
  struct Flight {
    var from: NodeID
    var to: NodeID
    var message: Message
  }

  var nodes: [TestNode] = []
  var flights: [Flight] = []
  var options: RaftOptions
  /// Directed links that lose everything.
  var cuts: Set<[UInt64]> = []
  var syncsAtOnce = true
  /// A snapshot that is being sent stays readable when there is a newer one.
  var keepsSnapshots = false
  var oldSnapshots: [SnapshotMeta] = []
  /// Every committed entry, by index - 1: State Machine Safety.
  var committed: [Entry] = []
  var leaderOfTerm: [Term: NodeID] = [:]
  /// For each read in flight what was committed anywhere when it began.
  var readFloor: [UInt64: LogIndex] = [:]
  let seed: UInt64
  private var effects = Effects()

  init(
    voters: Int, learners: Int = 0, spare: Int = 0, options: RaftOptions = RaftOptions(),
    seed: UInt64 = 1
  ) {
    self.options = options
    self.seed = seed
    let ids = (1...UInt64(voters + learners + spare)).map { NodeID($0) }
    let named = ids.prefix(voters + learners)
    let configuration = Configuration(
      voters: Array(ids.prefix(voters)), learners: Array(ids[voters..<(voters + learners)]),
      members: named.map { Member(id: $0, context: [UInt8(truncatingIfNeeded: $0.value)]) })
    for id in ids {
      let own = named.contains(id) ? configuration : Configuration()
      let core = RaftCore(
        id: id, options: options, seed: seed &* 1000 &+ id.value, hardState: HardState(),
        snapshot: nil, configuration: own, entries: [])
      nodes.append(
        TestNode(core: core, disk: TestNode.Disk(configuration: own), applied: .zero))
    }
  }

  subscript(_ id: UInt64) -> RaftCore { nodes[Int(id) - 1].core }

  // MARK: Inputs

  func step(_ id: UInt64, _ input: Input) {
    let position = Int(id) - 1
    guard nodes[position].isUp else { return }
    let before = RaftObservation(nodes[position].core)
    nodes[position].core.step(input, into: &effects)
    nodes[position].core.checkInvariants(since: before)
    carryOut(position)
  }

  func tick(_ id: UInt64, count: Int = 1) { for _ in 0..<count { step(id, .tick) } }

  /// Ticks all nodes and delivers all messages, again and again.
  func run(ticks: Int) {
    for _ in 0..<ticks {
      for position in nodes.indices { step(UInt64(position) + 1, .tick) }
      settle()
    }
  }

  /// Ticks until the condition holds; fails the test if it never does.
  func run(until condition: () -> Bool, ticksMax: Int = 2000, _ what: String = "") {
    for _ in 0..<ticksMax {
      if condition() { return }
      run(ticks: 1)
    }
    Issue.record("not within \(ticksMax) ticks: \(what) (seed \(seed))")
  }

  func settle(limit: Int = 200_000) {
    var count = 0
    while !flights.isEmpty, count < limit {
      deliver(0)
      count += 1
    }
  }

  func deliver(_ position: Int) {
    let flight = flights.remove(at: position)
    guard !cuts.contains([flight.from.value, flight.to.value]) else { return }
    guard Int(flight.to.value) <= nodes.count else { return }
    step(flight.to.value, .message(flight.message, from: flight.from))
  }

  func cut(_ a: UInt64, _ b: UInt64) {
    cuts.insert([a, b])
    cuts.insert([b, a])
  }

  func isolate(_ id: UInt64) {
    for other in 1...UInt64(nodes.count) where other != id { cut(id, other) }
  }

  func heal() { cuts.removeAll() }

  func read(_ id: UInt64, _ number: UInt64) {
    readFloor[id << 32 | number] = LogIndex(UInt64(committed.count))
    step(id, .read(ReadID(number)))
  }

  // MARK: Disk and crashes

  func sync(_ id: UInt64, count: Int = .max) {
    let position = Int(id) - 1
    var left = count
    while left > 0, !nodes[position].isDiskStuck, !nodes[position].writes.isEmpty {
      left -= 1
      let write = nodes[position].writes.removeFirst()
      nodes[position].disk.apply(write)
      for envelope in write.replies {
        flights.append(Flight(from: NodeID(id), to: envelope.to, message: envelope.message))
      }
      let last = nodes[position].disk.entries.last
      let snapshot = nodes[position].disk.snapshot
      let isSnapshotLast = (snapshot?.index ?? .zero) > (last?.index ?? .zero)
      let index = isSnapshotLast ? snapshot?.index : last?.index
      let term = isSnapshotLast ? snapshot?.term : last?.term
      step(id, .persisted(through: index ?? .zero, term: term ?? .zero))
    }
  }

  /// The process dies; what was not synced is gone.
  func crash(_ id: UInt64) {
    nodes[Int(id) - 1].isUp = false
    nodes[Int(id) - 1].writes = []
    nodes[Int(id) - 1].isDiskStuck = false
  }

  /// Others see the links break.
  func kill(_ id: UInt64) {
    crash(id)
    flights.removeAll { $0.to.value == id || $0.from.value == id }
    for other in 1...UInt64(nodes.count) where other != id { step(other, .linkBroken(NodeID(id))) }
  }

  func restart(_ id: UInt64) {
    let position = Int(id) - 1
    let disk = nodes[position].disk
    nodes[position].incarnation += 1
    nodes[position].core = RaftCore(
      id: NodeID(id), options: options, seed: seed &* 77 &+ id &+ nodes[position].incarnation << 20,
      hardState: disk.hardState, snapshot: disk.snapshot, configuration: disk.configuration,
      entries: disk.entries)
    let core = nodes[position].core
    if core.hasDiscardedEntries { nodes[position].disk.entries = [] }
    nodes[position].isUp = true
    nodes[position].applied = nodes[position].core.lastApplied
    nodes[position].receivedSnapshot = []
    apply(position)
  }

  /// The state machine takes a snapshot of what it has applied.
  func compact(_ id: UInt64) {
    let position = Int(id) - 1
    let index = nodes[position].applied
    guard nodes[position].isUp, index > .zero, let term = nodes[position].core.term(at: index),
      nodes[position].core.snapshotMeta?.index != index
    else { return }
    let (configuration, configurationIndex) = nodes[position].core.configuration(at: index)
    let meta = SnapshotMeta(
      index: index, term: term, configuration: configuration,
      configurationIndex: configurationIndex)
    if keepsSnapshots, let old = nodes[position].disk.snapshot { oldSnapshots.append(old) }
    nodes[position].disk.snapshot = meta
    nodes[position].disk.configuration = configuration
    step(id, .compacted(meta))
  }

  /// What a snapshot through `index` consists of.
  func snapshotBytes(_ index: LogIndex) -> [UInt8] {
    (0..<UInt64(100)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ index.value) }
  }

  // MARK: Effects

  private func carryOut(_ position: Int) {
    let id = nodes[position].core.id
    var taken = Effects()
    swap(&taken, &effects)
    nodes[position].events += taken.events
    nodes[position].proposal = taken.proposal ?? nodes[position].proposal
    nodes[position].membership = taken.membership ?? nodes[position].membership
    check(taken, of: position)
    for envelope in taken.send {
      flights.append(Flight(from: id, to: envelope.to, message: envelope.message))
    }
    write(taken, position)
    apply(position)
    for read in taken.reads {
      nodes[position].reads.append(read)
      let floor = readFloor.removeValue(forKey: id.value << 32 | read.id.value)
      if let index = read.index, let floor {
        #expect(index >= floor, "stale read \(index) < \(floor), seed \(seed)")
      }
    }
    feedSnapshots(taken, position)
    if syncsAtOnce { sync(id.value) }
  }

  private func write(_ taken: Effects, _ position: Int) {
    let isDiskNeeded =
      taken.hardState != nil || !taken.append.isEmpty || taken.logResetAfter != nil
      || taken.compactedThrough != nil
    if isDiskNeeded {
      nodes[position].writes.append(
        TestNode.Write(
          hardState: taken.hardState, entries: taken.append, resetAfter: taken.logResetAfter,
          compactedThrough: taken.compactedThrough, replies: taken.sendAfterSync))
    } else if let last = nodes[position].writes.indices.last {
      nodes[position].writes[last].replies += taken.sendAfterSync
    } else {
      let id = nodes[position].core.id
      for envelope in taken.sendAfterSync {
        flights.append(Flight(from: id, to: envelope.to, message: envelope.message))
      }
    }
  }

  /// State Machine Safety, and Log Matching for what is committed.
  private func apply(_ position: Int) {
    let core = nodes[position].core
    guard core.commitIndex > nodes[position].applied else { return }
    let entries = core.entries(from: nodes[position].applied.next, through: core.commitIndex)
    #expect(entries.first?.index == nodes[position].applied.next)
    for entry in entries {
      let place = Int(entry.index.value) - 1
      if place < committed.count {
        #expect(
          committed[place] == entry, "node \(core.id) differs at \(entry.index), seed \(seed)")
      } else {
        #expect(place == committed.count)
        committed.append(entry)
      }
    }
    nodes[position].applied = core.commitIndex
    nodes[position].core.step(.applied(through: core.commitIndex), into: &effects)
  }

  /// Election Safety and Leader Completeness.
  private func check(_ taken: Effects, of position: Int) {
    for event in taken.events {
      guard case .becameLeader(let term) = event else { continue }
      let id = nodes[position].core.id
      let other = leaderOfTerm[term]
      #expect(other == nil || other == id, "two leaders in term \(term), seed \(seed)")
      leaderOfTerm[term] = id
      for entry in committed where entry.index >= nodes[position].core.firstIndex {
        let own = nodes[position].core.term(at: entry.index)
        #expect(own == entry.term, "leader \(id) lacks \(entry.index), seed \(seed)")
      }
    }
  }

  private func feedSnapshots(_ taken: Effects, _ position: Int) {
    let id = nodes[position].core.id.value
    for chunk in taken.snapshotChunks {
      if chunk.offset == 0 { nodes[position].receivedSnapshot = [] }
      #expect(UInt64(nodes[position].receivedSnapshot.count) == chunk.offset)
      nodes[position].receivedSnapshot += chunk.data
      guard chunk.isLast else { continue }
      #expect(nodes[position].receivedSnapshot == snapshotBytes(chunk.meta.index))
      nodes[position].disk.snapshot = chunk.meta
      nodes[position].disk.configuration = chunk.meta.configuration
      nodes[position].applied = max(nodes[position].applied, chunk.meta.index)
      step(id, .snapshotInstalled(chunk.meta))
    }
    for read in taken.snapshotReads {
      let newest = nodes[position].disk.snapshot
      let isNewest = read.index == nil || read.index == newest?.index
      guard let meta = isNewest ? newest : oldSnapshots.first(where: { $0.index == read.index })
      else {
        step(id, .snapshotUnavailable(to: read.to))
        continue
      }
      let bytes = snapshotBytes(meta.index)
      let start = Int(read.offset)
      let data = Array(bytes[start..<min(bytes.count, start + read.bytesMax)])
      step(
        id,
        .snapshotData(
          to: read.to, meta: meta, offset: read.offset, totalBytes: UInt64(bytes.count), data))
    }
  }
}

extension TestCluster {
  var leaders: [UInt64] {
    nodes.filter { $0.isUp && $0.core.role == .leader }.map(\.core.id.value)
  }

  /// The leader of the highest term among those running, if it is established.
  var leader: UInt64? {
    let best = nodes.filter { $0.isUp && $0.core.isEstablishedLeader }
      .max { $0.core.term < $1.core.term }
    return best?.core.id.value
  }

  @discardableResult
  func elect(_ id: UInt64? = nil) -> UInt64 {
    if let id {
      tick(id, count: 2 * options.electionTicks)
      settle()
      #expect(self[id].isEstablishedLeader)
      return id
    }
    run(until: { leader != nil }, "a leader")
    return leader ?? 0
  }

  func propose(_ id: UInt64, _ payload: [UInt8] = [1]) {
    step(id, .propose([payload]))
  }

  func events(_ id: UInt64) -> [RaftEvent] { nodes[Int(id) - 1].events }

  func clearEvents() { for position in nodes.indices { nodes[position].events = [] } }

  /// Messages on their way to a node, of any sender.
  func messages(to id: UInt64) -> [Message] {
    flights.filter { $0.to.value == id }.map(\.message)
  }
}
