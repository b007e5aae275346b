/// Every bound of this module in one place. What happens at each is said with it.
package struct APILimits: Sendable {
  /// A blocking query waits at most so long; longer waits are cut (Consul's 10 minutes).
  package var waitNanosecondsMax: UInt64 = 600_000_000_000
  /// The wait when `index` comes without `wait` (Consul's 5 minutes).
  package var waitNanosecondsDefault: UInt64 = 300_000_000_000
  /// Blocking queries parked at a time; more are answered at once with the data there is, which
  /// the protocol allows ("waking early is always allowed").
  package var parkedMax = 100_000
  /// JSON bodies above this are refused with 413. Parsing is on the loop's thread: a megabyte
  /// takes some milliseconds.
  package var jsonBodyBytesMax = 2 << 20
  /// How long a read of `/v1/agent/…` waits for the leader before it answers from local state.
  package var agentReadNanosecondsMax: UInt64 = 1_000_000_000
  /// Archives above this are refused with 413 before they are read.
  package var archiveBytesMax = 1 << 30
  /// Snapshots sent at a time; more are told to come back (503).
  package var archivesMax = 4
  /// A step of a restore is tried again for so long while there is no leader.
  package var restoreRetryNanoseconds: UInt64 = 20_000_000_000
  package var restorePauseNanoseconds: UInt64 = 100_000_000
  /// Streams at a time; more are told to come back (503).
  package var streamsMax = 1000
  /// Changes kept for streams; older ones go, and who needs them gets the whole state.
  package var changeLogBytesMax = 32 << 20
  package var changeLogEntriesMax = 65_536
  package var heartbeatNanoseconds: UInt64 = 5_000_000_000
  /// Clients of `agent/monitor` at a time.
  package var monitorsMax = 16
  package init() {}

  /// The part of one of `count` loops. The change log stays whole, since its values are shared.
  func shared(by count: Int) -> APILimits {
    var part = self
    part.parkedMax = max(1, parkedMax / count)
    part.streamsMax = max(1, streamsMax / count)
    part.monitorsMax = max(1, monitorsMax / count)
    part.archivesMax = max(1, archivesMax / count)
    return part
  }
}
