import Raft
import Synchronization
import Testing

@testable import Storage

/// The WAL thread: order of answers, full disks, errors, ending.
@Suite(.timeLimit(.minutes(10))) struct LogWriterTests {
  final class Answers: Sendable {
    private let monitor = Monitor([LogWriter.Completion]())
    func add(_ completion: LogWriter.Completion) { monitor.signal { $0.append(completion) } }
    /// Waits for an answer that `isWanted`.
    func wait(_ isWanted: @escaping (LogWriter.Completion) -> Bool) -> Bool {
      monitor.wait(milliseconds: 20_000) { $0.contains(where: isWanted) ? true : nil } ?? false
    }
    var all: [LogWriter.Completion] { monitor.withLock { $0 } }
    func isDurable(_ ticket: UInt64) -> Bool {
      wait { if case .durable(let at, _) = $0 { at >= ticket } else { false } }
    }
  }

  private func start(_ disk: FaultyFileSystem, _ answers: Answers) -> LogWriter {
    LogWriter(
      { () throws(StorageError) in
        var options = LogOptions()
        options.segmentBytes = 4096
        return try Log.open(disk, directory: "log", options: options).0
      }, notify: { answers.add($0) })
  }

  @Test func everythingSubmittedBecomesDurableInOrder() throws {
    let disk = FaultyFileSystem(seed: 1)
    let answers = Answers()
    let writer = start(disk, answers)
    for index in 1...200 as ClosedRange<UInt64> {
      writer.submit(batch(entry(index)), ticket: index)
    }
    #expect(answers.isDurable(200))
    var last: UInt64 = 0
    for case .durable(let ticket, _) in answers.all {
      #expect(ticket > last)
      last = ticket
    }
    writer.compact(through: LogIndex(100))
    #expect(answers.wait { $0 == .compacted(through: LogIndex(100)) })
    writer.submit(
      LogBatch(hardState: hardState(1, commit: 150), entries: [], mustSync: false), ticket: 201)
    // Nothing else comes: the idle thread syncs it.
    #expect(answers.isDurable(201))
    writer.stop()
    let (_, found) = try Log.open(
      disk.crash(), directory: "log", options: smallSegments, snapshot: snapshotMeta(100))
    #expect(found.entries == (101...200).map { entry($0) })
    #expect(found.hardState.commitIndex == LogIndex(150))
  }

  @Test func aResetStandsBetweenItsNeighbours() throws {
    let disk = FaultyFileSystem(seed: 1)
    let answers = Answers()
    let writer = start(disk, answers)
    writer.submit(batch(entry(1), entry(2)), ticket: 1)
    writer.reset(after: LogIndex(50))
    writer.submit(batch(entry(51, term: 3)), ticket: 2)
    writer.stop()
    #expect(answers.isDurable(2))
    let (_, found) = try Log.open(
      disk, directory: "log", options: smallSegments, snapshot: snapshotMeta(50, term: 3))
    #expect(found.entries == [entry(51, term: 3)])
  }

  @Test func aFullDiskRefusesInOrderUntilTheCallerStartsOver() throws {
    let disk = FaultyFileSystem(seed: 1)
    disk.setCapacity(2 * 4096)
    let answers = Answers()
    let writer = start(disk, answers)
    let all = (1...40 as ClosedRange<UInt64>).map { batch(entry($0, bytes: 400)) }
    for (i, batch) in all.enumerated() { writer.submit(batch, ticket: UInt64(i) + 1) }
    #expect(answers.wait { if case .failed(40, .diskFull) = $0 { true } else { false } })
    // A batch behind the refused ones is refused as well.
    writer.submit(batch(entry(41, bytes: 400)), ticket: 41)
    #expect(answers.wait { if case .failed(41, .diskFull) = $0 { true } else { false } })
    var refused: [UInt64] = []
    for case .failed(let ticket, _) in answers.all { refused.append(ticket) }
    #expect(refused == Array(refused[0]...41))
    #expect(answers.isDurable(refused[0] - 1))
    disk.setCapacity(.max)
    for ticket in refused {
      writer.submit(batch(entry(ticket, bytes: 400)), ticket: ticket)
    }
    #expect(answers.isDurable(41))
    writer.stop()
    let (_, found) = try Log.open(disk.crash(), directory: "log", options: smallSegments)
    #expect(found.entries == (1...41).map { entry($0, bytes: 400) })
  }

  @Test func aFailedSyncEndsTheThread() throws {
    let disk = FaultyFileSystem(seed: 1)
    let answers = Answers()
    let writer = start(disk, answers)
    writer.submit(batch(entry(1)), ticket: 1)
    #expect(answers.isDurable(1))
    disk.failNextSync()
    writer.submit(batch(entry(2)), ticket: 2)
    #expect(answers.wait { if case .failed(_, .io) = $0 { true } else { false } })
    let count = answers.all.count
    writer.submit(batch(entry(3)), ticket: 3)
    writer.stop()
    #expect(answers.all.count == count)
  }

  @Test func anOpenThatFailsIsTold() {
    let answers = Answers()
    let writer = LogWriter(
      { () throws(StorageError) -> Log<MemoryFileSystem> in
        throw .damaged(file: "x", offset: 1, reason: "y")
      }, notify: { answers.add($0) })
    writer.stop()
    #expect(answers.all == [.failed(ticket: 0, .damaged(file: "x", offset: 1, reason: "y"))])
  }
}
