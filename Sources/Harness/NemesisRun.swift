import Basics
import Foundation
import Glibc
import RoostClient
import Simulation
import Synchronization

/// A long run of everything at once against real processes: kills, power cuts, pauses, cut and slow
/// links, corrupt bytes, full, hanging, failing and wiped disks, members removed and taken in again,
/// under clients that write down what they see; then the verdict (`roost nemesis`).
///
/// Happy path: the seed is printed first and decides the faults (not the moments at which processes
/// meet them). Faults come one or two at a time and heal by themselves. At the end everything is
/// healed, the cluster must be whole within the bound, every key is read once more through every
/// node, and each key's history must be linearizable: so nothing acknowledged is lost. What the
/// nodes use must stay within bounds and must not grow. Failures are told with the folder that holds
/// logs and history, which then stays.
package final class NemesisRun: @unchecked Sendable {
  // Sound: the threads of the clients use the atomics and the history only, which are safe.
  let cluster: LocalCluster
  let net: LinkProxies
  let disks: DiskFaults?
  var random: SplitMix
  var faults: [String: Int] = [:]
  /// Found while running.
  var problems: [String] = []
  let say: (String) -> Void
  private let history = History()
  private let stopping = Atomic<Bool>(false)
  private let running = Atomic<Int>(0)
  private let answered = Atomic<Int>(0)
  /// The keys change every few seconds, so that no history grows beyond what can be checked.
  private let epoch = Atomic<Int>(0)
  private var samples: [Usage] = []
  private let start = Date()

  private static let clients = 6
  private static let keys = 3
  private static let epochSeconds = 5.0
  private static let residentBytesMax = 256 << 20
  private static let descriptorsMax = 256
  private static let diskBytesMax = 1 << 30
  /// Memory and descriptors may differ by so much between the beginning and the end of a run.
  private static let growthFactorMax = 1.5
  private static let reportSeconds = 60.0

  /// The most that any node used at one time.
  private struct Usage {
    var residentBytes = 0
    var descriptors = 0
    var diskBytes = 0

    static func most(_ all: some Sequence<Usage>) -> Usage {
      all.reduce(into: Usage()) { most, one in
        most.residentBytes = max(most.residentBytes, one.residentBytes)
        most.descriptors = max(most.descriptors, one.descriptors)
        most.diskBytes = max(most.diskBytes, one.diskBytes)
      }
    }

    var text: String {
      "\(residentBytes >> 20) MB of memory, \(descriptors) descriptors, \(diskBytes >> 20) MB on disk"
    }
  }

  package init(seed: UInt64, say: @escaping (String) -> Void) throws {
    random = SplitMix(seed: seed)
    self.say = say
    cluster = try LocalCluster(
      count: 3, settings: ["raft": ["snapshot_after_entries": 2000]], isProxied: true,
      hasDiskFaults: true)
    guard let proxies = cluster.proxies else { throw LocalCluster.Failure("no proxies") }
    net = proxies
    disks = cluster.disks
    if disks == nil { say("no faults of disks but lost ones: there is no C compiler here") }
  }

  /// - Returns: what is wrong; empty when all held.
  package func run(seconds: Double) -> [String] {
    startClients()
    let end = start.addingTimeInterval(seconds)
    var nextReport = start.addingTimeInterval(Self.reportSeconds)
    do {
      while Date() < end {
        epoch.store(
          Int(Date().timeIntervalSince(start) / Self.epochSeconds), ordering: .relaxed)
        try faultAndHeal()
        try sample()
        if Date() > nextReport {
          nextReport = Date().addingTimeInterval(Self.reportSeconds)
          say(progress)
        }
      }
      let begin = Date()
      try awaitWhole()
      say("whole again \(Int(Date().timeIntervalSince(begin) * 1000)) ms after the last fault")
    } catch { problems.append("\(error)") }
    stopping.store(true, ordering: .relaxed)
    while running.load(ordering: .acquiring) > 0 { Pause.milliseconds(5) }
    if !cluster.nodes.contains(where: { $0.process?.isRunning != true }), problems.isEmpty {
      readEverything()
    }
    judge()
    say(progress)
    say("at most \(Usage.most(samples).text) at one node")
    let file = cluster.folder.appendingPathComponent("history.jsonl")
    let text = history.all.map(History.line).joined(separator: "\n") + "\n"
    do { try Data(text.utf8).write(to: file) } catch { problems.append("\(error)") }
    cluster.keepsFolder = true
    say("history: \(file.path)")
    return problems
  }

  private var progress: String {
    let list = faults.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    return
      "\(Int(Date().timeIntervalSince(start))) s: \(answered.load(ordering: .relaxed)) answered,"
      + " \(history.count) recorded; \(list.joined(separator: ", "))"
  }

  // MARK: Clients

  private func startClients() {
    let nodes = cluster.nodes.map { (name: $0.name, address: $0.http) }
    for number in 0..<Self.clients {
      running.add(1, ordering: .relaxed)
      let seed = random.next()
      Thread.detachNewThread { [self] in
        var choices = SplitMix(seed: seed)
        var client = RecordingClient(number: number, history: history, nodes: nodes)
        while !stopping.load(ordering: .relaxed) {
          let key = "r/\(epoch.load(ordering: .relaxed))/\(choices.below(UInt64(Self.keys)))"
          if client.step(key: key, choice: choices.next()) {
            answered.add(1, ordering: .relaxed)
          }
          Pause.milliseconds(10 + Int(choices.below(30)))
        }
        running.subtract(1, ordering: .releasing)
      }
    }
  }

  // MARK: Verdict

  /// The last word on every key, through every node.
  private func readEverything() {
    let reader = RecordingClient(number: -1, history: history, nodes: [])
    for (key, _) in history.byKey() {
      for node in cluster.nodes {
        guard var roost = try? Roost(addresses: [node.http]) else { continue }
        roost.readSeconds = 10
        if reader.read(key, node.name, roost) == nil {
          problems.append("\(key) cannot be read at \(node.name) after everything healed")
        }
      }
    }
  }

  private func judge() {
    var undecided = 0
    let histories = history.byKey()
    for (key, events) in histories {
      switch LinearizabilityChecker.check(events.map(\.operation)) {
      case .linearizable: break
      case .undecided: undecided += 1
      case .violation(let text): problems.append("\(key) is not linearizable: \(text)")
      }
    }
    say("\(histories.count) histories, of which \(undecided) were too large to decide")
    if undecided * 20 > histories.count { problems.append("too much could not be decided") }
    judgeUsage()
    for i in 0..<3 {
      let log = cluster.log(i)
      let file = cluster.logFile(i).path
      if log.contains("Fatal error") {
        problems.append("\(cluster.nodes[i].name) trapped; see \(file)")
      }
      // Nothing that happens here is a reason for it.
      if log.contains("joins as a new node") {
        problems.append("\(cluster.nodes[i].name) took its data for an old copy; see \(file)")
      }
    }
  }

  /// Bounds, and no growth: the last fifth of the run beside the second, when all is warm.
  private func judgeUsage() {
    let most = Usage.most(samples)
    if most.residentBytes > Self.residentBytesMax { problems.append("a node took too much memory") }
    if most.descriptors > Self.descriptorsMax { problems.append("a node leaks descriptors") }
    if most.diskBytes > Self.diskBytesMax { problems.append("a node fills its disk") }
    let fifth = samples.count / 5
    guard fifth >= 10 else { return }
    let early = Usage.most(samples[fifth..<(2 * fifth)])
    let late = Usage.most(samples.suffix(fifth))
    say("early: \(early.text); late: \(late.text)")
    let isLarger =
      Double(late.residentBytes) > Double(early.residentBytes) * Self.growthFactorMax
      || Double(late.descriptors) > Double(early.descriptors) * Self.growthFactorMax
    if isLarger { problems.append("what the nodes use grows") }
  }

  private func sample() throws {
    var usage = Usage()
    for i in 0..<3 {
      if let process = cluster.nodes[i].process, process.isRunning {
        let folder = "/proc/\(process.processIdentifier)"
        let pages = (try? String(contentsOfFile: folder + "/statm", encoding: .utf8))?
          .split(separator: " ").dropFirst().first.flatMap { Int($0) }
        usage.residentBytes = max(usage.residentBytes, (pages ?? 0) * 4096)
        let open = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/fd"))?.count
        usage.descriptors = max(usage.descriptors, open ?? 0)
      }
      usage.diskBytes = max(usage.diskBytes, cluster.dataBytes(i))
    }
    samples.append(usage)
  }
}
