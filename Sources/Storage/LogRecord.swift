import Raft
import Wire

/// Kinds of records; the numbers are on disk.
enum LogRecordType: UInt8 {
  /// First record of every segment.
  case segmentHeader = 1
  /// One `LogBatch`.
  case batch = 2
  /// A snapshot was installed: all entries before this record are void.
  case reset = 3
  /// Nothing but its durable mark.
  case mark = 4
  /// The next segment is durable; nothing follows in this one.
  case sealed = 5
}

/// The 32 bytes before each record's payload (layout: see `Log`).
struct LogRecordHeader: Equatable {
  static let bytes = 32

  var type: LogRecordType
  var payloadLength: Int
  var payloadChecksum: UInt32
  var epoch: UInt32
  /// The segment was known to be synced up to this offset when the record was written.
  var durableMark: Int

  /// Header, payload and padding.
  var recordBytes: Int { Self.recordBytes(payload: payloadLength) }

  static func recordBytes(payload: Int) -> Int { bytes + (payload + 7) & ~7 }

  /// The checksum starts from a hash of where the record stands: the same bytes at another
  /// offset, or in another generation of a recycled file, do not match.
  static func seed(sequence: UInt64, offset: Int) -> UInt32 {
    var x = sequence &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(truncatingIfNeeded: offset)
    x = (x ^ (x >> 32)) &* 0xD6E8_FEB8_6659_FD93
    return UInt32(truncatingIfNeeded: x ^ (x >> 32))
  }

  /// Writes the header to `bytes[position...]`; `offset` is where it will stand in the segment.
  func store(into bytes: inout [UInt8], at position: Int, sequence: UInt64, offset: Int) {
    Fixed.store32(&bytes, position + 4, UInt32(payloadLength))
    Fixed.store32(&bytes, position + 8, payloadChecksum)
    Fixed.store32(&bytes, position + 12, UInt32(type.rawValue))
    Fixed.store32(&bytes, position + 16, epoch)
    Fixed.store32(&bytes, position + 20, 0)
    Fixed.store64(&bytes, position + 24, UInt64(durableMark))
    let checksum = Checksum.crc32c(
      bytes, in: position + 4..<position + Self.bytes,
      continuing: Self.seed(sequence: sequence, offset: offset))
    Fixed.store32(&bytes, position, checksum)
  }

  /// The header at `offset` of a segment whose first bytes are `bytes`; nil when there is none
  /// that belongs exactly there. The payload is not looked at.
  static func load(_ bytes: [UInt8], at offset: Int, sequence: UInt64) -> LogRecordHeader? {
    guard offset >= 0, bytes.count - offset >= Self.bytes,
      let type = LogRecordType(rawValue: bytes[offset + 12]),
      bytes[offset + 13] == 0, bytes[offset + 14] == 0, bytes[offset + 15] == 0
    else { return nil }
    let checksum = Checksum.crc32c(
      bytes, in: offset + 4..<offset + Self.bytes,
      continuing: seed(sequence: sequence, offset: offset))
    guard checksum == Fixed.load32(bytes, offset) else { return nil }
    let mark = Fixed.load64(bytes, offset + 24)
    guard mark <= UInt64(offset) else { return nil }
    return LogRecordHeader(
      type: type, payloadLength: Int(Fixed.load32(bytes, offset + 4)),
      payloadChecksum: Fixed.load32(bytes, offset + 8),
      epoch: Fixed.load32(bytes, offset + 16), durableMark: Int(mark))
  }

  /// The payload lies within `bytes` and has its checksum.
  func payloadIsWhole(_ bytes: [UInt8], at offset: Int) -> Bool {
    let start = offset + Self.bytes
    guard payloadLength <= bytes.count - start else { return false }
    return Checksum.crc32c(bytes, in: start..<start + payloadLength) == payloadChecksum
  }
}

/// Payload of the first record of a segment, 72 bytes.
struct SegmentHeader: Equatable {
  static let magic: UInt64 = 0x4C41_5754_534F_4F52  // "ROOSTWAL"
  static let version: UInt32 = 1
  static let payloadBytes = 72
  static let recordBytes = LogRecordHeader.recordBytes(payload: payloadBytes)

  var sequence: UInt64
  /// The file held another segment before; its tail may be full of that one's records.
  var isRecycled: Bool
  /// Where the records of segment `sequence - 1` end; all of them are durable.
  var previousEnd: Int
  /// The last entry before this segment.
  var lastIndex: LogIndex
  var hardState: HardState

  func encode(into writer: inout Writer) {
    writer.u64(Self.magic)
    writer.u32(Self.version)
    writer.u32((isRecycled ? 1 : 0) | (hardState.votedFor == nil ? 0 : 2))
    writer.u64(sequence)
    writer.u64(UInt64(previousEnd))
    writer.u64(lastIndex.value)
    writer.u64(hardState.term.value)
    writer.u64(hardState.votedFor?.value ?? 0)
    writer.u64(hardState.commitIndex.value)
    writer.u64(0)
  }

  /// Nil when it is not a header of segment `sequence`; a newer version is an error of its own.
  static func load(
    _ bytes: [UInt8], sequence: UInt64, path: String
  ) throws(StorageError) -> (header: SegmentHeader, record: LogRecordHeader)? {
    guard let record = LogRecordHeader.load(bytes, at: 0, sequence: sequence),
      record.type == .segmentHeader, record.payloadLength >= 12,
      record.payloadIsWhole(bytes, at: 0)
    else { return nil }
    let start = LogRecordHeader.bytes
    guard Fixed.load64(bytes, start) == magic else { return nil }
    let version = Fixed.load32(bytes, start + 8)
    guard version == Self.version else {
      throw .foreign(
        path: path, reason: "log format \(version) was written by a newer Roost; use that one")
    }
    guard record.payloadLength == payloadBytes else { return nil }
    let flags = Fixed.load32(bytes, start + 12)
    let field = { (number: Int) in Fixed.load64(bytes, start + 16 + 8 * number) }
    guard flags & ~3 == 0, field(0) == sequence, let end = Int(exactly: field(1)) else {
      return nil
    }
    let hardState = HardState(
      term: Term(field(3)), votedFor: flags & 2 == 0 ? nil : NodeID(field(4)),
      commitIndex: LogIndex(field(5)))
    let header = SegmentHeader(
      sequence: sequence, isRecycled: flags & 1 != 0, previousEnd: end,
      lastIndex: LogIndex(field(2)), hardState: hardState)
    return (header, record)
  }
}

extension LogBatch {
  /// Flags (1: hard state, 2: it has a vote), hard state, count, entries; varints throughout.
  func encode(into writer: inout Writer) {
    if let hardState {
      writer.u8(hardState.votedFor == nil ? 1 : 3)
      writer.varint(hardState.term.value)
      if let vote = hardState.votedFor { writer.u64(vote.value) }
      writer.varint(hardState.commitIndex.value)
    } else {
      writer.u8(0)
    }
    writer.varint(UInt64(entries.count))
    for entry in entries {
      writer.entry(
        index: entry.index.value, term: entry.term.value, kind: entry.kind.rawValue,
        payload: entry.payload)
    }
  }

  init(from reader: inout Reader) throws(WireError) {
    let flags = try reader.u8()
    var hardState: HardState?
    switch flags {
    case 0: break
    case 1, 3:
      let term = Term(try reader.varint())
      let vote = flags == 3 ? NodeID(try reader.u64()) : nil
      let commitIndex = LogIndex(try reader.varint())
      hardState = HardState(term: term, votedFor: vote, commitIndex: commitIndex)
    default: throw .unknownTag(UInt64(flags))
    }
    let count = try reader.count()
    var entries: [Entry] = []
    entries.reserveCapacity(min(count, reader.remaining / 4))
    for _ in 0..<count {
      let index = LogIndex(try reader.varint())
      let term = Term(try reader.varint())
      let tag = try reader.u8()
      guard let kind = Entry.Kind(rawValue: tag) else { throw .unknownTag(UInt64(tag)) }
      entries.append(Entry(index: index, term: term, kind: kind, payload: try reader.blob()))
    }
    try reader.finish()
    self.init(hardState: hardState, entries: entries, mustSync: true)
  }
}

/// Little-endian numbers at fixed places; the caller has checked that the bytes are there.
enum Fixed {
  static func store32(_ bytes: inout [UInt8], _ at: Int, _ value: UInt32) {
    bytes.setU32(value, at: at)
  }
  static func store64(_ bytes: inout [UInt8], _ at: Int, _ value: UInt64) {
    bytes.setU64(value, at: at)
  }
  static func load32(_ bytes: [UInt8], _ at: Int) -> UInt32 { bytes.u32(at: at) }
  static func load64(_ bytes: [UInt8], _ at: Int) -> UInt64 { bytes.u64(at: at) }
}
