/// Tunables of one Raft node. Times are in ticks.
public struct RaftOptions: Equatable, Sendable {
  /// Ticks between heartbeats of a leader.
  public var heartbeatTicks = 4
  /// A follower that heard no leader for a random time in `electionTicks ..< 2 * electionTicks` campaigns.
  public var electionTicks = 25
  /// Pending proposals, or an own disk, without progress for so long make a leader give way.
  public var stallTicks = 100
  /// Entries and bytes at most in one AppendEntries.
  public var appendEntriesMax = 1024
  public var appendBytesMax = 1 << 20
  /// AppendEntries in flight to one follower at most, and their bytes.
  public var inflightMessagesMax = 64
  public var inflightBytesMax = 8 << 20
  /// Proposals are refused while so many bytes wait for commit.
  public var uncommittedBytesMax = 64 << 20
  /// Kept in the log behind a snapshot, so that a follower a little behind needs no snapshot.
  public var trailingEntries: UInt64 = 10_000
  public var trailingBytes = 16 << 20
  /// Kept for a peer in contact that still needs it, a learner that loads a snapshot for example.
  public var catchUpBytesMax = 128 << 20
  public var snapshotChunkBytes = 1 << 20
  /// A learner whose match index is at most so far behind the leader's last index has caught up.
  public var caughtUpEntries: UInt64 = 1_000
  /// Campaign delay by rank: higher priority campaigns earlier. 0 = never campaign.
  public var electionPriority: UInt8 = 1
  /// Batches of reads that wait for a round, or for the leader's answer; more are refused.
  public var pendingReadsMax = 4096
  public init() {}

  /// Ticks between heartbeats while nothing is under way: they are what wakes an idle cluster. Still
  /// so often that one can be lost, and the next late, before anyone campaigns.
  public var quietHeartbeatTicks: Int {
    max(heartbeatTicks, min(2 * heartbeatTicks, electionTicks / 3))
  }

  /// What the core works with: values that would make no sense are moved to the nearest that do.
  var clamped: RaftOptions {
    var result = self
    result.heartbeatTicks = max(1, heartbeatTicks)
    result.electionTicks = max(2, electionTicks)
    result.stallTicks = max(1, stallTicks)
    result.appendEntriesMax = max(1, appendEntriesMax)
    result.appendBytesMax = max(1, appendBytesMax)
    result.inflightMessagesMax = max(1, inflightMessagesMax)
    result.inflightBytesMax = max(1, inflightBytesMax)
    result.uncommittedBytesMax = max(0, uncommittedBytesMax)
    result.trailingBytes = max(0, trailingBytes)
    result.catchUpBytesMax = max(0, catchUpBytesMax)
    result.snapshotChunkBytes = max(1, snapshotChunkBytes)
    result.pendingReadsMax = max(1, pendingReadsMax)
    return result
  }
}
