internal import EventLoop

extension Command {
  private static let benchFlags = [
    Flag(
      "http-addr", "HOST:PORT,…", "nodes to load; without it three nodes are started for the run"),
    Flag("connections", "N", "clients (64)"),
    Flag("pipeline", "N", "requests under way per client (1)"),
    Flag("seconds", "N", "how long (5)"),
    Flag("requests", "N", "ends after so many requests"),
    Flag("rate", "N", "open loop: so many requests per second, latency from the intended start"),
    Flag("value-bytes", "N", "size of the values (128)"),
    Flag("keys", "N", "how many different keys (10000)"),
    Flag("consistency", "MODE", "of reads: default, consistent or stale"),
    Flag("read-percent", "N", "mixed: share of reads (80)"),
    Flag("node", "N|leader|follower", "which of the started nodes to load (all)"),
    Flag("rounds", "N", "failover, compare, snapshots: how many (10, 5, 5)"),
    Flag("freeze", "failover: SIGSTOP instead of SIGKILL"),
    Flag("watchers", "N", "watch: parked queries (10000)"),
    Flag("instances", "N", "checks: services with an HTTP check (10000); health: instances (10)"),
    Flag("interval", "N", "checks: seconds between two probes of one (10)"),
    Flag("json", "print JSON for scripts"),
  ]

  static let bench = Command(
    name: "bench", summary: "load a cluster and print throughput and latencies",
    usage:
      "put|get|mixed|register|health|watch|failover|footprint|checks|snapshots|growth|table|compare"
      + " [FLAGS]",
    flags: benchFlags,
    details: """
      put, get, mixed   keys of the KV store (`get` and `mixed` write the keys first)
      register, health  service instances; the passing instances of one service
      watch             parks blocking queries on one key, then changes it
      failover          kills (or freezes) the leader again and again: gaps between writes
      checks            services with HTTP checks: what the probes cost each node
      snapshots         what taking them adds to the latency of writes
      growth            clients, values, keys, instances, nodes, snapshots: a table for each
      footprint         cold start, idle cost, a million keys, restart
      table             a standard set of the above
      compare           the same work side by side: Roost, etcd, nginx, Consul (as installed)
      """
  ) { input in
    let arguments = try Arguments(input, flags: benchFlags)
    try arguments.expect("what to do")
    let bench = try Bench(arguments)
    switch arguments.words[0] {
    case "watch": return try bench.watch()
    case "failover": return try bench.failover()
    case "footprint": return try bench.footprint()
    case "checks": return try bench.checks()
    case "snapshots": return try bench.snapshots()
    case "growth": return try bench.growth()
    case "table": return try bench.table()
    case "compare": return try bench.compare()
    case let word:
      guard let kind = LoadWork.Kind(rawValue: word), kind != .path else {
        throw UsageError("\"\(word)\" is nothing that can be measured; --help lists what is")
      }
      return try bench.load(kind)
    }
  }
}

/// What the flags ask for, and the commands that do it.
struct Bench {
  let arguments: Arguments
  var options: LoadRun.Options
  let wantsJSON: Bool

  init(_ arguments: Arguments) throws {
    self.arguments = arguments
    wantsJSON = arguments.has("json")
    options = LoadRun.Options(addresses: [])
    for text in (arguments.value("http-addr") ?? "").split(separator: ",") {
      guard let address = SocketAddress(parsing: String(text)) else {
        throw UsageError("--http-addr takes IP:PORT, not \"\(text)\"")
      }
      options.addresses.append(address)
    }
    options.connections = try number("connections", 64, 1...60_000)
    options.depth = try number("pipeline", 1, 1...128)
    options.seconds = Double(try number("seconds", 5, 1...3600))
    if let count = try arguments.number("requests") { options.requestsMax = count }
    if let rate = try arguments.number("rate") { options.rate = Double(max(1, rate)) }
    options.work.valueBytes = try number("value-bytes", 128, 0...(512 << 10))
    options.work.keys = try number("keys", 10_000, 1...100_000_000)
    options.work.instances = try number("instances", 10, 1...100_000)
    options.work.readPercent = UInt64(try number("read-percent", 80, 0...100))
    options.showsProgress = !wantsJSON
    switch arguments.value("consistency") ?? "default" {
    case "default": break
    case "consistent": options.work.readQuery = "?consistent"
    case "stale": options.work.readQuery = "?stale"
    case let other: throw UsageError("--consistency knows no \"\(other)\"")
    }
  }

  func number(
    _ name: String, _ fallback: UInt64, _ range: ClosedRange<UInt64>
  ) throws(UsageError) -> Int {
    let value = try arguments.number(name) ?? fallback
    guard range.contains(value) else {
      throw UsageError("--\(name) takes \(range.lowerBound) to \(range.upperBound)")
    }
    return Int(value)
  }

  /// Runs `body` on the nodes named by `--http-addr`, or on three started for it.
  func onNodes<R>(_ body: ([SocketAddress], BenchCluster?) throws -> R) throws -> R {
    if !options.addresses.isEmpty { return try body(options.addresses, nil) }
    let cluster = try BenchCluster()
    defer { cluster.close() }
    try cluster.startAll()
    return try body(cluster.addresses, cluster)
  }

  /// Those of the started nodes that `--node` chooses.
  private func chosen(_ all: [SocketAddress], _ cluster: BenchCluster?) throws -> [SocketAddress] {
    guard let choice = arguments.value("node"), let cluster else { return all }
    let leader = try cluster.waitForLeader()
    switch choice {
    case "leader": return [all[leader]]
    case "follower": return [all[(leader + 1) % all.count]]
    default:
      guard let position = Int(choice), (1...all.count).contains(position) else {
        throw UsageError("--node takes 1 to \(all.count), leader or follower")
      }
      return [all[position - 1]]
    }
  }

  func load(_ kind: LoadWork.Kind) throws -> Int32 {
    try onNodes { all, cluster in
      var options = options
      options.work.kind = kind
      options.addresses = try chosen(all, cluster)
      try Self.fill(options)
      let report = try LoadReport.measure(kind.rawValue, options, nodes: all)
      try show(report)
      return report.result.errors == 0 && report.result.latencies.count > 0 ? 0 : 1
    }
  }

  func show(_ report: LoadReport) throws {
    if wantsJSON {
      try ClientCommand.printJSON(report.json)
    } else {
      Console.write(report.render(isDetailed: true))
    }
  }

  /// Writes what the reads of a load will look for.
  static func fill(_ options: LoadRun.Options) throws {
    var fill = options
    fill.rate = nil
    fill.seconds = 600
    fill.connections = 64
    // Not more under way than a node takes without a word.
    fill.depth =
      options.work.wire == .http ? min(16, max(1, 8192 / max(1, options.work.valueBytes))) : 1
    fill.work.isSequential = true
    switch options.work.kind {
    case .get, .mixed: fill.work.kind = .put
    case .health:
      fill.work.kind = .register
      fill.work.keys = options.work.instances
    case .put, .register, .path: return
    }
    fill.requestsMax = UInt64(fill.work.keys)
    fill.connections = min(fill.connections, fill.work.keys)
    let filled = try LoadRun(fill).run()
    Progress.clear()
    guard filled.errors == 0 else { throw CommandFailure(filled.failureText) }
  }
}
