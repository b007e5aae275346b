import Testing

@testable import Registry

/// Facts 7.x, 9.x, 25.x and the catalog part of 4.6 and 4.7 of the compatibility notes.
@Suite struct CatalogTests {
  @Test func registerRefusals() {
    let t = Harness()
    #expect(refusal(t.node("")) == "500 Must provide node")
    #expect(
      refusal(t.node("a", address: "")) == "500 Must provide address if SkipNodeUpdate is not set")
    var nameless = Registration(node: NodeRecord(name: "a", address: "x"))
    nameless.service = ServiceRecord(node: "", id: "s", name: "")
    #expect(refusal(t.apply(.register(nameless))) == "500 Must provide service name with ID")
    let lost = t.service("a", "s", "svc", checks: [check("a", "c", service: "other")])
    #expect(
      refusal(lost)
        == "500 failed inserting check: Missing service registration on node \"a\"")
    #expect(t.changes.isEmpty && t.registry.nodes().isEmpty)
    #expect(t.registry.services().isEmpty)
  }

  func check(_ node: String, _ id: String, service: String = "") -> CheckRecord {
    var check = CheckRecord(node: node, id: id, name: id)
    check.serviceID = service
    return check
  }

  @Test func identicalRegistrationChangesNothing() {
    let t = Harness()
    for _ in 0..<2 {
      t.node("n1")
      t.service("n1", "s1", "svc", checks: [check("n1", "c1", service: "s1")])
    }
    #expect(t.changes.isEmpty)
    #expect(t.registry.node(named: "N1")?.modifyIndex == 1)
    #expect(t.registry.instances(ofService: "SVC").map(\.modifyIndex) == [2])
    #expect(t.registry.checks(ofService: "svc").map(\.modifyIndex) == [2])
    #expect(t.registry.checks(ofService: "svc").map(\.status) == ["critical"])
  }

  @Test func aNodeIsReplacedAsAWholeButKeepsItsID() {
    let t = Harness()
    var node = NodeRecord(name: "n1", address: "a")
    node.id = "1234abcd-0000-0000-0000-000000000001"
    node.meta = StringMap([StringPair("k", "v")])
    t.apply(.register(Registration(node: node)))
    t.node("n1", address: "b")
    let stored = t.registry.node(named: "n1")
    #expect(stored?.meta == nil && stored?.id == node.id && stored?.address == "b")
    #expect(stored?.createIndex == 1 && stored?.modifyIndex == 2)
    var skipped = Registration(node: NodeRecord(name: "n1", address: "c"))
    skipped.skipNodeUpdate = true
    t.apply(.register(skipped))
    #expect(t.registry.node(named: "n1")?.address == "b")
    #expect(t.registry.node(id: "1234ABCD")?.name == "n1")
    #expect(t.registry.node(id: "1234abcd-00")?.name == "n1")
    #expect(t.registry.node(id: "123") == nil && t.registry.node(id: "") == nil)
    t.node("n2", id: "1234ffff-0000-0000-0000-000000000002")
    #expect(t.registry.node(id: "1234") == nil && t.registry.node(id: "1234ff")?.name == "n2")
  }

  @Test func theSameIDUnderAnotherNameRenames() {
    let t = Harness()
    t.node("old", id: "aa")
    t.service("old", "s1", "svc", checks: [check("old", "c1", service: "s1")])
    t.node("new", id: "AA")
    #expect(t.registry.nodes().map(\.name) == ["new"])
    #expect(t.registry.services(onNode: "new").map(\.id) == ["s1"])
    #expect(t.registry.checks(onNode: "new").map(\.node) == ["new"])
    #expect(t.registry.nodeIndex("old") == 1)
  }

  @Test func indexesOfServices() {
    let t = Harness()
    #expect(t.registry.serviceIndex("web") == 1 && t.registry.servicesIndex == 1)
    t.node("n1")
    t.node("n2")
    t.service("n1", "w1", "web")
    t.service("n1", "d1", "db")
    t.service("n2", "w2", "web")
    #expect(t.registry.serviceIndex("web") == 5 && t.registry.serviceIndex("db") == 4)
    t.check("n1", "w1c", serviceID: "w1")
    #expect(t.registry.serviceIndex("web") == 6 && t.registry.serviceIndex("db") == 4)
    t.check("n2", "node")
    #expect(t.registry.serviceIndex("web") == 7 && t.registry.serviceIndex("db") == 4)
    t.node("n1", address: "other")
    #expect(t.registry.serviceIndex("web") == 8 && t.registry.serviceIndex("db") == 8)
    t.apply(.deregister(node: "n1", serviceID: "D1", checkID: ""))
    #expect(t.registry.serviceIndex("db") == 9 && t.registry.serviceIndex("unknown") == 9)
    #expect(t.registry.serviceIndex("web") == 8)
    t.apply(.deregister(node: "n1", serviceID: "w1", checkID: ""))
    #expect(t.registry.serviceIndex("web") == 10 && t.registry.serviceIndex("db") == 9)
    #expect(t.registry.checks(onNode: "n1").isEmpty)
    t.apply(.deregister(node: "N2", serviceID: "", checkID: ""))
    #expect(t.registry.serviceIndex("web") == 11)
    #expect(t.registry.nodeIndex("n2") == 1 && t.registry.checksIndex == 11)
  }

  @Test func wakeRules() {
    let t = Harness()
    t.node("n1")
    #expect(t.changes.topics.contains(.nodes) && t.changes.topics.contains(.node("n1")))
    t.node("n2")
    #expect(!t.changes.topics.contains(.node("n1")))
    t.service("n1", "w1", "Web")
    #expect(t.changes.topics == [.services, .service("web"), .node("n1")])
    t.service("n1", "d1", "db")
    #expect(!t.changes.topics.contains(.service("web")))
    #expect(!t.changes.topics.contains(.nodes))
    t.service("n2", "w2", "web")
    #expect(t.changes.topics.contains(.services) && t.changes.topics.contains(.service("web")))
    t.check("n1", "c", serviceID: "w1")
    #expect(t.changes.topics == [.checks, .node("n1"), .service("web")])
    t.check("n1", "node")
    #expect(t.changes.topics.contains(.service("web")))
    #expect(t.changes.topics.contains(.service("db")))
    t.check("n1", "node")
    #expect(t.changes.isEmpty)
    t.apply(
      .checkUpdate(
        CheckUpdate(
          checkID: "c", fromHost: nil, node: "N1", status: "passing", output: "new output")))
    #expect(t.changes.topics == [.checks, .node("n1"), .service("web")])
    #expect(!t.changes.agentWorkChanged)
    t.apply(.deregister(node: "n2", serviceID: "w2", checkID: ""))
    #expect(t.changes.topics == [.services, .service("web"), .node("n2")])
    t.apply(.deregister(node: "nope", serviceID: "", checkID: ""))
    #expect(t.changes.isEmpty)
  }

  @Test func renamingAServiceLeavesTheOldName() {
    let t = Harness()
    t.node("n1")
    t.service("n1", "s", "one")
    t.service("n1", "s", "two")
    #expect(t.changes.topics.contains(.service("one")))
    #expect(t.changes.topics.contains(.service("two")))
    #expect(t.registry.instances(ofService: "one").isEmpty)
    #expect(t.registry.serviceIndex("one") == 3)
    #expect(t.registry.services().map(\.name) == ["two"])
  }

  @Test func tagsAreAUnionInTheOrderSeenAndCopiedIntoChecks() {
    let t = Harness()
    t.node("n1")
    t.node("n2")
    t.service("n1", "w1", "web", tags: ["b", "a"])
    t.service("n2", "w2", "web", tags: ["a", "c"])
    t.service("n2", "x", "other")
    #expect(t.registry.services().map(\.name) == ["other", "web"])
    #expect(t.registry.services().map(\.tags) == [[], ["b", "a", "c"]])
    t.check("n1", "c", serviceID: "w1")
    #expect(t.registry.checks(ofService: "web").map(\.serviceTags) == [["b", "a"]])
    #expect(t.registry.checks(ofService: "web").map(\.serviceName) == ["web"])
    #expect(t.registry.instances(ofService: "web").map(\.node) == ["n1", "n2"])
    #expect(t.registry.serviceInstanceCount == 3)
  }

  @Test func checkLists() {
    let t = Harness()
    t.node("n1")
    t.service("n1", "w1", "web")
    t.check("n1", "a", status: "passing")
    t.check("n1", "b", status: "odd", serviceID: "w1")
    #expect(t.registry.checks(onNode: "n1").map(\.id) == ["a", "b"])
    #expect(t.registry.nodeLevelChecks(onNode: "n1").map(\.id) == ["a"])
    #expect(t.registry.checks(onNode: "n1", serviceID: "W1").map(\.id) == ["b"])
    #expect(t.registry.checks(onNode: "n1", serviceID: "").isEmpty)
    #expect(t.registry.checks(withStatus: "odd").map(\.id) == ["b"])
    #expect(t.registry.checks(withStatus: nil).count == 2)
    t.check("n1", "b", status: "odd")
    #expect(t.registry.nodeLevelChecks(onNode: "n1").map(\.id) == ["a", "b"])
    #expect(t.changes.topics.contains(.service("web")))
  }
}
