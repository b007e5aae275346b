import Glibc
import Raft
import Synchronization
import Wire

@testable import Storage

/// A fresh directory on the real disk, removed at the end.
final class TemporaryDirectory {
  private static let counter = Atomic<Int>(0)
  let path: String

  init() throws {
    let number = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
    path = "/tmp/roost-storage-tests-\(getpid())-\(number)"
    try PosixFileSystem().makeDirectory(path)
  }

  deinit { Self.removeTree(path) }

  private static func removeTree(_ path: String) {
    let files = PosixFileSystem()
    if let names = try? files.list(path) {
      for name in names { removeTree(path + "/" + name) }
      _ = unsafe rmdir(path)
    } else {
      try? files.remove(path)
    }
  }
}

func entry(_ index: UInt64, term: UInt64 = 1, bytes: Int = 20) -> Entry {
  let byte = UInt8(truncatingIfNeeded: index &* 31 &+ term)
  return Entry(
    index: LogIndex(index), term: Term(term), kind: .command,
    payload: [UInt8](repeating: byte, count: bytes))
}

func batch(_ entries: Entry..., hardState: HardState? = nil) -> LogBatch {
  LogBatch(hardState: hardState, entries: entries, mustSync: true)
}

func hardState(_ term: UInt64, vote: UInt64? = nil, commit: UInt64 = 0) -> HardState {
  HardState(
    term: Term(term), votedFor: vote.map { NodeID($0) }, commitIndex: LogIndex(commit))
}

func snapshotMeta(_ index: UInt64, term: UInt64 = 1) -> SnapshotMeta {
  SnapshotMeta(
    index: LogIndex(index), term: Term(term), configuration: Configuration(),
    configurationIndex: .zero)
}

var smallSegments: LogOptions {
  var options = LogOptions()
  options.segmentBytes = 4096
  return options
}

func crc(_ bytes: [UInt8]) -> UInt32 { Checksum.crc32c(bytes) }
