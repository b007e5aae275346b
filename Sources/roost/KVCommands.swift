internal import FoundationEssentials
internal import RoostClient

extension Command {
  static let kvGet = Command.client(
    name: "kv get", summary: "print the value of a key",
    usage: "[--detailed] [--recurse] [--keys] KEY",
    flags: [
      Flag("detailed", "show flags and indexes too"),
      Flag("recurse", "all keys with this prefix, as key:value"),
      Flag("keys", "only the names of the keys with this prefix"),
      Flag("separator", "S", "with --keys: cut them after this (/)"),
      Flag("base64", "print the value in base64"), ClientCommand.staleFlag,
    ]
  ) { command in
    if command.arguments.has("keys") || command.arguments.has("recurse") {
      return try list(command, prefix: try command.arguments.optionalWord() ?? "")
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
    } else if command.arguments.has("base64") {
      Console.print(Data(pair.value).base64EncodedString())
    } else {
      Console.write(pair.value + [10])
    }
    return 0
  }

  static let kvPut = Command.client(
    name: "kv put", summary: "write a key",
    usage: "[--cas=INDEX] [--flags N] KEY [VALUE]",
    flags: casFlags + [
      Flag("flags", "N", "a number kept with the key"),
      Flag("base64", "VALUE is base64"),
      Flag("acquire", "lock the key for --session"),
      Flag("release", "unlock the key of --session"),
      Flag("session", "ID", "the session that --acquire and --release are for"),
    ],
    details: """
      VALUE may be @FILE, or - for standard input; without it the value is empty. A value that
      begins with a dash goes after --, as in: roost kv put -- KEY -5
      """
  ) { command in
    let arguments = command.arguments
    guard let key = arguments.words.first else {
      throw CommandFailure("Error! Missing KEY argument")
    }
    if arguments.words.count > 2 {
      throw UsageError("too many arguments; quote a value with blanks")
    }
    let flags = try arguments.number("flags") ?? 0
    let cas = try casIndex(arguments)
    var value = try arguments.words.dropFirst().first.map { try inputBytes($0) } ?? []
    if arguments.has("base64") {
      guard let data = Data(base64Encoded: Data(value)) else {
        throw CommandFailure("Error! Cannot base 64 decode data")
      }
      value = Array(data)
    }
    let (acquires, releases) = (arguments.has("acquire"), arguments.has("release"))
    guard acquires || releases else {
      guard try command.roost.put(key, value, flags: flags, cas: cas) else {
        throw CommandFailure("Error! Did not write to \(key): CAS failed")
      }
      Console.print("Success! Data written to: \(key)")
      return 0
    }
    guard acquires != releases, cas == nil else {
      throw UsageError("give only one of --acquire, --release and --cas")
    }
    guard let session = arguments.value("session") else { throw UsageError("--session is missing") }
    if acquires {
      guard try command.roost.acquire(key, value, session: session, flags: flags) else {
        throw CommandFailure("Error! Did not acquire lock")
      }
      Console.print("Success! Lock acquired on: \(key)")
    } else {
      guard try command.roost.release(key, value, session: session, flags: flags) else {
        throw CommandFailure("Error! Did not release lock")
      }
      Console.print("Success! Lock released on: \(key)")
    }
    return 0
  }

  private static let casFlags = [
    Flag(
      "cas", optional: "INDEX",
      "only if the key's ModifyIndex is this (0: if there is no such key)"),
    Flag("modify-index", "INDEX", "the index for --cas, as Consul writes it"),
  ]

  /// From `--cas=5`, or `-cas -modify-index=5`; nil when the write is unconditional.
  private static func casIndex(_ arguments: Arguments) throws(UsageError) -> UInt64? {
    guard let inline = arguments.value("cas") else { return nil }
    if inline.isEmpty { return try arguments.number("modify-index") ?? 0 }
    return try arguments.number("cas")
  }

  static let kvDelete = Command.client(
    name: "kv delete", summary: "delete a key, or all with a prefix",
    usage: "[--recurse] [--cas=INDEX] KEY",
    flags: [
      Flag("recurse", "every key with this prefix")
    ] + casFlags
  ) { command in
    try command.arguments.expect("KEY")
    let key = command.arguments.words[0]
    if command.arguments.has("recurse") {
      try command.roost.deleteTree(key)
      Console.print("Success! Deleted keys with prefix: \(key)")
      return 0
    }
    guard try command.roost.delete(key, cas: try casIndex(command.arguments)) else {
      throw CommandFailure("Error! Did not delete key \(key): CAS failed")
    }
    Console.print("Success! Deleted key: \(key)")
    return 0
  }

  static let kvList = Command.client(
    name: "kv list", summary: "list keys",
    usage: "[--separator S] [PREFIX]",
    flags: [
      Flag("separator", "S", "cut keys after this, as a directory listing does"),
      ClientCommand.staleFlag,
    ]
  ) { command in
    let prefix = try command.arguments.optionalWord() ?? ""
    let keys = try command.roost.keys(
      prefix, separator: command.arguments.value("separator"),
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
      let keys = try command.roost.keys(
        prefix, separator: command.arguments.value("separator") ?? "/",
        consistency: command.consistency)
      if command.wantsJSON {
        try ClientCommand.printJSON(keys)
      } else {
        for key in keys { Console.print(key) }
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

  private static func detailed(_ pair: KVPair) -> String {
    let rows = [
      ("CreateIndex", String(pair.createIndex)), ("Flags", String(pair.flags)),
      ("Key", pair.key), ("LockIndex", String(pair.lockIndex)),
      ("ModifyIndex", String(pair.modifyIndex)), ("Session", pair.session ?? "-"),
      ("Value", String(decoding: pair.value, as: UTF8.self)),
    ]
    return PlainRows.render(rows)
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
