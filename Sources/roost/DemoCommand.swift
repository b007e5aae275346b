internal import CRoost
internal import Foundation
internal import RoostClient
internal import Synchronization

extension Command {
  static let demo = Command(
    name: "demo", summary: "watch a cluster at work, and failing, in half a minute",
    usage: "[--fast]", flags: [Flag("fast", "no pauses, for scripts")],
    details: """
      Starts three nodes in a temporary folder on free ports of this machine, registers services,
      kills the leader under load and measures the gap, cuts the majority and shows the refusal.
      What it says is measured and verified; if something is not as it should be it says so, and
      the exit status is 1. Everything is removed at the end.
      """
  ) { input in
    let arguments = try Arguments(input, flags: [Flag("fast", "")])
    try arguments.expect()
    return try Demo(isFast: arguments.has("fast")).run()
  }
}

/// The show: one method a chapter, each ends when what it tells has happened.
final class Demo {
  private struct Interrupted: Error {}

  private let isFast: Bool
  private let signals: SignalWaiter
  private let cluster: DemoCluster
  private let writer: DemoWriter
  private var screen = DemoScreen()
  private var measured: [(String, String)] = []
  private var lost = 0

  private static let stepSecondsMax = 20.0

  init(isFast: Bool) throws {
    self.isFast = isFast
    croost_ignore_sigpipe()
    signals = try SignalWaiter([SIGINT, SIGTERM])
    cluster = try DemoCluster()
    writer = DemoWriter(cluster.roost)
  }

  func run() throws -> Int32 {
    defer {
      screen.erase()
      cluster.remove()
    }
    do {
      try startNodes()
      try registerServices()
      try killLeader()
      try bringBack()
      try cutMajority()
      try healMajority()
      finish()
      return lost == 0 ? 0 : 1
    } catch is Interrupted {
      screen.say("Interrupted; the nodes are stopped and their data is removed.")
      return 130
    } catch let failure as CommandFailure {
      screen.say(Console.styled("✗ ", .red) + failure.message)
      for i in cluster.nodes.indices { Console.printError(cluster.logTail(i)) }
      throw CommandFailure("the show is broken off; the end of each node's log is above")
    }
  }

  // MARK: Chapters

  private func startNodes() throws {
    Console.print(
      Console.styled("Roost", .bold) + ": a replicated registry and key-value store. "
        + "Three nodes on this machine; ctrl-C ends the show.")
    screen.chapter("Three nodes start and elect a leader")
    let start = croost_monotonic()
    for i in cluster.nodes.indices { try cluster.start(i) }
    try wait(for: "a leader") { cluster.leader() != nil }
    let time = milliseconds(since: start)
    try wait(for: "three nodes that agree") { agree(3) }
    let leader = try leaderName()
    screen.result("\(leader) leads, \(time) after the processes were started.")
    measured.append(("from nothing to a leader", time))
    screen.still(view())
    try hold(2)
  }

  private func registerServices() throws {
    screen.chapter("A service is registered through one node and found through another")
    screen.command(
      "curl -X PUT http://\(cluster.nodes[0].http)/v1/agent/service/register -d "
        + #"'{"Name":"web","ID":"web-1","Port":8081}'"#)
    screen.command("curl http://\(cluster.nodes[2].http)/v1/health/service/web?passing")
    let (writing, reading) = (try cluster.client(0), try cluster.client(2))
    var slowest: UInt64 = 0
    for i in 1...3 {
      var service = ServiceRegistration(name: "web")
      service.id = "web-\(i)"
      service.address = "127.0.0.1"
      service.port = 8080 + i
      try writing.register(service)
      let registered = croost_monotonic()
      // One question only: there is nothing to wait for.
      let found = try reading.health("web", passingOnly: true)
      slowest = max(slowest, croost_monotonic() - registered)
      guard found.contains(where: { $0.id == service.id }) else {
        throw CommandFailure("web-\(i) was registered but not found: this must never happen")
      }
      try hold(0.5)
    }
    let time = text(slowest)
    screen.result("All three were found by the first question, answered within \(time).")
    measured.append(("answer of another node that has it", time))
    screen.still(view())
    try hold(2)
  }

  private func killLeader() throws {
    screen.chapter("The leader is killed while a client writes")
    writer.start()
    try wait(for: "a hundred writes") { writer.state.acknowledged.count >= 100 }
    try hold(1)
    guard let leader = cluster.leader() else { throw CommandFailure("nobody leads") }
    let old = cluster.nodes[leader]
    let before = writer.state.acknowledged.count
    screen.command("kill -9 \(old.pid)        # \(old.name), the leader")
    writer.mark()
    cluster.kill(leader)
    try wait(for: "another leader") { cluster.leader() != nil }
    try wait(for: "writes that go on") { writer.state.acknowledged.count >= before + 50 }
    let gap = text(writer.state.longestGap)
    let name = try leaderName()
    screen.result("\(name) leads now. The client's longest wait for an answer: \(gap).")
    measured.append(("gap in the writes when the leader is killed", gap))
    let instances = try cluster.roost.health("web").count
    screen.result("Its services are still registered: \(instances) of web.")
    screen.still(view())
    try hold(2.5)
  }

  private func bringBack() throws {
    screen.chapter("The dead node comes back")
    guard let dead = cluster.nodes.firstIndex(where: { $0.pid == 0 }) else { return }
    screen.command("roost agent --config \(cluster.nodes[dead].name).json")
    let start = croost_monotonic()
    try cluster.start(dead)
    try wait(for: "it to catch up") { agree(3) }
    let time = milliseconds(since: start)
    writer.stop()
    try verifyWrites(cluster.client(dead), "\(cluster.nodes[dead].name) has caught up in \(time)")
    measured.append(("from start to caught up", time))
    screen.still(view())
    try hold(2)
  }

  private func cutMajority() throws {
    screen.chapter("Two of three are killed: no majority, no guessing")
    guard let leader = cluster.leader() else { throw CommandFailure("nobody leads") }
    let left = (leader + 1) % 3
    let name = cluster.nodes[left].name
    for i in cluster.nodes.indices where i != left { cluster.kill(i) }
    let client = try cluster.client(left)
    screen.command("curl -X PUT -d x http://\(cluster.nodes[left].http)/v1/kv/demo/refused")
    let start = croost_monotonic()
    let answer = Mutex<RoostError?>(nil)
    let isDone = Mutex(false)
    try withBackground {
      do throws(RoostError) {
        _ = try client.put("demo/refused", [])
      } catch {
        answer.withLock { $0 = error }
      }
      isDone.withLock { $0 = true }
    } until: {
      isDone.withLock { $0 }
    }
    guard case .status(let status, let reason)? = answer.withLock({ $0 }) else {
      throw CommandFailure("a write without a majority was not refused: this must never happen")
    }
    let time = milliseconds(since: start)
    screen.result("\(name) answers \(status) \"\(reason)\" after \(time), rather than guess.")
    measured.append(("refusal without a majority", time))
    let stale = try client.keys(DemoWriter.prefix, consistency: .stale).count
    screen.result("Who may read old data still can (?stale): \(stale) keys.")
    screen.still(view())
    try hold(3)
  }

  private func healMajority() throws {
    screen.chapter("One comes back: a majority again, by itself")
    guard let dead = cluster.nodes.firstIndex(where: { $0.pid == 0 }) else { return }
    let start = croost_monotonic()
    try cluster.start(dead)
    try wait(for: "a leader") { cluster.leader() != nil && agree(2) }
    let time = milliseconds(since: start)
    measured.append(("from start to a majority", time))
    try verifyWrites(cluster.client(dead), "The cluster serves again after \(time)")
    try hold(1)
    screen.settle(view())
  }

  private func finish() {
    Console.print("\n" + Console.styled("Measured just now, on this machine", .bold))
    let width = measured.map(\.0.count).max() ?? 0
    for (what, value) in measured + [
      ("acknowledged writes", String(writer.state.acknowledged.count)),
      ("of these lost", String(lost)),
    ] {
      Console.print("  \(what)\(String(repeating: " ", count: width - what.count))  \(value)")
    }
    Console.print(
      "\nNext: `make run` keeps a cluster running on ports 8500 to 8502; `roost help` lists what "
        + "to do with it.")
  }

  // MARK: Helpers

  private func verifyWrites(_ client: Roost, _ what: String) throws {
    let missing = try writer.missing(in: client)
    lost = max(lost, missing)
    let count = writer.state.acknowledged.count
    if missing == 0 {
      screen.result("\(what). All \(count) acknowledged writes are there.")
    } else {
      screen.say(
        Console.styled("✗", .red) + " \(what). \(missing) of \(count) acknowledged writes are "
          + "missing: this must never happen.")
    }
  }

  /// So many nodes answer, know one leader, and have applied what it has committed.
  private func agree(_ count: Int) -> Bool {
    let reports = cluster.nodes.indices.compactMap { cluster.report($0) }
    guard reports.count == count, let leader = reports.first(where: { $0.role == "leader" }) else {
      return false
    }
    return reports.allSatisfy {
      $0.leader == leader.node && $0.appliedIndex + 50 > leader.commitIndex
    }
  }

  private func leaderName() throws(CommandFailure) -> String {
    guard let leader = cluster.leader() else { throw CommandFailure("nobody leads") }
    return cluster.nodes[leader].name
  }

  private func view() -> String {
    var table = (try? ClusterView(cluster.roost).render()) ?? "no node answers"
    while table.hasSuffix("\n") { table.removeLast() }
    return table
  }

  private func wait(for what: String, _ condition: () throws -> Bool) throws {
    let end = croost_monotonic() + UInt64(Self.stepSecondsMax * 1e9)
    while try !condition() {
      guard croost_monotonic() < end else {
        throw CommandFailure("waited \(Int(Self.stepSecondsMax)) s in vain for \(what)")
      }
      try tick(milliseconds: 10)
    }
  }

  /// Runs something that blocks on a thread, and keeps the table alive meanwhile.
  private func withBackground(
    _ work: @escaping @Sendable () -> Void, until isDone: () -> Bool
  ) throws {
    Thread.detachNewThread(work)
    while !isDone() { try tick(milliseconds: 100) }
  }

  /// Time to look at it; with --fast there is none.
  private func hold(_ seconds: Double) throws {
    let end = croost_monotonic() + UInt64(isFast ? 0 : seconds * 1e9)
    repeat { try tick(milliseconds: 100) } while croost_monotonic() < end
  }

  private func tick(milliseconds: Int32) throws {
    if Console.isTerminal { screen.draw(view()) }
    if signals.wait(milliseconds: milliseconds) != nil { throw Interrupted() }
  }

  private func milliseconds(since start: UInt64) -> String { text(croost_monotonic() - start) }

  private func text(_ nanoseconds: UInt64) -> String {
    let value = Double(nanoseconds) / 1e6
    if value >= 1000 { return String(format: "%.1f s", value / 1000) }
    return String(format: value < 10 ? "%.1f ms" : "%.0f ms", value)
  }
}
