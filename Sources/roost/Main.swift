internal import Glibc

/// The command line: finds the command, runs it, turns what it throws into a message and a status.
///
/// Exit status: 0 done, 1 failed, 2 wrong usage.
@main
enum Main {
  static func main() {
    exit(run(CommandLine.arguments.dropFirst()))
  }

  static func run(_ arguments: ArraySlice<String>) -> Int32 {
    guard let (command, rest) = find(arguments) else {
      let word = arguments.first ?? ""
      if ["", "help", "-h", "-help", "--help"].contains(word) {
        Console.write(overview())
        return word.isEmpty ? 2 : 0
      }
      if ["-v", "-version", "--version"].contains(word) { return run(["version"]) }
      Console.printError("roost: there is no command \"\(arguments.joined(separator: " "))\"")
      Console.printError("`roost help` lists the commands.")
      return 2
    }
    if rest.contains(where: { ["-h", "-help", "--help"].contains($0) }) {
      Console.write(command.help)
      return 0
    }
    do {
      return try command.run(rest)
    } catch let error as UsageError {
      Console.printError("roost \(command.name): \(error.message)")
      Console.printError("usage: roost \(command.name) \(command.usage)")
      return 2
    } catch let error as CommandFailure {
      Console.printError("roost \(command.name): \(error.message)")
      return 1
    } catch {
      Console.printError("roost \(command.name): \(error)")
      return 1
    }
  }

  /// The command with the longest name that the arguments start with.
  private static func find(_ arguments: ArraySlice<String>) -> (Command, ArraySlice<String>)? {
    var best: (Command, ArraySlice<String>)?
    var longest = 0
    for command in Command.all {
      let words = command.name.split(separator: " ").map(String.init)
      if words.count > longest, arguments.starts(with: words) {
        best = (command, arguments.dropFirst(words.count))
        longest = words.count
      }
    }
    return best
  }

  private static func overview() -> String {
    var text = "roost: a replicated service registry and key-value cluster\n\n"
    text += "usage: roost COMMAND [ARGUMENTS]; `roost COMMAND --help` tells more\n\n"
    let width = Command.all.map(\.name.count).max() ?? 0
    for command in Command.all {
      let padding = String(repeating: " ", count: width - command.name.count)
      text += "  \(command.name)\(padding)  \(command.summary)\n"
    }
    return text
  }
}

/// One command of the program.
struct Command: Sendable {
  let name: String
  let summary: String
  let usage: String
  let flags: [Flag]
  /// More than one line of help, or empty.
  var details = ""
  let run: @Sendable (ArraySlice<String>) throws -> Int32

  static let all: [Command] = [
    .agent, .cluster, .validate,
    .status, .members,
    .kvGet, .kvPut, .kvDelete, .kvList,
    .servicesRegister, .servicesDeregister, .servicesList, .health,
    .listPeers, .addPeer, .removePeer, .transferLeader,
    .simulate, .bench, .version,
  ]

  var help: String {
    var text = "roost \(name): \(summary)\n\nusage: roost \(name) \(usage)\n"
    if !details.isEmpty { text += "\n\(details)\n" }
    guard !flags.isEmpty else { return text }
    text += "\n"
    let names = flags.map { "--\($0.name)" + ($0.value.map { " \($0)" } ?? "") }
    let width = names.map(\.count).max() ?? 0
    for (name, flag) in zip(names, flags) {
      text += "  \(name)\(String(repeating: " ", count: width - name.count))  \(flag.help)\n"
    }
    return text
  }
}
