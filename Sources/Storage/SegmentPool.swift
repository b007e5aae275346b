/// Files ready to become the next segment: filled with zeros ahead of need, or recycled from
/// compacted segments (overwriting blocks that exist syncs about twice as fast as growing).
///
/// Happy path: `prepareStep` is called at idle moments and writes and syncs a piece each time;
/// `take` hands out a ready file at rollover. When none is ready, `reserve` makes it on the spot.
/// Failures: a full disk leaves the pool short (`reserve` throws `.diskFull`, nothing is left
/// behind). Spares of an earlier process are filled with zeros again before use: they may hold
/// records of a segment whose creation was lost in a crash, under a number that is used anew.
struct SegmentPool<Files: FileSystem> {
  struct Spare {
    var path: String
    var bytes: Int
    var isRecycled: Bool
    /// Zeroed and synced so far; ready when it equals `bytes`.
    var readyBytes: Int
    var isReady: Bool { readyBytes == bytes }
  }

  /// Filled with zeros in one step: about a millisecond, so that an append never waits long.
  static var stepBytes: Int { 1 << 20 }

  let files: Files
  let directory: String
  let options: LogOptions
  private(set) var spares: [Spare] = []
  private var nextNumber: UInt64 = 1
  private let zeros: [UInt8]
  /// The last attempt to prepare a spare met a full disk.
  private(set) var isShortOfSpace = false

  /// Adopts the spares named in `names`; surplus and odd ones are removed.
  init(
    _ files: Files, directory: String, options: LogOptions, names: [String]
  ) throws(StorageError) {
    self.files = files
    self.directory = directory
    self.options = options
    zeros = [UInt8](repeating: 0, count: min(Self.stepBytes, options.segmentBytes))
    for name in names {
      guard let number = Path.number(name, suffix: ".spare") else { continue }
      nextNumber = max(nextNumber, number &+ 1)
      let path = directory + "/" + name
      let file = try files.open(path, .readOnly)
      let bytes = try file.size()
      file.close()
      if bytes == options.segmentBytes, spares.count < options.spareSegments {
        spares.append(Spare(path: path, bytes: bytes, isRecycled: false, readyBytes: 0))
      } else {
        try files.remove(path)
      }
    }
  }

  var diskBytes: Int { spares.reduce(0) { $0 + $1.bytes } }
  var needsPreparation: Bool {
    spares.count < options.spareSegments || spares.contains { !$0.isReady }
  }
  var hasReady: Bool { spares.contains { $0.isReady } }

  mutating func newPath() -> String {
    defer { nextNumber += 1 }
    return directory + "/" + Path.hex(nextNumber) + ".spare"
  }

  /// One piece of work towards `spareSegments` ready files; false when there is none to do, or
  /// when the disk is full.
  mutating func prepareStep() throws(StorageError) -> Bool {
    do {
      if let unfinished = spares.firstIndex(where: { !$0.isReady }) {
        try fillStep(unfinished)
      } else if spares.count < options.spareSegments {
        try create(bytes: options.segmentBytes)
      } else {
        return false
      }
      isShortOfSpace = false
      return true
    } catch {
      guard case .diskFull = error else { throw error }
      isShortOfSpace = true
      return false
    }
  }

  /// Makes sure that a ready file is there for each of `sizes`, or throws and has changed nothing.
  mutating func reserve(_ sizes: [Int]) throws(StorageError) {
    for (position, bytes) in sizes.enumerated() {
      let needed = sizes[...position].count { $0 == bytes }
      while spares.count(where: { $0.isReady && $0.bytes == bytes }) < needed {
        if let unfinished = spares.firstIndex(where: { !$0.isReady && $0.bytes == bytes }) {
          while !spares[unfinished].isReady { try fillStep(unfinished) }
        } else {
          try createWhole(bytes: bytes)
        }
      }
    }
  }

  /// A ready file of exactly `bytes`; `reserve` has seen to it.
  mutating func take(bytes: Int) -> Spare? {
    // Recycled ones first: a zero-filled one stays as good as it is.
    let ready = spares.indices.filter { spares[$0].isReady && spares[$0].bytes == bytes }
    guard let index = ready.first(where: { spares[$0].isRecycled }) ?? ready.first else {
      return nil
    }
    return spares.remove(at: index)
  }

  /// Turns a segment's file into a spare, or removes it when there are enough. The caller syncs
  /// the directory before the next `take`.
  mutating func recycle(_ path: String, bytes: Int, isClean: Bool) throws(StorageError) {
    let limit = options.spareSegments + LogOptions.recycledExtra
    guard bytes == options.segmentBytes, spares.count < limit else {
      return try files.remove(path)
    }
    let spare = newPath()
    try files.rename(path, to: spare)
    spares.append(
      Spare(path: spare, bytes: bytes, isRecycled: isClean, readyBytes: isClean ? bytes : 0))
  }

  private mutating func createWhole(bytes: Int) throws(StorageError) {
    try create(bytes: bytes)
    while let last = spares.indices.last, !spares[last].isReady { try fillStep(last) }
  }

  private mutating func create(bytes: Int) throws(StorageError) {
    let path = newPath()
    try files.open(path, .create).close()
    spares.append(Spare(path: path, bytes: bytes, isRecycled: false, readyBytes: 0))
  }

  private mutating func fillStep(_ index: Int) throws(StorageError) {
    let spare = spares[index]
    let count = min(zeros.count, spare.bytes - spare.readyBytes)
    do {
      let file = try files.open(spare.path, .readWrite)
      defer { file.close() }
      let piece = count == zeros.count ? zeros : [UInt8](repeating: 0, count: count)
      try file.write(piece, at: spare.readyBytes)
      try file.sync()
      spares[index].readyBytes += count
    } catch {
      // What was allocated so far goes back: it is no use as a reserve.
      spares.remove(at: index)
      try files.remove(spare.path)
      throw error
    }
  }
}
