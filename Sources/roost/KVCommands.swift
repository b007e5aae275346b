internal import FoundationEssentials
internal import RoostClient

extension Command {
  static let kvGet = Command(
    name: "kv get", summary: "print the value of a key",
    usage: "[--detailed] [--recurse] [--keys] KEY",
    flags: [
      Flag("detailed", "show flags and indexes too"),
      Flag("recurse", "all keys with this prefix, as key:value"),
      Flag("keys", "only the names of the keys with this prefix"), ClientCommand.staleFlag,
    ] + Flag.client
  ) { input in
    let command = try ClientCommand(
      input,
      flags: [
        Flag("detailed", ""), Flag("recurse", ""), Flag("keys", ""), ClientCommand.staleFlag,
      ])
    if command.arguments.has("keys") || command.arguments.has("recurse") {
      return try list(command, prefix: command.arguments.words.first ?? "")
    }
    guard command.arguments.words.first != nil else {
      throw CommandFailure("Error! Missing KEY argument")
    }
    try command.arguments.expect("KEY")
    let key = command.arguments.words[0]
    guard let pair = try command.roost.get(key, consistency: command.consistency) else {
      throw CommandFailure("Error! No key exists at: \(key)")
    }
    if command.wantsJSON {
      try ClientCommand.printJSON(ShownPair(pair))
    } else if command.arguments.has("detailed") {
      Console.write(detailed(pair))
    } else {
      Console.write(pair.value + [10])
    }
    return 0
  }

  static let kvPut = Command(
    name: "kv put", summary: "write a key",
    usage: "[--cas INDEX] [--flags N] KEY [VALUE]",
    flags: [
      Flag("cas", "INDEX", "only if the key's ModifyIndex is this (0: if there is no such key)"),
      Flag("flags", "N", "a number kept with the key"),
    ] + Flag.client,
    details: "VALUE may be @FILE, or - for standard input; without it the value is empty."
  ) { input in
    let command = try ClientCommand(
      input, flags: [Flag("cas", "INDEX", ""), Flag("flags", "N", "")])
    guard let key = command.arguments.words.first else {
      throw CommandFailure("Error! Missing KEY argument")
    }
    if command.arguments.words.count > 2 {
      throw UsageError("too many arguments; quote a value with blanks")
    }
    let written = try command.roost.put(
      key, value(command.arguments.words.dropFirst().first),
      flags: try command.arguments.number("flags") ?? 0, cas: try command.arguments.number("cas"))
    guard written else { throw CommandFailure("Error! Did not write to \(key): CAS failed") }
    Console.print("Success! Data written to: \(key)")
    return 0
  }

  static let kvDelete = Command(
    name: "kv delete", summary: "delete a key, or all with a prefix",
    usage: "[--recurse] [--cas INDEX] KEY",
    flags: [
      Flag("recurse", "every key with this prefix"),
      Flag("cas", "INDEX", "only if the key's ModifyIndex is this"),
    ] + Flag.client
  ) { input in
    let command = try ClientCommand(
      input, flags: [Flag("recurse", ""), Flag("cas", "INDEX", "")])
    try command.arguments.expect("KEY")
    let key = command.arguments.words[0]
    if command.arguments.has("recurse") {
      try command.roost.deleteTree(key)
      Console.print("Success! Deleted keys with prefix: \(key)")
      return 0
    }
    guard try command.roost.delete(key, cas: try command.arguments.number("cas")) else {
      throw CommandFailure("Error! Did not delete key \(key): CAS failed")
    }
    Console.print("Success! Deleted key: \(key)")
    return 0
  }

  static let kvList = Command(
    name: "kv list", summary: "list keys",
    usage: "[--separator S] [PREFIX]",
    flags: [
      Flag("separator", "S", "cut keys after this, as a directory listing does"),
      ClientCommand.staleFlag,
    ] + Flag.client
  ) { input in
    let command = try ClientCommand(
      input, flags: [Flag("separator", "S", ""), ClientCommand.staleFlag])
    if command.arguments.words.count > 1 { throw UsageError("too many arguments") }
    let keys = try command.roost.keys(
      command.arguments.words.first ?? "", separator: command.arguments.value("separator"),
      consistency: command.consistency)
    if command.wantsJSON {
      try ClientCommand.printJSON(keys)
    } else {
      for key in keys { Console.print(key) }
    }
    return 0
  }

  private static func list(_ command: ClientCommand, prefix: String) throws -> Int32 {
    if command.arguments.has("keys") {
      for key in try command.roost.keys(prefix, separator: "/", consistency: command.consistency) {
        Console.print(key)
      }
      return 0
    }
    let pairs = try command.roost.list(prefix, consistency: command.consistency)
    if command.wantsJSON {
      try ClientCommand.printJSON(pairs.map(ShownPair.init))
    } else {
      for pair in pairs { Console.write(Array("\(pair.key):".utf8) + pair.value + [10]) }
    }
    return 0
  }

  private static func value(_ word: String?) throws -> [UInt8] {
    guard let word else { return [] }
    if word == "-" { return Console.readInput() }
    if word.hasPrefix("@") { return try Console.readFile(String(word.dropFirst())) }
    return Array(word.utf8)
  }

  private static func detailed(_ pair: KVPair) -> String {
    let rows = [
      ("CreateIndex", String(pair.createIndex)), ("Flags", String(pair.flags)),
      ("Key", pair.key), ("LockIndex", String(pair.lockIndex)),
      ("ModifyIndex", String(pair.modifyIndex)), ("Session", pair.session ?? "-"),
      ("Value", String(decoding: pair.value, as: UTF8.self)),
    ]
    return rows.map { name, value in
      name + String(repeating: " ", count: 17 - name.count) + value + "\n"
    }.joined()
  }
}

private struct ShownPair: Encodable {
  let key: String
  /// Base64.
  let value: String
  let flags: UInt64
  let createIndex: UInt64
  let modifyIndex: UInt64
  let lockIndex: UInt64
  let session: String?

  init(_ pair: KVPair) {
    key = pair.key
    value = Data(pair.value).base64EncodedString()
    flags = pair.flags
    createIndex = pair.createIndex
    modifyIndex = pair.modifyIndex
    lockIndex = pair.lockIndex
    session = pair.session
  }
}
