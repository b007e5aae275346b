import Basics
import Foundation
import Glibc
import RoostClient

/// What `NemesisRun` breaks. Each fault heals what it broke, or `faultAndHeal` does; at most one node
/// of three loses its disk at a time, and only while the others hold everything.
extension NemesisRun {
  private static let healSeconds = 60.0

  private func pause(_ range: ClosedRange<UInt64>) {
    Pause.milliseconds(
      Int(range.lowerBound + random.below(range.upperBound - range.lowerBound + 1)))
  }

  private func note(_ fault: String) { faults[fault, default: 0] += 1 }

  func faultAndHeal() throws {
    let victim = Int(random.below(3))
    let kind = random.below(100)
    switch kind {
    case 0..<8: try replace(victim)
    case 8..<14: try wipe(victim)
    default:
      // Two different things at once, now and then.
      if random.below(3) == 0 { breakLinks(Int(random.below(3))) }
      switch kind {
      case 14..<40: try breakProcess(victim)
      case 40..<65: try breakDisk(victim)
      default:
        breakLinks(victim)
        pause(500...4000)
      }
    }
    net.healAll()
    for i in 0..<3 { try revive(i) }
    if random.below(3) > 0 { pause(200...2500) }
  }

  /// Starts a node that has ended; one that ended otherwise than it should is a problem.
  private func revive(_ i: Int) throws {
    guard let process = cluster.nodes[i].process, !process.isRunning else { return }
    // A process that has only just been started has no handler for SIGTERM yet.
    let isOurs = [SIGKILL, SIGTERM].contains(process.terminationStatus)
    if process.terminationReason == .uncaughtSignal, !isOurs {
      problems.append("\(cluster.nodes[i].name) ended by signal \(process.terminationStatus)")
    }
    try cluster.start(i)
  }

  // MARK: Processes

  private func breakProcess(_ victim: Int) throws {
    switch random.below(6) {
    case 0, 1:
      note("kill")
      cluster.signal(victim, SIGKILL)
      pause(0...2500)
    case 2:
      note("kill two")
      for i in [victim, (victim + 1) % 3] { cluster.signal(i, SIGKILL) }
      pause(0...2000)
    case 3:
      note("kill all")
      for i in 0..<3 { cluster.signal(i, SIGKILL) }
      pause(0...500)
    case 4:
      note("stop")
      cluster.signal(victim, SIGTERM)
      pause(0...500)
    default:
      note("pause")
      cluster.signal(victim, SIGSTOP)
      pause(200...4000)
      cluster.signal(victim, SIGCONT)
    }
  }

  // MARK: Links

  private func breakLinks(_ victim: Int) {
    let names = cluster.nodes.map(\.name)
    let other = (victim + 1 + Int(random.below(2))) % 3
    switch random.below(6) {
    case 0:
      note("isolate")
      net.isolate(names[victim], from: names)
    case 1:
      note("one way")
      net.set(from: names[victim], to: names[other], .cut)
    case 2:
      note("partial")
      net.setBothWays(names[victim], names[other], .cut)
    case 3:
      note("deaf or dumb")
      let isDeaf = random.below(2) == 0
      for name in names where name != names[victim] {
        net.set(from: isDeaf ? name : names[victim], to: isDeaf ? names[victim] : name, .cut)
      }
    case 4:
      note("slow")
      net.setBothWays(names[victim], names[other], .delay(5 + random.below(150)))
      net.set(from: names[other], to: names[victim], .throttle(bytesPerSecond: 50_000))
    default:
      note("reset and corrupt")
      for _ in 0..<5 {
        net.corrupt(from: names[victim], to: names[other])
        pause(20...200)
        net.reset(names[victim], names[other])
      }
    }
  }

  // MARK: Disks

  private func breakDisk(_ victim: Int) throws {
    guard let disks else { return }
    switch random.below(5) {
    case 0:
      note("full disk")
      try disks.set(.writeErrno, Int(ENOSPC), of: victim)
      pause(500...5000)
      try disks.set(.writeErrno, 0, of: victim)
    case 1:
      note("hanging disk")
      try disks.set(.hang, 1, of: victim)
      pause(500...5000)
      try disks.set(.hang, 0, of: victim)
    case 2:
      note("failed sync")
      try disks.set(.syncErrno, Int(EIO), of: victim)
      pause(100...1500)
      try disks.set(.syncErrno, 0, of: victim)
    case 3:
      note("slow disk")
      try disks.set(.syncMicroseconds, Int(1000 + random.below(60_000)), of: victim)
      pause(500...4000)
      try disks.set(.syncMicroseconds, 0, of: victim)
    default: try cutPower(victim)
    }
  }

  /// Of one node, or of all: what was not synced is partly gone.
  private func cutPower(_ victim: Int) throws {
    let victims = random.below(2) == 0 ? [victim] : [0, 1, 2]
    note(victims.count == 1 ? "power cut" : "power cut of all")
    for i in victims { try disks?.set(.powerCut, Int(1 + random.below(1 << 30)), of: i) }
    for i in victims where cluster.exitStatus(i, within: 2) == nil { cluster.signal(i, SIGKILL) }
    pause(0...1000)
  }

  /// Only while the others hold everything: two lost disks are a lost quorum.
  private func wipe(_ victim: Int) throws {
    try awaitWhole()
    note("wipe")
    cluster.signal(victim, SIGKILL)
    try FileManager.default.removeItem(at: cluster.dataFolder(victim))
    try cluster.start(victim)
    try awaitWhole()
  }

  // MARK: Members

  /// Out of the cluster, by any node, and in again as a new member.
  private func replace(_ victim: Int) throws {
    try awaitWhole()
    note("remove and add")
    let name = cluster.nodes[victim].name
    let asked = (victim + Int(random.below(3))) % 3
    try cluster.wait("\(name) to be removed", seconds: Self.healSeconds) {
      let other = try cluster.client((victim + 1) % 3)
      let peers = try? other.raftPeers()
      guard let peer = peers?.first(where: { $0.node == name }) else { return peers != nil }
      try? cluster.client(asked).removePeer(id: peer.id)
      return false
    }
    cluster.signal(victim, SIGKILL)
    try FileManager.default.removeItem(at: cluster.dataFolder(victim))
    try cluster.start(victim)
    try awaitWhole()
  }

  /// Everything healed, three voters, and all of them in one term with one leader.
  func awaitWhole() throws {
    net.healAll()
    try cluster.wait("a whole cluster", seconds: Self.healSeconds) {
      for i in 0..<3 { try revive(i) }
      let reports = (0..<3).compactMap { cluster.report($0) }
      return reports.count == 3 && Set(reports.map(\.term)).count == 1
        && reports.count { $0.role == "leader" } == 1
        && reports.allSatisfy { report in
          report.members.count == 3 && report.members.allSatisfy(\.isVoter)
            && ["leader", "follower"].contains(report.role)
        }
    }
  }
}
