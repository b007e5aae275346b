/// Puts the log and the snapshots of a data directory aside, for people to look at: they are moved
/// into `aside`, where those of the last time are removed first. Repeatable at any point.
package enum Aside {
  package static let name = "aside"

  package static func move<Files: FileSystem>(
    _ files: Files, root: String
  ) throws(StorageError) {
    try files.makeDirectory(root + "/" + name)
    for part in ["log", "snapshots"] {
      let from = root + "/" + part
      let to = root + "/" + name + "/" + part
      try files.makeDirectory(from)
      try files.makeDirectory(to)
      let found = try files.list(from)
      guard !found.isEmpty else { continue }
      for old in try files.list(to) { try files.remove(to + "/" + old) }
      for file in found { try files.rename(from + "/" + file, to: to + "/" + file) }
      try files.syncDirectory(to)
      try files.syncDirectory(from)
    }
  }
}
