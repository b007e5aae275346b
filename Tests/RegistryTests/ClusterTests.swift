import Testing
import Wire

@testable import Registry

/// Config entries, autopilot's settings, events, prepared queries.
@Suite struct ClusterTests {
  private func id(_ number: UInt64) -> UniqueID { UniqueID(high: 0, low: number) }
  let t = Harness()

  private func entry(_ name: String, _ fields: String = "") -> ConfigEntry {
    ConfigEntry(kind: "mesh", name: name, fieldsJSON: Array(fields.utf8))
  }

  @Test func configEntriesAreComparedAndListed() {
    #expect(t.apply(.configSet(entry("b"), cas: nil)) == .flag(true))
    #expect(t.apply(.configSet(entry("a"), cas: 0)) == .flag(true))
    #expect(t.apply(.configSet(entry("a", "x"), cas: 0)) == .flag(false))
    #expect(t.apply(.configSet(entry("a", "x"), cas: 2)) == .flag(true))
    #expect(t.changes.topics == [.configEntries])
    #expect(t.registry.configEntries(ofKind: "mesh").map(\.name) == ["a", "b"])
    #expect(t.registry.configEntry(kind: "mesh", name: "a")?.createIndex == 2)
    #expect(t.registry.configEntriesIndex == 4)
    // The same again changes nothing.
    t.apply(.configSet(entry("a", "x"), cas: nil))
    #expect(t.changes.isEmpty && t.registry.configEntriesIndex == 4)
    #expect(t.apply(.configDelete(kind: "mesh", name: "a", cas: 2)) == .flag(false))
    #expect(t.apply(.configDelete(kind: "mesh", name: "a", cas: 4)) == .flag(true))
    #expect(t.apply(.configDelete(kind: "mesh", name: "a", cas: nil)) == .flag(true))
    #expect(t.registry.configEntriesIndex == 7)
  }

  @Test func autopilotIsComparedWithOneBeforeItIsSet() {
    var settings = AutopilotSettings()
    settings.minQuorum = 3
    #expect(t.apply(.autopilotSet(settings, cas: 5)) == .flag(false))
    #expect(t.registry.autopilot == nil)
    #expect(t.apply(.autopilotSet(settings, cas: 1)) == .flag(true))
    #expect(t.apply(.autopilotSet(settings, cas: 1)) == .flag(false))
    #expect(t.registry.autopilot?.createIndex == 2 && t.registry.autopilot?.minQuorum == 3)
  }

  @Test func onlyTheLastEventsAreKept() {
    for i in 0..<300 {
      t.apply(.eventFire(UserEvent(id: id(UInt64(i)), name: "e\(i)", payload: [])))
    }
    let events = t.registry.events()
    #expect(events.count == Registry.eventsMax)
    #expect(events.first?.name == "e44" && events.last?.lTime == 300)
    #expect(t.changes.topics == [.events])
  }

  private func query(_ number: UInt64, _ name: String, template: Bool = false) -> PreparedQuery {
    var query = PreparedQuery(id: id(number))
    query.name = name
    query.service = "web"
    if template { query.templateType = "name_prefix_match" }
    return query
  }

  @Test func namesOfQueriesAreUnique() {
    #expect(t.apply(.querySet(query(1, "q1"), isNew: true)) == .done)
    #expect(
      refusal(t.apply(.querySet(query(2, "Q1"), isNew: true)))
        == "500 raft apply failed: name 'Q1' aliases an existing query name")
    let asID = query(3, id(1).description)
    #expect(
      refusal(t.apply(.querySet(asID, isNew: true)))
        == "500 raft apply failed: name '\(id(1))' aliases an existing query ID")
    #expect(
      refusal(t.apply(.querySet(query(9, "x"), isNew: false)))
        == "500 Cannot modify non-existent prepared query: '\(id(9))'")
    #expect(t.apply(.querySet(query(1, "q2"), isNew: false)) == .done)
    #expect(t.registry.query(idOrName: "q1") == nil)
    #expect(t.registry.query(idOrName: "Q2")?.id == id(1))
    #expect(t.registry.query(idOrName: id(1).description)?.createIndex == 1)
    #expect(t.apply(.queryDelete(id(1))) == .done)
    #expect(refusal(t.apply(.queryDelete(id(1)))) != nil)
    #expect(t.registry.query(idOrName: "q2") == nil)
  }

  @Test func theLongestTemplateWins() {
    t.apply(.querySet(query(1, "", template: true), isNew: true))
    t.apply(.querySet(query(2, "geo-", template: true), isNew: true))
    t.apply(.querySet(query(3, "geo-x"), isNew: true))
    #expect(t.registry.query(idOrName: "geo-db")?.id == id(2))
    #expect(t.registry.query(idOrName: "GEO-X")?.id == id(3))
    // A query that is no template stands for its own name only.
    #expect(t.registry.query(idOrName: "geo-xy")?.id == id(2))
    #expect(t.registry.query(idOrName: "other")?.id == id(1))
    #expect(refusal(t.apply(.querySet(query(4, "", template: true), isNew: true))) != nil)
  }

  @Test func queriesEndWithTheirSession() {
    t.node("n1")
    var bound = query(1, "q")
    bound.session = id(5)
    #expect(
      refusal(t.apply(.querySet(bound, isNew: true)))
        == "500 raft apply failed: invalid session")
    t.session(5)
    t.apply(.querySet(bound, isNew: true))
    t.apply(.querySet(query(2, "other"), isNew: true))
    t.apply(.sessionDestroy(id(5)))
    #expect(t.changes.topics.contains(.queries))
    #expect(t.registry.queries().map(\.id) == [id(2)])
    #expect(t.registry.queriesIndex == UInt64(t.index))
  }
}
