import Basics
import Raft
import Testing

@testable import Storage

/// Random work, power cuts and restarts against a model of what a log may hold afterwards.
@Suite struct CrashTests {
  @Test(arguments: 0..<8) func survivesPowerCuts(_ block: UInt64) throws {
    for seed in block * 25..<(block + 1) * 25 {
      var run = CrashRun(seed: seed)
      do { try run.play(rounds: 6) } catch {
        Issue.record("seed \(seed): \(error)")
        return
      }
    }
  }

  @Test func aFlippedByteIsNeverSilentLoss() throws {
    let (disk, expected) = try twoSegments()
    for path in try disk.list("log").map({ "log/" + $0 }) where path.hasSuffix(".wal") {
      let size = try disk.open(path, .readOnly).size()
      for offset in 0..<size {
        let copy = disk.copy(seed: 1)
        copy.corrupt(path, offset: offset, mask: 1 << UInt8(offset % 8))
        try expectWholeOrDamaged(copy, expected, "\(path) at \(offset)")
      }
    }
  }

  @Test func aZeroedSectorIsNeverSilentLoss() throws {
    let (disk, expected) = try twoSegments()
    for path in try disk.list("log").map({ "log/" + $0 }) where path.hasSuffix(".wal") {
      for offset in stride(from: 0, to: 2048, by: 512) {
        let copy = disk.copy(seed: 1)
        copy.zeroSector(path, offset: offset)
        try expectWholeOrDamaged(copy, expected, "\(path) at \(offset)")
      }
    }
  }

  @Test func everyCutOfTheLastRecordIsATornTail() throws {
    let disk = FaultyFileSystem(seed: 5)
    let (log, _) = try Log.open(disk, directory: "log", options: smallSegments)
    try log.append([batch(entry(1)), batch(entry(2))])
    try log.sync()
    let start = log.tail
    try log.append([batch(entry(3, bytes: 700))])
    let end = log.tail
    for cut in start...end {
      let copy = disk.copy(seed: 1)
      copy.cut("log/0000000000000001.wal", to: cut)
      let (again, found) = try Log.open(copy, directory: "log", options: smallSegments)
      // The last few bytes are padding, which may be cut without harm.
      if cut < end - 7 { #expect(found.entries.count == 2) }
      if cut == end { #expect(found.entries.count == 3) }
      if found.entries.count == 3 { #expect(found.tornBytes == 0) }
      if cut > start + 64, found.entries.count == 2 { #expect(found.tornBytes > 0) }
      // The tail that was cut can be written over, and stays cut.
      let next = UInt64(found.entries.count) + 1
      try again.append([batch(entry(next, term: 2))])
      try again.sync()
      let (_, last) = try Log.open(copy.crash(), directory: "log", options: smallSegments)
      #expect(last.entries == found.entries + [entry(next, term: 2)])
      #expect(last.tornBytes == 0)
    }
  }

  @Test func lostAndMisdirectedWritesAreFound() throws {
    var found = 0
    for seed in 0..<200 as Range<UInt64> {
      let disk = FaultyFileSystem(seed: seed)
      let (log, _) = try Log.open(disk, directory: "log", options: smallSegments)
      if seed % 2 == 0 {
        disk.loseNextWrite(after: Int(seed / 8))
      } else {
        disk.misdirectNextWrite(after: Int(seed / 8))
      }
      for index in 1...40 as ClosedRange<UInt64> {
        try log.append([batch(entry(index, bytes: 300))])
        try log.sync()
      }
      log.close()
      do {
        let (_, after) = try Log.open(disk.crash(), directory: "log", options: smallSegments)
        #expect(after.entries == (1...40).map { entry($0, bytes: 300) }, "seed \(seed)")
      } catch { found += 1 }
    }
    #expect(found > 20)
  }

  /// Two segments of 2 KB, closed cleanly.
  private func twoSegments() throws -> (FaultyFileSystem, RecoveredLog) {
    let disk = FaultyFileSystem(seed: 3)
    let (log, _) = try Log.open(disk, directory: "log", options: tinySegments)
    for index in 1...16 as ClosedRange<UInt64> {
      try log.append([batch(entry(index, bytes: 100), hardState: hardState(1, vote: index))])
      try log.sync()
    }
    log.close()
    #expect(log.segments.count == 2)
    let (_, found) = try Log.open(disk.copy(seed: 1), directory: "log", options: tinySegments)
    return (disk, found)
  }

  private var tinySegments: LogOptions {
    var options = LogOptions()
    options.segmentBytes = 2048
    return options
  }

  private func expectWholeOrDamaged(
    _ disk: FaultyFileSystem, _ expected: RecoveredLog, _ place: String
  ) throws {
    do {
      let (_, found) = try Log.open(disk, directory: "log", options: tinySegments)
      #expect(found.entries == expected.entries, "\(place)")
      #expect(found.hardState == expected.hardState, "\(place)")
    } catch {
      switch error {
      case .damaged, .foreign: break
      default: Issue.record("\(place): \(error)")
      }
    }
  }
}

/// What the log may be expected to hold.
private struct ModelState: Equatable {
  var entries: [Entry] = []
  var base: UInt64 = 0
  var hardState = HardState()

  var last: UInt64 { entries.last?.index.value ?? base }

  mutating func apply(_ batch: LogBatch) {
    hardState = batch.hardState ?? hardState
    for entry in batch.entries {
      entries.removeAll { $0.index >= entry.index }
      entries.append(entry)
    }
  }

  /// As `Log.open` hands it out next to a snapshot.
  func adopting(_ snapshot: SnapshotMeta?) -> ModelState {
    guard let snapshot else { return self }
    var state = self
    let covered = snapshot.index.value
    let agrees =
      last >= covered
      && (covered == base
        || entries.contains { $0.index == snapshot.index && $0.term == snapshot.term })
    state.entries = agrees ? entries.filter { $0.index > snapshot.index } : []
    state.base = covered
    return state
  }
}

private struct CrashRun {
  struct Mismatch: Error, CustomStringConvertible {
    var description: String
  }

  var random: SplitMix
  var disk: FaultyFileSystem
  var options = LogOptions()
  /// States after each batch; the first is known to be durable.
  var history = [ModelState()]
  var snapshot: SnapshotMeta?
  var term: UInt64 = 1
  /// The process died, the power stayed on: what was written, synced or not, is still there.
  var keepsCache = false

  init(seed: UInt64) {
    random = SplitMix(seed: seed)
    disk = FaultyFileSystem(seed: seed &+ 1000)
    options.segmentBytes = Int(1024 << random.below(3))
    options.spareSegments = Int(random.below(3))
  }

  mutating func play(rounds: Int) throws {
    for _ in 0..<rounds {
      let log = try reopen()
      disk.powerOff(afterOperations: Int(random.below(120)))
      do { try work(log) } catch {
        guard disk.isOff else { throw error }
      }
      if random.chance(3, in: 4) {
        disk = disk.crash()
      } else if disk.isOff {
        disk = disk.crash()
      } else {
        keepsCache = true
      }
    }
    _ = try reopen()
  }

  /// Opens, with power cuts in between, and compares.
  private mutating func reopen() throws -> Log<FaultyFileSystem> {
    defer { keepsCache = false }
    for _ in 0..<random.below(3) {
      keepsCache = false
      disk.powerOff(afterOperations: Int(random.below(8)))
      do {
        _ = try Log.open(disk, directory: "log", options: options, snapshot: snapshot)
      } catch {
        guard disk.isOff else { throw error }
      }
      disk = disk.crash()
    }
    disk.powerOff(afterOperations: .max)
    if keepsCache { history = [history[history.count - 1]] }
    let (log, found) = try Log.open(
      disk, directory: "log", options: options, snapshot: snapshot)
    let match = history.last { state in
      let expected = state.adopting(snapshot)
      return expected.entries == found.entries && state.hardState == found.hardState
    }
    guard let match else {
      let last = history[history.count - 1]
      throw Mismatch(
        description: "found \(found.entries.map(\.index)) \(found.hardState), durable "
          + "\(history[0].entries.map(\.index)) \(history[0].hardState), last "
          + "\(last.entries.map(\.index)) \(last.hardState), snapshot "
          + "\(String(describing: snapshot?.index))")
    }
    history = [match.adopting(snapshot)]
    return log
  }

  private mutating func work(_ log: Log<FaultyFileSystem>) throws {
    for _ in 0..<60 {
      switch random.below(20) {
      case 0..<9:
        let batches = (0..<1 + random.below(4)).map { _ in nextBatch() }
        try log.append(batches)
      case 9..<15:
        try log.sync()
        history = [history[history.count - 1]]
      case 15: try log.mark()
      case 16: _ = try log.prepareStep()
      case 17, 18: try compact(log)
      default: if random.chance(1, in: 4) { try installSnapshot(log) }
      }
    }
    if random.chance(1, in: 4) { log.close() }
  }

  private mutating func nextBatch() -> LogBatch {
    var state = history[history.count - 1]
    if random.chance(1, in: 5) { term += 1 }
    var hard: HardState?
    var entries: [Entry] = []
    // What a snapshot covers is committed.
    let commit = max(state.hardState.commitIndex.value, snapshot?.index.value ?? 0)
    var next = state.last + 1
    if random.chance(1, in: 8), next > commit + 1 {
      next = commit + 1 + random.below(next - commit)
      term += 1
    }
    for _ in 0..<random.below(4) {
      let bytes = random.chance(1, in: 30) ? 3000 : Int(random.below(200))
      entries.append(entry(next, term: term, bytes: bytes))
      next += 1
    }
    if entries.isEmpty || random.chance(1, in: 3) {
      let last = entries.last?.index.value ?? state.last
      hard = hardState(
        term, vote: random.chance(1, in: 2) ? random.next() : nil,
        commit: commit + random.below(max(last, commit) - commit + 1))
    }
    let batch = LogBatch(hardState: hard, entries: entries, mustSync: true)
    state.apply(batch)
    history.append(state)
    return batch
  }

  /// A snapshot of what is committed and durable, then compaction up to some way before it.
  private mutating func compact(_ log: Log<FaultyFileSystem>) throws {
    try log.sync()
    let state = history[history.count - 1]
    history = [state]
    guard let at = state.entries.last(where: { $0.index <= state.hardState.commitIndex }) else {
      return
    }
    snapshot = snapshotMeta(at.index.value, term: at.term.value)
    try log.compact(through: LogIndex(at.index.value - random.below(min(at.index.value, 5))))
  }

  /// The leader's snapshot replaces the log.
  private mutating func installSnapshot(_ log: Log<FaultyFileSystem>) throws {
    let state = history[history.count - 1]
    term += 1
    let committed = max(state.hardState.commitIndex.value, snapshot?.index.value ?? 0)
    let index = committed + 1 + random.below(30)
    snapshot = snapshotMeta(index, term: term)
    history.append(ModelState(entries: [], base: index, hardState: state.hardState))
    try log.reset(after: LogIndex(index))
    history = [history[history.count - 1]]
  }
}
