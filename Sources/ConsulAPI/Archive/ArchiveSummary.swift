import HTTP
package import Registry

/// What a snapshot file is and holds, for people. Making one verifies the file as a restore does,
/// the state included.
package struct ArchiveSummary: Sendable {
  package struct Failure: Error, Equatable, Sendable {
    package var message: String
  }

  package private(set) var id = ""
  package private(set) var index: UInt64 = 0
  package private(set) var term: UInt64 = 0
  package private(set) var version: UInt64 = 0
  /// Of the state, in bytes.
  package let size: UInt64
  /// What the state holds, as Consul names it, without what there is none of.
  package let contents: [(type: String, count: Int)]

  package init(
    verifying archive: [UInt8], options: Registry.Options = Registry.Options()
  ) throws(Failure) {
    let checked: (verified: ArchiveReader.Verified, registry: Registry, meta: [UInt8])
    do {
      checked = try ArchiveReader.check(archive[...], options: options)
    } catch {
      throw Failure(message: error.message)
    }
    size = checked.verified.bytes
    contents = Self.count(checked.registry)
    guard case .object(let members)? = try? JSONScanner.parse(checked.meta[...]) else { return }
    for member in members {
      switch (member.name, member.value) {
      case ("ID", .string(let text)): id = text
      case ("Index", .number(let text)): index = UInt64(text) ?? 0
      case ("Term", .number(let text)): term = UInt64(text) ?? 0
      case ("Version", .number(let text)): version = UInt64(text) ?? 0
      default: continue
      }
    }
  }

  private static func count(_ registry: Registry) -> [(type: String, count: Int)] {
    let all = [
      ("KVS", registry.kvCount), ("Node", registry.nodes().count),
      ("Service", registry.serviceInstanceCount),
      ("Check", registry.checks(withStatus: nil).count), ("Session", registry.sessions().count),
      ("PreparedQuery", registry.queries().count), ("Event", registry.events().count),
    ]
    return all.filter { $0.1 > 0 }.map { (type: $0.0, count: $0.1) }
  }
}
