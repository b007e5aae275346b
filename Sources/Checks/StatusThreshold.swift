/// Lets a status change only after enough results in a row, as Consul's `success_before_passing` and
/// `failures_before_critical` do.
struct StatusThreshold {
  private let successBeforePassing: Int
  private let failuresBeforeCritical: Int
  private var successes = 0
  private var failures = 0

  init(successBeforePassing: Int, failuresBeforeCritical: Int) {
    self.successBeforePassing = successBeforePassing
    self.failuresBeforeCritical = failuresBeforeCritical
  }

  /// True when the result counts; until then the status so far is kept.
  mutating func admits(_ status: ProbeStatus) -> Bool {
    switch status {
    case .passing, .warning:
      failures = 0
      if successes < successBeforePassing { successes += 1 }
      return successes >= successBeforePassing
    case .critical:
      successes = 0
      if failures < failuresBeforeCritical { failures += 1 }
      return failures >= failuresBeforeCritical
    }
  }
}
