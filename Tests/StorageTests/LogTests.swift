import Raft
import Testing

@testable import Storage

/// What any log must do, over the real disk and over memory.
@Suite struct LogTests {
  enum Disk: CaseIterable { case posix, memory }

  @Test(arguments: Disk.allCases)
  func everyBodyOfTheSeam(_ disk: Disk) throws {
    switch disk {
    case .posix:
      let directory = try TemporaryDirectory()
      try runAll(PosixFileSystem(), directory.path)
    case .memory: try runAll(MemoryFileSystem(), "data")
    }
  }

  private func runAll<Files: FileSystem>(_ files: Files, _ root: String) throws {
    try keepsWhatWasAppended(files, root + "/a")
    try replacesFromTheSameIndex(files, root + "/b")
    try rollsOverAndCompacts(files, root + "/c")
    try resetsAfterASnapshot(files, root + "/d")
    try takesHugeEntries(files, root + "/e")
  }

  private func keepsWhatWasAppended<Files: FileSystem>(_ files: Files, _ path: String) throws {
    let (log, empty) = try Log.open(files, directory: path, options: smallSegments)
    #expect(empty.entries.isEmpty && empty.hardState == HardState() && empty.tornBytes == 0)
    try log.append([batch(entry(1), entry(2), hardState: hardState(3, vote: 7, commit: 1))])
    try log.append([batch(entry(3, bytes: 0)), batch(hardState: hardState(4, commit: 2))])
    try log.sync()
    log.close()
    let (again, found) = try Log.open(files, directory: path, options: smallSegments)
    #expect(found.entries == [entry(1), entry(2), entry(3, bytes: 0)])
    #expect(found.hardState == hardState(4, commit: 2))
    #expect(found.tornBytes == 0)
    #expect(throws: StorageError.self) { try log.append([batch(entry(4))]) }
    again.close()
  }

  private func replacesFromTheSameIndex<Files: FileSystem>(
    _ files: Files, _ path: String
  ) throws {
    let (log, _) = try Log.open(files, directory: path, options: smallSegments)
    try log.append([batch(entry(1), entry(2), entry(3))])
    try log.append([batch(entry(2, term: 2)), batch(entry(3, term: 2), entry(3, term: 3))])
    log.close()
    let (_, found) = try Log.open(files, directory: path, options: smallSegments)
    #expect(found.entries == [entry(1), entry(2, term: 2), entry(3, term: 3)])
  }

  private func rollsOverAndCompacts<Files: FileSystem>(_ files: Files, _ path: String) throws {
    var (log, _) = try Log.open(files, directory: path, options: smallSegments)
    for index in 1...400 as ClosedRange<UInt64> {
      try log.append([batch(entry(index, bytes: 100), hardState: hardState(index, commit: 1))])
    }
    try log.sync()
    let before = log.diskBytes
    try log.compact(through: LogIndex(390))
    #expect(log.diskBytes < before)
    #expect(log.diskBytes <= 8 * 4096)
    log.close()
    for pass in 0..<3 {
      let (again, found) = try Log.open(
        files, directory: path, options: smallSegments, snapshot: snapshotMeta(395))
      #expect(found.entries == (396...400).map { entry($0, bytes: 100) })
      #expect(found.hardState == hardState(400 + UInt64(pass), commit: 1))
      try again.append([batch(hardState: hardState(401 + UInt64(pass), commit: 1))])
      log = again
      log.close()
    }
    #expect(throws: StorageError.self) {
      try Log.open(files, directory: path, options: smallSegments)
    }
  }

  private func resetsAfterASnapshot<Files: FileSystem>(_ files: Files, _ path: String) throws {
    let (log, _) = try Log.open(files, directory: path, options: smallSegments)
    for index in 1...100 as ClosedRange<UInt64> {
      try log.append([batch(entry(index, bytes: 100))])
    }
    try log.reset(after: LogIndex(500))
    try log.append([batch(entry(501, term: 9), hardState: hardState(9, commit: 500))])
    log.close()
    let (_, found) = try Log.open(
      files, directory: path, options: smallSegments, snapshot: snapshotMeta(500, term: 8))
    #expect(found.entries == [entry(501, term: 9)])
    #expect(found.hardState == hardState(9, commit: 500))
  }

  private func takesHugeEntries<Files: FileSystem>(_ files: Files, _ path: String) throws {
    let (log, _) = try Log.open(files, directory: path, options: smallSegments)
    try log.append([
      batch(entry(1)), batch(entry(2, bytes: 3 << 20)), batch(entry(3)),
      batch(entry(4, bytes: 100_000), entry(5, bytes: 200_000)), batch(entry(6)),
    ])
    log.close()
    let (again, found) = try Log.open(files, directory: path, options: smallSegments)
    #expect(found.entries.map(\.payload.count) == [20, 3 << 20, 20, 100_000, 200_000, 20])
    try again.compact(through: LogIndex(6))
    #expect(again.diskBytes < 400_000)
    again.close()
  }
}
