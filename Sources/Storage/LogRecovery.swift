package import Raft
import Wire

extension Log {
  /// Opens the log in `directory`, made when missing. `snapshot` is the newest usable one: what
  /// it covers is dropped, and a log that does not reach back to it is damaged.
  package static func open(
    _ files: Files, directory: String, options: LogOptions, snapshot: SnapshotMeta? = nil
  ) throws(StorageError) -> (Log<Files>, RecoveredLog) {
    var options = options
    options.segmentBytes = max(options.segmentBytes, LogOptions.segmentBytesMin)
    try files.makeDirectory(directory)
    let names = try files.list(directory)
    var pool = try SegmentPool(files, directory: directory, options: options, names: names)
    var recovery = LogRecovery(
      files: files, directory: directory, options: options, snapshot: snapshot)
    let state = try recovery.run(names, &pool)
    let log = Log(
      files: files, directory: directory, options: options, pool: pool, state: state)
    if let index = recovery.resetTo { try log.reset(after: index) }
    let recovered = RecoveredLog(
      hardState: state.hardState, entries: recovery.entries, tornBytes: recovery.tornBytes)
    return (log, recovered)
  }
}

/// Reads the segments of a log once, oldest first, and decides what belongs to it. The rules
/// are told in `Log`; here each is one step.
struct LogRecovery<Files: FileSystem> {
  struct Result {
    var segments: [LogSegment]
    var active: Files.File
    var tail: Int
    var mark: Int
    var contentEnd: Int
    var epoch: UInt32
    var lastIndex: LogIndex
    var hardState: HardState
  }

  /// Where a segment's good records end.
  private struct Replay {
    var end: Int
    var epoch: UInt32
    var mark: Int
    /// Where the last record ends that is more than a mark.
    var contentEnd: Int
    var isSealed = false
  }

  let files: Files
  let directory: String
  let options: LogOptions
  let snapshot: SnapshotMeta?

  private(set) var entries: [Entry] = []
  private(set) var tornBytes = 0
  /// The log must be emptied: the snapshot replaces it.
  private(set) var resetTo: LogIndex?
  /// A gap in the segments' numbers: this one is not there.
  private var missing: UInt64?
  private var hardState = HardState()
  /// The last entry as the segments tell it, before the snapshot is looked at.
  private var diskLastIndex = LogIndex.zero
  /// The entry before the first in `entries`.
  private var base = LogIndex.zero
  private var segments: [LogSegment] = []

  init(files: Files, directory: String, options: LogOptions, snapshot: SnapshotMeta?) {
    self.files = files
    self.directory = directory
    self.options = options
    self.snapshot = snapshot
  }

  private var lastIndex: LogIndex { entries.last?.index ?? base }
  private func path(_ sequence: UInt64) -> String {
    directory + "/" + Path.hex(sequence) + ".wal"
  }

  mutating func run(
    _ names: [String], _ pool: inout SegmentPool<Files>
  ) throws(StorageError) -> Result {
    var sequences = names.compactMap { Path.number($0, suffix: ".wal") }.sorted()
    try discardUnfinished(&sequences, &pool)
    if sequences.isEmpty {
      let active = try createFirst(&pool)
      try adoptSnapshot(at: path(1), offset: 0)
      let end = SegmentHeader.recordBytes
      return result(active, Replay(end: end, epoch: 0, mark: end, contentEnd: end))
    }
    let skipped = skipToLastRun(&sequences)
    for (position, sequence) in sequences.enumerated().dropLast() {
      try replaySealed(sequence, next: sequences[position + 1])
    }
    let result = try replayLast(sequences[sequences.count - 1])
    for sequence in skipped { try files.remove(path(sequence)) }
    return result
  }

  private func result(_ active: Files.File, _ replay: Replay) -> Result {
    Result(
      segments: segments, active: active, tail: replay.end, mark: replay.mark,
      contentEnd: replay.contentEnd, epoch: replay.epoch + 1, lastIndex: diskLastIndex,
      hardState: hardState)
  }

  private mutating func createFirst(
    _ pool: inout SegmentPool<Files>
  ) throws(StorageError) -> Files.File {
    try pool.reserve([options.segmentBytes])
    guard let spare = pool.take(bytes: options.segmentBytes) else {
      throw .io(operation: "prepare", path: directory, code: 0, name: "no spare segment")
    }
    let header = SegmentHeader(
      sequence: 1, isRecycled: false, previousEnd: 0, lastIndex: .zero, hardState: HardState())
    segments = [LogSegment(sequence: 1, bytes: options.segmentBytes, highestIndex: .zero)]
    return try SegmentHeader.create(
      header, in: files, from: spare.path, to: path(1), directory: directory, epoch: 1)
  }

  /// A last segment without a good header, in which nothing was ever synced: its creation was
  /// cut short. It goes back to the spares, unless the log cannot be whole without it.
  private mutating func discardUnfinished(
    _ sequences: inout [UInt64], _ pool: inout SegmentPool<Files>
  ) throws(StorageError) {
    guard let last = sequences.last else { return }
    let bytes = try load(last)
    if try SegmentHeader.load(bytes, sequence: last, path: path(last)) != nil { return }
    let leftovers = scan(bytes, from: 0, sequence: last)
    let mayBeMissing = last == 1 || sequences.dropLast().last == last - 1
    guard leftovers.mark == 0, mayBeMissing else {
      throw .damaged(file: path(last), offset: 0, reason: "the segment header is not valid")
    }
    if sequences.count > 1 { try refuseIfSealed(last - 1) }
    try pool.recycle(path(last), bytes: bytes.count, isClean: false)
    try files.syncDirectory(directory)
    sequences.removeLast()
  }

  /// Numbers grow by one. What lies before a gap was being recycled, if a snapshot covers it;
  /// `adoptSnapshot` checks that.
  private mutating func skipToLastRun(_ sequences: inout [UInt64]) -> [UInt64] {
    var start = sequences.count - 1
    while start > 0, sequences[start - 1] + 1 == sequences[start] { start -= 1 }
    let skipped = Array(sequences[..<start])
    if start > 0 { missing = sequences[start] - 1 }
    sequences.removeFirst(start)
    return skipped
  }

  private func load(_ sequence: UInt64) throws(StorageError) -> [UInt8] {
    let file = try files.open(path(sequence), .readOnly)
    defer { file.close() }
    return try file.read(at: 0, count: try file.size())
  }

  private func header(_ sequence: UInt64) throws(StorageError) -> SegmentHeader {
    let file = try files.open(path(sequence), .readOnly)
    defer { file.close() }
    let bytes = try file.read(at: 0, count: SegmentHeader.recordBytes)
    guard let found = try SegmentHeader.load(bytes, sequence: sequence, path: path(sequence))
    else {
      throw .damaged(file: path(sequence), offset: 0, reason: "the segment header is not valid")
    }
    return found.header
  }

  // MARK: - Replay

  /// A segment that has a successor: good to the byte its successor names.
  private mutating func replaySealed(_ sequence: UInt64, next: UInt64) throws(StorageError) {
    let end = try header(next).previousEnd
    let bytes = try load(sequence)
    let replay = try replay(bytes, sequence: sequence, limit: end)
    guard replay.end == end else {
      throw .damaged(
        file: path(sequence), offset: replay.end,
        reason: "a record is not valid, and the next segment proves that it was synced")
    }
  }

  private mutating func replayLast(_ sequence: UInt64) throws(StorageError) -> Result {
    let bytes = try load(sequence)
    let file = path(sequence)
    let isRecycled =
      try SegmentHeader.load(bytes, sequence: sequence, path: file)?.header.isRecycled ?? false
    var replay = try replay(bytes, sequence: sequence, limit: bytes.count)
    if replay.isSealed {
      throw .damaged(file: path(sequence + 1), offset: 0, reason: "the segment is missing")
    }
    let leftovers = scan(bytes, from: replay.end, sequence: sequence)
    if leftovers.mark > replay.end {
      throw .damaged(
        file: file, offset: replay.end,
        reason: "a record is not valid, and a later one proves that it was synced")
    }
    try adoptSnapshot(at: file, offset: replay.end)

    var cutEnd = leftovers.end
    if !isRecycled, let last = bytes[cutEnd...].lastIndex(where: { $0 != 0 }) {
      cutEnd = last + 1
    }
    tornBytes = cutEnd - replay.end
    let active = try files.open(file, .readWrite)
    let keptFrom = min(replay.mark, replay.end)
    let rewritten =
      Array(bytes[keptFrom..<replay.end]) + [UInt8](repeating: 0, count: tornBytes)
    if !rewritten.isEmpty { try active.write(rewritten, at: keptFrom) }
    try active.sync()
    try files.syncDirectory(directory)
    replay.epoch = max(replay.epoch, leftovers.epoch)
    guard replay.epoch < .max else {
      throw .damaged(file: file, offset: replay.end, reason: "the epoch counter is used up")
    }
    return result(active, replay)
  }

  /// Applies the records of one segment up to the first that does not belong, or to `limit`.
  private mutating func replay(
    _ bytes: [UInt8], sequence: UInt64, limit: Int
  ) throws(StorageError) -> Replay {
    let file = path(sequence)
    guard let head = try SegmentHeader.load(bytes, sequence: sequence, path: file) else {
      throw .damaged(file: file, offset: 0, reason: "the segment header is not valid")
    }
    guard limit <= bytes.count else {
      throw .damaged(file: file, offset: bytes.count, reason: "the segment is cut short")
    }
    if segments.isEmpty {
      base = head.header.lastIndex
      hardState = head.header.hardState
    } else if head.header.lastIndex != lastIndex || head.header.hardState != hardState {
      throw .damaged(file: file, offset: 0, reason: "it does not continue the segment before")
    }
    segments.append(LogSegment(sequence: sequence, bytes: bytes.count, highestIndex: .zero))
    var replay = Replay(
      end: head.record.recordBytes, epoch: head.record.epoch, mark: head.record.recordBytes,
      contentEnd: head.record.recordBytes)
    while replay.end < limit {
      let offset = replay.end
      guard let record = LogRecordHeader.load(bytes, at: offset, sequence: sequence),
        record.epoch >= replay.epoch, record.payloadIsWhole(bytes, at: offset),
        offset + record.recordBytes <= limit
      else { break }
      replay.epoch = record.epoch
      replay.mark = max(replay.mark, record.durableMark)
      if record.type == .sealed {
        replay.isSealed = true
        break
      }
      let start = offset + LogRecordHeader.bytes
      var reader = Reader(bytes, in: start..<start + record.payloadLength)
      do { try apply(record.type, &reader) } catch {
        throw .damaged(file: file, offset: offset, reason: "a whole record is not valid: \(error)")
      }
      replay.end = offset + record.recordBytes
      if record.type != .mark { replay.contentEnd = replay.end }
    }
    return replay
  }

  private mutating func apply(
    _ type: LogRecordType, _ reader: inout Reader
  ) throws(WireError) {
    switch type {
    case .batch:
      let batch = try LogBatch(from: &reader)
      hardState = batch.hardState ?? hardState
      for entry in batch.entries { try apply(entry) }
    case .reset:
      base = LogIndex(try reader.u64())
      try reader.finish()
      entries = []
      for i in segments.indices { segments[i].highestIndex = .zero }
    case .mark: break
    case .segmentHeader, .sealed: throw .unknownTag(UInt64(type.rawValue))
    }
  }

  private mutating func apply(_ entry: Entry) throws(WireError) {
    guard entry.index.value > 0, entry.index <= lastIndex.next else { throw .trailingBytes }
    if entry.index <= base {
      // Replaces entries that older segments held, which are gone.
      entries = []
      base = entry.index.previous
    } else if entry.index <= lastIndex {
      entries.removeLast(Int(lastIndex.value - entry.index.value) + 1)
    }
    entries.append(entry)
    let current = segments.count - 1
    segments[current].highestIndex = max(segments[current].highestIndex, entry.index)
  }

  /// A segment that is sealed has had a complete successor.
  private func refuseIfSealed(_ sequence: UInt64) throws(StorageError) {
    let bytes = try load(sequence)
    let leftovers = scan(bytes, from: 0, sequence: sequence)
    guard leftovers.isSealed else { return }
    throw .damaged(
      file: path(sequence + 1), offset: 0, reason: "the segment header is not valid")
  }

  /// What carries valid record headers of this segment at or after `start`.
  private func scan(
    _ bytes: [UInt8], from start: Int, sequence: UInt64
  ) -> (mark: Int, epoch: UInt32, end: Int, isSealed: Bool) {
    var found = (mark: 0, epoch: UInt32(0), end: start, isSealed: false)
    for offset in stride(from: (start + 7) & ~7, to: bytes.count, by: 8) {
      guard let record = LogRecordHeader.load(bytes, at: offset, sequence: sequence) else {
        continue
      }
      found.mark = max(found.mark, record.durableMark)
      found.epoch = max(found.epoch, record.epoch)
      found.end = max(found.end, min(offset + record.recordBytes, bytes.count))
      if record.type == .sealed { found.isSealed = true }
    }
    return found
  }

  // MARK: - Snapshot

  /// Drops what the snapshot covers, and checks that nothing is missing.
  private mutating func adoptSnapshot(at file: String, offset: Int) throws(StorageError) {
    let covered = snapshot?.index ?? .zero
    diskLastIndex = lastIndex
    guard base <= covered else {
      if let missing {
        throw .damaged(file: path(missing), offset: 0, reason: "the segment is missing")
      }
      throw .damaged(
        file: file, offset: offset,
        reason: "the log begins after entry \(base), the newest usable snapshot ends at \(covered)")
    }
    guard hardState.commitIndex <= max(lastIndex, covered) else {
      throw .damaged(
        file: file, offset: offset,
        reason: "the log ends at entry \(lastIndex), but entry \(hardState.commitIndex) "
          + "had been committed")
    }
    guard let snapshot, covered > base else { return }
    let dropped = Int(min(covered, lastIndex).value - base.value)
    let agrees = covered <= lastIndex && entries[dropped - 1].term == snapshot.term
    if agrees {
      entries.removeFirst(dropped)
      base = covered
    } else {
      entries = []
      base = covered
      resetTo = covered
    }
  }
}
