import Basics
import Raft
import Storage

/// One fault by its name, on a cluster that has no others, with its expected course asserted: not
/// only that nothing is lost, but who leads when, and how long clients wait.
///
/// Happy path: the script drives the cluster and says what it expects; then all faults end, and
/// everything that is checked at the end of a random run is checked here too: writes succeed
/// again, members agree, histories are linearizable. Failures: the first expectation that does
/// not hold is the run's failure.
package struct Scenario: Sendable {
  /// As issue lists name it: P1, N3.
  package let name: String
  package let summary: String
  let setUp: @Sendable (inout SimulationOptions) -> Void
  let script: @Sendable (ScenarioRun) -> Void

  init(
    _ name: String, _ summary: String,
    setUp: @escaping @Sendable (inout SimulationOptions) -> Void = { _ in },
    script: @escaping @Sendable (ScenarioRun) -> Void
  ) {
    self.name = name
    self.summary = summary
    self.setUp = setUp
    self.script = script
  }

  package static let all = processes + networks + disks + consensus + registry + instances

  package static func named(_ name: String) -> Scenario? { all.first { $0.name == name } }

  /// - Returns: nil when everything was as expected.
  package func run(seed: UInt64) -> String? { report(seed: seed, mode: .hashOnly).failure }

  func report(seed: UInt64, mode: Transcript.Mode) -> SimulationReport {
    var options = SimulationOptions()
    options.makeCalm()
    setUp(&options)
    options.recoveryMicrosecondsMax = 10_000_000
    let cluster = Cluster(world: World(seed: seed), options: options, transcript: mode)
    let run = ScenarioRun(cluster)
    cluster.begin()
    run.waitForLeader(within: 2_000)
    script(run)
    cluster.world.schedule(.phase(.healed), after: 0)
    cluster.goOn { false }
    cluster.finish()
    return SimulationReport(
      seed: seed, failure: cluster.failure.map { "\(name): \($0)" },
      hash: cluster.transcript.hash, virtualMicroseconds: cluster.world.now,
      totals: cluster.totals, transcript: cluster.transcript.tail())
  }
}

extension SimulationOptions {
  /// No fault comes by itself.
  mutating func makeCalm() {
    nemesis = NemesisOptions()
    nemesis.crash = 0
    nemesis.powerLoss = 0
    nemesis.pause = 0
    nemesis.partition = 0
    nemesis.oneWayCut = 0
    nemesis.heal = 0
    nemesis.slowLink = 0
    nemesis.slowDisk = 0
    nemesis.spuriousReset = 0
    nemesis.transfer = 0
    network.resetsNoticed = 1_000
    raft.trailingEntries = 10
    raft.trailingBytes = 4_096
    turnMicroseconds = 200
    log.segmentBytes = 16 << 10
  }
}

/// What a script does with a cluster. Times are milliseconds of virtual time. Once something has
/// failed, all of it returns at once.
final class ScenarioRun {
  let cluster: Cluster

  init(_ cluster: Cluster) { self.cluster = cluster }

  var now: UInt64 { cluster.world.now / 1000 }
  var nodes: [SimulatedNode] { cluster.nodes }
  var writes: UInt64 { cluster.totals.writes }
  var hasFailed: Bool { cluster.failure != nil }

  func fail(_ text: String) { cluster.fail("\(text), at \(now) ms" + cluster.describeNodes()) }

  func expect(_ condition: Bool, _ text: @autoclosure () -> String) {
    if !condition, !hasFailed { fail("expected that \(text())") }
  }

  func run(_ milliseconds: UInt64) {
    let end = cluster.world.now + milliseconds * 1000
    cluster.goOn { cluster.world.now >= end }
  }

  /// - Returns: after how many milliseconds it was so.
  @discardableResult
  func wait(_ limit: UInt64, for what: @autoclosure () -> String, _ isSo: () -> Bool) -> UInt64 {
    let start = now
    cluster.goOn { isSo() || now > start + limit }
    if !hasFailed, !isSo() { fail("not within \(limit) ms: \(what())") }
    return now - start
  }

  @discardableResult
  func waitForLeader(within limit: UInt64) -> SimulatedNode {
    wait(limit, for: "a leader") { cluster.leader != nil }
    return leader
  }

  /// Any node once the run has failed, so that scripts need not ask at every step.
  var leader: SimulatedNode { cluster.leader ?? cluster.nodes[0] }

  func followers(of leader: SimulatedNode) -> [SimulatedNode] {
    nodes.filter { $0.slot != leader.slot }
  }

  func waitForWrites(_ count: UInt64 = 3, within limit: UInt64) {
    let before = writes
    wait(limit, for: "\(count) writes") { writes >= before + count }
  }

  /// Everybody who is up has what the leader has.
  func waitUntilEven(within limit: UInt64) {
    wait(limit, for: "equal logs") {
      guard let leader = cluster.leader else { return false }
      return nodes.allSatisfy { !$0.isUp || $0.lastApplied + 5 >= leader.lastApplied }
    }
  }

  func kill(_ node: SimulatedNode) { node.crash(losingPower: false) }
  func cutPower(_ node: SimulatedNode) { node.crash(losingPower: true) }
  func start(_ node: SimulatedNode) { if !node.isUp { cluster.start(node) } }

  /// Every second process that stops is started again, until all run.
  func startAll() { for node in nodes { start(node) } }

  func pause(_ node: SimulatedNode, _ milliseconds: UInt64) {
    node.pausedUntil = cluster.world.now + milliseconds * 1000
  }

  func cut(_ from: SimulatedNode, _ to: SimulatedNode) {
    cluster.network.cut(from: from.slot, to: to.slot)
  }

  func cutBoth(_ a: SimulatedNode, _ b: SimulatedNode) {
    cut(a, b)
    cut(b, a)
  }

  func isolate(_ node: SimulatedNode) {
    for peer in nodes where peer.slot != node.slot { cutBoth(node, peer) }
  }

  func heal() { cluster.network.heal() }
  func number(_ range: ClosedRange<UInt64>) -> UInt64 { cluster.world.number(range) }
  func any() -> SimulatedNode { nodes[cluster.world.index(below: nodes.count)] }
}
