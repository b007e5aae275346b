internal import Node

extension Command {
  private static let agentFlags = [
    Flag("config", "FILE", "the node's configuration (JSON, comments allowed)"),
    Flag("dev", "a node of its own, in memory, nothing to configure"),
  ]

  static let agent = Command(
    name: "agent", summary: "run one node",
    usage: "--config FILE | --dev [--KEY VALUE]…",
    flags: agentFlags,
    details: """
      Every key of the configuration can be given as a flag too and then wins over the file, for
      example --ports.http 9500 or --log_level debug. The keys:
      \(wrapped(NodeConfiguration.flagPaths))
      """
  ) { input in
    let arguments = try Arguments(input, flags: agentFlags, extra: isConfigurationFlag)
    try arguments.expect()
    let overrides = arguments.others(than: ["config", "dev"]).map {
      (path: path(ofFlag: $0.name), value: $0.value)
    }
    let configuration: NodeConfiguration
    if arguments.has("dev") {
      configuration = try unwrap(NodeConfiguration.development(overrides: overrides), "--dev")
    } else if let file = arguments.value("config") {
      configuration = try Self.configuration(file: file, overrides: overrides)
      return try AgentProcess.run(configuration) {
        try? Self.configuration(file: file, overrides: overrides)
      }
    } else {
      throw UsageError("give --config FILE, or --dev for a node without one")
    }
    return try AgentProcess.run(configuration)
  }

  static let validate = Command(
    name: "validate", summary: "check a configuration file", usage: "FILE…", flags: []
  ) { input in
    let arguments = try Arguments(input, flags: [])
    guard !arguments.words.isEmpty else { throw UsageError("FILE is missing") }
    for file in arguments.words {
      _ = try configuration(file: file, overrides: [])
      Console.print("\(file): Configuration is valid!")
    }
    return 0
  }

  static let version = Command(
    name: "version", summary: "print the version", usage: "", flags: []
  ) { input in
    _ = try Arguments(input, flags: [])
    Console.print("Roost v\(Node.version)")
    return 0
  }

  /// Reads and checks a file; every problem is in the message, one a line.
  static func configuration(
    file: String, overrides: [(path: String, value: String)]
  ) throws(CommandFailure) -> NodeConfiguration {
    let bytes = try Console.readFile(file)
    return try unwrap(NodeConfiguration.parse(bytes, overrides: overrides), file)
  }

  private static func unwrap(
    _ result: NodeConfiguration.ParseResult, _ source: String
  ) throws(CommandFailure) -> NodeConfiguration {
    switch result {
    case .valid(let configuration): return configuration
    case .invalid(let problems):
      let lines = problems.map { "  \($0)" }.joined(separator: "\n")
      throw CommandFailure("\(source) is not a valid configuration:\n\(lines)")
    }
  }

  /// Words as lines of the help.
  private static func wrapped(_ words: [String]) -> String {
    var lines = ["  "]
    for (position, word) in words.enumerated() {
      let text = word + (position < words.count - 1 ? "," : "")
      let last = lines.count - 1
      if lines[last].count + text.count > 90 {
        lines.append("  " + text)
      } else {
        lines[last] += (lines[last] == "  " ? "" : " ") + text
      }
    }
    return lines.joined(separator: "\n")
  }

  /// `--log-level` and `--log_level` are the same.
  private static func path(ofFlag name: String) -> String {
    String(name.map { $0 == "-" ? "_" : $0 })
  }

  private static func isConfigurationFlag(_ name: String) -> Bool {
    NodeConfiguration.flagPaths.contains(path(ofFlag: name))
  }
}
