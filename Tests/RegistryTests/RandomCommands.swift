import Basics

@testable import Registry

/// Commands of every kind over a few names, so that they meet each other often.
struct RandomCommands {
  var random: SplitMix

  init(seed: UInt64) { random = SplitMix(seed: seed) }

  mutating func applyNext(to t: Harness) {
    t.time += random.below(3000)
    var requestID: UniqueID?
    if random.chance(1, in: 4) {
      requestID = UniqueID(high: 1, low: random.below(40))
    }
    t.apply(next(), requestID: requestID)
  }

  mutating func next() -> Command {
    switch random.below(29) {
    case 0...5: .kvSet(kvSet())
    case 6: .kvDelete(key: key(), cas: random.chance(1, in: 2) ? random.below(300) : nil)
    case 7: .kvDeleteTree(prefix: Key(pick(["a", "a/", "b", "c/d", ""])))
    case 8, 9: .register(registration())
    case 10:
      .deregister(
        node: name("N"), serviceID: random.chance(1, in: 2) ? name("s") : "",
        checkID: random.chance(2, in: 3) ? name("c") : "")
    case 11, 12: .agentRegister(agentRegistration())
    case 13: .agentDeregister(serviceID: name("w"), onlyIf: nil)
    case 14:
      random.chance(2, in: 3)
        ? .agentCheckRegister(check(service: "w"), host: name("n"))
        : .agentCheckDeregister(checkID: name("c"), host: name("n"))
    case 15: update()
    case 16:
      .maintenance(
        host: name("n"), serviceID: random.chance(1, in: 2) ? name("w") : "",
        enable: random.chance(1, in: 2), reason: "r")
    case 17:
      .hostJoin(
        HostRegistration(node: NodeRecord(name: name("n"), address: "10.0.0.1"), port: 8300))
    case 18:
      random.chance(4, in: 5)
        ? .hostDown(host: name("n"), liveHosts: ["n1", "n2", "n3"])
        : .hostLeave(host: name("n"), liveHosts: ["n1", "n2", "n3"])
    case 19: .sessionCreate(session())
    case 20: .sessionDestroy(sessionID())
    case 21...27: clusterCommand()
    default: .transaction(operations())
    }
  }

  private mutating func pick(_ choices: [String]) -> String {
    choices[Int(random.below(UInt64(choices.count)))]
  }

  private mutating func name(_ prefix: String) -> String { prefix + "\(random.below(3) + 1)" }

  private mutating func key() -> Key {
    Key(pick(["a", "a/x", "a/y", "b", "b/1", "c/d/e", "c/d/f"]))
  }

  private mutating func sessionID() -> UniqueID { UniqueID(high: 0, low: random.below(6)) }

  private mutating func kvSet() -> KVSet {
    let mode: KVSet.Mode =
      switch random.below(6) {
      case 0: .cas(random.below(200))
      case 1, 2: .acquire(sessionID())
      case 3: .release(sessionID())
      default: .plain
      }
    return KVSet(
      key: key(), value: [UInt8(random.below(3))], flags: random.below(2), mode: mode)
  }

  private mutating func check(service prefix: String) -> CheckRecord {
    var check = CheckRecord(node: name("n"), id: name("c"), name: "check")
    check.status = pick(["passing", "warning", "critical"])
    check.serviceID = random.chance(1, in: 2) ? name(prefix) : ""
    if random.chance(1, in: 4) { check.definition.http = "http://127.0.0.1:80/" }
    return check
  }

  private mutating func registration() -> Registration {
    var node = NodeRecord(name: name("n"), address: "10.0.0.\(random.below(2))")
    if random.chance(1, in: 4) { node.id = "\(random.below(3))0" }
    var registration = Registration(node: node)
    registration.skipNodeUpdate = random.chance(1, in: 2)
    if random.chance(2, in: 3) {
      var service = ServiceRecord(node: "", id: name("s"), name: name("svc"))
      service.tags = random.chance(1, in: 2) ? ["t1"] : ["t2", "t1"]
      registration.service = service
    }
    if random.chance(1, in: 2) {
      var check = check(service: "s")
      check.node = node.name
      registration.checks = [check]
    }
    return registration
  }

  private mutating func agentRegistration() -> AgentRegistration {
    let checks = random.chance(1, in: 2) ? [check(service: "w")] : []
    return AgentRegistration(
      host: name("n"), service: ServiceRecord(node: "", id: name("w"), name: name("svc")),
      checks: checks, replaceExistingChecks: random.chance(1, in: 2))
  }

  private mutating func update() -> Command {
    .checkUpdate(
      CheckUpdate(
        checkID: name("c"), fromHost: random.chance(1, in: 2) ? name("n") : nil,
        node: random.chance(1, in: 3) ? name("n") : nil,
        status: pick(["passing", "warning", "critical"]), output: pick(["", "x"])))
  }

  private mutating func session() -> SessionRecord {
    var session = SessionRecord(id: sessionID(), node: name("n"))
    session.behavior = random.chance(1, in: 3) ? .delete : .release
    session.lockDelay = Int64(random.below(3)) * 1_000_000_000
    if random.chance(1, in: 2) { session.nodeChecks = [pick(["serfHealth", "c1", "c2"])] }
    return session
  }

  private mutating func clusterCommand() -> Command {
    let cas = random.chance(1, in: 2) ? random.below(200) : nil
    switch random.below(9) {
    case 0:
      let fields = Array(#""Protocol":"\#(random.below(2))""#.utf8)
      return .configSet(
        ConfigEntry(kind: pick(["mesh", "k"]), name: name("e"), fieldsJSON: fields), cas: cas)
    case 1: return .configDelete(kind: pick(["mesh", "k"]), name: name("e"), cas: cas)
    case 2:
      var settings = AutopilotSettings()
      settings.maxTrailingLogs = random.below(5)
      settings.lastContactThreshold = -Int64(random.below(5))
      return .autopilotSet(settings, cas: cas)
    case 3: return .eventFire(UserEvent(id: sessionID(), name: name("e"), payload: [1]))
    case 4: return .querySet(query(), isNew: random.chance(2, in: 3))
    case 5: return .queryDelete(sessionID())
    case 6:
      let chunk = RestoreChunk(
        id: sessionID(), offset: random.below(2) * 5, bytes: [1, 30, 0, 0, 0])
      return .restoreChunk(chunk)
    case 7: return .restoreAbort(sessionID())
    default: return .restoreCommit(id: sessionID(), bytes: random.below(9), checksum: 7)
    }
  }

  private mutating func query() -> PreparedQuery {
    var query = PreparedQuery(id: sessionID())
    query.name = pick(["", "q1", "Q2", "q"])
    query.service = name("svc")
    if random.chance(1, in: 3) { query.session = sessionID() }
    if random.chance(1, in: 3) { query.templateType = "name_prefix_match" }
    if random.chance(1, in: 2) { query.tags = ["a", "!b"] }
    if random.chance(1, in: 2) { query.nodeMeta = StringMap([StringPair("a", "b")]) }
    return query
  }

  private mutating func operations() -> [TransactionOperation] {
    (0..<random.below(5)).map { _ in operation() }
  }

  private mutating func operation() -> TransactionOperation {
    let verb = CatalogVerb(rawValue: UInt8(random.below(5))) ?? .get
    switch random.below(8) {
    case 0: return .node(verb: verb, NodeRecord(name: name("n"), address: "10.0.0.9"))
    case 1:
      let service = ServiceRecord(node: "", id: name("s"), name: name("svc"))
      return .service(verb: verb, node: name("n"), service)
    case 2: return .check(verb: verb, check(service: "s"))
    default:
      let kvVerb = KVOperation.Verb(rawValue: UInt8(random.below(13))) ?? .set
      return .kv(
        KVOperation(
          verb: kvVerb, key: key(), value: [UInt8(random.below(3))], flags: 0,
          index: random.below(300), session: random.chance(3, in: 4) ? sessionID() : nil))
    }
  }
}
