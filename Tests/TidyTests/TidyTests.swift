import Foundation
import Testing

/// The rules of the house that a program can check.
struct TidyTests {
  struct SourceFile {
    let path: String
    let lines: [String]
    var target: String { String(path.split(separator: "/")[1]) }
  }

  static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// Swift files below `folder`, with their paths from the root of the project.
  static func files(_ folder: String) throws -> [SourceFile] {
    let base = root.appendingPathComponent(folder)
    let names = try FileManager.default.subpathsOfDirectory(atPath: base.path)
    return try names.filter { $0.hasSuffix(".swift") }.sorted().map { name in
      let text = try String(contentsOf: base.appendingPathComponent(name), encoding: .utf8)
      return SourceFile(
        path: folder + "/" + name,
        lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
    }
  }

  static func code(_ line: String) -> Bool {
    !line.drop { $0 == " " }.hasPrefix("//")
  }

  @Test func filesAreOfReadableLength() throws {
    for file in try Self.files("Sources") {
      #expect(file.lines.count <= 500, "\(file.path) has \(file.lines.count) lines")
    }
  }

  @Test(arguments: [
    "Raft", "Wire", "Registry", "Storage", "EventLoop", "HTTP", "DNS", "Peer", "Checks",
  ])
  func noFoundation(_ target: String) throws {
    for file in try Self.files("Sources/" + target) {
      for (number, line) in file.lines.enumerated() where line.contains("import Foundation") {
        Issue.record("\(file.path):\(number + 1) imports Foundation")
      }
    }
  }

  /// Pure targets take time, randomness and input from outside.
  @Test(arguments: ["Raft", "Registry", "Basics", "Wire"])
  func pureTargetsReachForNothing(_ target: String) throws {
    let banned = [
      "import Glibc", "Date()", ".random(", "SystemRandomNumberGenerator", "clock_gettime",
      "UUID()", "ContinuousClock", "Thread", "print(",
    ]
    for file in try Self.files("Sources/" + target) {
      for (number, line) in file.lines.enumerated() where Self.code(line) {
        for word in banned where line.contains(word) {
          Issue.record("\(file.path):\(number + 1) uses \(word)")
        }
      }
    }
  }

  @Test func nothingTrapsOnPurpose() throws {
    for file in try Self.files("Sources") {
      for (number, line) in file.lines.enumerated() where Self.code(line) {
        for word in ["try!", " as! ", "fatalError(\"stub"] where line.contains(word) {
          Issue.record("\(file.path):\(number + 1) uses \(word)")
        }
      }
    }
  }

  /// Whoever switches a check of the compiler off says why it is sound, within the lines above.
  @Test func uncheckedSendableIsExplained() throws {
    for file in try Self.files("Sources") {
      for (number, line) in file.lines.enumerated()
      where Self.code(line) && line.contains("@unchecked Sendable") {
        let above = file.lines[max(0, number - 12)..<number]
        #expect(
          above.contains { !Self.code($0) }, "\(file.path):\(number + 1) has no reason above it")
      }
    }
  }

  @Test func unfinishedWorkNamesItsIssue() throws {
    // Written in two parts so that this line is not found itself.
    let word = "TO" + "DO"
    for file in try Self.files("Sources") + Self.files("Tests") {
      for (number, line) in file.lines.enumerated()
      where line.contains(word) && !line.contains(word + "(#") {
        Issue.record("\(file.path):\(number + 1): \(word) without an issue number")
      }
    }
  }

  @Test func thePackageNamesNoOtherPackage() throws {
    let manifest = try String(
      contentsOf: Self.root.appendingPathComponent("Package.swift"), encoding: .utf8)
    #expect(!manifest.contains(".package("))
  }
}
