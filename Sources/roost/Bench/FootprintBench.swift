internal import CRoost
internal import EventLoop
internal import Foundation
internal import RoostClient

extension Bench {
  /// What a cluster costs when nothing happens, and how long it takes to come up: cold start, idle,
  /// `--keys` keys (a million unless given), restart of a node with them.
  func footprint() throws -> Int32 {
    let cluster = try BenchCluster()
    defer { cluster.close() }
    var lines: [(String, String)] = []
    func note(_ what: String, _ value: String) {
      lines.append((what, value))
      Console.print("\(what): \(value)")
    }
    let start = croost_monotonic()
    for index in cluster.nodes.indices { try cluster.start(index) }
    try Self.firstWrite(cluster)
    note("cold start to the first acknowledged write", Self.milliseconds(since: start))
    let costs = cluster.addresses.compactMap { ProcessCost(listeningOn: $0.port) }
    usleep(2_000_000)
    let before = costs.map { $0.sample() }
    usleep(5_000_000)
    let idle = zip(costs, before).map { cost, old in
      let new = cost.sample()
      return String(
        format: "%.1f MB resident, %.2f %% of a core", Double(new.residentBytes) / 1_048_576,
        (new.cpuSeconds - old.cpuSeconds) * 20)
    }
    note("idle, each node", idle.joined(separator: "; "))
    try fillMillion(cluster, note)
    let leader = try cluster.waitForLeader()
    let follower = (leader + 1) % cluster.nodes.count
    cluster.terminate(follower)
    let restart = croost_monotonic()
    try cluster.start(follower)
    try Self.awaitKey(cluster, follower)
    note("restart of a node until it serves them", Self.milliseconds(since: restart))
    return 0
  }

  private func fillMillion(
    _ cluster: BenchCluster, _ note: (String, String) -> Void
  ) throws {
    var fill = options
    fill.addresses = cluster.addresses
    fill.work.keys = try number("keys", 1_000_000, 1...100_000_000)
    fill.work.kind = .get
    let begin = croost_monotonic()
    try Self.fill(fill)
    note("writing \(fill.work.keys) keys", Self.milliseconds(since: begin))
    usleep(2_000_000)
    let sizes = cluster.addresses.compactMap { ProcessCost(listeningOn: $0.port) }.map {
      "\($0.sample().residentBytes >> 20) MB"
    }
    note("resident with them", sizes.joined(separator: ", "))
  }

  private static func milliseconds(since start: UInt64) -> String {
    "\((croost_monotonic() - start) / 1_000_000) ms"
  }

  private static func firstWrite(_ cluster: BenchCluster) throws {
    let end = croost_monotonic() + 20_000_000_000
    var roost = try cluster.client(0)
    roost.readSeconds = 10
    while croost_monotonic() < end {
      let answer = try? roost.request("PUT", "/v1/kv/bench/first", body: [0x78])
      if answer?.status == 200 { return }
      usleep(2000)
    }
    throw CommandFailure("the cluster takes no writes; the nodes' logs are in \(cluster.folder)")
  }

  /// Until the node answers a linearizable read itself.
  private static func awaitKey(_ cluster: BenchCluster, _ index: Int) throws {
    let end = croost_monotonic() + 60_000_000_000
    let roost = try cluster.client(index)
    while croost_monotonic() < end {
      if (try? roost.request("GET", "/v1/kv/bench/first"))?.status == 200 { return }
      usleep(2000)
    }
    throw CommandFailure("the node does not come back; its log is in \(cluster.folder)")
  }
}
