import Basics
package import Raft
import Wire

/// The write-ahead log in one directory. Not thread-safe: one thread owns it.
///
/// **Happy path.** `append` encodes batches into one reused buffer, one record per batch, and
/// writes them with one `pwrite` into the active segment, a file of fixed size that was filled
/// with zeros beforehand; `sync` is one `fdatasync`. A segment that is full is synced, and a
/// spare file (`SegmentPool`) becomes the next one. `compact` turns old segments into spares.
///
/// **Failures.** `.diskFull` from `append`: nothing of that call counts, the log stays usable.
/// Space is only needed for a new segment, and it is reserved before anything is written. Any
/// other error is final: the log refuses all further use (a failed sync may have dropped pages
/// and marked them clean: Rebello et al., "Can Applications Recover from fsync Failures?").
///
/// ## Format
///
/// Segment `n` is the file `<n as 16 hex digits>.wal`; numbers grow by one and name a generation:
/// no two lives of a file share one. `<m>.spare` are files for later. All integers are
/// little-endian. A segment is a sequence of records, each at a multiple of 8:
///
///     0   u32  CRC32C of bytes 4..<32, started from a hash of (segment number, offset)
///     4   u32  payload length
///     8   u32  CRC32C of the payload
///     12  u32  type: 1 segment header, 2 batch, 3 reset, 4 mark, 5 sealed
///     16  u32  epoch
///     20  u32  0
///     24  u64  durable mark: this segment was synced up to here when the record was written
///     32       payload, then zeros up to a multiple of 8
///
///     segment header  u64 magic "ROOSTWAL", u32 version 1, u32 flags (1 recycled, 2 has vote),
///                     u64 number, u64 end of the previous segment's records, u64 last index,
///                     u64 term, u64 vote, u64 commit index, u64 0
///     batch           u8 flags (1 hard state, 2 vote), [varint term, [u64 vote], varint commit],
///                     varint count, then per entry: varint index, varint term, u8 kind, blob
///     reset           u64 index of the snapshot that replaces everything before
///     mark            zeros, so that a second mark stands in the next sector
///     sealed          nothing
///
/// An entry whose index is already there replaces it and everything after it. A record never
/// spans segments; one that is too large gets a segment of its own size.
///
/// ## What belongs to the log, and what is left over
///
/// - *Recycled files* are full of old records: their checksums were started from another segment
///   number. The same catches misdirected writes (another offset) and copied files.
/// - *A torn tail, or an append that failed half-way,* may leave whole records of this generation
///   behind the end. Every opening and every failed append raises the **epoch** above all that is
///   found anywhere in the segment, and epochs never fall along a segment: once a newer record
///   is in place, older ones behind it can no longer join.
/// - *Spares of an earlier process* are zeroed before use (see `SegmentPool`).
///
/// ## Torn tail or damage
///
/// Group commit writes many records unsynced, so a power cut may lose an early sector and keep a
/// later one: "good records behind a bad one" proves nothing. What proves something is the
/// **durable mark**: a bad record at P is damage if any record of the segment, even behind P,
/// has a mark above P, for then P had been synced; otherwise P was in the last unsynced write,
/// which nobody relied on, and is cut. In all segments but the last, everything below the
/// `previousEnd` told by the next header had been synced before that header was written.
///
/// The last synced write has no later record to prove it. `mark` writes one (the WAL thread does
/// so, with a sync, as soon as it is idle; `close` does too). Until then a flipped byte in
/// exactly that write looks like a torn tail. A recovered commit index above the last entry is
/// damage too: entries stand before, or in, the record that commits them.
///
/// ## Crash cases
///
/// - *While the next segment is made*: the old one is synced, the spare is renamed, its header
///   written and synced, then the directory; only then `sealed` is written behind the old end. A
///   last segment without a good header is discarded if nothing in it has a mark, and the one
///   before is there and not sealed. Sealed without a successor: the successor is missing.
/// - *While old segments are recycled*: any subset may be gone. Segments before a gap are dropped
///   if a snapshot covers what they held; otherwise a segment is missing. The directory is
///   synced before a recycled file is used.
/// - *Between an installed snapshot and `reset`*: `open` is told the snapshot, and drops what it
///   covers; everything, if the log ends before it or disagrees with its term (paper, section 7).
/// - *During recovery*: it only rewrites the bytes it keeps (pages of a process whose sync failed
///   may be clean in memory and missing on disk), zeroes what it cut, and syncs. Run again, it
///   finds the same end.
package final class Log<Files: FileSystem> {
  let files: Files
  let directory: String
  let options: LogOptions
  var pool: SegmentPool<Files>
  /// Oldest first; the last one is active.
  var segments: [LogSegment]
  var active: Files.File
  /// Where the next record goes.
  var tail: Int
  /// Everything below is durable.
  var syncedEnd: Int
  /// The highest mark that was written.
  var writtenMark: Int
  /// Where the last record ends that is more than a mark.
  var contentEnd: Int
  var epoch: UInt32
  var lastIndex: LogIndex
  var hardState: HardState
  private var failure: StorageError?
  private var buffer = Writer()
  private var pending: [PendingRecord] = []

  init(
    files: Files, directory: String, options: LogOptions, pool: SegmentPool<Files>,
    state: LogRecovery<Files>.Result
  ) {
    self.files = files
    self.directory = directory
    self.options = options
    self.pool = pool
    segments = state.segments
    active = state.active
    tail = state.tail
    syncedEnd = state.tail
    writtenMark = state.mark
    contentEnd = state.contentEnd
    epoch = state.epoch
    lastIndex = state.lastIndex
    hardState = state.hardState
  }

  /// Appends batches in order with one write where possible. Not durable before `sync`. Throws
  /// `.diskFull` before anything of the call counts; every other error is final.
  package func append(_ batches: [LogBatch]) throws(StorageError) {
    try refuseIfFailed()
    clearPending()
    var last = lastIndex
    for batch in batches {
      let start = beginRecord()
      batch.encode(into: &buffer)
      var highest = LogIndex.zero
      for entry in batch.entries {
        invariant(
          entry.index.value > 0 && entry.index <= last.next,
          "entry \(entry.index) appended after \(last)")
        last = entry.index
        highest = max(highest, last)
      }
      endRecord(
        PendingRecord(
          start: start, type: .batch, highest: highest, last: last, hardState: batch.hardState,
          mayUseReserve: batch.entries.isEmpty))
    }
    try writePending()
  }

  /// Makes everything appended durable; free when it is already.
  package func sync() throws(StorageError) {
    try refuseIfFailed()
    guard tail > syncedEnd else { return }
    try orFail { () throws(StorageError) in try active.sync() }
    syncedEnd = tail
  }

  /// Something was synced that no record on disk proves yet (see the type's comment), and there
  /// is room to prove it; at the very end of a segment the next header does.
  package var needsMark: Bool {
    failure == nil && contentEnd > writtenMark
      && tail + markFiller + 3 * LogRecordHeader.bytes <= activeBytes
  }

  /// Payload of the first of two mark records that puts the second into the next sector: a proof
  /// must not be lost with what it proves.
  private var markFiller: Int {
    LogOptions.sectorBytes - (tail + LogRecordHeader.bytes) % LogOptions.sectorBytes
  }

  /// Writes a record that proves what is synced. Costs a small write; sync it when idle.
  package func mark() throws(StorageError) {
    try refuseIfFailed()
    guard needsMark, tail == syncedEnd else { return }
    let filler = markFiller
    clearPending()
    for payload in [filler, 0] {
      let start = beginRecord()
      buffer.bytes.append(contentsOf: repeatElement(0, count: payload))
      endRecord(PendingRecord(start: start, type: .mark, last: lastIndex, mayUseReserve: true))
    }
    try writePending()
  }

  /// Entries through `index` are in a durable snapshot: whole segments below are recycled.
  package func compact(through index: LogIndex) throws(StorageError) {
    try refuseIfFailed()
    var didChange = false
    while segments.count > 1, let oldest = segments.first, oldest.highestIndex <= index {
      try orFail { () throws(StorageError) in
        try pool.recycle(path(oldest.sequence), bytes: oldest.bytes, isClean: true)
      }
      segments.removeFirst()
      didChange = true
    }
    if didChange {
      try orFail { () throws(StorageError) in try files.syncDirectory(directory) }
    }
  }

  /// Empties the log so that the next entry is `index + 1` (a snapshot was installed, and is
  /// durable). Durable when it returns.
  package func reset(after index: LogIndex) throws(StorageError) {
    try refuseIfFailed()
    clearPending()
    let start = beginRecord()
    buffer.u64(index.value)
    endRecord(PendingRecord(start: start, type: .reset, last: index, mayUseReserve: true))
    try writePending()
    try sync()
    for i in segments.indices { segments[i].highestIndex = .zero }
    try compact(through: index)
  }

  /// One small piece of work ahead of need (filling spare segments with zeros, about a
  /// millisecond); false when there is nothing to do. For idle moments.
  package func prepareStep() throws(StorageError) -> Bool {
    try refuseIfFailed()
    return try orFail { () throws(StorageError) in try pool.prepareStep() }
  }

  /// `prepareStep` has something to do.
  package var needsPreparation: Bool { failure == nil && pool.needsPreparation }

  /// The disk was too full to prepare a spare segment: what is left of the active one is all
  /// there is. Refuse what can be refused.
  package var isShortOfSpace: Bool { pool.isShortOfSpace && !pool.hasReady }

  /// Bytes on disk, spare segments included.
  package var diskBytes: Int { segments.reduce(pool.diskBytes) { $0 + $1.bytes } }

  /// The last entry there is, or the index of the snapshot that replaced it.
  package var lastEntryIndex: LogIndex { lastIndex }

  /// Syncs, leaves a mark that proves it, and closes. Errors do not matter any more: what was
  /// acknowledged is synced.
  package func close() {
    if failure == nil {
      try? sync()
      if failure == nil { try? mark() }
      if failure == nil { try? sync() }
    }
    active.close()
    if failure == nil {
      failure = .io(operation: "use", path: directory, code: 0, name: "the log is closed")
    }
  }
}

// MARK: - Writing

extension Log {
  /// A record encoded in the buffer, not yet placed.
  private struct PendingRecord {
    var start: Int
    var bytes = 0
    var type: LogRecordType
    var highest = LogIndex.zero
    var last: LogIndex
    var hardState: HardState?
    var mayUseReserve: Bool
  }

  private func clearPending() {
    buffer.bytes.removeAll(keepingCapacity: buffer.bytes.capacity <= LogOptions.bufferBytesKept)
    pending.removeAll(keepingCapacity: true)
  }

  private func beginRecord() -> Int {
    buffer.zeros(LogRecordHeader.bytes)
  }

  private func endRecord(_ record: consuming PendingRecord) {
    let length = buffer.bytes.count - record.start - LogRecordHeader.bytes
    invariant(length <= LogOptions.recordBytesMax, "a batch of \(length) bytes")
    record.bytes = LogRecordHeader.recordBytes(payload: length)
    let padding = record.start + record.bytes - buffer.bytes.count
    buffer.zeros(padding)
    // Until the record is placed, the header keeps the length only.
    Fixed.store32(&buffer.bytes, record.start + 4, UInt32(length))
    pending.append(record)
  }

  var headerEnd: Int { SegmentHeader.recordBytes }
  var activeBytes: Int { segments[segments.count - 1].bytes }
  func path(_ sequence: UInt64) -> String { directory + "/" + Path.hex(sequence) + ".wal" }

  /// Room for a `sealed` record always stays.
  private func fits(_ record: PendingRecord, at offset: Int, of segmentBytes: Int) -> Bool {
    let reserve = record.mayUseReserve ? 0 : options.hardStateReserve
    return offset + record.bytes + LogRecordHeader.bytes + reserve <= segmentBytes
  }

  private func segmentBytes(for record: PendingRecord) -> Int {
    let needed =
      headerEnd + record.bytes + LogRecordHeader.bytes
      + (record.mayUseReserve ? 0 : options.hardStateReserve)
    return max(options.segmentBytes, (needed + 4095) & ~4095)
  }

  /// Places what is pending: first the space, then the writes.
  private func writePending() throws(StorageError) {
    if pending.isEmpty { return }
    var offset = tail
    var capacity = activeBytes
    var needed: [Int] = []
    for record in pending {
      if !fits(record, at: offset, of: capacity) {
        capacity = segmentBytes(for: record)
        needed.append(capacity)
        offset = headerEnd
      }
      offset += record.bytes
    }
    if !needed.isEmpty { try reserve(needed) }

    var first = 0
    while first < pending.count {
      if !fits(pending[first], at: tail, of: activeBytes) {
        try orFail { () throws(StorageError) in
          try rollOver(bytes: segmentBytes(for: pending[first]))
        }
      }
      var end = first
      var length = 0
      while end < pending.count, fits(pending[end], at: tail + length, of: activeBytes) {
        place(pending[end], at: tail + length)
        length += pending[end].bytes
        end += 1
      }
      try writeGroup(first..<end, bytes: length)
      first = end
    }
  }

  private func reserve(_ sizes: [Int]) throws(StorageError) {
    do { try pool.reserve(sizes) } catch {
      if case .diskFull = error { throw error }
      failure = error
      throw error
    }
  }

  /// Completes the header now that the record's place is known.
  private func place(_ record: PendingRecord, at offset: Int) {
    let start = record.start + LogRecordHeader.bytes
    let length = Int(Fixed.load32(buffer.bytes, record.start + 4))
    let header = LogRecordHeader(
      type: record.type, payloadLength: length,
      payloadChecksum: Checksum.crc32c(buffer.bytes, in: start..<start + length),
      epoch: epoch, durableMark: syncedEnd)
    header.store(
      into: &buffer.bytes, at: record.start, sequence: segments[segments.count - 1].sequence,
      offset: offset)
  }

  private func writeGroup(_ group: Range<Int>, bytes: Int) throws(StorageError) {
    do {
      if group.count == pending.count {
        try active.write(buffer.bytes, at: tail)
      } else {
        let start = pending[group.lowerBound].start
        try active.write(Array(buffer.bytes[start..<start + bytes]), at: tail)
      }
    } catch {
      // A file system that allocates on overwriting can be full here. Whatever was written is
      // made void by the next epoch, unless a part of the call is in an earlier segment.
      if case .diskFull = error, group.lowerBound == 0, epoch < .max {
        epoch += 1
        throw error
      }
      failure = error
      throw error
    }
    tail += bytes
    writtenMark = syncedEnd
    for record in pending[group] {
      if record.type != .mark { contentEnd = tail }
      lastIndex = record.last
      hardState = record.hardState ?? hardState
      let current = segments.count - 1
      segments[current].highestIndex = max(segments[current].highestIndex, record.highest)
    }
  }

  /// Ends the active segment and starts the next one in a spare of `bytes`.
  private func rollOver(bytes: Int) throws(StorageError) {
    if tail > syncedEnd {
      try active.sync()
      syncedEnd = tail
    }
    let previous = active
    let previousEnd = tail
    try startSegment(
      segments[segments.count - 1].sequence + 1, bytes: bytes, previousEnd: previousEnd)

    // Not synced: it only has to reach the disk some day, to tell that the successor existed.
    var seal = [UInt8](repeating: 0, count: LogRecordHeader.bytes)
    LogRecordHeader(
      type: .sealed, payloadLength: 0, payloadChecksum: 0, epoch: epoch, durableMark: previousEnd
    ).store(
      into: &seal, at: 0, sequence: segments[segments.count - 2].sequence, offset: previousEnd)
    try previous.write(seal, at: previousEnd)
    previous.close()
  }

  private func startSegment(
    _ sequence: UInt64, bytes: Int, previousEnd: Int
  ) throws(StorageError) {
    guard let spare = pool.take(bytes: bytes) else {
      throw .io(operation: "prepare", path: directory, code: 0, name: "no spare segment")
    }
    let header = SegmentHeader(
      sequence: sequence, isRecycled: spare.isRecycled, previousEnd: previousEnd,
      lastIndex: lastIndex, hardState: hardState)
    active = try SegmentHeader.create(
      header, in: files, from: spare.path, to: path(sequence), directory: directory, epoch: epoch)
    segments.append(LogSegment(sequence: sequence, bytes: bytes, highestIndex: .zero))
    tail = headerEnd
    syncedEnd = headerEnd
    writtenMark = headerEnd
    contentEnd = headerEnd
  }

  private func refuseIfFailed() throws(StorageError) {
    if let failure { throw failure }
  }

  /// Runs `body`; an error of it is final.
  private func orFail<T>(_ body: () throws(StorageError) -> T) throws(StorageError) -> T {
    do { return try body() } catch {
      failure = error
      throw error
    }
  }
}

/// One segment file as the running log knows it.
struct LogSegment {
  var sequence: UInt64
  var bytes: Int
  /// No entry in it, replaced ones included, is above this.
  var highestIndex: LogIndex
}

extension SegmentHeader {
  /// Renames a spare to `path`, writes this header and makes both durable.
  static func create<Files: FileSystem>(
    _ header: SegmentHeader, in files: Files, from spare: String, to path: String,
    directory: String, epoch: UInt32
  ) throws(StorageError) -> Files.File {
    try files.rename(spare, to: path)
    let file = try files.open(path, .readWrite)
    var writer = Writer(reserving: recordBytes)
    writer.bytes = [UInt8](repeating: 0, count: LogRecordHeader.bytes)
    header.encode(into: &writer)
    let start = LogRecordHeader.bytes
    let record = LogRecordHeader(
      type: .segmentHeader, payloadLength: payloadBytes,
      payloadChecksum: Checksum.crc32c(writer.bytes, in: start..<start + payloadBytes),
      epoch: epoch, durableMark: 0)
    record.store(into: &writer.bytes, at: 0, sequence: header.sequence, offset: 0)
    try file.write(writer.bytes, at: 0)
    try file.sync()
    try files.syncDirectory(directory)
    return file
  }
}
