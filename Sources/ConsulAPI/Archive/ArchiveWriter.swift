import HTTP
import Registry

/// What the archive says about the cluster that it is of.
struct ArchiveOrigin: Sendable {
  var index: UInt64
  var term: UInt64
  var milliseconds: UInt64
  var servers: [(id: String, address: String)]
}

/// A state as an archive, piece by piece: gzip of a tar of `meta.json`, `state.bin` and
/// `SHA256SUMS`, as Consul's are (consul-api.md 14).
///
/// The size of the state stands before it, so it is encoded twice: once to be measured, once to be
/// sent. It is the same both times, since a copy of a registry never changes. Used on a worker.
struct ArchiveWriter: Sendable {
  static let format = 1
  static let pieceBytes = 512 << 10

  private enum Stage { case meta, state, sums, done }

  private let meta: [UInt8]
  private let stateBytes: UInt64
  private let stateSum: String
  private var encoder: SnapshotEncoder
  private var gzip = StoredGzip()
  private var stage = Stage.meta

  init(_ registry: Registry, _ origin: ArchiveOrigin) {
    var measuring = registry.makeArchiveEncoder()
    var bytes: UInt64 = 0
    var sum = SHA256()
    while let piece = measuring.next() {
      bytes += UInt64(piece.count)
      sum.update(piece[...])
    }
    stateBytes = bytes
    stateSum = sum.finish()
    meta = Self.meta(origin, bytes)
    encoder = registry.makeArchiveEncoder()
  }

  private static func meta(_ origin: ArchiveOrigin, _ bytes: UInt64) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    writer.field("Version", 1)
    writer.field("ID", "\(origin.term)-\(origin.index)-\(origin.milliseconds)")
    writer.field("Index", origin.index)
    writer.field("Term", origin.term)
    writer.field("Peers", "")
    writer.key("Configuration")
    writer.beginObject()
    writer.key("Servers")
    writer.beginArray()
    for server in origin.servers {
      writer.beginObject()
      writer.field("Suffrage", 0)
      writer.field("ID", server.id)
      writer.field("Address", server.address)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
    writer.field("ConfigurationIndex", 0)
    writer.field("Size", bytes)
    writer.field("RoostFormat", format)
    writer.endObject()
    return writer.finish()
  }

  /// Nil when all is written.
  mutating func next() -> [UInt8]? {
    var output: [UInt8] = []
    switch stage {
    case .meta:
      output = StoredGzip.head
      appendFile("meta.json", meta, to: &output)
      gzip.append(Tar.header(name: "state.bin", bytes: stateBytes), to: &output)
      stage = .state
    case .state:
      output.reserveCapacity(Self.pieceBytes + (128 << 10))
      while output.count < Self.pieceBytes {
        guard let piece = encoder.next() else {
          gzip.append(Tar.padding(after: stateBytes), to: &output)
          stage = .sums
          break
        }
        gzip.append(piece, to: &output)
      }
    case .sums:
      let sums = "\(SHA256.sum(of: meta))  meta.json\n\(stateSum)  state.bin\n"
      appendFile("SHA256SUMS", Array(sums.utf8), to: &output)
      gzip.append(Tar.end, to: &output)
      gzip.finish(into: &output)
      stage = .done
    case .done: return nil
    }
    return output
  }

  private mutating func appendFile(_ name: String, _ bytes: [UInt8], to output: inout [UInt8]) {
    let count = UInt64(bytes.count)
    gzip.append(Tar.header(name: name, bytes: count), to: &output)
    gzip.append(bytes, to: &output)
    gzip.append(Tar.padding(after: count), to: &output)
  }
}
