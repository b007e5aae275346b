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
    let helpWords = ["-h", "-help", "--help"]
    if arguments.first == "help", arguments.count > 1 {
      return run(arguments.dropFirst() + ["--help"])
    }
    guard let (command, rest) = find(arguments) else {
      let word = arguments.first ?? ""
      if word.isEmpty || word == "help" || helpWords.contains(word) {
        Console.write(Overview.text())
        return word.isEmpty ? 2 : 0
      }
      if ["-v", "-version", "--version"].contains(word) { return run(["version"]) }
      return explainUnknown(arguments.filter { !helpWords.contains($0) }, helpWords)
    }
    let own = rest.prefix { $0 != "--" }
    if own.contains(where: helpWords.contains) {
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
      // Texts that Consul's command line has are printed as it prints them.
      let isConsuls = error.message.hasPrefix("Error!")
      Console.printError(isConsuls ? error.message : "roost \(command.name): \(error.message)")
      return 1
    } catch {
      Console.printError("roost \(command.name): \(error)")
      return 1
    }
  }

  /// The command with the longest name that the arguments start with.
  static func find(_ arguments: ArraySlice<String>) -> (Command, ArraySlice<String>)? {
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

  /// `roost kv` lists what begins so; anything else gets a guess.
  private static func explainUnknown(_ words: [String], _ helpWords: [String]) -> Int32 {
    for count in stride(from: words.count, to: 0, by: -1) {
      let prefix = words.prefix(count).joined(separator: " ")
      let family = Command.all.filter { $0.name.hasPrefix(prefix + " ") }
      guard !family.isEmpty else { continue }
      if count == words.count {
        Console.write(Overview.list(family))
        return 2
      }
      Console.printError(
        "roost: there is no command \"\(words.joined(separator: " "))\". There is:")
      Console.printError(Overview.list(family), newline: false)
      return 2
    }
    let word = words.first ?? ""
    let firsts = Command.all.map { String($0.name.prefix { $0 != " " }) }
    let guess = Spelling.nearest(to: word, among: firsts).map { "; did you mean \"\($0)\"?" } ?? "."
    Console.printError(
      "roost: there is no command \"\(word)\"\(guess) `roost help` lists the commands.")
    return 2
  }
}

/// What `roost help` prints, made from the table of commands.
enum Overview {
  static func text() -> String {
    var text = "roost: a replicated service registry and key-value cluster\n\n"
    text += "usage: roost COMMAND [ARGUMENTS]; `roost COMMAND --help` tells more.\n"
    text += "New here? `roost demo` shows a cluster at work, and one failing, in half a minute.\n"
    for (title, commands) in Command.groups {
      text += "\n" + Console.styled(title, .bold) + "\n" + list(commands)
    }
    return text
  }

  static func list(_ commands: [Command]) -> String {
    let width = Command.all.map(\.name.count).max() ?? 0
    return commands.map { command in
      let padding = String(repeating: " ", count: width - command.name.count)
      return "  \(command.name)\(padding)  \(command.summary)\n"
    }.joined()
  }
}
