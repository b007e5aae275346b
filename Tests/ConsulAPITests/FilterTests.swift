import Basics
import Registry
import Testing

@testable import ConsulAPI

/// Filter expressions (consul-api.md 20), and the regular expressions in them.
struct FilterTests {
  private var view: ServiceHealthView {
    var service = ServiceRecord(node: "n", id: "web-1", name: "web")
    service.tags = ["a", "b"]
    service.meta = StringMap([StringPair("env", "prod"), StringPair("n-1", "x")])
    service.port = 80
    service.taggedAddresses = [
      NamedServiceAddress(name: "lan", value: ServiceAddress(address: "10.0.0.1", port: 81))
    ]
    var good = CheckRecord(node: "n", id: "c1", name: "one")
    good.status = "passing"
    let bad = CheckRecord(node: "n", id: "c2", name: "two")
    return ServiceHealthView(
      instance: Catalog.Instance(
        service: service, node: NodeRecord(name: "n", address: "10.0.0.1")),
      checks: [good, bad], datacenter: "dc1")
  }

  private func accepts(_ text: String) throws -> Bool {
    try Filter(parsing: Array(text.utf8), fields: FilterFields.health).accepts(view)
  }

  @Test(arguments: [
    ("Service.Port == 80", true), ("Service.Port==\"80\"", true), ("Service.Port != 80", false),
    ("Service.Service == web", true), ("Service.Service == \"Web\"", false),
    ("\"a\" in Service.Tags", true), ("z in Service.Tags", false),
    ("z not in Service.Tags", true), ("Service.Tags contains `b`", true),
    ("Service.Tags not contains b", false), ("Service.Tags is empty", false),
    ("Service.Tags is not empty", true), ("Service.Meta.env == prod", true),
    ("Service.Meta[\"n-1\"] == \"x\"", true), ("env in Service.Meta", true),
    ("Service.Meta.no == x", false), ("Service.Meta.no != x", true),
    ("Service.Meta.no is empty", true), ("Service.Address is empty", true),
    ("Service.Service contains \"e\"", true), ("Service.Weights.Passing == 1", true),
    ("Service.EnableTagOverride == false", true),
    ("Service.TaggedAddresses.lan.Port == 81", true), ("lan in Service.TaggedAddresses", true),
    ("Service.TaggedAddresses.wan.Address == x", false),
    ("Node.Datacenter == dc1", true), ("Node.Meta is empty", true),
    ("Checks.Status == critical", true), ("Checks.Status == passing", true),
    ("Checks.Status != passing", true), ("Checks is empty", false),
    ("Service.ID matches `^web-\\d+$`", true), ("Service.ID not matches \"eb\"", false),
    ("not Service.Port == 80", false), ("not not Service.Port == 80", true),
    ("Service.Port == 1 or Service.Port == 80 and Service.Service == web", true),
    ("(Service.Port == 80 or Service.Port == 1) and Service.Service == no", false),
    ("  ( Service.Port == 80 )  ", true),
  ])
  func evaluates(_ row: (text: String, result: Bool)) throws {
    #expect(try accepts(row.text) == row.result)
  }

  @Test(arguments: [
    ("zzz", "1:4 (3): no match found"), ("Service.ID == a-b", "1:"), ("(Service.ID == a", "1:"),
    ("Service.ID ==", "1:"), ("80 == Service.Port", "1:"), ("Service.Port < 80", "1:"),
    ("Service.ID == \"a", "1:"), ("Service.ID == a AND Service.ID == b", "1:"),
    ("Service.ID == a and", "1:"), ("", "1:"), ("Service. == a", "1:"),
    ("Bogus == x", "Selector \"Bogus\" is not valid"),
    ("Service.Tags.x == y", "Selector \"Service.Tags.x\" is not valid"),
    ("Service.Tags == a", "Invalid match operator \"Equal\" for selector \"Service.Tags\""),
    ("1 in Service.Port", "Invalid match operator \"In\" for selector \"Service.Port\""),
    ("Service.Port == abc", "Failed to coerce value \"abc\" for selector \"Service.Port\": "),
    (
      "Service.EnableTagOverride == 7",
      "Failed to coerce value \"7\" for selector \"Service.EnableTagOverride\": "
    ),
    ("Service.ID matches \"(\"", "Failed to compile regular expression \"(\": "),
  ])
  func refuses(_ row: (text: String, reason: String)) {
    let prefix = "Failed to create boolean expression evaluator: "
    do {
      _ = try accepts(row.text)
      Issue.record("accepted \(row.text)")
    } catch let refusal as Refusal {
      #expect(refusal.status == 500)
      #expect(refusal.text.hasPrefix(prefix + row.reason), "\(refusal.text)")
    } catch {
      Issue.record("\(error)")
    }
  }

  @Test func deepNestingIsRefused() {
    let deep = String(repeating: "(", count: 4000) + "Node.Node == n"
    #expect(throws: Refusal.self) { try accepts(deep) }
  }

  @Test func appliesToEveryListedEndpoint() {
    let harness = APIHarness()
    for target in [
      "agent/services", "agent/checks", "catalog/nodes", "catalog/service/x", "catalog/node/n1",
      "catalog/node-services/n1", "health/node/n1", "health/checks/x", "health/state/any",
      "health/service/x", "internal/ui/nodes",
    ] {
      #expect(harness.get("/v1/\(target)?filter=Bogus%20==%20x").status == 500, "\(target)")
      #expect(harness.get("/v1/\(target)?filter=").status == 200, "\(target)")
    }
    let some = harness.get("/v1/catalog/nodes?filter=Node%20==%20n1").text
    #expect(some.contains("\"n1\""))
    #expect(harness.get("/v1/catalog/nodes?filter=Node%20!=%20n1").text == "[]")
  }

  // MARK: Patterns

  @Test(arguments: [
    ("", "x", true), ("b", "abc", true), ("^b", "abc", false), ("c$", "abc", true),
    ("^a.c$", "abc", true), ("^a.c$", "a\nc", false), ("^(ab|cd)+$", "abcdab", true),
    ("^a*$", "", true), ("^a+$", "", false), ("^ab?c$", "ac", true), ("^a{2,3}$", "aaaa", false),
    ("^a{2,}$", "aaaa", true), ("^a{2}$", "aa", true), ("a{,2}", "a{,2}", true),
    ("^[a-c_]+$", "ab_c", true), ("^[^a-c]+$", "xyz", true), ("^[]a]$", "]", true),
    ("^[\\d-]+$", "1-2", true), ("^\\w+\\.\\S+$", "ab.c-d", true), ("\\D", "123", false),
    ("(?i)ABC", "xabcx", true), ("^(?:a|b)c$", "bc", true), ("^(?P<n>a)$", "a", true),
    ("a*?b", "aab", true), ("^\u{E9}$", "\u{E9}", true), ("x|", "", true), ("\\(", "(", true),
    ("^[^\\d]$", "7", false), ("a||b", "zzz", true),
  ])
  func patterns(_ row: (pattern: String, text: String, result: Bool)) throws {
    #expect(try Pattern(parsing: row.pattern).matches(row.text) == row.result)
  }

  @Test(arguments: [
    "(", ")", "[a", "a**b(", "*a", "\\", "a{2000}", "[b-a]", "(?=a)", "\\1", "(?P<n", "a{3,2}",
    "((a{100}){100}){100}",
  ])
  func badPatterns(_ pattern: String) {
    #expect(throws: Pattern.Fault.self) { try Pattern(parsing: pattern) }
  }

  /// Backtracking would take longer than the universe has been there.
  @Test func hostilePatternsAreLinear() throws {
    let pattern = try Pattern(parsing: "^(a|a|aa)*(a|a)*$")
    #expect(!pattern.matches(String(repeating: "a", count: 2000) + "!"))
  }

  @Test func randomPatternsNeverTrap() {
    var random = SplitMix(seed: 7)
    let alphabet = Array("ab()[]{}|*+?^$\\.-,1:i<P")
    for _ in 0..<5000 {
      let length = Int(random.next() % 12)
      let text = String(
        (0..<length).map { _ in alphabet[Int(random.below(UInt64(alphabet.count)))] })
      _ = (try? Pattern(parsing: text))?.matches("ab1ab")
      _ = try? Filter(parsing: Array(text.utf8), fields: FilterFields.node)
    }
  }
}
