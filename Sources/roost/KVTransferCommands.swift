internal import FoundationEssentials
internal import RoostClient

/// `roost kv export`, `kv import` and `kv watch`.
extension Command {
  static let kvExport = Command.client(
    name: "kv export", summary: "print all keys with a prefix as JSON, for kv import",
    usage: "[PREFIX]", flags: [ClientCommand.staleFlag]
  ) { command in
    let prefix = try command.arguments.optionalWord() ?? ""
    let pairs = try command.roost.list(prefix, consistency: command.consistency)
    Console.print(try KVExport.text(pairs))
    return 0
  }

  static let kvImport = Command.client(
    name: "kv import", summary: "write the keys of a kv export",
    usage: "[--prefix PREFIX] -|@FILE|JSON",
    flags: [Flag("prefix", "PREFIX", "put this before every key")],
    details: "- is standard input, @FILE a file. Keys that exist are overwritten."
  ) { command in
    try command.arguments.expect("-, @FILE or JSON")
    let entries = try KVExport.parse(try inputBytes(command.arguments.words[0]))
    let prefix = command.arguments.value("prefix") ?? ""
    for entry in entries {
      let key = prefix + entry.key
      _ = try command.roost.put(key, entry.value, flags: entry.flags)
      Console.print("Imported: \(key)")
    }
    return 0
  }

  static let kvWatch = Command.client(
    name: "kv watch", summary: "print every change of a key, or below a prefix",
    usage: "KEY | PREFIX/",
    flags: [Flag("recurse", "a prefix that does not end with a slash")],
    details: """
      Prints what is there, then each change as it happens, until interrupted: + written first,
      ~ changed, - deleted.
      """
  ) { command in
    try command.arguments.expect("KEY or PREFIX/")
    let word = command.arguments.words[0]
    let isPrefix = command.arguments.has("recurse") || word.hasSuffix("/")
    var watch = isPrefix ? Watch(command.roost, prefix: word) : Watch(command.roost, key: word)
    var known: [String: KVPair] = [:]
    while true {
      guard let answer = try PatientWatch.next(&watch) else { continue }
      var present: [String: KVPair] = [:]
      for pair in try Watch.pairs(answer) {
        present[pair.key] = pair
        guard let old = known[pair.key] else {
          try show("+", pair, command.wantsJSON)
          continue
        }
        if old.modifyIndex != pair.modifyIndex { try show("~", pair, command.wantsJSON) }
      }
      for (key, pair) in known.sorted(by: { $0.key < $1.key }) where present[key] == nil {
        try show("-", pair, command.wantsJSON)
      }
      known = present
    }
  }

  private static func show(_ sign: String, _ pair: KVPair, _ asJSON: Bool) throws {
    if asJSON {
      let change = ShownChange(
        change: sign == "+" ? "created" : sign == "~" ? "updated" : "deleted", key: pair.key,
        value: Data(pair.value).base64EncodedString(), flags: pair.flags,
        modifyIndex: pair.modifyIndex, session: pair.session)
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      Console.print(String(decoding: try encoder.encode(change), as: UTF8.self))
      return
    }
    let style: Console.Style = sign == "+" ? .green : sign == "~" ? .yellow : .red
    let lock = pair.session.map { "  locked by \($0)" } ?? ""
    let text = sign == "-" ? pair.key : pair.key + ":" + String(decoding: pair.value, as: UTF8.self)
    Console.print(Console.styled(sign, style) + " " + text + Console.styled(lock, .dim))
  }

  /// What a word of the command line stands for: itself, @FILE, or - for standard input.
  static func inputBytes(_ word: String) throws -> [UInt8] {
    if word == "-" { return Console.readInput() }
    if word.hasPrefix("@") { return try Console.readFile(String(word.dropFirst())) }
    return Array(word.utf8)
  }
}

private struct ShownChange: Encodable {
  let change: String
  let key: String
  let value: String
  let flags: UInt64
  let modifyIndex: UInt64
  let session: String?
}

/// The JSON of `kv export`: the same as Consul's, so that either reads the other's.
enum KVExport {
  private struct Entry: Codable {
    var key: String
    var flags: UInt64?
    var value: String?
  }

  static func text(_ pairs: [KVPair]) throws -> String {
    guard !pairs.isEmpty else { return "[]" }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.withoutEscapingSlashes]
    let items = try pairs.map { pair in
      let key = String(decoding: try encoder.encode(pair.key), as: UTF8.self)
      return "\t{\n\t\t\"key\": \(key),\n\t\t\"flags\": \(pair.flags),\n\t\t\"value\": \""
        + Data(pair.value).base64EncodedString() + "\"\n\t}"
    }
    return "[\n" + items.joined(separator: ",\n") + "\n]"
  }

  static func parse(
    _ bytes: [UInt8]
  ) throws(CommandFailure) -> [(key: String, flags: UInt64, value: [UInt8])] {
    let entries: [Entry]
    do {
      entries = try JSONDecoder().decode([Entry].self, from: Data(bytes))
    } catch {
      throw CommandFailure("this is not the JSON of a kv export; nothing was written")
    }
    var result: [(key: String, flags: UInt64, value: [UInt8])] = []
    for entry in entries {
      guard let data = Data(base64Encoded: entry.value ?? "") else {
        throw CommandFailure("the value of \(entry.key) is not base64; nothing was written")
      }
      result.append((entry.key, entry.flags ?? 0, Array(data)))
    }
    return result
  }
}
