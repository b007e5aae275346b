internal import CRoost
internal import EventLoop
internal import Foundation
internal import RoostClient
internal import Synchronization

extension Bench {
  /// Kills or freezes the leader of a cluster of its own, round after round, while a writer goes on
  /// through the other nodes, and prints the longest gap between two acknowledged writes of each.
  func failover() throws -> Int32 {
    let rounds = try number("rounds", 10, 1...10_000)
    let freezes = arguments.has("freeze")
    let cluster = try BenchCluster()
    defer { cluster.close() }
    try cluster.startAll()
    var gaps: [Double] = []
    for round in 1...rounds {
      gaps.append(try Self.round(cluster, freezes: freezes))
      let last = String(format: "%.1f", gaps[gaps.count - 1])
      Progress.show("round \(round) of \(rounds): \(last) ms without an acknowledged write")
    }
    Progress.clear()
    let sorted = gaps.sorted()
    let middle = sorted[sorted.count / 2]
    let name = freezes ? "leader frozen" : "leader killed"
    if wantsJSON {
      struct Report: Encodable {
        var what: String
        var rounds: Int
        var gapsMilliseconds: [Double]
        var median: Double
        var worst: Double
      }
      try ClientCommand.printJSON(
        Report(
          what: name, rounds: rounds, gapsMilliseconds: gaps, median: middle,
          worst: sorted[sorted.count - 1]))
    } else {
      Console.print(
        "\(name), \(rounds) rounds: longest gap between acknowledged writes in ms: "
          + String(
            format: "min %.1f, median %.1f, max %.1f", sorted[0], middle, sorted[sorted.count - 1]))
    }
    return 0
  }

  private static func round(_ cluster: BenchCluster, freezes: Bool) throws -> Double {
    let leader = try cluster.waitForLeader()
    let survivors = cluster.nodes.indices.filter { $0 != leader }
    // One writer per survivor: the cluster is back when a client of any of them is served.
    let writers = survivors.map { GapWriter("\(cluster.nodes[$0].http)") }
    for writer in writers { writer.start() }
    defer { for writer in writers { writer.stop() } }
    usleep(300_000)
    if freezes { cluster.signal(leader, SIGSTOP) } else { cluster.kill(leader) }
    usleep(1_200_000)
    for writer in writers { writer.stop() }
    if freezes { cluster.signal(leader, SIGCONT) } else { try cluster.start(leader) }
    _ = try cluster.waitForLeader()
    usleep(200_000)
    let times = writers.flatMap { $0.acknowledged() }.sorted()
    guard times.count > 1 else { throw CommandFailure("no write was acknowledged") }
    let longest = zip(times.dropFirst(), times).map { $0 - $1 }.max() ?? 0
    return Double(longest) / 1e6
  }
}

/// Writes one key over and over on a thread of its own, and notes when each was acknowledged.
private final class GapWriter: Sendable {
  private let address: String
  private let times = Mutex<[UInt64]>([])
  private let isStopped = Atomic<Bool>(false)
  private let ended = DispatchSemaphore(value: 0)

  init(_ address: String) { self.address = address }

  func start() {
    Thread.detachNewThread { [self] in
      work()
      ended.signal()
    }
  }

  /// Waits for the write under way.
  func stop() {
    if isStopped.exchange(true, ordering: .acquiringAndReleasing) { return }
    ended.wait()
  }

  func acknowledged() -> [UInt64] { times.withLock { $0 } }

  private func work() {
    guard var roost = try? Roost(addresses: [address]) else { return }
    roost.readSeconds = 5
    var number = 0
    while !isStopped.load(ordering: .acquiring) {
      number += 1
      let answer = try? roost.request(
        "PUT", "/v1/kv/bench/failover", body: Array("\(number)".utf8))
      if answer?.status == 200 {
        let now = croost_monotonic()
        times.withLock { $0.append(now) }
      } else {
        usleep(1000)
      }
    }
  }
}
