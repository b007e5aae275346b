import Basics
import Testing

@testable import Raft

/// Messages that no honest node sends: nothing may trap, nothing absurd may be believed.
@Suite struct HostileTests {
  private static let numbers: [UInt64] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1 << 31, 1 << 62, (1 << 62) + 1, 1 << 63, .max - 1, .max,
  ]

  private static func number(_ random: inout SplitMix) -> UInt64 {
    numbers[Int(random.below(UInt64(numbers.count)))]
  }

  /// An entry's term follows from its index, so that forged logs do not contradict each other:
  /// that a leader contradicts what is committed is an invariant, and stops the node.
  private static func entries(_ random: inout SplitMix, after index: UInt64) -> [Entry] {
    (0..<random.below(4)).map { offset in
      let gap = random.chance(1, in: 8) ? number(&random) : 0
      let at = index &+ offset &+ 1 &+ gap
      let kind = Entry.Kind(rawValue: UInt8(random.below(3))) ?? .noop
      return Entry(index: LogIndex(at), term: Term(1), kind: kind, payload: [1, 2, 3])
    }
  }

  private static func message(_ random: inout SplitMix) -> Message {
    let term = Term(number(&random))
    let index = LogIndex(number(&random))
    let flag = random.chance(1, in: 2)
    let meta = SnapshotMeta(
      index: index, term: Term(number(&random)),
      configuration: Configuration(voters: [NodeID(number(&random))]),
      configurationIndex: LogIndex(number(&random)))
    switch random.below(11) {
    case 0:
      return .voteRequest(
        VoteRequest(
          term: term, lastIndex: index, lastTerm: Term(number(&random)), isPreVote: flag,
          isTransfer: random.chance(1, in: 2)))
    case 1: return .voteReply(VoteReply(term: term, granted: flag, isPreVote: !flag))
    case 2:
      return .append(
        AppendEntries(
          term: term, previousIndex: index, previousTerm: Term(flag ? 1 : number(&random)),
          commitIndex: LogIndex(number(&random)), entries: entries(&random, after: index.value)))
    case 3: return .appendReply(AppendReply(term: term, outcome: .matched(index)))
    case 4:
      return .appendReply(
        AppendReply(
          term: term,
          outcome: .conflict(
            previousIndex: index, hintIndex: LogIndex(number(&random)),
            hintTerm: Term(number(&random)))))
    case 5:
      return .heartbeat(Heartbeat(term: term, commitIndex: index, readRound: number(&random)))
    case 6: return .heartbeatReply(HeartbeatReply(term: term, readRound: number(&random)))
    case 7:
      return .snapshotChunk(
        SnapshotChunk(
          term: term, meta: meta, offset: number(&random), totalBytes: number(&random), data: [1]))
    case 8:
      return .snapshotReply(
        SnapshotReply(
          term: term, index: index, nextOffset: number(&random), isInstalled: flag))
    case 9: return .timeoutNow(TimeoutNow(term: term))
    default:
      let id = ReadID(number(&random))
      return flag
        ? .readIndex(ReadIndexRequest(term: term, id: id))
        : .readIndexReply(ReadIndexReply(term: term, id: id, index: index))
    }
  }

  @Test func `no message traps a follower`() {
    for seed in UInt64(0)..<20 {
      var random = SplitMix(seed: seed)
      let cluster = TestCluster(voters: 3, seed: seed)
      var core = cluster[1]
      var effects = Effects()
      for _ in 0..<400 {
        effects.removeAll()
        let from = NodeID([2, 3, 7, 0, 1, .max][Int(random.below(6))])
        let before = RaftObservation(core)
        core.step(.message(Self.message(&random), from: from), into: &effects)
        core.checkInvariants(since: before)
        if random.chance(1, in: 4) { core.step(.tick, into: &effects) }
        if core.role == .leader { core.checkInvariants() }
        #expect(core.term.value <= RaftCore.numberMax)
      }
    }
  }

  @Test func `no answer traps a leader, nor commits what nobody has`() {
    for seed in UInt64(0)..<20 {
      var random = SplitMix(seed: seed)
      let cluster = TestCluster(voters: 3, seed: seed)
      cluster.elect(1)
      var core = cluster[1]
      var effects = Effects()
      for _ in 0..<400 {
        effects.removeAll()
        let message = Self.message(&random)
        let before = RaftObservation(core)
        core.step(.message(message, from: NodeID(7)), into: &effects)
        core.checkInvariants(since: before)
        if random.chance(1, in: 20) { core.step(.propose([[1], [2]]), into: &effects) }
      }
      if core.role == .leader { #expect(core.commitIndex == LogIndex(1)) }
    }
  }

  @Test func `a second leader in one term is not believed`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    let term = cluster[1].term
    let heartbeat = Message.heartbeat(Heartbeat(term: term, commitIndex: .zero, readRound: 0))
    cluster.step(2, .message(heartbeat, from: NodeID(3)))
    cluster.step(1, .message(heartbeat, from: NodeID(3)))
    #expect(cluster[2].leader == NodeID(1))
    #expect(cluster.leaders == [1])
  }

  @Test func `strangers' answers depose nobody`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    let reply = HeartbeatReply(term: Term(1000), readRound: 0)
    cluster.step(1, .message(.heartbeatReply(reply), from: NodeID(50)))
    #expect(cluster.leaders == [1])
  }

  @Test func `a leader that contradicts what is committed stops the node`() async {
    await #expect(processExitsWith: .failure) {
      let entry = { (term: UInt64) in
        Entry(index: LogIndex(1), term: Term(term), kind: .command, payload: [])
      }
      let members = [1, 2, 3].map { Member(id: NodeID($0), context: []) }
      var core = RaftCore(
        id: NodeID(1), options: RaftOptions(), seed: 1,
        hardState: HardState(term: Term(1), votedFor: nil, commitIndex: LogIndex(1)),
        snapshot: nil, configuration: Configuration(voting: members), entries: [entry(1)])
      var effects = Effects()
      let append = AppendEntries(
        term: Term(2), previousIndex: .zero, previousTerm: .zero, commitIndex: .zero,
        entries: [entry(2)])
      core.step(.message(.append(append), from: NodeID(2)), into: &effects)
    }
  }
}
