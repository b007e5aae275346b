import Testing

@testable import Raft

@Suite struct ReplicationTests {
  private func appends(_ cluster: TestCluster, to id: UInt64) -> [AppendEntries] {
    cluster.messages(to: id).compactMap { if case .append(let append) = $0 { append } else { nil } }
  }

  private func entry(_ index: UInt64, _ term: UInt64) -> Entry {
    Entry(
      index: LogIndex(index), term: Term(term), kind: .command,
      payload: [UInt8(truncatingIfNeeded: index)])
  }

  private func append(
    term: UInt64, after index: UInt64, _ previousTerm: UInt64, commit: UInt64 = 0, _ terms: [UInt64]
  ) -> Message {
    let entries = terms.enumerated().map { entry(index + 1 + UInt64($0.offset), $0.element) }
    return .append(
      AppendEntries(
        term: Term(term), previousIndex: LogIndex(index), previousTerm: Term(previousTerm),
        commitIndex: LogIndex(commit), entries: entries))
  }

  private func outcome(_ cluster: TestCluster) -> AppendReply.Outcome? {
    defer { cluster.flights = [] }
    for case .appendReply(let reply) in cluster.messages(to: 2) { return reply.outcome }
    return nil
  }

  @Test func `5.3 a proposal is committed and applied everywhere`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.tick(1)
    cluster.settle()
    cluster.propose(1, [7])
    #expect(cluster.nodes[0].proposal == .accepted(first: LogIndex(2), term: cluster[1].term))
    cluster.settle()
    // Followers learn of the commit in the same exchange, not with the next heartbeat.
    for id in UInt64(1)...3 { #expect(cluster[id].lastApplied == LogIndex(2)) }
    #expect(cluster.committed.last?.payload == [7])
  }

  @Test func `commits of a burst are told with the next append or the next tick`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.tick(1)
    cluster.settle()
    for command in [7, 8, 9] as [UInt8] {
      cluster.propose(1, [command])
      cluster.settle()
    }
    #expect(cluster[1].lastApplied == LogIndex(4))
    for id in UInt64(2)...3 { #expect(cluster[id].lastApplied == LogIndex(3)) }
    cluster.tick(1)
    cluster.settle()
    for id in UInt64(2)...3 { #expect(cluster[id].lastApplied == LogIndex(4)) }
  }

  @Test func `all commands of one step are one append per follower`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.step(1, .propose((0..<64).map { [UInt8($0)] }))
    #expect(appends(cluster, to: 2).map(\.entries.count) == [64])
    #expect(appends(cluster, to: 3).map(\.entries.count) == [64])
  }

  @Test func `appends are pipelined up to the window, in entries and bytes`() {
    var options = RaftOptions()
    options.inflightMessagesMax = 4
    options.appendEntriesMax = 2
    let cluster = TestCluster(voters: 3, options: options)
    cluster.elect(1)
    cluster.cut(1, 3)
    for number in 0..<9 { cluster.propose(1, [UInt8(number)]) }
    #expect(appends(cluster, to: 2).map(\.entries.count) == [1, 1, 1, 1])
    cluster.settle()
    #expect(cluster[2].lastIndex == LogIndex(10))
  }

  @Test func `figure 2 AppendEntries, rule by rule`() {
    let cluster = TestCluster(voters: 3)
    func send(_ message: Message) -> AppendReply.Outcome? {
      cluster.step(1, .message(message, from: NodeID(2)))
      return outcome(cluster)
    }
    #expect(send(append(term: 2, after: 0, 0, [1, 1, 2])) == .matched(LogIndex(3)))
    // Rule 1: an older term is refused, with the current one.
    cluster.step(1, .message(append(term: 1, after: 3, 1, [1]), from: NodeID(3)))
    #expect(cluster[1].lastIndex == LogIndex(3))
    cluster.flights = []
    // Rule 2: no entry at previousIndex, or one of another term.
    #expect(
      send(append(term: 2, after: 5, 2, [2]))
        == .conflict(previousIndex: LogIndex(5), hintIndex: LogIndex(3), hintTerm: Term(2)))
    #expect(
      send(append(term: 2, after: 3, 1, [2]))
        == .conflict(previousIndex: LogIndex(3), hintIndex: LogIndex(2), hintTerm: Term(1)))
    // Rule 3 and 4: what conflicts is replaced; what is there already stays.
    #expect(send(append(term: 2, after: 0, 0, [1])) == .matched(LogIndex(1)))
    #expect(cluster[1].lastIndex == LogIndex(3))
    cluster.step(1, .message(append(term: 3, after: 2, 1, [3, 3]), from: NodeID(2)))
    #expect(outcome(cluster) == .matched(LogIndex(4)))
    #expect(cluster[1].lastTerm == Term(3))
    #expect(cluster.events(1).contains(.logTruncated(from: LogIndex(3))))
    // Rule 5: commit, but not beyond what was compared with the leader's log.
    _ = send(append(term: 3, after: 2, 1, commit: 9, [3]))
    #expect(cluster[1].commitIndex == LogIndex(3))
  }

  @Test func `a follower acknowledges only what is on its disk`() {
    let cluster = TestCluster(voters: 3)
    cluster.syncsAtOnce = false
    cluster.step(1, .message(append(term: 1, after: 0, 0, [1, 1]), from: NodeID(2)))
    #expect(outcome(cluster) == nil)
    cluster.sync(1)
    #expect(outcome(cluster) == .matched(LogIndex(2)))
  }

  @Test func `the leader counts itself only when its disk has the entry`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.nodes[0].isDiskStuck = true
    cluster.cut(1, 3)
    cluster.propose(1)
    cluster.settle()
    #expect(cluster[1].commitIndex == LogIndex(1))
    cluster.nodes[0].isDiskStuck = false
    cluster.sync(1)
    #expect(cluster[1].commitIndex == LogIndex(2))
    cluster.nodes[0].isDiskStuck = true
    cluster.heal()
    cluster.run(ticks: 30)
    cluster.propose(1)
    cluster.settle()
    #expect(cluster[1].commitIndex == LogIndex(3), "two followers are a majority without it")
  }

  @Test func `persisted for a replaced entry counts for nothing`() {
    let cluster = TestCluster(voters: 3)
    cluster.syncsAtOnce = false
    cluster.step(1, .message(append(term: 1, after: 0, 0, [1, 1]), from: NodeID(2)))
    cluster.step(1, .message(append(term: 2, after: 1, 1, [2]), from: NodeID(3)))
    cluster.step(1, .persisted(through: LogIndex(2), term: Term(1)))
    #expect(cluster[1].persistedIndex == .zero)
    cluster.sync(1)
    #expect(cluster[1].persistedIndex == LogIndex(2))
  }

  /// Figure 8: an entry of an older term on a majority is not committed by counting.
  @Test func `5.4.2 only entries of the own term are committed by counting`() {
    let cluster = TestCluster(voters: 3)
    for id in 1...2 {
      cluster.nodes[id - 1].disk.entries = [entry(1, 1), entry(2, 2)]
      cluster.nodes[id - 1].disk.hardState = HardState(term: Term(3))
      cluster.restart(UInt64(id))
    }
    cluster.nodes[0].isDiskStuck = true
    cluster.tick(1, count: 50)
    // PreVote needs no disk; the votes do.
    cluster.settle()
    cluster.nodes[0].isDiskStuck = false
    cluster.sync(1)
    cluster.cut(1, 3)
    var seen: [LogIndex] = []
    while !cluster.flights.isEmpty {
      cluster.deliver(0)
      if seen.last != cluster[1].commitIndex { seen.append(cluster[1].commitIndex) }
    }
    #expect(seen == [.zero, LogIndex(3)], "1 and 2 come with the no-op, not before")
  }

  /// The follower acknowledges the old entry by itself, before the no-op.
  @Test func `5.4.2 an entry of an older term waits for one of the own`() {
    var options = RaftOptions()
    options.appendEntriesMax = 1
    let cluster = TestCluster(voters: 3, options: options)
    for (id, count) in [(0, 2), (1, 1)] {
      cluster.nodes[id].disk.entries = Array([entry(1, 1), entry(2, 2)].prefix(count))
      cluster.nodes[id].disk.hardState = HardState(term: Term(3))
      cluster.restart(UInt64(id) + 1)
    }
    cluster.cut(1, 3)
    cluster.tick(1, count: 50)
    var seen: [LogIndex] = []
    var wasAcknowledged = false
    while !cluster.flights.isEmpty {
      cluster.deliver(0)
      if seen.last != cluster[1].commitIndex { seen.append(cluster[1].commitIndex) }
      if cluster[1].progress.first?.matchIndex == LogIndex(2) { wasAcknowledged = true }
    }
    #expect(wasAcknowledged)
    #expect(seen == [.zero, LogIndex(3)])
  }

  @Test func `5.3 back-off skips whole terms`() {
    let cluster = TestCluster(voters: 3)
    var entries = (1...50).map { entry(UInt64($0), 1) }
    cluster.nodes[2].disk.entries = entries + (51...400).map { entry(UInt64($0), 2) }
    cluster.nodes[2].disk.hardState = HardState(term: Term(2))
    entries += (51...300).map { entry(UInt64($0), 3) }
    for id in 0...1 {
      cluster.nodes[id].disk.entries = entries
      cluster.nodes[id].disk.hardState = HardState(term: Term(3))
    }
    for id in UInt64(1)...3 { cluster.restart(id) }
    cluster.tick(1, count: 50)
    var conflicts = 0
    while !cluster.flights.isEmpty {
      if case .appendReply(let reply) = cluster.flights[0].message,
        case .conflict = reply.outcome
      {
        conflicts += 1
      }
      cluster.deliver(0)
    }
    #expect(cluster[3].lastTerm == cluster[1].term)
    #expect(conflicts <= 2)
  }

  @Test func `lost appends do not stall replication for long`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.cut(1, 3)
    for number in 0..<5 { cluster.propose(1, [UInt8(number)]) }
    cluster.settle()
    cluster.heal()
    #expect(cluster[3].lastIndex == LogIndex(1))
    cluster.run(ticks: 3 * cluster.options.electionTicks)
    #expect(cluster[3].commitIndex == LogIndex(6))
  }

  /// Its disk lied. Nothing can help it, but the others must not suffer.
  @Test func `a follower without entries that it acknowledged is probed slowly`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    for number in 0..<5 { cluster.propose(1, [UInt8(number)]) }
    cluster.settle()
    cluster.crash(3)
    cluster.nodes[2].disk.entries.removeLast(3)
    cluster.nodes[2].disk.hardState.commitIndex = .zero
    cluster.restart(3)
    cluster.step(1, .linkRestored(NodeID(3)))
    var appends = 0
    for _ in 0..<100 {
      for id in UInt64(1)...3 { cluster.tick(id) }
      for _ in 0..<100 where !cluster.flights.isEmpty {
        if case .append = cluster.flights[0].message { appends += 1 }
        cluster.deliver(0)
      }
    }
    #expect(appends > 2 && appends <= 15)
    cluster.propose(1)
    cluster.run(ticks: 10)
    #expect(cluster[2].commitIndex == LogIndex(7))
  }

  @Test func `a restored link gets what it missed at once`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.cut(1, 3)
    cluster.step(1, .linkBroken(NodeID(3)))
    for number in 0..<5 { cluster.propose(1, [UInt8(number)]) }
    cluster.settle()
    cluster.heal()
    cluster.step(1, .linkRestored(NodeID(3)))
    cluster.settle()
    #expect(cluster[3].commitIndex == LogIndex(6))
  }

  @Test func `proposals beyond uncommittedBytesMax are refused, but never when nothing waits`() {
    var options = RaftOptions()
    options.uncommittedBytesMax = 1000
    let cluster = TestCluster(voters: 3, options: options)
    cluster.propose(1)
    #expect(cluster.nodes[0].proposal == .rejected(.notLeader(leader: nil)))
    cluster.elect(1)
    cluster.isolate(1)
    cluster.propose(1, [UInt8](repeating: 0, count: 5000))
    #expect(cluster.nodes[0].proposal == .accepted(first: LogIndex(2), term: cluster[1].term))
    cluster.propose(1)
    #expect(cluster.nodes[0].proposal == .rejected(.overloaded))
    cluster.heal()
    cluster.settle()
    cluster.run(ticks: 60)
    cluster.propose(1)
    #expect(cluster.nodes[0].proposal == .accepted(first: LogIndex(3), term: cluster[1].term))
  }

  @Test func `a sole voter shows nobody a term that it could forget`() {
    let cluster = TestCluster(voters: 1, learners: 1)
    cluster.syncsAtOnce = false
    cluster.tick(1, count: 50)
    #expect(cluster[1].role == .leader)
    #expect(cluster.messages(to: 2).isEmpty)
    cluster.sync(1)
    #expect(!cluster.messages(to: 2).isEmpty)
    #expect(cluster[1].isEstablishedLeader)
  }

  @Test func `the hard state calls nothing committed that the own disk lacks`() {
    let cluster = TestCluster(voters: 3)
    cluster.syncsAtOnce = false
    cluster.step(1, .message(append(term: 1, after: 0, 0, commit: 2, [1, 1]), from: NodeID(2)))
    #expect(cluster[1].commitIndex == LogIndex(2))
    #expect(cluster.nodes[0].writes.last?.hardState?.commitIndex == .zero)
    cluster.sync(1)
    cluster.sync(1)
    #expect(cluster.nodes[0].disk.hardState.commitIndex == LogIndex(2))
    cluster.restart(1)
    #expect(cluster[1].commitIndex == LogIndex(2))
  }
}
