import Basics

/// What goes wrong by itself, each in so many of a million calls.
package struct FaultOptions: Sendable {
  package var writeErrors: UInt64 = 0
  package var syncErrors: UInt64 = 0
  /// Writes that look done, and never reach the disk.
  package var lostWrites: UInt64 = 0
  /// Writes that reach the disk in another sector of the same file.
  package var misdirectedWrites: UInt64 = 0
  /// Syncs that take `stallMicroseconds` of the simulator's time.
  package var stalls: UInt64 = 0
  package var stallMicroseconds: UInt64 = 50_000
  /// A power cut may leave a sector half old, half new.
  package var tearsSectors = true
  package init() {}
}

/// The whole state of a simulated disk, as a value: what programs see, and what would survive.
///
/// Each file has its `current` bytes (page cache) and its `durable` ones; 512-byte sectors that
/// were written since the last sync are dirty. Names are changed in `current` at once, and in
/// `durable` when the directory is synced. A power cut keeps any subset of the dirty sectors and
/// any subset of the name changes: what the worst disk and file system may do (Pillai et al.,
/// "All File Systems Are Not Created Equal").
struct FaultyDisk: Sendable {
  static let sectorBytes = 512

  struct Inode: Sendable {
    var current: [UInt8] = []
    var durable: [UInt8] = []
    /// Dirty sectors in the order they became so.
    var dirty: [Int] = []
    var isDirty: [Bool] = []

    mutating func markDirty(_ range: Range<Int>) {
      guard !range.isEmpty else { return }
      let sectors = range.lowerBound / sectorBytes...(range.upperBound - 1) / sectorBytes
      if isDirty.count <= sectors.upperBound {
        isDirty.append(
          contentsOf: repeatElement(false, count: sectors.upperBound + 1 - isDirty.count))
      }
      for sector in sectors where !isDirty[sector] {
        isDirty[sector] = true
        dirty.append(sector)
      }
    }

    mutating func clean() {
      dirty.removeAll(keepingCapacity: true)
      isDirty.removeAll(keepingCapacity: true)
    }

    /// The bytes of a sector in `bytes`, zeros where the file is shorter.
    static func sector(_ number: Int, of bytes: [UInt8]) -> [UInt8] {
      let start = min(number * sectorBytes, bytes.count)
      var found = Array(bytes[start..<min(bytes.count, start + sectorBytes)])
      found.resize(to: sectorBytes)
      return found
    }

    mutating func storeDurable(_ sector: [UInt8], at number: Int) {
      let start = number * sectorBytes
      guard start < durable.count else { return }
      let count = min(sectorBytes, durable.count - start)
      durable.replaceSubrange(start..<start + count, with: sector.prefix(count))
    }

    mutating func sync() {
      durable.resize(to: current.count)
      for number in dirty { storeDurable(Self.sector(number, of: current), at: number) }
      clean()
    }
  }

  enum NameChange: Sendable {
    case link(String, Int)
    /// Names the file, not its old path: a file system that keeps a rename and forgets earlier
    /// changes still has the new name on the file that was renamed.
    case rename(String, String, Int)
    case unlink(String)
  }

  var inodes: [Inode] = []
  var names: [String: Int] = [:]
  var durableNames: [String: Int] = [:]
  var nameChanges: [NameChange] = []
  var random: SplitMix
  let options: FaultOptions

  var capacityBytes = Int.max
  var operations = 0
  var writtenBytes = 0
  var syncs = 0
  var stalledMicroseconds: UInt64 = 0
  /// Countdowns: the call that reaches 0 fails.
  var writeFailsIn: Int?
  var syncFailsIn: Int?
  var lostWriteIn: Int?
  var misdirectedWriteIn: Int?
  /// After so many more changing calls every call fails: the power is off.
  var powerOffIn: Int?
  var isOff = false

  init(seed: UInt64, options: FaultOptions) {
    random = SplitMix(seed: seed)
    self.options = options
  }

  // Sums are the same in any order, so the dictionary's order does not show.
  var usedBytes: Int { names.values.reduce(0) { $0 + inodes[$1].current.count } }

  static func apply(_ change: NameChange, to names: inout [String: Int]) {
    switch change {
    case .link(let path, let inode): names[path] = inode
    case .rename(let from, let to, let inode):
      if names[from] == inode { names[from] = nil }
      names[to] = inode
    case .unlink(let path): names[path] = nil
    }
  }

  mutating func change(_ change: NameChange) {
    Self.apply(change, to: &names)
    nameChanges.append(change)
  }

  static func parent(_ change: NameChange) -> String {
    switch change {
    case .link(let path, _), .rename(let path, _, _), .unlink(let path): Path.parent(of: path)
    }
  }

  mutating func syncNames(in directory: String) {
    for change in nameChanges where Self.parent(change) == directory {
      Self.apply(change, to: &durableNames)
    }
    nameChanges.removeAll { Self.parent($0) == directory }
  }

  /// Counts down; true for the call that is hit.
  static func hits(_ countdown: inout Int?) -> Bool {
    guard let left = countdown else { return false }
    countdown = left > 0 ? left - 1 : nil
    return left == 0
  }

  mutating func roll(_ perMillion: UInt64) -> Bool {
    perMillion > 0 && random.chance(perMillion, in: 1_000_000)
  }

  // MARK: - Power loss

  /// One of the images that a power cut now may leave.
  func imageAfterPowerLoss(seed: UInt64) -> FaultyDisk {
    var image = FaultyDisk(seed: seed, options: options)
    image.capacityBytes = capacityBytes
    image.inodes = inodes
    for i in inodes.indices { image.inodes[i] = image.afterPowerLoss(inodes[i]) }
    var survivors = durableNames
    for change in nameChanges where image.random.chance(1, in: 2) {
      Self.apply(change, to: &survivors)
    }
    image.names = survivors
    image.durableNames = survivors
    return image
  }

  private mutating func afterPowerLoss(_ lost: Inode) -> Inode {
    var inode = lost
    if inode.current.count != inode.durable.count, random.chance(1, in: 2) {
      inode.durable.resize(to: inode.current.count)
    }
    // Sometimes all or nothing, which mixtures of single sectors hardly ever are.
    let bias = random.below(4)
    for number in inode.dirty {
      let new = Inode.sector(number, of: inode.current)
      switch (bias, random.below(options.tearsSectors ? 5 : 4)) {
      case (0, _), (2, 0), (3, 0), (3, 1): break
      case (_, 4) where bias > 1:
        let old = Inode.sector(number, of: inode.durable)
        let cut = Int(random.below(UInt64(Self.sectorBytes)))
        inode.storeDurable(Array(new[..<cut] + old[cut...]), at: number)
      default: inode.storeDurable(new, at: number)
      }
    }
    inode.clean()
    inode.current = inode.durable
    return inode
  }
}
