import Testing

@testable import Registry

/// Facts 10.x and 25.8 of the compatibility notes.
@Suite struct SessionTests {
  @Test func createRefusals() {
    let t = Harness()
    #expect(refusal(t.session(1, node: "")) == "500 Must provide Node")
    #expect(refusal(t.session(1)) == "500 apply failed: Missing node registration")
    t.node("n1")
    #expect(
      refusal(t.session(1, checks: ["nosuch"]))
        == "500 apply failed: Missing check 'nosuch' registration")
    t.check("n1", "c", status: "critical")
    #expect(
      refusal(t.session(1, checks: ["c"])) == "500 apply failed: Check 'c' is in critical state")
    #expect(t.registry.sessions().isEmpty && t.registry.sessionsIndex == 1)
    #expect(t.session(1, node: "N1") == .done)
    #expect(t.registry.session(t.id(1))?.node == "n1" && t.registry.sessionsIndex == 7)
    #expect(t.changes.sessionsChanged && t.changes.topics == [.sessions])
    #expect(refusal(t.session(1)) != nil)
  }

  @Test func destroyReleasesOrDeletes() {
    let t = Harness()
    t.node("n1")
    t.session(1)
    t.session(2, behavior: .delete)
    t.put("a", "1", mode: .acquire(t.id(1)))
    t.put("b", "2", mode: .acquire(t.id(2)))
    t.apply(.sessionDestroy(t.id(1)))
    #expect(t.changes.keys == [Key("a")] && t.changes.topics == [.sessions])
    let a = t.registry.kv(Key("a"))
    #expect(a?.session == nil && a?.lockIndex == 1 && a?.modifyIndex == 6)
    #expect(a?.value == Array("1".utf8))
    t.apply(.sessionDestroy(t.id(2)))
    #expect(t.contents == ["a=1"] && t.registry.kvPrefixIndex(Key("b")) == 7)
    t.apply(.sessionDestroy(t.id(2)))
    #expect(t.changes.isEmpty && t.registry.sessionsIndex == 7)
  }

  @Test(arguments: 0..<5)
  func aLostCheckEndsItsSessions(way: Int) {
    let t = Harness()
    t.node("n1")
    t.service("n1", "w", "web")
    t.check("n1", "c", serviceID: "w")
    t.session(1, checks: ["C"])
    t.session(2)
    t.put("k", mode: .acquire(t.id(1)))
    switch way {
    case 0: t.check("n1", "c", status: "critical", serviceID: "w")
    case 1: t.apply(.deregister(node: "n1", serviceID: "", checkID: "c"))
    case 2: t.apply(.deregister(node: "n1", serviceID: "w", checkID: ""))
    case 3:
      t.apply(
        .checkUpdate(
          CheckUpdate(checkID: "c", fromHost: nil, node: "n1", status: "critical", output: "")))
    default:
      var check = CheckRecord(node: "n1", id: "c", name: "c")
      check.serviceID = "w"
      t.apply(.transaction([.check(verb: .set, check)]))
    }
    #expect(t.registry.sessions().map(\.id) == [t.id(2)])
    #expect(t.registry.kv(Key("k"))?.session == nil)
    #expect(t.registry.kv(Key("k"))?.modifyIndex == t.index)
    #expect(t.changes.sessionsChanged && t.changes.keys == [Key("k")])
  }

  @Test func aLostNodeEndsItsSessions() {
    let t = Harness()
    t.node("n1")
    t.node("n2")
    t.session(1)
    t.session(2, node: "n2")
    #expect(t.registry.sessions(onNode: "N2").map(\.id) == [t.id(2)])
    t.apply(.deregister(node: "n1", serviceID: "", checkID: ""))
    #expect(t.registry.sessions().map(\.id) == [t.id(2)])
    #expect(t.registry.sessions(onNode: "n1").isEmpty)
  }

  @Test func aWarningEndsNothing() {
    let t = Harness()
    t.node("n1")
    t.check("n1", "c")
    t.session(1, checks: ["c"])
    t.check("n1", "c", status: "warning")
    #expect(t.registry.session(t.id(1)) != nil)
  }

  @Test func uuids() {
    let id = UniqueID(high: 0x0123_4567_89AB_CDEF, low: 0xFEDC_BA98_7654_3210)
    #expect(id.description == "01234567-89ab-cdef-fedc-ba9876543210")
    #expect(UniqueID(parsing: "01234567-89AB-cdef-fedc-ba9876543210") == id)
    #expect(UniqueID(key: id.key) == id)
    for text in [
      "", "01234567-89ab-cdef-fedc-ba987654321", "01234567-89ab-cdef-fedc-ba98765432100",
      "01234567089ab-cdef-fedc-ba9876543210", "g1234567-89ab-cdef-fedc-ba9876543210",
      "0123456é-89ab-cdef-fedc-ba9876543210",
    ] {
      #expect(UniqueID(parsing: text) == nil)
    }
  }
}
