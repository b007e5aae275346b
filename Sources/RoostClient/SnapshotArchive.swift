internal import FoundationEssentials

/// A snapshot file as `/v1/snapshot` gives it: a gzipped tar of `meta.json`, `state.bin` and
/// `SHA256SUMS`. Opening it verifies every checksum.
public struct SnapshotArchive: Sendable {
  public struct Metadata: Sendable, Equatable, Codable {
    public var version: Int
    public var id: String
    public var index: UInt64
    public var term: UInt64
    public var size: UInt64

    enum CodingKeys: String, CodingKey {
      case version = "Version"
      case id = "ID"
      case index = "Index"
      case term = "Term"
      case size = "Size"
    }
  }

  public struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
  }

  /// What an archive may unpack to.
  public static let unpackedBytesMax = 8 << 30

  public let metadata: Metadata
  /// Names and sizes, in the order of the archive.
  public let files: [(name: String, size: Int)]

  public init(_ bytes: [UInt8]) throws(Failure) {
    let tar: [UInt8]
    do throws(Inflate.Failure) {
      tar = try Inflate.gunzip(bytes, outputBytesMax: Self.unpackedBytesMax)
    } catch {
      throw Failure(description: "it cannot be decompressed: \(error.reason)")
    }
    let entries = try Self.entries(tar)
    func file(_ name: String) throws(Failure) -> ArraySlice<UInt8> {
      guard let entry = entries.first(where: { $0.name == name }) else {
        throw Failure(description: "it holds no \(name)")
      }
      return tar[entry.range]
    }
    var verified: [String] = []
    for line in try file("SHA256SUMS").split(separator: 10) {
      let words = String(decoding: line, as: UTF8.self).split(separator: " ")
      guard words.count == 2 else { throw Failure(description: "SHA256SUMS cannot be understood") }
      let name = String(words[1].drop { $0 == "*" })
      guard SHA256.hex(try file(name)) == words[0].lowercased() else {
        throw Failure(description: "the checksum of \(name) is wrong")
      }
      verified.append(name)
    }
    for name in ["meta.json", "state.bin"] where !verified.contains(name) {
      throw Failure(description: "\(name) has no checksum")
    }
    do {
      metadata = try JSONDecoder().decode(Metadata.self, from: Data(file("meta.json")))
    } catch {
      throw Failure(description: "meta.json cannot be understood")
    }
    files = entries.map { ($0.name, $0.range.count) }
  }

  /// The files of a tar: a header of 512 bytes with the name and an octal size, then the content,
  /// filled up to 512 bytes; a header of zeros ends it.
  private static func entries(
    _ tar: [UInt8]
  ) throws(Failure) -> [(name: String, range: Range<Int>)] {
    var entries: [(name: String, range: Range<Int>)] = []
    var position = 0
    while position + 512 <= tar.count, tar[position] != 0 {
      let name = String(
        decoding: tar[position..<position + 100].prefix { $0 != 0 }, as: UTF8.self)
      let digits = tar[position + 124..<position + 136].filter { (0x30...0x37).contains($0) }
      // Eleven octal digits: below 8 GiB.
      guard digits.count <= 11 else { throw Failure(description: "the tar has a bad size") }
      let size = digits.reduce(0) { $0 << 3 | Int($1 - 0x30) }
      let start = position + 512
      guard size <= tar.count - start else { throw Failure(description: "the tar ends early") }
      let isFile = [0, UInt8(ascii: "0")].contains(tar[position + 156])
      if isFile { entries.append((name, start..<start + size)) }
      position = start + (size + 511) / 512 * 512
    }
    guard !entries.isEmpty else { throw Failure(description: "it is not a tar") }
    return entries
  }
}
