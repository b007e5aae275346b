import Testing

@testable import Registry

/// Services that belong to the cluster: registered through any host, moved when theirs dies.
@Suite struct AgentTests {
  func cluster(addresses: [String] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]) -> Harness {
    let t = Harness()
    for (i, address) in addresses.enumerated() { t.join("host\(i + 1)", address: address) }
    return t
  }

  func status(_ t: Harness, _ id: String) -> String? {
    t.registry.agentCheck(id, host: "")?.status
  }

  func report(
    _ t: Harness, _ id: String, _ status: String, output: String = "", from: String? = nil
  ) -> Outcome {
    t.apply(
      .checkUpdate(
        CheckUpdate(checkID: id, fromHost: from, node: nil, status: status, output: output)))
  }

  @Test func joiningTwiceChangesNothing() {
    let t = cluster()
    let serf = t.registry.checks(onNode: "host1")
    #expect(serf.map(\.id) == ["serfHealth"] && serf.map(\.status) == ["passing"])
    #expect(serf.map(\.output) == ["Agent alive and reachable"])
    #expect(t.registry.instances(ofService: "consul").map(\.port) == [8300, 8300, 8300])
    #expect(t.registry.agentServices().isEmpty && t.registry.agentChecks().isEmpty)
    #expect(t.registry.node(named: "host1")?.isHost == true)
    t.join("host1")
    #expect(t.changes.isEmpty)
  }

  @Test func registeringThroughAnotherHostMoves() {
    let t = cluster()
    #expect(t.agent("host1", "w", checks: [ttlCheck("service:w")]) == .done)
    #expect(t.changes.agentWorkChanged)
    #expect(report(t, "service:w", "passing", output: "ok") == .done)
    t.agent("host2", "W", checks: [ttlCheck("service:w")], tags: ["t"])
    #expect(t.registry.agentServices().map(\.node) == ["host2"])
    #expect(t.registry.services(onNode: "host1").map(\.id) == ["consul"])
    let check = t.registry.agentCheck("service:w", host: "host3")
    #expect(check?.node == "host2" && check?.status == "passing" && check?.output == "ok")
    #expect(check?.serviceTags == ["t"] && check?.createIndex == 4)
    #expect(t.registry.agentService("w")?.createIndex == 4)
    t.agent("host2", "W", checks: [ttlCheck("service:w")], tags: ["t"])
    // A sign of life for its TTL, and nothing else.
    #expect(t.changes.topics.isEmpty && !t.changes.agentWorkChanged)
    #expect(t.changes.agentChecks.allSatisfy { $0.isRegistration })
    t.apply(.agentDeregister(serviceID: "w", onlyIf: nil))
    #expect(t.registry.agentServices().isEmpty && t.registry.agentChecks().isEmpty)
    #expect(t.changes.agentWorkChanged)
    #expect(t.apply(.agentDeregister(serviceID: "w", onlyIf: nil)) == .done)
    #expect(t.changes.isEmpty)
  }

  @Test func earlierChecksStayUnlessReplaced() {
    let t = cluster()
    t.agent("host1", "w", checks: [ttlCheck("a"), ttlCheck("b")])
    t.agent("host1", "w", checks: [ttlCheck("c")], tags: ["new"])
    #expect(t.registry.checks(onNode: "host1", serviceID: "w").map(\.id) == ["a", "b", "c"])
    #expect(t.registry.agentCheck("a", host: "")?.serviceTags == ["new"])
    t.agent("host2", "w", checks: [ttlCheck("b")], replace: true)
    #expect(t.registry.agentChecks().map(\.id) == ["b"])
    #expect(t.registry.agentChecks(onHost: "host2").map(\.id) == ["b"])
  }

  @Test func refusals() {
    let t = cluster()
    #expect(refusal(t.agent("nobody", "w")) != nil)
    #expect(refusal(t.agent("host1", "consul")) != nil)
    var check = ttlCheck("c")
    check.serviceID = "nosuch"
    #expect(
      refusal(t.apply(.agentCheckRegister(check, host: "host1")))
        == "500 ServiceID \"nosuch\" does not exist")
    #expect(
      refusal(report(t, "x", "passing"))
        == "404 Unknown check ID \"x\". Ensure that the check ID is passed, not the check name.")
    #expect(
      refusal(
        t.apply(.maintenance(host: "host1", serviceID: "nope", enable: true, reason: "")))
        == "404 No service registered with ID \"nope\"")
    #expect(t.registry.agentServices().isEmpty)
  }

  @Test func lateReportsAreDropped() {
    let t = cluster()
    t.agent("host1", "w", checks: [ttlCheck("c")])
    #expect(report(t, "c", "passing", from: "host2") == .done)
    #expect(t.changes.isEmpty && status(t, "c") == "critical")
    #expect(report(t, "C", "passing", from: "HOST1") == .done)
    #expect(status(t, "c") == "passing")
    #expect(report(t, "c", "passing", from: "host1") == .done)
    #expect(t.changes.isEmpty)
  }

  @Test func nodeChecksOfTheAskedHostWin() {
    let t = cluster()
    for host in ["host1", "host2"] { t.apply(.agentCheckRegister(ttlCheck("c"), host: host)) }
    t.agent("host3", "w", checks: [ttlCheck("c")])
    #expect(t.registry.agentCheck("c", host: "host2")?.node == "host2")
    #expect(t.registry.agentCheck("c", host: "elsewhere")?.node == "host3")
    t.apply(.agentCheckDeregister(checkID: "c", host: "host1"))
    #expect(t.registry.agentChecks().map(\.node) == ["host2", "host3"])
  }

  @Test func checkIDsOfServicesAreUniqueInTheCluster() {
    let t = cluster()
    t.agent("host1", "w", checks: [ttlCheck("c")])
    t.agent("host2", "x", checks: [ttlCheck("c")])
    #expect(t.registry.agentChecks().map(\.serviceID) == ["x"])
  }

  @Test func maintenanceKeepsItsFirstReason() {
    let t = cluster()
    t.agent("host1", "w")
    t.apply(.maintenance(host: "host2", serviceID: "w", enable: true, reason: "first"))
    t.apply(.maintenance(host: "host2", serviceID: "w", enable: true, reason: "second"))
    #expect(t.changes.isEmpty)
    let check = t.registry.agentCheck("_service_maintenance:w", host: "")
    #expect(check?.notes == "first" && check?.status == "critical" && check?.node == "host1")
    #expect(check?.name == "Service Maintenance Mode" && check?.type == "maintenance")
    t.apply(.maintenance(host: "host2", serviceID: "w", enable: false, reason: ""))
    #expect(t.registry.agentChecks().isEmpty)
    t.apply(.maintenance(host: "host2", serviceID: "", enable: true, reason: ""))
    let node = t.registry.agentCheck("_node_maintenance", host: "host2")
    #expect(node?.name == "Node Maintenance Mode" && node?.serviceID == "")
    #expect(
      node?.notes
        == "Maintenance mode is enabled for this node, but no reason was provided. "
        + "This is a default message.")
  }

  @Test func criticalServicesGoOnlyIfUnchanged() {
    let t = cluster()
    t.agent("host1", "w", checks: [ttlCheck("c")])
    let seen = t.registry.agentCheck("c", host: "")?.modifyIndex ?? 0
    func deregister(_ index: UInt64) {
      let condition = CheckUnchanged(checkID: "c", modifyIndex: index)
      t.apply(.agentDeregister(serviceID: "w", onlyIf: condition))
    }
    deregister(seen + 1)
    _ = report(t, "c", "passing")
    deregister(t.index - 1)
    deregister(seen)
    #expect(t.registry.agentService("w") != nil)
    _ = report(t, "c", "critical")
    deregister(t.index)
    #expect(t.registry.agentService("w") == nil)
  }

  @Test func aDeadHostsServicesMoveInOneStep() {
    let t = cluster()
    for i in 0..<20 { t.agent("host1", "w\(i)", checks: [ttlCheck("c\(i)")], address: "1.1.1.1") }
    t.apply(.agentCheckRegister(ttlCheck("node-level"), host: "host1"))
    _ = report(t, "c3", "passing", output: "fine")
    let before = t.registry.agentCheck("c3", host: "")
    t.apply(.hostDown(host: "host1", liveHosts: ["host2", "host3", "host1", "ghost"]))
    let nodes = t.registry.agentServices().map(\.node)
    #expect(nodes.count == 20 && !nodes.contains("host1"))
    #expect(nodes.contains("host2") && nodes.contains("host3"))
    let after = t.registry.agentCheck("c3", host: "")
    #expect(after?.status == "passing" && after?.output == "fine")
    #expect(after?.createIndex == before?.createIndex && after?.modifyIndex == t.index)
    #expect(t.registry.agentService("w3")?.node == after?.node)
    #expect(t.registry.checks(onNode: "host1").map(\.id) == ["node-level", "serfHealth"])
    #expect(t.registry.checks(onNode: "host1").map(\.status) == ["critical", "critical"])
    #expect(t.registry.instances(ofService: "web").count == 20)
    #expect(t.registry.serviceIndex("web") == t.index && t.changes.agentWorkChanged)
    t.apply(.hostDown(host: "host1", liveHosts: ["host2", "host3"]))
    #expect(t.changes.isEmpty)
    t.join("host1")
    #expect(t.registry.checks(onNode: "host1").map(\.status) == ["critical", "passing"])
    #expect(t.registry.agentServices().map(\.node) == nodes)
  }

  @Test func placesAreStableWhenAnotherHostIsMissing() {
    func place(_ live: [String]) -> [String] {
      let t = cluster()
      for i in 0..<30 { t.agent("host1", "w\(i)") }
      t.apply(.hostDown(host: "host1", liveHosts: live))
      return t.registry.agentServices().map(\.node)
    }
    #expect(place(["host2", "host3"]) == place(["host3", "host2"]))
    #expect(Set(place(["host3"])) == ["host3"])
    #expect(place([]).allSatisfy { $0 == "host1" })
  }

  @Test(arguments: [
    "http://localhost:80/x", "http://user@127.0.0.1/", "https://[::1]:8443/", "http://LOCALHOST",
  ])
  func loopbackChecksStayWithTheirMachine(target: String) {
    let t = cluster(addresses: ["10.0.0.1", "10.0.0.2", "10.0.0.1"])
    var check = ttlCheck("c")
    check.definition.http = target
    t.agent("host1", "w", checks: [check])
    t.apply(.hostDown(host: "host1", liveHosts: ["host2"]))
    #expect(t.registry.agentService("w")?.node == "host1")
    t.apply(.hostDown(host: "host1", liveHosts: ["host2", "host3"]))
    #expect(t.registry.agentService("w")?.node == "host3")
  }

  @Test(arguments: ["http://10.1.1.1:80/localhost", "http://127.example.com@web/", "http://web:1"])
  func otherChecksMove(target: String) {
    let t = cluster()
    var check = ttlCheck("c")
    check.definition.http = target
    t.agent("host1", "w", checks: [check])
    t.apply(.hostDown(host: "host1", liveHosts: ["host2"]))
    #expect(t.registry.agentService("w")?.node == "host2")
    // It was reached at its host's address, and still is.
    #expect(t.registry.agentService("w")?.address == "10.0.0.1")
  }

  @Test func scriptsStayAndGoWithALeavingHost() {
    let t = cluster()
    var check = ttlCheck("c")
    check.definition.args = ["/bin/true"]
    t.agent("host1", "script", checks: [check])
    t.agent("host1", "other")
    t.apply(.hostLeave(host: "host1", liveHosts: ["host2", "host3"]))
    #expect(t.registry.agentServices().map(\.id) == ["other"])
    #expect(t.registry.nodes().map(\.name) == ["host2", "host3"])
    #expect(t.apply(.hostLeave(host: "host1", liveHosts: [])) == .done)
    #expect(t.changes.isEmpty)
  }

  @Test func aMoveOverwritesNothing() {
    let t = cluster()
    t.service("host2", "w", "other")
    t.apply(.agentCheckRegister(ttlCheck("c"), host: "host3"))
    t.agent("host1", "w", checks: [ttlCheck("c")])
    t.apply(.hostDown(host: "host1", liveHosts: ["host2", "host3"]))
    #expect(t.registry.agentService("w")?.node == "host1")
    #expect(t.registry.instances(ofService: "other").count == 1)
  }
}
