import HTTP
import Registry
import Wire

/// Takes an archive apart, piece by piece, from bytes that may be anything. Used on a worker.
struct ArchiveReader: Sendable {
  enum Part {
    case begin(name: String)
    case data([UInt8])
    case end
  }

  /// Everything that comes out together: against small archives that grow without end.
  static let bytesMax: UInt64 = 2 << 30

  private var gzip: GzipReader
  /// What came out of it and was not used yet, from `start` on.
  private var buffer: [UInt8] = []
  private var start = 0
  private var total: UInt64 = 0
  /// Of the file that is being read.
  private var remaining: UInt64 = 0
  private var padding = 0
  private var isInFile = false
  private var isSkipping = false

  init(_ archive: ArraySlice<UInt8>) throws(ArchiveFault) {
    do {
      gzip = try GzipReader(archive)
    } catch {
      throw ArchiveFault("failed to decompress snapshot: \(error.message)")
    }
  }

  /// False at the end of the stream.
  private mutating func refill() throws(ArchiveFault) -> Bool {
    guard let piece = try gzip.next() else { return false }
    total += UInt64(piece.count)
    guard total <= Self.bytesMax else { throw ArchiveFault("it is larger than 2 GB") }
    if start == buffer.count {
      buffer = piece
    } else {
      buffer = Array(buffer[start...]) + piece
    }
    start = 0
    return true
  }

  private mutating func block() throws(ArchiveFault) -> ArraySlice<UInt8>? {
    while buffer.count - start < Tar.blockBytes {
      guard try refill() else {
        if buffer.count == start { return nil }
        throw .truncated
      }
    }
    defer { start += Tar.blockBytes }
    return buffer[start..<start + Tar.blockBytes]
  }

  /// Nil at the end, when the checksum of the whole was right.
  mutating func next() throws(ArchiveFault) -> Part? {
    while true {
      if remaining > 0 {
        let data = try takeData()
        if !isSkipping { return .data(data) }
        continue
      }
      if isInFile {
        isInFile = false
        try skipPadding()
        if !isSkipping { return .end }
        continue
      }
      guard let block = try block() else { return nil }
      guard let entry = try Tar.parse(block) else {
        while try refill() {}
        return nil
      }
      guard entry.bytes <= Self.bytesMax else { throw ArchiveFault("a file in it is too large") }
      remaining = entry.bytes
      padding = Tar.padding(after: entry.bytes).count
      isInFile = true
      isSkipping = !entry.isFile
      if entry.isFile { return .begin(name: entry.name) }
    }
  }

  private mutating func takeData() throws(ArchiveFault) -> [UInt8] {
    if start == buffer.count, try !refill() { throw .truncated }
    let count = Int(min(remaining, UInt64(buffer.count - start)))
    defer {
      start += count
      remaining -= UInt64(count)
    }
    return Array(buffer[start..<start + count])
  }

  private mutating func skipPadding() throws(ArchiveFault) {
    while padding > 0 {
      if start == buffer.count, try !refill() { throw .truncated }
      let count = min(padding, buffer.count - start)
      start += count
      padding -= count
    }
  }

  // MARK: The whole

  /// What is known of the state in an archive in which everything is right.
  struct Verified: Equatable, Sendable {
    var bytes: UInt64
    var checksum: UInt32
  }

  /// Decompresses, compares all sums, and decodes the state into a registry that is dropped.
  static func verify(
    _ archive: ArraySlice<UInt8>, options: Registry.Options
  ) throws(ArchiveFault) -> Verified {
    try check(archive, options: options).verified
  }

  /// The same, with what it found.
  static func check(
    _ archive: ArraySlice<UInt8>, options: Registry.Options
  ) throws(ArchiveFault) -> (verified: Verified, registry: Registry, meta: [UInt8]) {
    var reader = try ArchiveReader(archive)
    var check = ArchiveCheck(options: options)
    do {
      while let part = try reader.next() { try check.take(part) }
    } catch {
      throw ArchiveFault("failed to read snapshot file: \(error.message)")
    }
    return try check.finish()
  }
}

/// The files of an archive as they come by.
private struct ArchiveCheck {
  private static let smallFileMax = 1 << 20

  private var name = ""
  private var sum = SHA256()
  private var small: [UInt8] = []
  private var found: [(name: String, sum: String)] = []
  private var meta: [UInt8] = []
  private var listed: [UInt8] = []
  private var decoder: SnapshotDecoder
  private var bytes: UInt64 = 0
  private var checksum: UInt32 = 0
  /// Why the state does not decode: told only when the archive itself is whole.
  private var fault: WireError?

  init(options: Registry.Options) {
    decoder = SnapshotDecoder(options: options, isNested: true)
  }

  mutating func take(_ part: ArchiveReader.Part) throws(ArchiveFault) {
    switch part {
    case .begin(let name):
      guard ["meta.json", "state.bin", "SHA256SUMS"].contains(name) else {
        throw ArchiveFault("unexpected file \(quoted(name)) in snapshot")
      }
      guard !found.contains(where: { $0.name == name }) else {
        throw ArchiveFault("file \(quoted(name)) is twice in the snapshot")
      }
      self.name = name
      sum = SHA256()
      small = []
    case .data(let data):
      sum.update(data[...])
      if name == "state.bin" { return feed(data) }
      small += data
      guard small.count <= Self.smallFileMax else {
        throw ArchiveFault("file \(quoted(name)) is too large")
      }
    case .end:
      found.append((name, sum.finish()))
      if name == "meta.json" { meta = small }
      if name == "SHA256SUMS" { listed = small }
    }
  }

  private mutating func feed(_ data: [UInt8]) {
    bytes += UInt64(data.count)
    checksum = Checksum.crc32c(data, continuing: checksum)
    guard fault == nil else { return }
    do {
      try decoder.feed(data)
    } catch {
      fault = error
    }
  }

  consuming func finish() throws(ArchiveFault) -> (
    verified: ArchiveReader.Verified, registry: Registry, meta: [UInt8]
  ) {
    let lines = String(decoding: listed, as: UTF8.self).split(separator: "\n")
    for name in ["meta.json", "state.bin"] {
      guard let sum = found.first(where: { $0.name == name })?.sum else {
        throw ArchiveFault("failed to read snapshot file: \(quoted(name)) is missing")
      }
      guard lines.contains(where: { $0 == "\(sum)  \(name)" }) else {
        throw ArchiveFault(
          "failed checking integrity of snapshot: hash check failed for \(quoted(name))")
      }
    }
    guard isOurs else {
      throw ArchiveFault("failed to restore snapshot: it was not made by Roost, or by a later one")
    }
    let verified = ArchiveReader.Verified(bytes: bytes, checksum: checksum)
    do {
      if let fault { throw fault }
      return (verified, try decoder.finish(), meta)
    } catch {
      throw ArchiveFault("failed to restore snapshot: the state does not decode: \(error)")
    }
  }

  private var isOurs: Bool {
    guard case .object(let members)? = try? JSONScanner.parse(meta[...]) else { return false }
    let format = members.last { $0.name == "RoostFormat" }
    return format?.value == .number(String(ArchiveWriter.format))
  }
}

/// The state of a verified archive, cut into pieces.
struct StateReader: Sendable {
  static let chunkBytes = 1 << 20

  private var reader: ArchiveReader
  private var isInState = false
  private var rest: [UInt8] = []

  init(_ archive: ArraySlice<UInt8>) throws(ArchiveFault) { reader = try ArchiveReader(archive) }

  /// Nil at the end.
  mutating func next() throws(ArchiveFault) -> [UInt8]? {
    while rest.count < Self.chunkBytes, let part = try reader.next() {
      switch part {
      case .begin(let name): isInState = name == "state.bin"
      case .data(let data): if isInState { rest += data }
      case .end: isInState = false
      }
    }
    guard !rest.isEmpty else { return nil }
    let chunk = Array(rest.prefix(Self.chunkBytes))
    rest.removeFirst(chunk.count)
    return chunk
  }
}
