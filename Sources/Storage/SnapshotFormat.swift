import Raft
import Wire

/// The bytes of a snapshot file, written and checked piece by piece. Little-endian:
///
///     header   u64 magic "ROOSTSNP", u32 version 1, u32 length of the meta,
///              meta, u32 CRC32C of everything before
///     block    u32 length (1...65,536; less than that only in the last one),
///              u32 CRC32C of the payload, started from a hash of (header CRC, block number)
///              payload
///     footer   u32 0, u32 CRC32C of the next 16 bytes, started from the header CRC,
///              u64 payload bytes, u64 number of blocks
///     meta     u64 index, u64 term, u64 index of the configuration,
///              varint length and configuration as in `Configuration.encoded`
///
/// The start values tie a block to its place and to its file.
enum SnapshotFormat {
  static let magic: UInt64 = 0x504E_5354_534F_4F52
  static let version: UInt32 = 1
  static let blockBytes = 64 << 10
  /// Given to the device at once: a millisecond's work for a disk, hardly noticed by the log.
  static let writeOutBytes = 256 << 10
  static let fixedHeaderBytes = 16
  static let footerBytes = 24
  static let blockHeaderBytes = 8
  /// Far above what the largest configuration needs.
  static let metaBytesMax = 1 << 20

  static func header(_ meta: SnapshotMeta) -> (bytes: [UInt8], checksum: UInt32) {
    var body = Writer()
    body.u64(meta.index.value)
    body.u64(meta.term.value)
    body.u64(meta.configurationIndex.value)
    body.blob(meta.configuration.encoded())
    var writer = Writer(reserving: 20 + body.bytes.count)
    writer.u64(magic)
    writer.u32(version)
    writer.u32(UInt32(body.bytes.count))
    writer.raw(body.bytes)
    let checksum = Checksum.crc32c(writer.bytes)
    writer.u32(checksum)
    return (writer.bytes, checksum)
  }

  static func seed(_ header: UInt32, block: UInt64) -> UInt32 {
    header ^ UInt32(truncatingIfNeeded: (block &+ 1) &* 0x9E37_79B9_7F4A_7C15 >> 32)
  }

  static func footer(payloadBytes: UInt64, blocks: UInt64, header: UInt32) -> [UInt8] {
    var writer = Writer(reserving: footerBytes)
    writer.u32(0)
    writer.u32(0)
    writer.u64(payloadBytes)
    writer.u64(blocks)
    let checksum = Checksum.crc32c(writer.bytes, in: 8..<footerBytes, continuing: header)
    writer.patchU32(at: 4, checksum)
    return writer.bytes
  }

  /// The length of the meta; throws for what is no snapshot file, or one of a newer version.
  static func metaLength(_ fixed: [UInt8], path: String) throws(StorageError) -> Int {
    guard fixed.count == fixedHeaderBytes, Fixed.load64(fixed, 0) == magic else {
      throw .damaged(file: path, offset: 0, reason: "it does not begin like a snapshot")
    }
    let version = Fixed.load32(fixed, 8)
    guard version <= Self.version else {
      throw .foreign(
        path: path,
        reason: "snapshot format \(version) was written by a newer Roost; use that one")
    }
    let length = Int(Fixed.load32(fixed, 12))
    guard version == Self.version, length <= metaBytesMax else {
      throw .damaged(file: path, offset: 8, reason: "the snapshot header is not valid")
    }
    return length
  }

  static func meta(
    _ header: [UInt8], path: String
  ) throws(StorageError) -> (meta: SnapshotMeta, checksum: UInt32) {
    let end = header.count - 4
    let checksum = Fixed.load32(header, end)
    guard Checksum.crc32c(header, in: 0..<end) == checksum else {
      throw .damaged(file: path, offset: 0, reason: "the snapshot header is not valid")
    }
    var reader = Reader(header, in: fixedHeaderBytes..<end)
    do {
      let index = LogIndex(try reader.u64())
      let term = Term(try reader.u64())
      let configurationIndex = LogIndex(try reader.u64())
      let configuration = Configuration(decoding: try reader.blob())
      try reader.finish()
      guard let configuration else { throw WireError.truncated }
      let meta = SnapshotMeta(
        index: index, term: term, configuration: configuration,
        configurationIndex: configurationIndex)
      return (meta, checksum)
    } catch {
      throw .damaged(file: path, offset: fixedHeaderBytes, reason: "the header does not decode")
    }
  }
}

/// Writes one snapshot file: header, blocks of equal size, footer. Not durable before `finish`.
///
/// The device gets it a few blocks at a time: had it to write the whole file at once, at the end,
/// the log's syncs would wait behind that, and every write of a client with them.
struct SnapshotFileWriter<File: StorageFile> {
  private let file: File
  private let checksum: UInt32
  private var offset: Int
  private var blocks: UInt64 = 0
  private var payloadBytes: UInt64 = 0
  private var block: [UInt8] = []
  /// Bytes before this offset were written to the device.
  private var writtenOut = 0

  init(_ file: File, _ meta: SnapshotMeta) throws(StorageError) {
    self.file = file
    let header = SnapshotFormat.header(meta)
    checksum = header.checksum
    try file.write(header.bytes, at: 0)
    offset = header.bytes.count
    beginBlock()
  }

  private mutating func beginBlock() {
    block.removeAll(keepingCapacity: true)
    block.append(contentsOf: repeatElement(0, count: SnapshotFormat.blockHeaderBytes))
  }

  mutating func add(_ piece: [UInt8]) throws(StorageError) {
    var start = 0
    while start < piece.count {
      let filled = block.count - SnapshotFormat.blockHeaderBytes
      let end = min(piece.count, start + SnapshotFormat.blockBytes - filled)
      block.append(contentsOf: piece[start..<end])
      start = end
      if block.count == SnapshotFormat.blockHeaderBytes + SnapshotFormat.blockBytes {
        try endBlock()
      }
    }
  }

  private mutating func endBlock() throws(StorageError) {
    let length = block.count - SnapshotFormat.blockHeaderBytes
    guard length > 0 else { return }
    Fixed.store32(&block, 0, UInt32(length))
    let crc = Checksum.crc32c(
      block, in: SnapshotFormat.blockHeaderBytes..<block.count,
      continuing: SnapshotFormat.seed(checksum, block: blocks))
    Fixed.store32(&block, 4, crc)
    try file.write(block, at: offset)
    offset += block.count
    if offset - writtenOut >= SnapshotFormat.writeOutBytes {
      try file.writeOut(from: writtenOut, count: offset - writtenOut)
      writtenOut = offset
    }
    blocks += 1
    payloadBytes += UInt64(length)
    beginBlock()
  }

  /// Durable when it returns.
  mutating func finish() throws(StorageError) {
    try endBlock()
    let footer = SnapshotFormat.footer(
      payloadBytes: payloadBytes, blocks: blocks, header: checksum)
    try file.write(footer, at: offset)
    try file.sync()
  }
}

/// Reads one snapshot file from start to end; every byte handed out was checked.
struct SnapshotFileReader<File: StorageFile> {
  let meta: SnapshotMeta
  let fileBytes: Int
  private let file: File
  private let checksum: UInt32
  private var offset: Int
  private var blocks: UInt64 = 0
  private var payloadBytes: UInt64 = 0
  private var isLastBlock = false
  private var isFinished = false

  init(_ file: File) throws(StorageError) {
    self.file = file
    fileBytes = try file.size()
    let fixed = try file.read(at: 0, count: SnapshotFormat.fixedHeaderBytes)
    let length = try SnapshotFormat.metaLength(fixed, path: file.path)
    let headerBytes = SnapshotFormat.fixedHeaderBytes + length + 4
    let header = try file.read(at: 0, count: headerBytes)
    guard header.count == headerBytes else {
      throw .damaged(file: file.path, offset: header.count, reason: "the file is cut short")
    }
    (meta, checksum) = try SnapshotFormat.meta(header, path: file.path)
    offset = headerBytes
  }

  /// The payload of the next block; nil at the end, when the footer agrees.
  mutating func next() throws(StorageError) -> [UInt8]? {
    if isFinished { return nil }
    let head = try file.read(at: offset, count: SnapshotFormat.blockHeaderBytes)
    guard head.count == SnapshotFormat.blockHeaderBytes else {
      throw .damaged(file: file.path, offset: offset, reason: "the file is cut short")
    }
    let length = Int(Fixed.load32(head, 0))
    if length == 0 {
      try finish()
      return nil
    }
    guard length <= SnapshotFormat.blockBytes, !isLastBlock else {
      throw .damaged(file: file.path, offset: offset, reason: "a block has a wrong length")
    }
    isLastBlock = length < SnapshotFormat.blockBytes
    let payload = try file.read(at: offset + head.count, count: length)
    let crc = Checksum.crc32c(payload, continuing: SnapshotFormat.seed(checksum, block: blocks))
    guard payload.count == length, crc == Fixed.load32(head, 4) else {
      throw .damaged(file: file.path, offset: offset, reason: "a block's checksum is wrong")
    }
    offset += head.count + length
    blocks += 1
    payloadBytes += UInt64(length)
    return payload
  }

  private mutating func finish() throws(StorageError) {
    let footer = try file.read(at: offset, count: SnapshotFormat.footerBytes)
    let expected = SnapshotFormat.footer(
      payloadBytes: payloadBytes, blocks: blocks, header: checksum)
    guard footer == expected, offset + footer.count == fileBytes else {
      throw .damaged(file: file.path, offset: offset, reason: "the snapshot's end is not valid")
    }
    isFinished = true
  }
}
