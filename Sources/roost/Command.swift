/// One command of the program: what the help, the completions and the dispatch know of it.
struct Command: Sendable {
  let name: String
  let summary: String
  let usage: String
  let flags: [Flag]
  /// More than one line of help, or empty.
  var details = ""
  let run: @Sendable (ArraySlice<String>) throws -> Int32

  /// The table of all commands, in the order of the help.
  static let groups: [(title: String, commands: [Command])] = [
    ("Running nodes", [.demo, .agent, .cluster, .validate, .reload, .leave, .keygen]),
    ("Looking at the cluster", [.status, .members, .info, .monitor, .rtt]),
    ("Keys and values", [.kvGet, .kvPut, .kvDelete, .kvList, .kvWatch, .kvExport, .kvImport]),
    (
      "Services",
      [
        .servicesRegister, .servicesDeregister, .servicesList, .health, .catalogServices,
        .catalogNodes, .catalogDatacenters, .maint,
      ]
    ),
    (
      "Coordination",
      [
        .lock, .watch, .event, .sessionCreate, .sessionList, .sessionInfo, .sessionRenew,
        .sessionDestroy,
      ]
    ),
    (
      "Operating",
      [
        .listPeers, .addPeer, .removePeer, .transferLeader, .join, .forceLeave, .snapshotSave,
        .snapshotInspect, .snapshotRestore, .recover,
      ]
    ),
    ("Tools", [.bench, .simulate, .nemesis, .completions, .version]),
  ]

  static let all: [Command] = groups.flatMap(\.commands)

  /// A command that talks to a cluster: it gets `Flag.client` beside its own flags.
  static func client(
    name: String, summary: String, usage: String, flags: [Flag] = [], details: String = "",
    wordsBeforeRest: Int = .max, run: @escaping @Sendable (ClientCommand) throws -> Int32
  ) -> Command {
    let flags = flags + Flag.client
    return Command(name: name, summary: summary, usage: usage, flags: flags, details: details) {
      input in
      let arguments = try Arguments(input, flags: flags, wordsBeforeRest: wordsBeforeRest)
      return try run(ClientCommand(arguments))
    }
  }

  var help: String {
    var text = "roost \(name): \(summary)\n\nusage: roost \(name) \(usage)\n"
    if !details.isEmpty { text += "\n\(details)\n" }
    guard !flags.isEmpty else { return text }
    text += "\n"
    let width = flags.map(\.usage.count).max() ?? 0
    for flag in flags {
      let padding = String(repeating: " ", count: width - flag.usage.count)
      text += "  \(flag.usage)\(padding)  \(flag.help)\n"
    }
    return text
  }
}
