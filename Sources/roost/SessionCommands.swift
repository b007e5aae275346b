internal import RoostClient

/// `roost session …`: what locks belong to.
extension Command {
  static let sessionCreate = Command.client(
    name: "session create", summary: "open a session and print its id",
    usage: "[--name NAME] [--ttl DURATION] [--behavior release|delete]",
    flags: [
      Flag("name", "NAME", "for people"),
      Flag("ttl", "DURATION", "it ends when it is not renewed for so long (10s to 24h)"),
      Flag("behavior", "release|delete", "what happens to its keys when it ends (release)"),
      Flag("lock-delay", "DURATION", "how long its locks stay closed when it is lost (15s)"),
      Flag("node", "NAME", "the node it belongs to; the one that answers when not given"),
      Flag("check", "ID", "a node check that it depends on; may be repeated"),
      Flag("no-checks", "it depends on no check, only on its TTL"),
    ]
  ) { command in
    let arguments = command.arguments
    try arguments.expect()
    let word = arguments.value("behavior") ?? "release"
    guard let behavior = Session.Behavior(rawValue: word) else {
      throw UsageError("--behavior is release or delete, not \"\(word)\"")
    }
    let named = arguments.all("check")
    let id = try command.roost.createSession(
      name: arguments.value("name") ?? "", ttl: arguments.value("ttl") ?? "", behavior: behavior,
      lockDelay: arguments.value("lock-delay"), node: arguments.value("node"),
      checks: arguments.has("no-checks") ? [] : named.isEmpty ? nil : named)
    if command.wantsJSON {
      try ClientCommand.printJSON(["id": id])
    } else {
      Console.print(id)
    }
    return 0
  }

  static let sessionList = Command.client(
    name: "session list", summary: "open sessions", usage: "[--node NAME]",
    flags: [Flag("node", "NAME", "only those of this node")]
  ) { command in
    try command.arguments.expect()
    let sessions = try command.roost.sessions(node: command.arguments.value("node"))
    if command.wantsJSON {
      try ClientCommand.printJSON(sessions.map(ShownSession.init))
      return 0
    }
    var table = Table("ID", "Name", "Node", "TTL", "Behavior", "Lock delay", "Checks")
    for session in sessions {
      table.add(
        session.id, session.name, session.node, session.ttl.isEmpty ? "-" : session.ttl,
        session.behavior, lockDelay(session), session.checks.joined(separator: ","))
    }
    Console.write(table.render())
    return 0
  }

  static let sessionInfo = Command.client(
    name: "session info", summary: "one session", usage: "ID"
  ) { command in
    try command.arguments.expect("ID")
    let id = command.arguments.words[0]
    guard let session = try command.roost.session(id) else {
      throw CommandFailure("there is no session \(id)")
    }
    if command.wantsJSON {
      try ClientCommand.printJSON(ShownSession(session))
      return 0
    }
    Console.write(
      PlainRows.render([
        ("ID", session.id), ("Name", session.name), ("Node", session.node),
        ("TTL", session.ttl.isEmpty ? "-" : session.ttl), ("Behavior", session.behavior),
        ("LockDelay", lockDelay(session)), ("Checks", session.checks.joined(separator: ",")),
        ("CreateIndex", String(session.createIndex)),
      ]))
    return 0
  }

  static let sessionRenew = Command.client(
    name: "session renew", summary: "start a session's TTL anew", usage: "ID"
  ) { command in
    try command.arguments.expect("ID")
    let id = command.arguments.words[0]
    guard try command.roost.renewSession(id) else {
      throw CommandFailure("there is no session \(id) (any more)")
    }
    Console.print("Renewed session: \(id)")
    return 0
  }

  static let sessionDestroy = Command.client(
    name: "session destroy", summary: "end a session; its keys are released or deleted",
    usage: "ID"
  ) { command in
    try command.arguments.expect("ID")
    try command.roost.destroySession(command.arguments.words[0])
    Console.print("Destroyed session: \(command.arguments.words[0])")
    return 0
  }

  private static func lockDelay(_ session: Session) -> String {
    let milliseconds = Int(session.lockDelaySeconds * 1000)
    return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
  }
}

private struct ShownSession: Encodable {
  let id: String
  let name: String
  let node: String
  let ttl: String
  let behavior: String
  let lockDelaySeconds: Double
  let checks: [String]
  let createIndex: UInt64

  init(_ session: Session) {
    id = session.id
    name = session.name
    node = session.node
    ttl = session.ttl
    behavior = session.behavior
    lockDelaySeconds = session.lockDelaySeconds
    checks = session.checks
    createIndex = session.createIndex
  }
}
