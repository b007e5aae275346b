import Raft

/// A wrong behaviour, switched on to prove that the simulator finds it: mistakes that an
/// implementation of Raft, its log, its state machine or its driver can make.
///
/// None has a switch in production code. A mistake of the core or of the log is made where they
/// meet the driver (`SimulatedNode+Sabotage.swift`): what goes in or comes out is altered into what
/// a wrong one would have understood or said. `roost simulate MUTANTS=1` tries them all.
package enum Sabotage: String, CaseIterable, Sendable {
  // MARK: Elections
  /// A vote is granted though this term's vote is given, or the own log is better.
  case votesTwice
  /// The candidate's log is not compared with the own (paper 5.4.1).
  case votesForShorterLogs
  /// Granted votes leave before the disk has them.
  case votesBeforeSync
  /// The hard state never reaches the disk.
  case forgetsVote
  /// The term reaches the disk, the vote does not.
  case savesTermWithoutVote
  /// Term and vote are written, and not synced.
  case doesNotSyncVotes
  /// A candidate counts each vote for two.
  case countsOneVoteTwice
  /// Votes of earlier terms count in this one.
  case countsOldVotes
  /// An answer to a PreVote counts as a vote.
  case countsPreVotesAsVotes
  /// During a joint configuration the new side alone elects.
  case electsWithOneSide
  /// A message of an older term is taken as one of the current term.
  case takesOldTerms

  // MARK: Replication
  /// Entries are taken whatever the term of the entry before them is.
  case forgetsLogMatching
  /// A conflict is reported as a match.
  case acknowledgesWithoutMatch
  /// Votes and acknowledgements leave, and own entries count, before the disk has them.
  case acknowledgesBeforeSync
  /// Own entries count before the disk has them.
  case countsOwnEntriesBeforeSync
  /// Followers are told that all of the leader's log is committed.
  case announcesUncommitted
  /// Entries of earlier terms are committed by counting copies (paper, figure 8).
  case commitsOldTerms
  /// During a joint configuration the new side alone commits.
  case commitsWithOneSide

  // MARK: Disk
  /// What is written counts as durable.
  case neverSyncs
  /// A failed sync is tried again, and the success believed.
  case trustsFailedSync
  /// Entries that replace others do not reach the disk.
  case skipsTruncation
  /// The last record is not found at the next start.
  case losesLastRecord
  /// A torn record is taken as an entry.
  case readsTornRecord

  // MARK: State machine
  /// After a restart the first command is applied a second time in place of the next no-op.
  case appliesTwiceAfterRestart
  /// One node leaves out one command of fifty.
  case skipsEntry
  /// The first command after a snapshot is left out.
  case skipsFirstAfterSnapshot
  /// A follower applies what its disk has, committed or not.
  case appliesUncommitted
  /// One node remembers fewer request ids than the others.
  case dedupDiffersByNode

  /// One apply of twenty does not say what it changed.
  case losesChanges

  // MARK: Snapshots and configurations
  /// A snapshot holds the state of the moment at which it is written.
  case snapshotsLaterState
  /// A snapshot names the configuration of the very start.
  case snapshotsForgetConfiguration
  /// The log is cut although no snapshot was written.
  case compactsBeforeSnapshot
  /// The log on disk stays as it is when a snapshot takes its place.
  case installsWithoutLogReset
  /// A received snapshot does not become the state.
  case keepsOldStateOnInstall
  /// A restart begins with the configuration of the very start.
  case startsWithBootstrapConfiguration

  // MARK: Reads and answers
  /// Linearizable reads are answered from the local state at once.
  case readsWithoutBarrier
  /// A leader confirms reads without asking anyone whether it still leads.
  case readsWithoutRound
  /// A new leader confirms reads before an entry of its own term is committed.
  case readsBeforeTermCommit
  /// A confirmed read does not wait until its index is applied.
  case readsBeforeApplied
  /// Stale reads are answered though the client has seen a newer state elsewhere.
  case ignoresIndexOfStaleReads
  /// A proposal is answered as soon as it is in the leader's log.
  case answersBeforeCommit
  /// Whatever is applied at the index of a proposal counts as that proposal.
  case answersWithoutTermCheck
  /// Retried writes lose their request id on the way to the leader.
  case forgetsRequestID
  /// Request ids that may have been forgotten are taken for new.
  case ignoresRequestFloor
  /// A forwarded write without a request id is sent again.
  case retriesWithoutRequestID
  // MARK: Sessions, locks, watches
  /// A leader acknowledges renewals without asking anyone whether it still leads.
  case renewsWithoutRound
  /// Deadlines go on from where an earlier leadership of the same node left them.
  case keepsOldDeadlines
  /// Nobody ends sessions.
  case neverExpires
  /// Clients rely on a lock whatever became of their session.
  case trustsLocksForever
  /// A watch is served before the node has seen what its client has.
  case watchesWithoutBarrier
  /// A watch that is resumed begins one change too late.
  case resumesTooLate
  /// A node that took a snapshot goes on with its log of changes.
  case keepsChangeLogOnInstall

  /// What may still be done is reported as not done, by the client.
  case callsUnknownFailed
  /// A forwarded write without an answer is reported as not done, by the node.
  case callsLostForwardsNotDone
}

extension SimulationOptions {
  /// Makes common what this mistake needs to do harm, so that few seeds find it.
  mutating func suit(_ sabotage: Sabotage) {
    self.sabotage = sabotage
    switch sabotage {
    case .votesTwice, .countsOneVoteTwice, .takesOldTerms:
      crowdElections()
    case .countsOldVotes:
      crowdElections()
      voters = 3
      spares = 0
      nemesis.membership = 0
      network.voteEchoes = 900
    case .votesBeforeSync, .savesTermWithoutVote, .doesNotSyncVotes:
      // Two that cannot see each other, and a voter between them that dies as it votes.
      crowdElections()
      voters = 3
      spares = 0
      disk.crashPoints = 5
      nemesis.membership = 0
      nemesis.partition = 12
      nemesis.heal = 4
    case .electsWithOneSide, .commitsWithOneSide, .snapshotsForgetConfiguration,
      .startsWithBootstrapConfiguration:
      changeMembersOften()
      if sabotage == .snapshotsForgetConfiguration { snapshotEntries = 20 }
    case .trustsFailedSync:
      disk.syncFailures = 20
      nemesis.powerLoss = 4
    case .neverSyncs, .countsOwnEntriesBeforeSync, .readsTornRecord, .skipsTruncation:
      nemesis.powerLoss = 6
      nemesis.intervalMicroseconds = 100_000
      nemesis.downMicrosecondsMax = 50_000
    case .compactsBeforeSnapshot, .skipsFirstAfterSnapshot, .snapshotsLaterState,
      .installsWithoutLogReset, .keepsOldStateOnInstall:
      snapshotEntries = 20
      nemesis.crash = 4
    case .commitsOldTerms:
      voters = 5
      nemesis.crash = 8
      nemesis.partition = 8
      nemesis.intervalMicroseconds = 60_000
      nemesis.downMicrosecondsMax = 800_000
      raft.appendEntriesMax = 1
      faultMicroseconds = 40_000_000
    case .ignoresRequestFloor:
      requestIDsMax = 5
      network.straggling = 100
      network.straggleMicroseconds = 1_000_000
      attemptMicroseconds = 300_000
    case .renewsWithoutRound, .keepsOldDeadlines, .neverExpires, .trustsLocksForever:
      holdLocks()
    case .watchesWithoutBarrier, .resumesTooLate, .keepsChangeLogOnInstall:
      watchers = 3
      watchMicroseconds = 20_000
      changeLogEntriesMax = 65_536
      snapshotEntries = 20
      raft.trailingEntries = 0
      nemesis.partition = 6
    case .readsBeforeTermCommit, .readsWithoutRound, .answersWithoutTermCheck:
      hurryReads()
    default: break
    }
  }

  /// Sessions that are short next to the disturbances.
  private mutating func holdLocks() {
    faultMicroseconds = 40_000_000
    lockers = 4
    locks = 1
    sessionMicroseconds = 1_000_000
    driftPermille = 0
    thinkMicroseconds = 20_000
    attemptMicroseconds = 300_000
    nemesis.transfer = 6
    nemesis.partition = 6
    nemesis.pause = 6
    nemesis.heal = 6
    nemesis.intervalMicroseconds = 300_000
    nemesis.pauseMicrosecondsMax = 2_000_000
  }

  /// Whole sets of voters come and go, and the network parts along with them.
  private mutating func changeMembersOften() {
    voters = 3
    spares = 3
    faultMicroseconds = 60_000_000
    nemesis.intervalMicroseconds = 1_000_000
    nemesis.membership = 12
    nemesis.heal = 2
    nemesis.crash = 2
    nemesis.partition = 0
    nemesis.oneWayCut = 0
    network.loss = 0
  }

  /// Many reads while leadership moves and commits take their time.
  private mutating func hurryReads() {
    clients = 6
    registerGroups = 1
    thinkMicroseconds = 1_000
    faultMicroseconds = 20_000_000
    network.latency = 3_000
    network.jitter = 10_000
    disk.syncMicroseconds = 5_000
    nemesis.transfer = 12
    nemesis.partition = 6
    nemesis.pause = 4
    nemesis.intervalMicroseconds = 60_000
    nemesis.pauseMicrosecondsMax = 1_000_000
  }

  /// Many campaigns at once, slow votes, and voters that die as they vote.
  private mutating func crowdElections() {
    faultMicroseconds = 40_000_000
    raft.electionTicks = 15
    tickMicroseconds = 10_000
    network.latency = 1_000
    network.jitter = 60_000
    network.straggling = 50
    network.straggleMicroseconds = 500_000
    network.resetsNoticed = 1_000
    disk.crashPoints = 4
    nemesis.crash = 6
    nemesis.transfer = 6
    nemesis.intervalMicroseconds = 60_000
    nemesis.downMicrosecondsMax = 50_000
  }
}
