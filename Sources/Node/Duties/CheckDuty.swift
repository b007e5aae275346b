internal import Checks
internal import EventLoop
internal import Registry

/// Runs the checks of the services this node hosts, and reports what changes.
///
/// The replicated state says which checks those are: when a host dies its checks move with its
/// services in one entry, so each check runs on exactly one live node. A report names the host it
/// is from, and the state machine drops it if the check has moved meanwhile.
///
/// What a probe said last is kept and compared with the registry until both agree; nothing is lost
/// when a proposal fails, when the next result comes while one is under way, or when somebody else
/// writes over the check. Work is done for checks that changed or spoke, never for all.
final class CheckDuty {
  struct Said: Equatable {
    var status: String
    var output: String
  }
  private struct Running {
    var id: String
    /// Nil: an alias, which needs no probe.
    var spec: ProbeSpec?
    var said: Said?
    var isProposing = false
    var isDirty = false
    /// Tells a check from a later one of the same id.
    var generation: UInt64
  }

  /// A check that came from a dead host is looked at soon; others start within their interval.
  private static let movedWithinNanoseconds: UInt64 = 150_000_000
  /// Changes taken in per tick; a bulk registration may not hold up the loop.
  private static let changesPerTick = 2048

  private unowned let node: Node
  private var runner: CheckRunner?
  private let resolver: Resolver
  private let scripts: ScriptRule
  private var budget = OutputBudget()
  /// By folded check id, which is unique on one host.
  private var running: [String: Running] = [:]
  /// Folded ids to be said; each is in there once.
  private var dirty: [String] = []
  /// Folded ids of alias checks, oldest first.
  private var aliases: [String] = []
  private var areAliasesDue = false
  /// Folded ids to be looked at, and whether they ran elsewhere until now.
  private var changed: [String] = []
  private var changedStart = 0
  private var hasMoved: [String: Bool] = [:]
  private var nextGeneration: UInt64 = 1
  private var isStopped = false
  private let own: String

  init(node: Node, limits: CheckLimits, scripts: ScriptRule) {
    self.node = node
    self.scripts = scripts
    own = foldedName(node.configuration.nodeName)
    resolver = Resolver(loop: node.loop, workers: node.workers)
    let seed = UInt64.random(in: .min ... .max)
    runner = CheckRunner(loop: node.loop, seed: seed, resolver: resolver, limits: limits) {
      [weak self] id, status, output in
      self?.hear(id, Said(status: status.rawValue, output: output))
    }
    noteEverything()
  }

  var count: Int { running.count }

  func stop() {
    isStopped = true
    forgetAll()
  }

  private func forgetAll() {
    runner?.removeAll()
    running.removeAll()
    dirty.removeAll()
    aliases.removeAll()
  }

  // MARK: What there is to run

  /// After each apply pass.
  func note(_ changes: ChangeSet) {
    if changes.everything { return noteEverything() }
    for change in changes.agentChecks {
      if change.node == own {
        noteChange(change.id)
      } else if change.status == nil {
        // Gone from another host: if it is here now, it came from there.
        noteChange(change.id, hasMoved: true)
      }
    }
    if !aliases.isEmpty, changes.topics.contains(where: Self.concernsAliases) {
      areAliasesDue = true
    }
  }

  private static func concernsAliases(_ topic: Topic) -> Bool {
    switch topic {
    case .checks, .services, .nodes: true
    default: false
    }
  }

  private func noteEverything() {
    for id in running.keys.sorted() { noteChange(id) }
    for check in node.registry.agentChecks(onHost: own) { noteChange(foldedName(check.id)) }
    areAliasesDue = true
  }

  private func noteChange(_ id: String, hasMoved moved: Bool = false) {
    if hasMoved[id] == nil { changed.append(id) }
    hasMoved[id] = moved || hasMoved[id] == true
  }

  func tick() {
    guard !isStopped else { return }
    guard !node.isRemoved else { return forgetAll() }
    let end = min(changed.count, changedStart + Self.changesPerTick)
    while changedStart < end {
      let id = changed[changedStart]
      changedStart += 1
      follow(id, hasMoved: hasMoved.removeValue(forKey: id) ?? false)
    }
    if changedStart == changed.count {
      changed.removeAll(keepingCapacity: true)
      changedStart = 0
    }
    if areAliasesDue { judgeAliases() }
    guard !dirty.isEmpty else { return }
    var due: [String] = []
    swap(&due, &dirty)
    for id in due { say(id) }
  }

  private func ownCheck(_ id: String) -> CheckRecord? {
    guard let check = node.registry.agentCheck(id, host: own), foldedName(check.node) == own else {
      return nil
    }
    return check
  }

  private func follow(_ id: String, hasMoved: Bool) {
    guard let check = ownCheck(id) else { return forget(id) }
    let spec = Self.spec(of: check, key: id, scripts)
    // TTL and maintenance checks: nobody runs them.
    guard spec != nil || AliasRule.applies(to: check) else { return forget(id) }
    if let old = running[id], old.spec == spec {
      // Only its status or output: perhaps not what the probe said.
      if spec == nil { areAliasesDue = true }
      return markDirty(id)
    }
    forget(id)
    running[id] = Running(id: check.id, spec: spec, generation: nextGeneration)
    nextGeneration += 1
    if let spec {
      runner?.set(spec, firstRunWithin: hasMoved ? Self.movedWithinNanoseconds : nil)
    } else {
      aliases.append(id)
      areAliasesDue = true
    }
  }

  private func forget(_ id: String) {
    guard let old = running.removeValue(forKey: id) else { return }
    if old.spec == nil { aliases.removeAll { $0 == id } } else { runner?.remove(id) }
    budget.forget(id)
  }

  // MARK: What was found

  private func hear(_ id: String, _ said: Said) {
    guard running[id] != nil else { return }
    running[id]?.said = said
    markDirty(id)
  }

  private func markDirty(_ id: String) {
    guard let item = running[id], item.said != nil, !item.isDirty else { return }
    running[id]?.isDirty = true
    dirty.append(id)
  }

  /// Makes the registry agree with what was found.
  private func say(_ id: String) {
    running[id]?.isDirty = false
    guard let item = running[id], let said = item.said, !item.isProposing, let check = ownCheck(id)
    else { return }
    if check.status == said.status {
      guard check.output != said.output, budget.take(id, now: node.loop.now) else { return }
    } else {
      node.logger.log(
        .info, "checks", "a check changed",
        [("check", check.id), ("status", said.status), ("was", check.status)])
    }
    propose(said, id, item.generation)
  }

  private func propose(_ said: Said, _ id: String, _ generation: UInt64) {
    guard let item = running[id] else { return }
    running[id]?.isProposing = true
    let update = CheckUpdate(
      checkID: item.id, fromHost: own, node: own, status: said.status, output: said.output)
    node.propose(.checkUpdate(update), RequestContext()) { [weak self] result in
      guard let self, let item = running[id], item.generation == generation else { return }
      running[id]?.isProposing = false
      switch result {
      case .failure: markDirty(id)
      case .success:
        // This node may not have applied yet what the leader has: a change of mind is said at
        // once, without looking.
        if let next = item.said, next.status != said.status { propose(next, id, generation) }
      }
    }
  }

  // MARK: Aliases

  private func judgeAliases() {
    areAliasesDue = false
    for id in aliases {
      guard let check = ownCheck(id) else { continue }
      let said = AliasRule.judge(check, in: node.registry)
      if running[id]?.said != said { hear(id, said) }
    }
  }
}
