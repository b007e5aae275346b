/// A flag of a command: `--name value`, `--name=value`, or just `--name`; one dash works too.
struct Flag: Sendable, Equatable {
  enum Kind: Sendable, Equatable {
    case plain
    /// What stands for the value in the help.
    case valued(String)
    /// `--name` or `--name=value`, never the word after it.
    case optional(String)
  }

  let name: String
  let kind: Kind
  let help: String

  init(_ name: String, _ value: String, _ help: String) {
    self.name = name
    kind = .valued(value)
    self.help = help
  }

  /// A switch without a value.
  init(_ name: String, _ help: String) {
    self.name = name
    kind = .plain
    self.help = help
  }

  init(_ name: String, optional value: String, _ help: String) {
    self.name = name
    kind = .optional(value)
    self.help = help
  }

  /// As the help shows it.
  var usage: String {
    switch kind {
    case .plain: "--\(name)"
    case .valued(let value): "--\(name) \(value)"
    case .optional(let value): "--\(name)[=\(value)]"
    }
  }

  /// Flags of every command that talks to a cluster.
  static let client = [
    Flag("http-addr", "HOST:PORT,…", "nodes to ask, tried in turn (ROOST_HTTP_ADDR)"),
    Flag("token", "SECRET", "ACL token (ROOST_HTTP_TOKEN)"),
    Flag("token-file", "FILE", "file that holds the token (ROOST_HTTP_TOKEN_FILE)"),
    Flag("datacenter", "NAME", "refused unless it is the cluster's own"),
    Flag("json", "print JSON for scripts"),
  ]
}

/// The words after the command, sorted into flags and the rest.
struct Arguments {
  private(set) var words: [String] = []
  private var values: [(name: String, value: String)] = []

  /// - Parameters:
  ///   - wordsBeforeRest: after so many words all that follows is taken as it is, so that a program
  ///     to run keeps its own flags.
  ///   - extra: accepts flags that are not in `flags` (they take a value).
  init(
    _ input: ArraySlice<String>, flags: [Flag], wordsBeforeRest: Int = .max,
    extra: (String) -> Bool = { _ in false }
  ) throws(UsageError) {
    var rest = input
    while let word = rest.popFirst() {
      if word == "--" {
        words += rest
        return
      }
      guard word.hasPrefix("-"), word.count > 1 else {
        words.append(word)
        if words.count > wordsBeforeRest {
          words += rest
          return
        }
        continue
      }
      let dashes = word.hasPrefix("--") ? 2 : 1
      let stripped = word.dropFirst(dashes)
      let name = String(stripped.prefix { $0 != "=" })
      let inline = stripped.firstIndex(of: "=").map {
        String(stripped[stripped.index(after: $0)...])
      }
      let known = flags.first { $0.name == name }
      guard known != nil || extra(name) else {
        throw UsageError(Self.unknown(word, name, flags))
      }
      switch known?.kind ?? .valued("") {
      case .plain:
        guard inline == nil || inline == "true" || inline == "false" else {
          throw UsageError("--\(name) takes no value")
        }
        if inline != "false" { values.append((name, "true")) }
      case .optional:
        values.append((name, inline ?? ""))
      case .valued:
        guard let value = inline ?? rest.popFirst() else {
          throw UsageError("--\(name) needs a value")
        }
        values.append((name, value))
      }
    }
  }

  private static func unknown(_ word: String, _ name: String, _ flags: [Flag]) -> String {
    guard let near = Spelling.nearest(to: name, among: flags.map(\.name)) else {
      return "unknown flag \(word); --help lists the flags"
    }
    return "unknown flag \(word); did you mean --\(near)?"
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
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt64(text) else {
      throw UsageError("--\(name) takes a whole number, not \"\(text)\"")
    }
    return number
  }

  /// A number within bounds, or the fallback.
  func number(
    _ name: String, in range: ClosedRange<UInt64>, otherwise fallback: Int
  ) throws(UsageError) -> Int {
    guard let value = try number(name) else { return fallback }
    guard range.contains(value) else {
      throw UsageError("--\(name) takes \(range.lowerBound) to \(range.upperBound)")
    }
    return Int(value)
  }

  /// Seconds from "10s", "500ms", "2m", "1h".
  func seconds(_ name: String) throws(UsageError) -> Double? {
    guard let text = value(name) else { return nil }
    let units = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)]
    for (unit, factor) in units where text.hasSuffix(unit) {
      if let number = Double(text.dropLast(unit.count)), number >= 0, number < 1e6 {
        return number * factor
      }
    }
    throw UsageError("--\(name) takes a duration such as 10s, not \"\(text)\"")
  }

  /// Exactly these words, named as in the usage line.
  func expect(_ names: String...) throws(UsageError) {
    if words.count < names.count { throw UsageError("\(names[words.count]) is missing") }
    if words.count > names.count { throw UsageError("too many arguments: \(words[names.count])") }
  }

  /// At most one word.
  func optionalWord() throws(UsageError) -> String? {
    if words.count > 1 { throw UsageError("too many arguments: \(words[1])") }
    return words.first
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
