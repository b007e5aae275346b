/// Lets a status change only after enough results in a row, as Consul's `success_before_passing`,
/// `failures_before_warning` and `failures_before_critical` do.
package struct StatusThreshold {
  private let successBeforePassing: Int
  private let failuresBeforeWarning: Int
  private let failuresBeforeCritical: Int
  private var successes = 0
  private var failures = 0

  package init(
    successBeforePassing: Int, failuresBeforeWarning: Int = 0, failuresBeforeCritical: Int
  ) {
    self.successBeforePassing = successBeforePassing
    self.failuresBeforeWarning =
      failuresBeforeWarning > 0 ? failuresBeforeWarning : failuresBeforeCritical
    self.failuresBeforeCritical = failuresBeforeCritical
  }

  /// What the result makes of the check; nil: the status so far is kept.
  package mutating func admit(_ status: ProbeStatus) -> ProbeStatus? {
    switch status {
    case .passing, .warning:
      failures = 0
      if successes < successBeforePassing { successes += 1 }
      return successes >= successBeforePassing ? status : nil
    case .critical:
      successes = 0
      if failures < failuresBeforeCritical { failures += 1 }
      if failures >= failuresBeforeCritical { return .critical }
      return failures >= failuresBeforeWarning ? .warning : nil
    }
  }
}
