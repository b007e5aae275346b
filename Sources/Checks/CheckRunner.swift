import Basics
package import EventLoop

/// Runs the active health checks of one node.
///
/// Happy path: a check runs for the first time at a random moment of its first interval, so that
/// many registered together spread evenly, then once per interval counted from that moment (no
/// drift); what it finds goes to `report` as soon as its thresholds admit it. A check that is still
/// busy when due skips that run. When too many probes are in flight, those that are due wait in a
/// queue, each at most once. Everything a target does wrong is a critical result, never an error.
package final class CheckRunner {
  package struct Counters: Sendable, Equatable {
    package var started: UInt64 = 0
    package var passing: UInt64 = 0
    package var warning: UInt64 = 0
    package var critical: UInt64 = 0
    /// Due while the run before was not over.
    package var skipped: UInt64 = 0
    /// Had to wait because too many probes were in flight.
    package var delayed: UInt64 = 0
    package init() {}
  }

  private final class Check {
    let spec: ProbeSpec
    var threshold: StatusThreshold
    var status: ProbeStatus
    var dueAt: UInt64 = 0
    var timer: TimerID?
    var probe: (any Probe)?
    var isQueued = false
    var isRemoved = false

    init(_ spec: ProbeSpec) {
      self.spec = spec
      status = spec.initialStatus
      threshold = StatusThreshold(
        successBeforePassing: spec.successBeforePassing,
        failuresBeforeWarning: spec.failuresBeforeWarning,
        failuresBeforeCritical: spec.failuresBeforeCritical)
    }
  }

  private let context: ProbeContext
  /// Has threads: made for the first script.
  private lazy var scriptDesk = ScriptDesk(loop: context.loop)
  private let report: (_ id: String, _ status: ProbeStatus, _ output: String) -> Void
  private var random: SplitMix
  /// Only looked up, and walked where order does not matter.
  private var checks: [String: Check] = [:]
  private var queue: [Check] = []
  private var queueStart = 0
  private var isStartingQueued = false
  package private(set) var inFlight = 0
  package private(set) var counters = Counters()

  package init(
    loop: EventLoop, seed: UInt64, resolver: Resolver, limits: CheckLimits = CheckLimits(),
    report: @escaping (_ id: String, _ status: ProbeStatus, _ output: String) -> Void
  ) {
    context = ProbeContext(loop: loop, resolver: resolver, limits: limits)
    random = SplitMix(seed: seed)
    self.report = report
  }

  package var count: Int { checks.count }

  /// What was last reported, or the initial status.
  package func status(_ id: String) -> ProbeStatus? { checks[id]?.status }

  /// Adds or replaces; one that is the same already is left running.
  /// - Parameter firstRunWithin: nanoseconds; nil: the check's interval. Shorter for a check that
  ///   ran elsewhere until now and must not pause.
  package func set(_ spec: ProbeSpec, firstRunWithin: UInt64? = nil) {
    if let old = checks[spec.id] {
      if old.spec == spec { return }
      stop(old)
    }
    let check = Check(spec)
    checks[spec.id] = check
    let within = min(firstRunWithin ?? .max, interval(check))
    check.dueAt = context.loop.now &+ random.below(max(1, within))
    schedule(check)
  }

  package func remove(_ id: String) {
    if let check = checks.removeValue(forKey: id) { stop(check) }
  }

  package func removeAll() {
    let all = checks
    checks = [:]
    for check in all.values { stop(check) }
  }

  private func stop(_ check: Check) {
    check.isRemoved = true
    if let timer = check.timer { context.loop.cancel(timer) }
    check.timer = nil
    guard let probe = check.probe else { return }
    check.probe = nil
    inFlight -= 1
    probe.cancel()
    startQueued()
  }

  // MARK: Schedule

  private func interval(_ check: Check) -> UInt64 {
    let limits = context.limits
    return min(
      max(check.spec.intervalNanoseconds, limits.intervalNanosecondsMin), limits.nanosecondsMax)
  }

  private func schedule(_ check: Check) {
    let now = context.loop.now
    let wait = check.dueAt > now ? check.dueAt - now : 0
    check.timer = context.loop.schedule(after: wait) { [weak self] in self?.becameDue(check) }
  }

  private func becameDue(_ check: Check) {
    guard !check.isRemoved else { return }
    let interval = interval(check)
    let now = context.loop.now
    // Whole intervals from the first run on; those that passed while the loop stood still are left
    // out rather than made up for.
    let missed = now > check.dueAt ? (now - check.dueAt) / interval : 0
    check.dueAt = check.dueAt &+ (missed &+ 1) &* interval
    schedule(check)
    if check.probe != nil || check.isQueued {
      counters.skipped += 1
    } else if inFlight >= context.limits.probesInFlightMax {
      counters.delayed += 1
      check.isQueued = true
      queue.append(check)
    } else {
      start(check)
    }
  }

  private func startQueued() {
    // A probe may end within its start (a bad URL) and come back here: the loop below goes on.
    guard !isStartingQueued else { return }
    isStartingQueued = true
    defer { isStartingQueued = false }
    while inFlight < context.limits.probesInFlightMax && queueStart < queue.count {
      let check = queue[queueStart]
      queueStart += 1
      check.isQueued = false
      if !check.isRemoved { start(check) }
    }
    if queueStart == queue.count {
      queue.removeAll(keepingCapacity: true)
      queueStart = 0
    } else if queueStart > 1024 && queueStart > queue.count / 2 {
      queue.removeSubrange(..<queueStart)
      queueStart = 0
    }
  }

  // MARK: One run

  private func start(_ check: Check) {
    inFlight += 1
    counters.started += 1
    let probe = makeProbe(check)
    check.probe = probe
    probe.start()
  }

  private func makeProbe(_ check: Check) -> any Probe {
    let spec = check.spec
    let timeout =
      spec.timeoutNanoseconds > 0
      ? min(spec.timeoutNanoseconds, context.limits.nanosecondsMax)
      : defaultTimeout(spec.kind)
    let done = { [weak self] (result: ProbeResult) in
      guard let self else { return }
      finished(check, result)
    }
    switch spec.kind {
    case .http(let url, let method, let headers, let body, _):
      let definition = HTTPProbe.Definition(
        url: url, method: method, headers: headers, body: body,
        outputBytesMax: spec.outputBytesMax)
      return HTTPProbe(definition, context: context, timeoutNanoseconds: timeout, done: done)
    case .tcp(let address):
      return TCPProbe(
        address: address, context: context, timeoutNanoseconds: timeout, done: done)
    case .udp(let address):
      return UDPProbe(
        address: address, context: context, timeoutNanoseconds: timeout, done: done)
    case .grpc(let target, let usesTLS):
      return GRPCProbe(
        target: target, usesTLS: usesTLS, context: context, timeoutNanoseconds: timeout,
        done: done)
    case .script(let arguments):
      guard context.limits.allowsScripts else {
        return FixedProbe("Scripts are disabled on this agent", done: done)
      }
      return ScriptProbe(
        arguments: arguments, desk: scriptDesk, timeoutNanoseconds: timeout,
        outputBytesMax: spec.outputBytesMax, done: done)
    case .unsupported(let reason): return FixedProbe(reason, done: done)
    }
  }

  private func defaultTimeout(_ kind: ProbeKind) -> UInt64 {
    if case .script = kind { return context.limits.scriptTimeoutNanosecondsDefault }
    return context.limits.timeoutNanosecondsDefault
  }

  private func finished(_ check: Check, _ result: ProbeResult) {
    guard check.probe != nil, !check.isRemoved else { return }
    check.probe = nil
    inFlight -= 1
    switch result.status {
    case .passing: counters.passing += 1
    case .warning: counters.warning += 1
    case .critical: counters.critical += 1
    }
    if let status = check.threshold.admit(result.status) {
      check.status = status
      report(check.spec.id, status, result.output)
    }
    startQueued()
  }
}
