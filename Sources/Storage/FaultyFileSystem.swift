import Basics
import Synchronization

/// A disk in memory that fails on demand, and by chance from a seed; for simulation and tests.
/// The same seed and the same calls give the same faults.
///
/// Happy path: it is a file system like the others. A simulator then says `crash()`, which
/// returns a *new* disk with one of the images that a power cut may leave (see `FaultyDisk`) and
/// switches this one off: every call on it, and on files opened from it, throws `.io`. A process
/// that dies without a power cut needs nothing: open the same disk again. Usable from any thread.
package final class FaultyFileSystem: FileSystem, Sendable {
  fileprivate let disk: Mutex<FaultyDisk>

  package init(seed: UInt64, options: FaultOptions = FaultOptions()) {
    disk = Mutex(FaultyDisk(seed: seed, options: options))
  }

  private init(_ image: FaultyDisk) { disk = Mutex(image) }

  // MARK: - Faults

  /// Cuts the power.
  package func crash() -> FaultyFileSystem {
    let image = disk.withLock { disk in
      let seed = disk.random.next()
      disk.isOff = true
      return disk.imageAfterPowerLoss(seed: seed)
    }
    return FaultyFileSystem(image)
  }

  /// Everything as programs see it now, on a disk of its own, all of it durable.
  package func copy(seed: UInt64) -> FaultyFileSystem {
    let image = disk.withLock { disk in
      var image = FaultyDisk(seed: seed, options: disk.options)
      image.inodes = disk.inodes
      for i in image.inodes.indices { image.inodes[i].sync() }
      image.names = disk.names
      image.durableNames = disk.names
      return image
    }
    return FaultyFileSystem(image)
  }

  /// Every call fails once so many more calls have changed something; then `crash()`.
  package func powerOff(afterOperations count: Int) {
    disk.withLock { $0.powerOffIn = count }
  }

  /// Flips the bits of `mask` in one byte, on the disk and in the cache.
  package func corrupt(_ path: String, offset: Int, mask: UInt8 = 0x01) {
    edit(path) { bytes in
      guard bytes.indices.contains(offset) else { return }
      bytes[offset] ^= mask
    }
  }

  /// Fills the sector around `offset` with zeros, on the disk and in the cache.
  package func zeroSector(_ path: String, offset: Int) {
    edit(path) { bytes in
      let start = offset / FaultyDisk.sectorBytes * FaultyDisk.sectorBytes
      // What was never synced is not on the disk yet.
      let end = max(start, min(bytes.count, start + FaultyDisk.sectorBytes))
      for i in start..<end { bytes[i] = 0 }
    }
  }

  /// Cuts a file to `size` bytes, on the disk and in the cache.
  package func cut(_ path: String, to size: Int) {
    edit(path) { $0.resize(to: min(size, $0.count)) }
  }

  private func edit(_ path: String, _ body: (inout [UInt8]) -> Void) {
    disk.withLock { disk in
      guard let inode = disk.names[path] else { return }
      body(&disk.inodes[inode].current)
      body(&disk.inodes[inode].durable)
    }
  }

  /// EIO once, from the next sync but `after`. Some of the unsynced data is dropped while it
  /// still shows in the cache, as Linux does.
  package func failNextSync(after: Int = 0) { disk.withLock { $0.syncFailsIn = after } }
  package func failNextWrite(after: Int = 0) { disk.withLock { $0.writeFailsIn = after } }
  package func loseNextWrite(after: Int = 0) { disk.withLock { $0.lostWriteIn = after } }
  package func misdirectNextWrite(after: Int = 0) {
    disk.withLock { $0.misdirectedWriteIn = after }
  }
  /// Writes that would take more than this fail with `.diskFull`, with a part of them written.
  package func setCapacity(_ bytes: Int) { disk.withLock { $0.capacityBytes = bytes } }

  package var isOff: Bool { disk.withLock { $0.isOff } }
  package var usedBytes: Int { disk.withLock { $0.usedBytes } }
  /// Calls that changed something.
  package var operations: Int { disk.withLock { $0.operations } }
  package var syncs: Int { disk.withLock { $0.syncs } }
  package var writtenBytes: Int { disk.withLock { $0.writtenBytes } }
  /// How long stalled syncs would have taken: the simulator adds it to its clock.
  package var stalledMicroseconds: UInt64 { disk.withLock { $0.stalledMicroseconds } }

  // MARK: - FileSystem

  /// Runs `body` unless the power is off; typed throws through the lock.
  fileprivate func with<T: Sendable>(
    _ operation: String, _ path: String, changes: Bool,
    _ body: (inout FaultyDisk) throws(StorageError) -> T
  ) throws(StorageError) -> T {
    let result = disk.withLock { disk -> Result<T, StorageError> in
      if changes {
        if FaultyDisk.hits(&disk.powerOffIn) { disk.isOff = true }
        disk.operations += 1
      }
      if disk.isOff {
        return .failure(.io(operation: operation, path: path, code: 5, name: "power is off"))
      }
      do throws(StorageError) { return .success(try body(&disk)) } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  package func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> FaultyFile {
    let inode = try with("open", path, changes: mode == .create) {
      disk throws(StorageError) -> Int in
      if let inode = disk.names[path] {
        if mode == .create { disk.inodes[inode].current = [] }
        return inode
      }
      guard mode == .create else { throw .notFound(path: path) }
      disk.inodes.append(FaultyDisk.Inode())
      disk.change(.link(path, disk.inodes.count - 1))
      return disk.inodes.count - 1
    }
    return FaultyFile(path: path, files: self, inode: inode)
  }

  package func list(_ directory: String) throws(StorageError) -> [String] {
    let prefix = directory + "/"
    return try with("list", directory, changes: false) { disk in
      disk.names.keys.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        .filter { !$0.utf8.contains(UInt8(ascii: "/")) }.sorted()
    }
  }

  package func makeDirectory(_ path: String) throws(StorageError) {}

  package func exists(_ path: String) -> Bool { disk.withLock { $0.names[path] != nil } }

  package func rename(_ from: String, to: String) throws(StorageError) {
    try with("rename", from, changes: true) { disk throws(StorageError) in
      guard let inode = disk.names[from] else { throw .notFound(path: from) }
      disk.change(.rename(from, to, inode))
    }
  }

  package func remove(_ path: String) throws(StorageError) {
    try with("remove", path, changes: true) { disk throws(StorageError) in
      guard disk.names[path] != nil else { throw .notFound(path: path) }
      disk.change(.unlink(path))
    }
  }

  package func syncDirectory(_ directory: String) throws(StorageError) {
    try with("fsync", directory, changes: true) { disk throws(StorageError) in
      try disk.beginSync(directory)
      disk.syncNames(in: directory)
    }
  }
}

package final class FaultyFile: StorageFile {
  package let path: String
  private let files: FaultyFileSystem
  private let inode: Int

  fileprivate init(path: String, files: FaultyFileSystem, inode: Int) {
    self.path = path
    self.files = files
    self.inode = inode
  }

  package func size() throws(StorageError) -> Int {
    try files.with("fstat", path, changes: false) { $0.inodes[inode].current.count }
  }

  package func read(at offset: Int, count: Int) throws(StorageError) -> [UInt8] {
    try files.with("read", path, changes: false) { disk in
      let bytes = disk.inodes[inode].current
      guard offset < bytes.count, count > 0 else { return [] }
      return Array(bytes[offset..<min(bytes.count, offset + count)])
    }
  }

  package func write(_ bytes: [UInt8], at offset: Int) throws(StorageError) {
    try files.with("write", path, changes: true) { disk throws(StorageError) in
      try disk.write(bytes, at: offset, inode: inode, path: path)
    }
  }

  package func truncate(to size: Int) throws(StorageError) {
    try files.with("truncate", path, changes: true) { disk in
      let old = disk.inodes[inode].current.count
      disk.inodes[inode].current.resize(to: size)
      disk.inodes[inode].markDirty(min(old, size)..<max(old, size))
    }
  }

  /// What this would write may be lost in a crash, as may what was never asked to be written.
  package func writeOut(from offset: Int, count: Int) throws(StorageError) {}

  package func sync() throws(StorageError) {
    try files.with("fdatasync", path, changes: true) { disk throws(StorageError) in
      do throws(StorageError) { try disk.beginSync(path) } catch {
        disk.dropUnsynced(inode)
        throw error
      }
      disk.inodes[inode].sync()
    }
  }

  package func close() {}
}

// MARK: - Writes and syncs, with their faults

extension FaultyDisk {
  fileprivate mutating func write(
    _ bytes: [UInt8], at offset: Int, inode: Int, path: String
  ) throws(StorageError) {
    if Self.hits(&writeFailsIn) || roll(options.writeErrors) {
      let part = Int(random.below(UInt64(bytes.count) + 1))
      put(Array(bytes.prefix(part)), at: offset, inode: inode)
      throw .io(operation: "write", path: path, code: 5, name: "input/output error")
    }
    let growth = max(0, offset + bytes.count - inodes[inode].current.count)
    let room = max(0, capacityBytes - usedBytes)
    if growth > room {
      put(Array(bytes.prefix(bytes.count - growth + room)), at: offset, inode: inode)
      throw .diskFull(path: path)
    }
    writtenBytes += bytes.count
    if Self.hits(&lostWriteIn) || roll(options.lostWrites) {
      inodes[inode].current.overwrite(with: bytes, at: offset)
    } else if Self.hits(&misdirectedWriteIn) || roll(options.misdirectedWrites) {
      inodes[inode].current.overwrite(with: bytes, at: offset)
      let sectors = UInt64(inodes[inode].durable.count / Self.sectorBytes)
      if sectors > 0 {
        let target = Int(random.below(sectors)) * Self.sectorBytes
        let count = min(bytes.count, inodes[inode].durable.count - target)
        inodes[inode].durable.overwrite(with: Array(bytes.prefix(count)), at: target)
      }
    } else {
      put(bytes, at: offset, inode: inode)
    }
  }

  private mutating func put(_ bytes: [UInt8], at offset: Int, inode: Int) {
    guard !bytes.isEmpty else { return }
    inodes[inode].current.overwrite(with: bytes, at: offset)
    inodes[inode].markDirty(offset..<offset + bytes.count)
  }

  fileprivate mutating func beginSync(_ path: String) throws(StorageError) {
    syncs += 1
    if roll(options.stalls) { stalledMicroseconds += options.stallMicroseconds }
    if Self.hits(&syncFailsIn) || roll(options.syncErrors) {
      throw .io(operation: "fdatasync", path: path, code: 5, name: "input/output error")
    }
  }

  /// After a failed sync each dirty sector is written or dropped, and clean either way.
  fileprivate mutating func dropUnsynced(_ inode: Int) {
    var changed = inodes[inode]
    changed.durable.resize(to: changed.current.count)
    for number in changed.dirty where random.chance(1, in: 2) {
      changed.storeDurable(Inode.sector(number, of: changed.current), at: number)
    }
    changed.clean()
    inodes[inode] = changed
  }
}
