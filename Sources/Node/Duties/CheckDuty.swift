internal import Checks
internal import EventLoop
internal import Registry

/// Runs the HTTP and TCP checks of the services this node hosts, and reports what changes.
///
/// The replicated state says which checks those are: when a host dies its checks move with its
/// services in one entry, so each check runs on exactly one live node. A report names the host it
/// is from, and the state machine drops it if the check has moved meanwhile.
final class CheckDuty {
  /// A check that came from a dead host is looked at soon; others start within their interval.
  private static let movedWithinNanoseconds: UInt64 = 400_000_000

  private unowned let node: Node
  private var runner: CheckRunner?
  private let resolver: Resolver
  /// Check ids by the key the runner knows them by.
  private var running: [String: String] = [:]
  /// Where every agent check of the cluster ran when last looked, to know which have moved here.
  private var hosts: [String: String] = [:]
  private var isChanged = true
  /// What probes said since the last tick, the newest per check.
  private var reports: [(id: String, status: ProbeStatus, output: String)] = []
  private var proposing: Set<String> = []

  init(node: Node) {
    self.node = node
    resolver = Resolver(loop: node.loop, workers: node.workers)
    let seed = UInt64.random(in: .min ... .max)
    runner = CheckRunner(loop: node.loop, seed: seed, resolver: resolver) {
      [weak self] id, status, output in
      self?.reports.append((id, status, output))
    }
  }

  var count: Int { running.count }

  func setChanged() { isChanged = true }

  func stop() {
    runner?.removeAll()
    running.removeAll()
  }

  func tick(budget: inout OutputBudget) {
    if isChanged {
      isChanged = false
      follow()
    }
    guard !reports.isEmpty else { return }
    let news = reports
    reports.removeAll(keepingCapacity: true)
    for report in news {
      send(report.id, report.status.rawValue, report.output, budget: &budget)
    }
  }

  private func follow() {
    let own = node.configuration.nodeName
    var wanted: [String: String] = [:]
    var nextHosts: [String: String] = [:]
    for check in node.registry.agentChecks() {
      let key = check.serviceID.isEmpty ? "\(check.node)/\(check.id)" : check.id
      nextHosts[key] = check.node
      guard check.node == own, let spec = Self.spec(of: check, key: key) else { continue }
      wanted[key] = check.id
      let hasMoved = hosts[key].map { $0 != own } ?? false
      runner?.set(spec, firstRunWithin: hasMoved ? Self.movedWithinNanoseconds : nil)
    }
    for key in running.keys where wanted[key] == nil { runner?.remove(key) }
    running = wanted
    hosts = nextHosts
  }

  private func send(
    _ key: String, _ status: String, _ output: String, budget: inout OutputBudget
  ) {
    let own = node.configuration.nodeName
    guard let id = running[key], !proposing.contains(key),
      let check = node.registry.agentCheck(id, host: own), check.node == own
    else { return }
    if check.status == status {
      guard check.output != output, budget.take(check.id, now: node.loop.now) else { return }
    } else {
      node.logger.log(
        .info, "checks", "a check changed",
        [("check", check.id), ("status", status), ("was", check.status)])
    }
    proposing.insert(key)
    let update = CheckUpdate(
      checkID: check.id, fromHost: own, node: own, status: status, output: output)
    node.propose(.checkUpdate(update), RequestContext()) { [weak self] result in
      guard let self else { return }
      proposing.remove(key)
      guard case .failure = result, let status = ProbeStatus(rawValue: status) else { return }
      // Not replicated: said again with the next tick, unless the probe has news by then.
      if !reports.contains(where: { $0.id == key }) { reports.append((key, status, output)) }
    }
  }

  /// Nil for checks that no host probes (TTL, maintenance, kinds that come later).
  static func spec(of check: CheckRecord, key: String) -> ProbeSpec? {
    let definition = check.definition
    let kind: ProbeKind
    if !definition.http.isEmpty {
      kind = .http(
        url: definition.http, method: definition.method.isEmpty ? "GET" : definition.method,
        headers: definition.header.map { ($0.name, $0.values) },
        body: Array(definition.body.utf8), tlsSkipVerify: definition.tlsSkipVerify)
    } else if !definition.tcp.isEmpty {
      kind = .tcp(address: definition.tcp)
    } else {
      return nil
    }
    return ProbeSpec(
      id: key, kind: kind, intervalNanoseconds: UInt64(max(0, definition.interval)),
      timeoutNanoseconds: UInt64(max(0, definition.timeout)),
      successBeforePassing: definition.successBeforePassing,
      failuresBeforeCritical: definition.failuresBeforeCritical,
      initialStatus: .critical,
      outputBytesMax: definition.outputMaxSize > 0 ? definition.outputMaxSize : 4096)
  }
}
