import Basics
import Foundation
import Glibc
import RoostClient
import Simulation
import Synchronization

/// A long run of everything at once against real processes: kills, pauses, cut and slow links,
/// corrupt bytes, wiped and full disks, under clients that write down what they see; then the
/// verdict (`roost nemesis`).
///
/// Happy path: the seed is printed first and decides the faults (not the moments at which processes
/// meet them). Faults come one or two at a time and heal by themselves. At the end everything is
/// healed, the cluster must be whole within the bound, every key is read once more, and each key's
/// history must be linearizable: so nothing acknowledged is lost. Failures are told with the
/// folder that holds logs and history, which then stays.
package final class NemesisRun: @unchecked Sendable {
  // Sound: the threads of the clients use the atomics and the history only, which are safe.
  private let cluster: LocalCluster
  private let net: LinkProxies
  private var random: SplitMix
  private let history = History()
  private let stopping = Atomic<Bool>(false)
  private let running = Atomic<Int>(0)
  private let answered = Atomic<Int>(0)
  /// The keys change every few seconds, so that no history grows beyond what can be checked.
  private let epoch = Atomic<Int>(0)
  private var usage = Usage()
  private var faults: [String: Int] = [:]
  private var mount: (folder: URL, filler: URL)?
  private let say: (String) -> Void
  private let start = Date()

  private static let clients = 6
  private static let keys = 3
  private static let epochSeconds = 5.0
  private static let residentBytesMax = 768 << 20
  private static let descriptorsMax = 512
  private static let diskBytesMax = 1 << 30
  private static let healSeconds = 30.0

  /// The most that any node used.
  private struct Usage {
    var residentBytes = 0
    var descriptors = 0
    var diskBytes = 0
  }

  package init(seed: UInt64, say: @escaping (String) -> Void) throws {
    random = SplitMix(seed: seed)
    self.say = say
    mount = Self.mountSmallDisk()
    if mount == nil { say("no full disks: mounting a small file system needs root") }
    let folders = mount.map { [2: $0.folder.appendingPathComponent("data")] } ?? [:]
    cluster = try LocalCluster(
      count: 3, settings: ["raft": ["snapshot_after_entries": 2000]], isProxied: true,
      dataFolders: folders)
    guard let proxies = cluster.proxies else { throw LocalCluster.Failure("no proxies") }
    net = proxies
  }

  /// - Returns: what is wrong; empty when all held.
  package func run(seconds: Double) -> [String] {
    startClients()
    var problems: [String] = []
    let end = start.addingTimeInterval(seconds)
    var nextReport = start.addingTimeInterval(30)
    do {
      while Date() < end {
        epoch.store(
          Int(Date().timeIntervalSince(start) / Self.epochSeconds), ordering: .relaxed)
        try faultAndHeal()
        try sample()
        if Date() > nextReport {
          nextReport = Date().addingTimeInterval(30)
          say(progress)
        }
      }
      try healEverything()
    } catch { problems.append("\(error)") }
    stopping.store(true, ordering: .relaxed)
    while running.load(ordering: .acquiring) > 0 { Pause.milliseconds(5) }
    if problems.isEmpty { problems += judge() }
    say(progress)
    let file = cluster.folder.appendingPathComponent("history.jsonl")
    let text = history.all.map(History.line).joined(separator: "\n") + "\n"
    try? Data(text.utf8).write(to: file)
    finish(keepsFolder: true)
    say("history: \(file.path)")
    return problems
  }

  private func finish(keepsFolder: Bool) {
    cluster.keepsFolder = keepsFolder
    for i in 0..<3 { cluster.signal(i, SIGKILL) }
    // Sound: the text lives for the call.
    if let mount { unsafe umount2(mount.folder.path, Int32(MNT_DETACH)) }
  }

  private var progress: String {
    let list = faults.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    return
      "\(Int(Date().timeIntervalSince(start))) s: \(answered.load(ordering: .relaxed)) answered,"
      + " \(history.count) recorded; \(list.joined(separator: ", ")); at most"
      + " \(usage.residentBytes >> 20) MB, \(usage.descriptors) descriptors,"
      + " \(usage.diskBytes >> 20) MB on disk"
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

  // MARK: Faults

  private func pause(_ range: ClosedRange<UInt64>) {
    Pause.milliseconds(
      Int(range.lowerBound + random.below(range.upperBound - range.lowerBound + 1)))
  }

  private func faultAndHeal() throws {
    let victim = Int(random.below(3))
    let other = (victim + 1 + Int(random.below(2))) % 3
    let names = cluster.nodes.map(\.name)
    let kind = random.below(12)
    switch kind {
    case 0, 1:
      note("kill")
      cluster.signal(victim, SIGKILL)
      pause(0...2500)
      try cluster.start(victim)
    case 2:
      note("kill two")
      for i in [victim, other] { cluster.signal(i, SIGKILL) }
      pause(0...2000)
      for i in [victim, other] { try cluster.start(i) }
    case 3, 4:
      note("pause")
      cluster.signal(victim, SIGSTOP)
      pause(200...4000)
      cluster.signal(victim, SIGCONT)
    case 5:
      note("isolate")
      net.isolate(names[victim], from: names)
      pause(500...4000)
    case 6:
      note("one way")
      net.set(from: names[victim], to: names[other], .cut)
      pause(500...4000)
    case 7:
      note("partial")
      net.setBothWays(names[victim], names[other], .cut)
      pause(500...5000)
    case 8:
      note("slow")
      net.setBothWays(names[victim], names[other], .delay(5 + random.below(150)))
      net.set(from: names[other], to: names[victim], .throttle(bytesPerSecond: 50_000))
      pause(500...4000)
    case 9:
      note("reset and corrupt")
      for _ in 0..<5 {
        net.corrupt(from: names[victim], to: names[other])
        pause(20...200)
        net.reset(names[victim], names[other])
      }
    case 10: try wipe(victim)
    default: try fillDisk()
    }
    net.healAll()
    if random.below(3) > 0 { pause(200...2500) }
  }

  private func note(_ fault: String) { faults[fault, default: 0] += 1 }

  /// Only while the others hold everything: two lost disks are a lost quorum.
  private func wipe(_ victim: Int) throws {
    try awaitWhole()
    note("wipe")
    cluster.signal(victim, SIGKILL)
    try FileManager.default.removeItem(at: cluster.dataFolder(victim))
    try cluster.start(victim)
    try awaitWhole()
  }

  private func fillDisk() throws {
    guard let mount else { return }
    note("full disk")
    _ = FileManager.default.createFile(atPath: mount.filler.path, contents: nil)
    let handle = try FileHandle(forWritingTo: mount.filler)
    for size in [1 << 20, 4096] {
      let piece = Data(repeating: 1, count: size)
      while (try? handle.write(contentsOf: piece)) != nil {}
    }
    try handle.close()
    pause(1000...5000)
    try FileManager.default.removeItem(at: mount.filler)
  }

  /// Three voters, and all of them in one term with one leader.
  private func awaitWhole() throws {
    try cluster.wait("a whole cluster", seconds: Self.healSeconds) {
      for i in 0..<3 where cluster.nodes[i].process?.isRunning != true { try cluster.start(i) }
      let reports = (0..<3).compactMap { cluster.report($0) }
      return reports.count == 3 && Set(reports.map(\.term)).count == 1
        && reports.count { $0.role == "leader" } == 1
        && reports.allSatisfy { report in
          report.members.count == 3 && report.members.allSatisfy(\.isVoter)
            && ["leader", "follower"].contains(report.role)
        }
    }
  }

  private func healEverything() throws {
    net.healAll()
    let begin = Date()
    try awaitWhole()
    say("whole again \(Int(Date().timeIntervalSince(begin) * 1000)) ms after the last fault")
    for i in 0..<3 {
      let state = cluster.nodes[i].process?.isRunning ?? false
      guard state else { throw LocalCluster.Failure("\(cluster.nodes[i].name) has ended") }
    }
  }

  // MARK: Verdict

  private func judge() -> [String] {
    var problems: [String] = []
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
    var undecided = 0
    for (key, events) in history.byKey() {
      switch LinearizabilityChecker.check(events.map(\.operation)) {
      case .linearizable: break
      case .undecided: undecided += 1
      case .violation(let text): problems.append("\(key) is not linearizable: \(text)")
      }
    }
    if undecided > 0 { say("\(undecided) histories were too large to decide") }
    if usage.residentBytes > Self.residentBytesMax {
      problems.append("a node took too much memory")
    }
    if usage.descriptors > Self.descriptorsMax { problems.append("a node leaks descriptors") }
    if usage.diskBytes > Self.diskBytesMax { problems.append("a node fills its disk") }
    for i in 0..<3 where cluster.log(i).contains("Fatal error") {
      problems.append("\(cluster.nodes[i].name) trapped; see \(cluster.logFile(i).path)")
    }
    return problems
  }

  private func sample() throws {
    for i in 0..<3 {
      if let process = cluster.nodes[i].process, process.isRunning {
        let folder = "/proc/\(process.processIdentifier)"
        let pages = (try? String(contentsOfFile: folder + "/statm", encoding: .utf8))?
          .split(separator: " ").dropFirst().first.flatMap { Int($0) }
        usage.residentBytes = max(usage.residentBytes, (pages ?? 0) * 4096)
        let open = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/fd"))?.count
        usage.descriptors = max(usage.descriptors, open ?? 0)
      }
      let path = cluster.dataFolder(i).path
      let names = (try? FileManager.default.subpathsOfDirectory(atPath: path)) ?? []
      let bytes = names.reduce(0) { total, name in
        let attributes = try? FileManager.default.attributesOfItem(atPath: path + "/" + name)
        return total + (attributes?[.size] as? Int ?? 0)
      }
      usage.diskBytes = max(usage.diskBytes, bytes)
    }
  }

  private static func mountSmallDisk() -> (folder: URL, filler: URL)? {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("roost-disk-\(UUID().uuidString.prefix(8))")
    try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    // Sound: the texts live for the call.
    guard unsafe Glibc.mount("tmpfs", folder.path, "tmpfs", 0, "size=320m") == 0 else { return nil }
    return (folder, folder.appendingPathComponent("filler"))
  }
}
