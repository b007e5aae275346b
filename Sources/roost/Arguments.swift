/// A flag of a command: `--name value`, `--name=value`, or just `--name`; one dash works too.
struct Flag: Sendable {
  let name: String
  /// What to show for the value in the help; nil: the flag takes none.
  let value: String?
  let help: String

  init(_ name: String, _ value: String? = nil, _ help: String) {
    self.name = name
    self.value = value
    self.help = help
  }

  /// Flags of every command that talks to a cluster.
  static let client = [
    Flag("http-addr", "HOST:PORT,…", "nodes to ask, tried in turn (ROOST_HTTP_ADDR)"),
    Flag("token", "SECRET", "ACL token (ROOST_HTTP_TOKEN)"),
    Flag("json", "print JSON for scripts"),
  ]
}

extension Flag {
  /// A switch without a value.
  init(_ name: String, _ help: String) { self.init(name, nil, help) }
}

/// The words after the command, sorted into flags and the rest.
struct Arguments {
  private(set) var words: [String] = []
  private var values: [(name: String, value: String)] = []

  /// - Parameter extra: accepts flags that are not in `flags` (they take a value).
  init(
    _ input: ArraySlice<String>, flags: [Flag], extra: (String) -> Bool = { _ in false }
  ) throws(UsageError) {
    var rest = input
    while let word = rest.popFirst() {
      if word == "--" {
        words += rest
        break
      }
      guard word.hasPrefix("-"), word.count > 1 else {
        words.append(word)
        continue
      }
      let stripped = word.drop { $0 == "-" }
      let name = String(stripped.prefix { $0 != "=" })
      let inline = stripped.firstIndex(of: "=").map {
        String(stripped[stripped.index(after: $0)...])
      }
      let known = flags.first { $0.name == name }
      guard known != nil || extra(name) else {
        throw UsageError("unknown flag \(word); --help lists the flags")
      }
      if let known, known.value == nil {
        guard inline == nil || inline == "true" || inline == "false" else {
          throw UsageError("--\(name) takes no value")
        }
        if inline != "false" { values.append((name, "true")) }
      } else {
        guard let value = inline ?? rest.popFirst() else {
          throw UsageError("--\(name) needs a value")
        }
        values.append((name, value))
      }
    }
  }

  func has(_ name: String) -> Bool { values.contains { $0.name == name } }
  /// The last one given.
  func value(_ name: String) -> String? { values.last { $0.name == name }?.value }
  func all(_ name: String) -> [String] { values.filter { $0.name == name }.map(\.value) }
  /// Flags other than those named, in order.
  func others(than names: [String]) -> [(name: String, value: String)] {
    values.filter { !names.contains($0.name) }
  }

  func number(_ name: String) throws(UsageError) -> UInt64? {
    guard let text = value(name) else { return nil }
    guard text.allSatisfy(\.isNumber), let number = UInt64(text) else {
      throw UsageError("--\(name) takes a whole number, not \"\(text)\"")
    }
    return number
  }

  /// Exactly `count` words, named as in the usage line.
  func expect(_ names: String...) throws(UsageError) {
    if words.count < names.count { throw UsageError("\(names[words.count]) is missing") }
    if words.count > names.count { throw UsageError("too many arguments: \(words[names.count])") }
  }
}

/// The command line was wrong: exit status 2.
struct UsageError: Error {
  let message: String
  init(_ message: String) { self.message = message }
}

/// The command ran and failed: exit status 1.
struct CommandFailure: Error {
  let message: String
  init(_ message: String) { self.message = message }
}
