import Foundation
import RoostClient
import Testing

@testable import roost

/// The table of commands, its help and completions, and what the commands print.
struct CommandTests {
  @Test func namesAndFlagsAreUnique() {
    let names = Command.all.map(\.name)
    #expect(Set(names).count == names.count)
    for command in Command.all {
      let flags = command.flags.map(\.name)
      #expect(Set(flags).count == flags.count, "\(command.name)")
      #expect(!command.summary.isEmpty)
      #expect(command.flags.allSatisfy { !$0.help.isEmpty }, "\(command.name)")
    }
  }

  @Test func theLongestNameWins() throws {
    let found = try #require(Main.find(["kv", "get", "x"]))
    #expect(found.0.name == "kv get")
    #expect(found.1 == ["x"])
    #expect(Main.find(["kv"]) == nil)
    #expect(Main.find([]) == nil)
  }

  @Test func helpFitsATerminal() {
    for command in Command.all {
      for line in command.help.split(separator: "\n") {
        #expect(line.count <= 130, "\(command.name): \(line)")
      }
    }
    for line in Overview.text().split(separator: "\n") { #expect(line.count <= 110, "\(line)") }
  }

  @Test(arguments: [
    (["nosuch"], 2), (["kv"], 2), (["kv", "nosuch"], 2), ([], 2), (["status", "--nosuch"], 2),
    (["help"], 0), (["--version"], 0), (["kv", "get", "--help"], 0), (["help", "kv", "get"], 0),
    (["kv", "get"], 1), (["status", "--http-addr", "127.0.0.1:1"], 1), (["validate"], 2),
    (["watch", "--type", "nosuch"], 2), (["lock", "p"], 2), (["completions", "tcsh"], 2),
    (["snapshot", "inspect", "/dev/null"], 1), (["snapshot", "inspect", "/nosuch"], 1),
  ])
  func exitStatus(_ words: [String], _ status: Int) {
    #expect(Main.run(words[...]) == Int32(status))
  }

  @Test func completionsKnowEveryCommand() {
    let tree = Completions.tree
    #expect(tree.first { $0.prefix == "kv" }?.words.contains("watch") == true)
    #expect(tree.first { $0.prefix == "operator" }?.words == ["raft"])
    for shell in Completions.Shell.allCases {
      let script = Completions.script(shell)
      for command in Command.all {
        #expect(script.contains(command.name), "\(shell): \(command.name)")
      }
    }
  }

  @Test func bashUnderstandsItsScript() throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    let ask = """
      COMP_WORDS=(roost kv wa); COMP_CWORD=2; _roost; echo "${COMPREPLY[@]}"
      COMP_WORDS=(roost kv put --f); COMP_CWORD=3; _roost; echo "${COMPREPLY[@]}"
      COMP_WORDS=(roost kv get some/key --det); COMP_CWORD=4; _roost; echo "${COMPREPLY[@]}"
      """
    process.arguments = ["-c", Completions.script(.bash) + ask]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(String(decoding: output, as: UTF8.self) == "watch\n--flags\n--detailed\n")
  }

  @Test func tablesAreAligned() {
    var table = Table("A", "Long heading", "C")
    table.add("wide cell", "x", "y")
    table.add("1")
    #expect(table.render() == "A          Long heading  C\nwide cell  x             y\n1\n")
  }

  @Test func whatOthersRegisteredCannotDriveTheTerminal() {
    var table = Table("A")
    table.add("\u{1B}[31mred\u{7}\u{9B}\n")
    #expect(table.render() == "A\n?[31mred???\n")
  }

  @Test func spelling() {
    #expect(Spelling.nearest(to: "stauts", among: ["status", "members"]) == "status")
    #expect(Spelling.nearest(to: "xyz", among: ["status", "kv"]) == nil)
    #expect(Spelling.distance(Array("kitten"), Array("sitting")) == 3)
    #expect(Spelling.distance([], Array("ab")) == 2)
  }

  @Test func jsonIsIndentedAsItIs() {
    func indented(_ text: String) -> String {
      String(decoding: JSONText.indented(Array(text.utf8)), as: UTF8.self)
    }
    #expect(indented("null") == "null")
    #expect(indented("[ ]") == "[]")
    #expect(
      indented(#"{"b":18446744073709551615,"a":[1, "x,{\"]"],"c":{}}"#) == """
        {
            "b": 18446744073709551615,
            "a": [
                1,
                "x,{\\"]"
            ],
            "c": {}
        }
        """)
    #expect(JSONText.onlyElement(Array(#"[{"a":1}]"#.utf8)) == Array(#"{"a":1}"#.utf8))
    #expect(JSONText.onlyElement(Array("null".utf8)) == Array("null".utf8))
  }

  @Test func exportsAreReadBack() throws {
    let pairs = [
      KVPair(
        key: "a/\"b\"", value: [0, 255], flags: .max, createIndex: 1, modifyIndex: 2, lockIndex: 0),
      KVPair(key: "c", value: [], flags: 0, createIndex: 1, modifyIndex: 2, lockIndex: 0),
    ]
    let back = try KVExport.parse(Array(KVExport.text(pairs).utf8))
    #expect(back.map(\.key) == pairs.map(\.key))
    #expect(back.map(\.value) == pairs.map(\.value))
    #expect(back.map(\.flags) == pairs.map(\.flags))
    #expect(try KVExport.parse(Array(KVExport.text([]).utf8)).isEmpty)
    for text in ["", "{}", #"[{"key":"a","value":"?"}]"#, #"[{"value":""}]"#] {
      #expect(throws: CommandFailure.self) { try KVExport.parse(Array(text.utf8)) }
    }
  }

  @Test func coloursHaveNoLength() {
    #expect(DemoScreen.visibleLength("\u{1B}[31mred\u{1B}[0m!") == 4)
  }
}
