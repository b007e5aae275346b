import Testing

@testable import roost

/// How words become flags, values and the rest.
struct ArgumentsTests {
  static let flags = [
    Flag("name", "NAME", ""), Flag("json", ""), Flag("n", "N", ""), Flag("cas", optional: "I", ""),
  ]

  private static func parse(_ words: String..., before: Int = .max) throws(UsageError) -> Arguments
  {
    try Arguments(words[...], flags: flags, wordsBeforeRest: before)
  }

  private static func message(_ words: String...) -> String? {
    do {
      _ = try Arguments(words[...], flags: flags)
      return nil
    } catch {
      return error.message
    }
  }

  @Test func oneDashOrTwo() throws {
    for words in [["-name", "x"], ["--name", "x"], ["-name=x"], ["--name=x"]] {
      #expect(try Arguments(words[...], flags: Self.flags).value("name") == "x")
    }
  }

  @Test func switchesTakeNoWord() throws {
    let arguments = try Self.parse("--json", "word", "-")
    #expect(arguments.has("json"))
    #expect(arguments.words == ["word", "-"])
    #expect(try !Self.parse("--json=false").has("json"))
    #expect(Self.message("--json=maybe") == "--json takes no value")
  }

  @Test func optionalValuesAreInline() throws {
    let bare = try Self.parse("-cas", "5")
    #expect(bare.value("cas") == "")
    #expect(bare.words == ["5"])
    #expect(try Self.parse("-cas=5").number("cas") == 5)
  }

  @Test func theLastOneWinsAndAllAreKept() throws {
    let arguments = try Self.parse("--name", "a", "--name", "b")
    #expect(arguments.value("name") == "b")
    #expect(arguments.all("name") == ["a", "b"])
  }

  @Test func whatFollowsTwoDashesIsNoFlag() throws {
    #expect(try Self.parse("a", "--", "--json").words == ["a", "--json"])
  }

  @Test func aProgramKeepsItsFlags() throws {
    let arguments = try Self.parse("--json", "prefix", "ls", "--json", "-x", before: 1)
    #expect(arguments.words == ["prefix", "ls", "--json", "-x"])
  }

  @Test func mistakesAreNamed() {
    #expect(Self.message("--nmae", "x") == "unknown flag --nmae; did you mean --name?")
    #expect(Self.message("--zzz") == "unknown flag --zzz; --help lists the flags")
    #expect(Self.message("--name") == "--name needs a value")
  }

  @Test(arguments: ["", "-1", "+1", "1x", "99999999999999999999", "٣"])
  func badNumbers(_ text: String) {
    #expect(throws: UsageError.self) { try Self.parse("--n=" + text).number("n") }
  }

  @Test func numbersWithinBounds() throws {
    #expect(try Self.parse().number("n", in: 1...5, otherwise: 3) == 3)
    #expect(try Self.parse("-n", "5").number("n", in: 1...5, otherwise: 3) == 5)
    #expect(throws: UsageError.self) {
      try Self.parse("-n", "6").number("n", in: 1...5, otherwise: 3)
    }
  }

  @Test func durations() throws {
    for (text, seconds) in [("500ms", 0.5), ("10s", 10), ("2m", 120), ("1h", 3600)] {
      #expect(try Self.parse("--name", text).seconds("name") == seconds)
    }
    for text in ["10", "s", "-1s", "nans", "xs", "1d"] {
      #expect(throws: UsageError.self) { try Self.parse("--name=" + text).seconds("name") }
    }
  }

  @Test func wordsAreCounted() throws {
    #expect(throws: UsageError.self) { try Self.parse("a").expect() }
    #expect(throws: UsageError.self) { try Self.parse().expect("KEY") }
    try Self.parse("a").expect("KEY")
    #expect(throws: UsageError.self) { try Self.parse("a", "b").optionalWord() }
  }
}
