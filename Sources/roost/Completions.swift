extension Command {
  static let completions = Command(
    name: "completions", summary: "print a completion script for a shell",
    usage: "bash|zsh|fish", flags: [],
    details: """
      bash: eval "$(roost completions bash)"      in ~/.bashrc
      zsh:  eval "$(roost completions zsh)"       in ~/.zshrc, after compinit
      fish: roost completions fish | source       in ~/.config/fish/config.fish
      """
  ) { input in
    let arguments = try Arguments(input, flags: [])
    try arguments.expect("bash, zsh or fish")
    guard let shell = Completions.Shell(rawValue: arguments.words[0]) else {
      throw UsageError("\"\(arguments.words[0])\" is none of bash, zsh and fish")
    }
    Console.write(Completions.script(shell))
    return 0
  }
}

/// Completion scripts, made from the table of commands: the words that may follow each beginning of
/// a command, and each command's flags.
enum Completions {
  enum Shell: String, CaseIterable { case bash, zsh, fish }

  static func script(_ shell: Shell) -> String {
    switch shell {
    case .bash: bash
    case .zsh: "autoload -U +X bashcompinit && bashcompinit\n" + bash
    case .fish: fish
    }
  }

  /// Every beginning of a command with the words that may come next, in the order of the table.
  static var tree: [(prefix: String, words: [String])] {
    var tree: [(prefix: String, words: [String])] = []
    for command in Command.all {
      let words = command.name.split(separator: " ").map(String.init)
      for depth in words.indices {
        let prefix = words[..<depth].joined(separator: " ")
        if let row = tree.firstIndex(where: { $0.prefix == prefix }) {
          if !tree[row].words.contains(words[depth]) { tree[row].words.append(words[depth]) }
        } else {
          tree.append((prefix, [words[depth]]))
        }
      }
    }
    return tree
  }

  private static var bash: String {
    var cases = ""
    for (prefix, words) in tree {
      cases += "    \"\(prefix)\") next=\"\(words.joined(separator: " "))\" ;;\n"
    }
    for command in Command.all {
      let flags = (command.flags.map { "--" + $0.name } + ["--help"]).joined(separator: " ")
      cases += "    \"\(command.name)\") flags=\"\(flags)\" ;;\n"
    }
    return """
      _roost() {
        local current="${COMP_WORDS[COMP_CWORD]}" path="" word next="" flags=""
        for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
          [[ $word == -* ]] && break
          path="${path:+$path }$word"
        done
        while :; do
          case "$path" in
      \(cases)    esac
          [[ -n $next || -n $flags || $path != *" "* ]] && break
          path="${path% *}"
        done
        if [[ $current == -* ]]; then
          COMPREPLY=($(compgen -W "$flags" -- "$current"))
        elif [[ -n $next ]]; then
          COMPREPLY=($(compgen -W "$next" -- "$current"))
        else
          COMPREPLY=($(compgen -f -- "$current"))
        fi
      }
      complete -o filenames -F _roost roost

      """
  }

  private static var fish: String {
    var text = """
      function __roost_at
        set -l words (commandline -opc)
        set -e words[1]
        set -l path (string match -v -- '-*' $words)
        test "$path" = "$argv"
      end
      function __roost_in
        set -l words (commandline -opc)
        set -e words[1]
        string match -q -- "$argv*" "$words"
      end
      complete -c roost -f

      """
    for (prefix, words) in tree {
      for word in words {
        let name = prefix.isEmpty ? word : prefix + " " + word
        let summary = Command.all.first { $0.name == name }?.summary ?? "\(word) commands"
        text += "complete -c roost -n '__roost_at \(prefix)' -a \(word) -d \(quoted(summary))\n"
      }
    }
    for command in Command.all {
      for flag in command.flags {
        let value = if case .valued = flag.kind { " -r" } else { "" }
        text += "complete -c roost -n '__roost_in \(command.name)' -l \(flag.name)\(value)"
        text += " -d \(quoted(flag.help))\n"
      }
    }
    return text
  }

  private static func quoted(_ text: String) -> String {
    "'" + text.map { $0 == "'" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "'"
  }
}
