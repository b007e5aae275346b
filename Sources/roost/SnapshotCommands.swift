internal import ConsulAPI
internal import Glibc
internal import RoostClient

/// `roost snapshot …`: the whole state as one file.
extension Command {
  static let snapshotSave = Command.client(
    name: "snapshot save", summary: "write the whole state of the cluster to a file",
    usage: "[--stale] FILE", flags: [ClientCommand.staleFlag]
  ) { command in
    try command.arguments.expect("FILE")
    let path = command.arguments.words[0]
    let answer = try command.roost.snapshot(consistency: command.consistency)
    let archive = try opened(answer.body, "the snapshot that \(answer.address) sent")
    try Console.writeFile(path, answer.body)
    Console.print("Saved and verified snapshot to index \(archive.index)")
    return 0
  }

  static let snapshotInspect = Command(
    name: "snapshot inspect", summary: "verify a snapshot file and tell what it is",
    usage: "FILE", flags: [Flag("json", "print JSON for scripts")],
    details: "Works on the file alone, without a cluster."
  ) { input in
    let arguments = try Arguments(input, flags: [Flag("json", "")])
    try arguments.expect("FILE")
    let archive = try opened(Console.readFile(arguments.words[0]), arguments.words[0])
    let contents = archive.contents.map { SnapshotFacts.Row(type: $0.type, count: $0.count) }
    let facts = SnapshotFacts(
      id: archive.id, size: archive.size, index: archive.index, term: archive.term,
      version: archive.version, contents: contents)
    if arguments.has("json") {
      try ClientCommand.printJSON(facts)
      return 0
    }
    Console.write(
      PlainRows.render(
        [
          (" ID", facts.id), (" Size", String(facts.size)), (" Index", String(facts.index)),
          (" Term", String(facts.term)), (" Version", String(facts.version)),
        ], width: 14))
    var table = Table(" Type", "Count")
    for row in contents { table.add(" " + row.type, String(row.count)) }
    Console.write("\n" + table.render())
    return 0
  }

  private struct SnapshotFacts: Encodable {
    struct Row: Encodable {
      var type: String
      var count: Int

      enum CodingKeys: String, CodingKey {
        case type = "Type"
        case count = "Count"
      }
    }
    var id: String
    var size: UInt64
    var index: UInt64
    var term: UInt64
    var version: UInt64
    var contents: [Row]

    enum CodingKeys: String, CodingKey {
      case id = "ID"
      case size = "Size"
      case index = "Index"
      case term = "Term"
      case version = "Version"
      case contents = "Contents"
    }
  }

  static let snapshotRestore = Command.client(
    name: "snapshot restore", summary: "replace the whole state of the cluster by a file's",
    usage: "FILE",
    details: "What was written after the snapshot is lost. The file is verified before it is sent."
  ) { command in
    try command.arguments.expect("FILE")
    let bytes = try Console.readFile(command.arguments.words[0])
    _ = try opened(bytes, command.arguments.words[0])
    try command.roost.restore(bytes)
    Console.print("Restored snapshot")
    return 0
  }

  private static func opened(
    _ bytes: [UInt8], _ name: String
  ) throws(CommandFailure) -> ArchiveSummary {
    do throws(ArchiveSummary.Failure) {
      return try ArchiveSummary(verifying: bytes)
    } catch {
      throw CommandFailure("\(name) is no usable snapshot: \(error.message)")
    }
  }
}

extension Console {
  /// Writes a file so that its name never stands for half of it.
  static func writeFile(_ path: String, _ bytes: [UInt8]) throws(CommandFailure) {
    let part = path + ".part"
    func failure() -> CommandFailure {
      let failure = CommandFailure(
        "cannot write \(path): \(unsafe String(cString: strerror(errno)))")
      _ = unsafe unlink(part)
      return failure
    }
    let descriptor = unsafe open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure() }
    defer { close(descriptor) }
    guard write(all: bytes, to: descriptor), fsync(descriptor) == 0, unsafe rename(part, path) == 0
    else {
      throw failure()
    }
  }
}
