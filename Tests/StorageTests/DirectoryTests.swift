import Glibc
import Testing

@testable import Storage

/// The data directory on the real disk, the identity file, and the real file system's edges.
@Suite struct DirectoryTests {
  private let identity = NodeIdentity(
    cluster: "local", nodeName: "node1", nodeID: 77, bootstrapped: true,
    clusterInstance: Array(1...16))

  @Test func oneHolderAtATime() throws {
    let temporary = try TemporaryDirectory()
    let first = try DataDirectory(temporary.path + "/data")
    #expect(throws: StorageError.locked(path: first.path)) {
      try DataDirectory(temporary.path + "/data")
    }
    first.close()
    let second = try DataDirectory(temporary.path + "/data")
    #expect(second.notes.isEmpty)
  }

  @Test func openPermissionsAreTightened() throws {
    let temporary = try TemporaryDirectory()
    #expect(unsafe chmod(temporary.path, 0o755) == 0)
    let directory = try DataDirectory(temporary.path)
    #expect(directory.notes.count == 1)
    #expect(directory.notes.first?.contains("755") == true)
    directory.close()
    #expect(try DataDirectory(temporary.path).notes.isEmpty)
  }

  @Test func identityIsKept() throws {
    let temporary = try TemporaryDirectory()
    let files = PosixFileSystem()
    #expect(try NodeIdentity.read(files, directory: temporary.path) == nil)
    try identity.write(files, directory: temporary.path)
    #expect(try NodeIdentity.read(files, directory: temporary.path) == identity)
    var changed = identity
    changed.clusterInstance = nil
    changed.bootstrapped = false
    try changed.write(files, directory: temporary.path)
    #expect(try NodeIdentity.read(files, directory: temporary.path) == changed)
  }

  @Test func identityOfAnotherIsRefused() throws {
    try identity.check(cluster: "local", nodeName: "node1", directory: "d")
    for (cluster, node) in [("local", "node2"), ("other", "node1")] {
      #expect {
        try identity.check(cluster: cluster, nodeName: node, directory: "d")
      } throws: { error in
        "\(error)".contains("data_dir") && "\(error)".contains(cluster == "other" ? "other" : node)
      }
    }
  }

  @Test func everyFlippedByteAndCutOfTheIdentityIsFound() throws {
    let disk = FaultyFileSystem(seed: 1)
    try identity.write(disk, directory: "d")
    let size = identity.encoded().count
    for offset in 0..<size {
      let flipped = disk.copy(seed: 1)
      flipped.corrupt("d/identity", offset: offset, mask: 0x04)
      #expect(throws: StorageError.self) { try NodeIdentity.read(flipped, directory: "d") }
      let cut = disk.copy(seed: 1)
      cut.cut("d/identity", to: offset)
      #expect(throws: StorageError.self) { try NodeIdentity.read(cut, directory: "d") }
    }
  }

  @Test func aCrashLeavesTheOldOrTheNewIdentity() throws {
    for seed in 0..<40 as Range<UInt64> {
      let disk = FaultyFileSystem(seed: seed)
      try identity.write(disk, directory: "d")
      var new = identity
      new.nodeID = 78
      disk.powerOff(afterOperations: Int(seed % 6))
      do { try new.write(disk, directory: "d") } catch { #expect(disk.isOff) }
      let found = try NodeIdentity.read(disk.crash(), directory: "d")
      #expect(found == identity || found == new)
    }
  }

  @Test func posixErrorsAreNamed() throws {
    let temporary = try TemporaryDirectory()
    let files = PosixFileSystem()
    let path = temporary.path + "/x"
    #expect(throws: StorageError.notFound(path: path)) { try files.open(path, .readOnly) }
    #expect(throws: StorageError.notFound(path: path)) { try files.remove(path) }
    #expect(throws: StorageError.notFound(path: path)) { try files.list(path) }
    let file = try files.open(path, .create)
    try file.write([1, 2, 3], at: 2)
    #expect(try file.read(at: 0, count: 99) == [0, 0, 1, 2, 3])
    #expect(try file.read(at: 5, count: 1) == [])
    try file.truncate(to: 3)
    #expect(try file.size() == 3)
    try files.rename(path, to: path + "y")
    #expect(try files.list(temporary.path) == ["xy"])
    file.close()
    #expect {
      try file.sync()
    } throws: { error in
      guard case StorageError.io("fdatasync", path, EBADF, _) = error else { return false }
      return true
    }
    // A device that is always full.
    let full = try files.open("/dev/full", .readWrite)
    #expect(throws: StorageError.diskFull(path: "/dev/full")) { try full.write([1], at: 0) }
  }
}
