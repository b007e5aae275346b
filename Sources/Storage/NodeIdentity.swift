import Wire

/// Who a data directory belongs to. Kept in the file `identity`, written once as a whole:
///
///     u64 magic "ROOSTIDN", u32 version 2, u32 CRC32C of all after it,
///     blob cluster, blob node name, u64 node id, u8 bootstrapped, u8 has instance, [16 bytes],
///     u8 has founding, [16 bytes], u64 incarnation, u8 must be rebuilt
///
/// Version 1 ended with the instance, which was what is `founding` now; it is read as such.
package struct NodeIdentity: Equatable, Sendable {
  package var cluster: String
  package var nodeName: String
  /// Chosen anew when a node starts with an empty directory; never 0.
  package var nodeID: UInt64
  /// The node has been a member: it never again starts a cluster from the configured members.
  package var bootstrapped: Bool
  /// Sixteen bytes that tell two clusters of one name apart: chosen by the first leader, known
  /// once the node has heard of it.
  package var clusterInstance: [UInt8]?
  /// A hash of the first log entry: tells clusters apart whose first leader is still to come.
  package var founding: [UInt8]?
  /// How often a process was started on this directory; a copy of it shows by a lower one.
  package var incarnation: UInt64 = 0
  /// What is in the directory must not be used: it is put aside at the next start, and the node
  /// joins as a new one.
  package var mustRebuild = false

  package init(
    cluster: String, nodeName: String, nodeID: UInt64, bootstrapped: Bool,
    clusterInstance: [UInt8]? = nil
  ) {
    self.cluster = cluster
    self.nodeName = nodeName
    self.nodeID = nodeID
    self.bootstrapped = bootstrapped
    self.clusterInstance = clusterInstance
  }

  private static let magic: UInt64 = 0x4E44_4954_534F_4F52
  private static let version: UInt32 = 2
  private static let instanceBytes = 16
  private static let fileBytesMax = 64 << 10

  /// The identity of `directory`; nil when it has none yet.
  package static func read<Files: FileSystem>(
    _ files: Files, directory: String
  ) throws(StorageError) -> NodeIdentity? {
    let path = directory + "/identity"
    guard files.exists(path) else { return nil }
    let file = try files.open(path, .readOnly)
    defer { file.close() }
    let bytes = try file.read(at: 0, count: fileBytesMax)
    guard bytes.count >= 16, Fixed.load64(bytes, 0) == magic else {
      throw .damaged(file: path, offset: 0, reason: "it does not begin like an identity file")
    }
    let version = Fixed.load32(bytes, 8)
    guard Fixed.load32(bytes, 12) == Checksum.crc32c(bytes, in: 16..<bytes.count) else {
      throw .damaged(file: path, offset: 12, reason: "the checksum is wrong")
    }
    guard (1...Self.version).contains(version) else {
      throw .foreign(
        path: path, reason: "identity format \(version) was written by another Roost; use that one")
    }
    var reader = Reader(bytes, in: 16..<bytes.count)
    do { return try NodeIdentity(from: &reader, version: version) } catch {
      throw .damaged(file: path, offset: reader.offset, reason: "it does not decode: \(error)")
    }
  }

  /// Durable when it returns; a crash leaves the old identity or the new one.
  package func write<Files: FileSystem>(
    _ files: Files, directory: String
  ) throws(StorageError) {
    try files.makeDirectory(directory)
    let temporary = directory + "/identity.tmp"
    let file = try files.open(temporary, .create)
    defer { file.close() }
    try file.write(encoded(), at: 0)
    try file.sync()
    try files.rename(temporary, to: directory + "/identity")
    try files.syncDirectory(directory)
  }

  /// Refuses a directory that belongs to another node or another cluster.
  package func check(
    cluster: String, nodeName: String, directory: String
  ) throws(StorageError) {
    let way =
      "set data_dir to the right directory, or move this one aside and let the node join empty"
    guard Array(self.cluster.utf8) == Array(cluster.utf8) else {
      throw .foreign(
        path: directory,
        reason: "it belongs to cluster \"\(self.cluster)\", not to \"\(cluster)\"; \(way)")
    }
    guard Array(self.nodeName.utf8) == Array(nodeName.utf8) else {
      throw .foreign(
        path: directory,
        reason: "it belongs to node \"\(self.nodeName)\", not to \"\(nodeName)\"; \(way)")
    }
  }

  func encoded() -> [UInt8] {
    var writer = Writer()
    writer.u64(Self.magic)
    writer.u32(Self.version)
    writer.u32(0)
    writer.text(cluster)
    writer.text(nodeName)
    writer.u64(nodeID)
    writer.flag(bootstrapped)
    for id in [clusterInstance, founding] {
      if let id, id.count == Self.instanceBytes {
        writer.flag(true)
        writer.raw(id)
      } else {
        writer.flag(false)
      }
    }
    writer.u64(incarnation)
    writer.flag(mustRebuild)
    let checksum = Checksum.crc32c(writer.bytes, in: 16..<writer.bytes.count)
    writer.patchU32(at: 12, checksum)
    return writer.bytes
  }

  private init(from reader: inout Reader, version: UInt32) throws(WireError) {
    cluster = try reader.text()
    nodeName = try reader.text()
    nodeID = try reader.u64()
    bootstrapped = try reader.flag()
    clusterInstance = try reader.flag() ? try reader.raw(Self.instanceBytes) : nil
    guard version > 1 else {
      // What told clusters apart then was the hash of the first entry.
      founding = clusterInstance
      clusterInstance = nil
      try reader.finish()
      return
    }
    founding = try reader.flag() ? try reader.raw(Self.instanceBytes) : nil
    incarnation = try reader.u64()
    mustRebuild = try reader.flag()
    try reader.finish()
  }
}
