internal import CRoost
internal import Foundation
internal import RoostClient

/// Commands to one node, in the words of Consul's command line.
extension Command {
  static let info = Command.client(
    name: "info", summary: "a node's own numbers", usage: ""
  ) { command in
    try command.arguments.expect()
    let groups = try command.roost.statistics()
    if command.wantsJSON {
      try ClientCommand.printJSON(groups)
      return 0
    }
    for (name, values) in groups.sorted(by: { $0.key < $1.key }) {
      Console.print(Console.styled(name + ":", .bold))
      for (key, value) in values.sorted(by: { $0.key < $1.key }) {
        Console.print("\t\(key) = \(Table.printable(value))")
      }
    }
    return 0
  }

  static let maint = Command.client(
    name: "maint", summary: "take a node or a service out of service, or back in",
    usage: "[--enable [--reason TEXT] | --disable] [--service ID]",
    flags: [
      Flag("enable", "out of service"), Flag("disable", "back in"),
      Flag("reason", "TEXT", "for people"),
      Flag("service", "ID", "this service; the node that answers when not given"),
    ],
    details: "Without --enable and --disable it lists what is in maintenance."
  ) { command in
    let arguments = command.arguments
    try arguments.expect()
    let service = arguments.value("service")
    switch (arguments.has("enable"), arguments.has("disable")) {
    case (true, true): throw UsageError("give only one of --enable and --disable")
    case (false, false):
      guard service == nil, !arguments.has("reason") else {
        throw UsageError("give --enable or --disable")
      }
      try listMaintenance(command)
    case (let isEnabled, _):
      try command.roost.setMaintenance(
        isEnabled, serviceID: service, reason: arguments.value("reason") ?? "")
      let word = isEnabled ? "enabled" : "disabled"
      let what = service.map { "Service maintenance is now \(word) for \"\($0)\"" }
      Console.print(what ?? "Node maintenance is now \(word)")
    }
    return 0
  }

  private static func listMaintenance(_ command: ClientCommand) throws {
    let items = try command.roost.maintenance()
    if command.wantsJSON {
      return try ClientCommand.printJSON(
        items.map { ["node": $0.node, "service": $0.serviceID ?? "", "reason": $0.reason] })
    }
    for item in items {
      Console.print(item.serviceID == nil ? "Node:" : "Service:")
      Console.print(item.serviceID.map { "  ID:     \($0)" } ?? "  Name:   \(item.node)")
      Console.print("  Reason: \(Table.printable(item.reason))\n")
    }
  }

  static let join = Command.client(
    name: "join", summary: "tell a node to join a cluster", usage: "ADDRESS…",
    details: """
      A Roost node joins by the "join" list of its configuration; joining a node that is a member
      already succeeds, as with Consul.
      """
  ) { command in
    let addresses = command.arguments.words
    guard !addresses.isEmpty else { throw UsageError("ADDRESS is missing") }
    for address in addresses { try command.roost.join(address) }
    Console.print("Successfully joined cluster by contacting \(addresses.count) nodes.")
    return 0
  }

  static let leave = Command.client(
    name: "leave", summary: "take a node out of the cluster and stop it", usage: "",
    details: "To stop it for a while only, send its process SIGTERM: it stays a member then."
  ) { command in
    try command.arguments.expect()
    try command.roost.leave()
    Console.print("Graceful leave complete")
    return 0
  }

  static let forceLeave = Command.client(
    name: "force-leave", summary: "remove a node that is dead", usage: "NODE",
    flags: [Flag("prune", "accepted: it is always so")]
  ) { command in
    try command.arguments.expect("NODE")
    try command.roost.forceLeave(command.arguments.words[0])
    return 0
  }

  static let reload = Command.client(
    name: "reload", summary: "have a node read its configuration again", usage: ""
  ) { command in
    try command.arguments.expect()
    try command.roost.reload()
    Console.print("Configuration reload triggered")
    return 0
  }

  static let monitor = Command.client(
    name: "monitor", summary: "follow a node's log", usage: "[--log-level LEVEL]",
    flags: [
      Flag("log-level", "LEVEL", "trace, debug, info, warn or err (info)"),
      Flag("log-json", "one JSON object a line"),
    ]
  ) { command in
    try command.arguments.expect()
    var query: [(String, String?)] = [
      ("loglevel", command.arguments.value("log-level") ?? "info")
    ]
    if command.arguments.has("log-json") || command.wantsJSON { query.append(("logjson", nil)) }
    var roost = command.roost
    // A quiet node says nothing for long.
    roost.readSeconds = 24 * 3600
    try roost.stream("/v1/agent/monitor", query: query) { piece in
      Console.write(piece)
      return true
    }
    return 0
  }

  static let event = Command.client(
    name: "event", summary: "send a user event to the nodes",
    usage: "--name NAME [--service RE] [--tag RE] [--node RE] [PAYLOAD]",
    flags: [
      Flag("name", "NAME", "of the event"), Flag("node", "RE", "only nodes that match"),
      Flag("service", "RE", "only nodes with such a service"),
      Flag("tag", "RE", "only with such a tag; needs --service"),
    ]
  ) { command in
    guard let name = command.arguments.value("name") else { throw UsageError("--name is missing") }
    let payload = try command.arguments.optionalWord() ?? ""
    let filters = ["node", "service", "tag"].compactMap { flag in
      command.arguments.value(flag).map { (flag, Optional($0)) }
    }
    let event = try command.roost.fireEvent(name, payload: Array(payload.utf8), filters: filters)
    if command.wantsJSON {
      try ClientCommand.printJSON(event)
    } else {
      Console.print("Event ID: \(event.id)")
    }
    return 0
  }

  static let rtt = Command.client(
    name: "rtt", summary: "estimated round trip between two nodes", usage: "NODE [NODE]",
    details: "With one name: from the node that answers."
  ) { command in
    let words = command.arguments.words
    guard let first = words.first, words.count <= 2 else {
      throw UsageError("give one or two node names")
    }
    let second = words.count == 2 ? words[1] : try command.roost.report().node
    let places = try command.roost.coordinates()
    func place(_ name: String) throws(CommandFailure) -> Coordinate {
      guard let place = places[name] else {
        throw CommandFailure("Could not find a coordinate for node \"\(name)\"")
      }
      return place
    }
    guard let seconds = try place(first).roundTrip(to: try place(second)) else {
      throw CommandFailure("the coordinates of \(first) and \(second) cannot be compared")
    }
    let text = String(format: "%.3f", seconds * 1000)
    Console.print("Estimated \(first) <-> \(second) rtt: \(text) ms (using LAN coordinates)")
    return 0
  }

  static let keygen = Command(
    name: "keygen", summary: "print a new key for encryption between nodes", usage: "", flags: []
  ) { input in
    try Arguments(input, flags: []).expect()
    var bytes = [UInt8](repeating: 0, count: 32)
    // Sound: the count is the array's.
    guard unsafe croost_random(&bytes, bytes.count) == 0 else {
      throw CommandFailure("the system gives no random bytes")
    }
    Console.print(Data(bytes).base64EncodedString())
    return 0
  }
}
