import Testing

@testable import Registry

/// Facts 6.x of the compatibility notes.
@Suite struct TransactionTests {
  func kv(
    _ verb: KVOperation.Verb, _ key: String, _ value: String = "", index: UInt64 = 0,
    session: UniqueID? = nil
  ) -> TransactionOperation {
    .kv(
      KVOperation(
        verb: verb, key: Key(key), value: Array(value.utf8), index: index, session: session))
  }

  func errors(_ t: Harness, _ operations: [TransactionOperation]) -> [String] {
    guard case .transaction(.failed(let errors)) = t.apply(.transaction(operations)) else {
      return []
    }
    #expect(t.changes.isEmpty)
    return errors.map { "\($0.operation) \($0.what)" }
  }

  func results(_ t: Harness, _ operations: [TransactionOperation]) -> [TransactionResult]? {
    guard case .transaction(.committed(let results)) = t.apply(.transaction(operations)) else {
      return nil
    }
    return results
  }

  @Test func allOrNothingWithOneIndex() {
    let t = Harness()
    t.put("a", "1")
    let done = results(
      t, [kv(.set, "b", "2"), kv(.get, "b"), kv(.delete, "a"), kv(.cas, "c", "3", index: 0)])
    let b = t.registry.kv(Key("b"))
    #expect(b?.modifyIndex == 2 && done?.count == 3)
    if let b {
      #expect(done?[0] == .kv(b, withValue: false) && done?[1] == .kv(b, withValue: true))
    }
    #expect(t.contents == ["b=2", "c=3"])
    #expect(t.changes.keys == [Key("b"), Key("a"), Key("c")])
    #expect(
      errors(t, [kv(.set, "x"), kv(.get, "nope"), kv(.cas, "x", index: 1)]) == [
        "1 key \"nope\" doesn't exist", "2 failed to set key \"x\", index is stale",
      ])
    #expect(t.contents == ["b=2", "c=3"])
  }

  @Test func kvErrors() {
    let t = Harness()
    t.node("n1")
    t.session(1)
    t.session(2)
    t.put("held", mode: .acquire(t.id(1)))
    t.put("free")
    let s1 = t.id(1).description
    let s2 = t.id(2).description
    #expect(
      errors(
        t,
        [
          kv(.lock, "held", session: t.id(2)), kv(.lock, "x", session: t.id(9)), kv(.lock, "x"),
          kv(.unlock, "held", session: t.id(2)), kv(.checkIndex, "free", index: 1),
          kv(.checkIndex, "no", index: 1), kv(.checkSession, "held", session: t.id(2)),
          kv(.checkSession, "free", session: t.id(2)), kv(.checkSession, "no", session: t.id(2)),
          kv(.checkNotExists, "free"), kv(.deleteCAS, "free", index: 1),
        ]) == [
          "0 failed to lock key \"held\", lock is already held",
          "1 invalid session \"\(t.id(9))\"", "2 missing session",
          "3 failed to unlock key \"held\", lock isn't held, or is held by another session",
          "4 failed index check for key \"free\", current modify index 5 != 1",
          "5 failed to check index, key \"no\" doesn't exist",
          "6 failed session check for key \"held\", current session \"\(s1)\" != \"\(s2)\"",
          "7 failed session check for key \"free\", current session \"\" != \"\(s2)\"",
          "8 failed to check session, key \"no\" doesn't exist", "9 key \"free\" exists",
          "10 failed to delete key \"free\", index is stale",
        ])
  }

  @Test func locksAndTreesWork() {
    let t = Harness()
    t.node("n1")
    t.session(1)
    t.put("p/a", "1")
    t.put("p/b", "2")
    let locked = results(
      t,
      [
        kv(.lock, "p/a", "x", session: t.id(1)), kv(.checkSession, "p/a", session: t.id(1)),
        kv(.getTree, "p/"), kv(.getTree, "none"), kv(.getOrEmpty, "none"),
        kv(.unlock, "p/a", "y", session: t.id(1)), kv(.deleteTree, "p/"),
        kv(.checkNotExists, "p/a"), kv(.deleteCAS, "p/a", index: 99),
      ])
    #expect(locked?.count == 6)
    #expect(t.registry.kvCount == 0 && t.changes.deletedPrefixes == [Key("p/")])
  }

  @Test func whatNeedsNoStateIsReportedAlone() {
    let t = Harness()
    t.node("n1")
    t.session(1, lockDelay: 5_000_000_000)
    t.session(2)
    t.put("k", mode: .acquire(t.id(1)))
    t.apply(.sessionDestroy(t.id(1)))
    #expect(
      errors(
        t,
        [
          kv(.get, "nope"), kv(.set, ""), kv(.lock, "k", session: t.id(2)),
          .invalid("unknown KV verb \"bogus\""),
          .node(verb: .get, NodeRecord(name: "", address: "")),
          .service(verb: .delete, node: "n1", ServiceRecord(node: "", id: "s", name: "")),
        ]) == [
          "1 Must provide key", "2 failed to lock key \"k\" due to lock delay",
          "3 unknown KV verb \"bogus\"", "4 Must provide node",
          "5 Must provide service name with ID",
        ])
  }

  @Test func catalogOperationsBuildOnEachOther() {
    let t = Harness()
    var check = CheckRecord(node: "n", id: "c", name: "c")
    check.serviceID = "s"
    let service = ServiceRecord(node: "", id: "s", name: "svc")
    let node = NodeRecord(name: "n", address: "a")
    #expect(
      errors(t, [.check(verb: .set, check), .service(verb: .set, node: "n", service)]) == [
        "0 Missing node registration", "1 Missing node registration",
      ])
    #expect(
      errors(t, [.node(verb: .set, node), .check(verb: .set, check)]) == [
        "1 Missing service registration"
      ])
    let built = results(
      t,
      [
        .node(verb: .cas, node), .service(verb: .set, node: "n", service),
        .check(verb: .set, check),
      ])
    #expect(built?.count == 3 && t.registry.checks(ofService: "svc").map(\.createIndex) == [3])
    #expect(
      errors(
        t,
        [
          .node(verb: .cas, node), .node(verb: .deleteCAS, node),
          .service(verb: .deleteCAS, node: "n", service), .check(verb: .cas, check),
          .node(verb: .get, NodeRecord(name: "x", address: "")),
          .service(verb: .get, node: "x", service),
          .check(verb: .get, CheckRecord(node: "n", id: "x", name: "")),
        ]) == [
          "0 failed to set node \"n\", index is stale",
          "1 failed to delete node \"n\", index is stale",
          "2 failed to delete service \"s\" on node \"n\", index is stale",
          "3 failed to set check \"c\" on node \"n\", index is stale",
          "4 node \"x\" doesn't exist", "5 service \"s\" on node \"x\" doesn't exist",
          "6 check \"x\" on node \"n\" doesn't exist",
        ])
    #expect(results(t, [.node(verb: .delete, node)]) == [])
    #expect(t.registry.nodes().isEmpty && t.registry.checks(withStatus: nil).isEmpty)
  }

  @Test func evaluateChangesNothing() {
    let t = Harness()
    t.put("a", "1")
    let hash = t.registry.stateHash()
    guard case .committed(let results) = t.registry.evaluate([kv(.get, "a")]) else {
      Issue.record("not committed")
      return
    }
    #expect(results.count == 1)
    guard case .failed = t.registry.evaluate([kv(.get, "b")]) else {
      Issue.record("not failed")
      return
    }
    #expect(t.registry.stateHash() == hash)
  }
}
