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
    Console.print("Saved and verified snapshot to index \(archive.metadata.index)")
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
    let metadata = archive.metadata
    if arguments.has("json") {
      try ClientCommand.printJSON(metadata)
      return 0
    }
    Console.write(
      PlainRows.render(
        [
          (" ID", metadata.id), (" Size", String(metadata.size)),
          (" Index", String(metadata.index)), (" Term", String(metadata.term)),
          (" Version", String(metadata.version)),
        ], width: 14))
    var table = Table(" File", "Size", "Checksum")
    for file in archive.files where file.name != "SHA256SUMS" {
      table.add(" " + file.name, String(file.size), "verified")
    }
    Console.write("\n" + table.render())
    return 0
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
  ) throws(CommandFailure) -> SnapshotArchive {
    do throws(SnapshotArchive.Failure) {
      return try SnapshotArchive(bytes)
    } catch {
      throw CommandFailure("\(name) is no usable snapshot: \(error)")
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
