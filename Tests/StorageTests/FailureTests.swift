import Raft
import Testing

@testable import Storage

/// Full disks, failed syncs and damaged directories.
@Suite struct FailureTests {
  @Test func aFullDiskRefusesAndRecoversAtEveryBudget() throws {
    for budget in stride(from: 0, through: 6 * 4096, by: 512) {
      let disk = FaultyFileSystem(seed: UInt64(budget))
      disk.setCapacity(budget)
      let (log, tries) = try openWhenThereIsRoom(disk)
      var refused = tries
      for index in 1...90 as ClosedRange<UInt64> {
        let new = batch(entry(index, bytes: 300))
        do { try log.append([new]) } catch {
          guard case .diskFull = error else { throw error }
          refused += 1
          // Votes still have room.
          try log.append([batch(hardState: hardState(index))])
          disk.setCapacity(.max)
          try log.append([new])
        }
        try log.sync()
      }
      #expect(refused > 0)
      let (_, found) = try Log.open(disk.crash(), directory: "log", options: smallSegments)
      #expect(found.entries == (1...90).map { entry($0, bytes: 300) })
    }
  }

  private func openWhenThereIsRoom(
    _ disk: FaultyFileSystem
  ) throws -> (Log<FaultyFileSystem>, Int) {
    do {
      return (try Log.open(disk, directory: "log", options: smallSegments).0, 0)
    } catch {
      guard case .diskFull = error else { throw error }
      #expect(try disk.list("log").isEmpty)
      disk.setCapacity(.max)
      return (try Log.open(disk, directory: "log", options: smallSegments).0, 1)
    }
  }

  @Test func aFailedSyncIsFinal() throws {
    let disk = FaultyFileSystem(seed: 9)
    let (log, _) = try Log.open(disk, directory: "log", options: smallSegments)
    try log.append([batch(entry(1))])
    try log.sync()
    try log.append([batch(entry(2))])
    disk.failNextSync()
    let expected = StorageError.io(
      operation: "fdatasync", path: "log/0000000000000001.wal", code: 5,
      name: "input/output error")
    #expect(throws: expected) { try log.sync() }
    #expect(throws: expected) { try log.sync() }
    #expect(throws: expected) { try log.append([batch(entry(3))]) }
    #expect(throws: expected) { try log.compact(through: LogIndex(1)) }
    #expect(throws: expected) { try log.reset(after: LogIndex(1)) }
    log.close()
    // The process starts again: what its cache holds is written anew before it is believed.
    let (_, cached) = try Log.open(disk, directory: "log", options: smallSegments)
    let (_, found) = try Log.open(disk.crash(), directory: "log", options: smallSegments)
    #expect(found.entries == cached.entries)
    #expect(found.entries.first == entry(1))
  }

  @Test func missingSegmentsAreNamed() throws {
    let disk = FaultyFileSystem(seed: 1)
    let (log, _) = try Log.open(disk, directory: "log", options: smallSegments)
    for index in 1...50 as ClosedRange<UInt64> {
      try log.append([batch(entry(index, bytes: 300))])
    }
    log.close()
    let paths = log.segments.map { "log/" + Path.hex($0.sequence) + ".wal" }
    #expect(paths.count > 3)
    for path in paths {
      let copy = disk.copy(seed: 1)
      try copy.remove(path)
      #expect {
        try Log.open(copy, directory: "log", options: smallSegments)
      } throws: { error in
        guard case StorageError.damaged(_, _, let reason) = error else { return false }
        return reason.contains("missing") || reason.contains("begins after")
      }
    }
  }

  @Test func aNewerFormatIsRefused() throws {
    let disk = FaultyFileSystem(seed: 1)
    let (log, _) = try Log.open(disk, directory: "log", options: smallSegments)
    log.close()
    let path = "log/0000000000000001.wal"
    let file = try disk.open(path, .readWrite)
    var bytes = try file.read(at: 0, count: SegmentHeader.recordBytes)
    bytes[LogRecordHeader.bytes + 8] = 9
    let payload = Array(bytes[LogRecordHeader.bytes...])
    LogRecordHeader(
      type: .segmentHeader, payloadLength: payload.count,
      payloadChecksum: crc(payload), epoch: 1, durableMark: 0
    ).store(into: &bytes, at: 0, sequence: 1, offset: 0)
    try file.write(bytes, at: 0)
    #expect {
      try Log.open(disk, directory: "log", options: smallSegments)
    } throws: { error in
      guard case StorageError.foreign = error else { return false }
      return "\(error)".contains("newer Roost")
    }
  }

  @Test func aSnapshotThatDisagreesReplacesTheLog() throws {
    let disk = FaultyFileSystem(seed: 1)
    let (log, _) = try Log.open(disk, directory: "log", options: smallSegments)
    try log.append([batch(entry(1), entry(2), entry(3))])
    log.close()
    let agreeing = disk.copy(seed: 1)
    let (_, kept) = try Log.open(
      agreeing, directory: "log", options: smallSegments, snapshot: snapshotMeta(2))
    #expect(kept.entries == [entry(3)])
    let (again, dropped) = try Log.open(
      disk, directory: "log", options: smallSegments, snapshot: snapshotMeta(2, term: 7))
    #expect(dropped.entries.isEmpty)
    try again.append([batch(entry(3, term: 7))])
    again.close()
    let (_, found) = try Log.open(
      disk, directory: "log", options: smallSegments, snapshot: snapshotMeta(2, term: 7))
    #expect(found.entries == [entry(3, term: 7)])
  }

  @Test func messagesSayWhatToDo() {
    let error = StorageError.damaged(file: "d/x.wal", offset: 512, reason: "a record is bad")
    #expect(
      "\(error)"
        == "d/x.wal is damaged at byte 512: a record is bad. "
        + "Move the data directory aside and let the node rejoin empty.")
    #expect("\(StorageError.locked(path: "d"))".contains("another process"))
  }
}
