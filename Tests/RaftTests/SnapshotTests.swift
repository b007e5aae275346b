import Testing

@testable import Raft

@Suite struct SnapshotTests {
  private static var options: RaftOptions {
    var options = RaftOptions()
    options.trailingEntries = 2
    options.catchUpBytesMax = 0
    options.snapshotChunkBytes = 30
    return options
  }

  /// Node 3 was away while the leader compacted what it needs.
  private func laggard(
    _ options: RaftOptions = options, isSilent: Bool = false
  ) -> TestCluster {
    let cluster = TestCluster(voters: 3, options: options)
    cluster.elect(1)
    cluster.isolate(3)
    if isSilent { cluster.run(ticks: options.electionTicks + 1) }
    for number in 0..<20 { cluster.propose(1, [UInt8(number)]) }
    cluster.settle()
    cluster.compact(1)
    #expect(cluster[1].firstIndex == LogIndex(20))
    return cluster
  }

  private func deliverTwoChunks(_ cluster: TestCluster) {
    cluster.heal()
    cluster.step(1, .linkRestored(NodeID(3)))
    var count = 0
    while !cluster.flights.isEmpty, count < 2 {
      if case .snapshotChunk = cluster.flights[0].message { count += 1 }
      cluster.deliver(0)
    }
    #expect(count == 2)
  }

  @Test func `7 a follower behind the log gets a snapshot in chunks, then the rest`() {
    let cluster = laggard()
    cluster.heal()
    cluster.run(ticks: 30)
    #expect(cluster[3].snapshotMeta?.index == LogIndex(21))
    #expect(cluster.events(1).contains(.snapshotSendFinished(to: NodeID(3), index: LogIndex(21))))
    cluster.propose(1)
    cluster.settle()
    #expect(cluster[3].lastApplied == LogIndex(22))
    cluster.crash(3)
    cluster.restart(3)
    #expect(cluster[3].lastIndex == LogIndex(22))
  }

  @Test func `every chunk and answer may be lost once`() {
    for lost in 0..<10 {
      let cluster = laggard()
      cluster.heal()
      var seen = 0
      for _ in 0..<600 where cluster[3].lastApplied != cluster[1].lastApplied {
        for id in UInt64(1)...3 { cluster.step(id, .tick) }
        while !cluster.flights.isEmpty {
          switch cluster.flights[0].message {
          case .snapshotChunk, .snapshotReply:
            seen += 1
            if seen == lost { cluster.flights.removeFirst() } else { cluster.deliver(0) }
          default: cluster.deliver(0)
          }
        }
      }
      #expect(cluster[3].lastApplied == cluster[1].lastApplied, "lost message \(lost)")
    }
  }

  @Test func `a transfer goes on where it was when the link is back`() {
    let cluster = laggard()
    cluster.heal()
    cluster.tick(1, count: 4)
    var chunks: [UInt64] = []
    var isCut = false
    for _ in 0..<400 where cluster[3].lastApplied < LogIndex(21) {
      while !cluster.flights.isEmpty {
        if case .snapshotChunk(let chunk) = cluster.flights[0].message {
          chunks.append(chunk.offset)
        }
        if chunks.count == 2, !isCut {
          isCut = true
          cluster.flights = []
          cluster.step(1, .linkRestored(NodeID(3)))
          continue
        }
        cluster.deliver(0)
      }
      for id in UInt64(1)...3 { cluster.step(id, .tick) }
    }
    #expect(chunks.starts(with: [0, 30, 30, 60, 90]))
  }

  @Test func `a follower that restarts in the middle gets all of it again`() {
    let cluster = laggard()
    deliverTwoChunks(cluster)
    cluster.crash(3)
    cluster.restart(3)
    cluster.run(ticks: 100)
    #expect(cluster[3].lastApplied == LogIndex(21))
  }

  @Test func `a newer snapshot in the middle of a transfer starts it afresh`() {
    let cluster = laggard()
    deliverTwoChunks(cluster)
    for number in 0..<9 { cluster.propose(1, [UInt8(number)]) }
    cluster.cut(1, 3)
    cluster.settle()
    cluster.compact(1)
    cluster.heal()
    cluster.run(ticks: 100)
    #expect(cluster[3].lastApplied == LogIndex(30))
    #expect(cluster[3].snapshotMeta?.index == LogIndex(30))
  }

  @Test func `a damaged snapshot is sent again`() {
    let meta = SnapshotMeta(
      index: LogIndex(9), term: Term(2),
      configuration: Configuration(voting: (1...3).map { Member(id: NodeID($0), context: []) }),
      configurationIndex: .zero)
    let cluster = TestCluster(voters: 3)
    var effects = Effects()
    var core = cluster[3]
    let chunk = SnapshotChunk(term: Term(2), meta: meta, offset: 0, totalBytes: 3, data: [1, 2, 3])
    core.step(.message(.snapshotChunk(chunk), from: NodeID(1)), into: &effects)
    #expect(effects.snapshotChunks.first?.isLast == true)
    // Until it is loaded nothing may be appended, committed, or campaigned for.
    let append = AppendEntries(
      term: Term(2), previousIndex: .zero, previousTerm: .zero, commitIndex: .zero,
      entries: [Entry(index: LogIndex(1), term: Term(2), kind: .noop, payload: [])])
    core.step(.message(.append(append), from: NodeID(1)), into: &effects)
    #expect(core.lastIndex == .zero)
    effects.removeAll()
    core.step(.snapshotRejected(index: LogIndex(9)), into: &effects)
    let reply = SnapshotReply(
      term: Term(2), index: LogIndex(9), nextOffset: 0, isInstalled: false)
    #expect(effects.send.map(\.message) == [.snapshotReply(reply)])
    effects.removeAll()
    core.step(.message(.snapshotChunk(chunk), from: NodeID(1)), into: &effects)
    core.step(.snapshotInstalled(meta), into: &effects)
    #expect(core.commitIndex == LogIndex(9) && core.lastIndex == LogIndex(9))
    #expect(effects.logResetAfter == LogIndex(9))
    #expect(core.configuration == meta.configuration)
  }

  @Test func `7 a snapshot of what the log has already is not loaded, and keeps the rest`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    for number in 0..<5 { cluster.propose(1, [UInt8(number)]) }
    cluster.settle()
    let (configuration, index) = cluster[2].configuration(at: LogIndex(4))
    let meta = SnapshotMeta(
      index: LogIndex(4), term: cluster[1].term, configuration: configuration,
      configurationIndex: index)
    let chunk = SnapshotChunk(
      term: cluster[1].term, meta: meta, offset: 0, totalBytes: 5, data: [1, 2])
    cluster.step(2, .message(.snapshotChunk(chunk), from: NodeID(1)))
    #expect(cluster[2].lastIndex == LogIndex(6))
    let reply = SnapshotReply(
      term: cluster[1].term, index: LogIndex(4), nextOffset: 0, isInstalled: true)
    #expect(cluster.messages(to: 1) == [.snapshotReply(reply)])
  }

  @Test func `trailing entries spare a follower the snapshot`() {
    var options = RaftOptions()
    options.trailingEntries = 50
    let cluster = TestCluster(voters: 3, options: options)
    cluster.elect(1)
    cluster.isolate(3)
    for number in 0..<20 { cluster.propose(1, [UInt8(number)]) }
    cluster.settle()
    cluster.compact(1)
    cluster.heal()
    cluster.run(ticks: 60)
    #expect(cluster[3].lastApplied == LogIndex(21))
    #expect(cluster[3].snapshotMeta == nil)
    cluster.crash(1)
    cluster.restart(1)
    #expect(cluster[1].lastIndex == LogIndex(21))
    #expect(cluster[1].commitIndex == LogIndex(21))
  }

  /// A crash came between installing a snapshot and emptying the log that it contradicts.
  @Test(arguments: [(UInt64(4), true), (5, true), (6, true), (3, false)])
  func `a log that contradicts the snapshot is to be emptied`(_ last: UInt64, _ isDiscarded: Bool) {
    let configuration = Configuration(voting: [Member(id: NodeID(1), context: [])])
    let meta = SnapshotMeta(
      index: LogIndex(last == 3 ? 3 : 5), term: Term(last == 3 ? 1 : 2),
      configuration: configuration, configurationIndex: .zero)
    let core = RaftCore(
      id: NodeID(1), options: Self.options, seed: 1, hardState: HardState(term: Term(2)),
      snapshot: meta, configuration: configuration,
      entries: (1...last).map {
        Entry(index: LogIndex($0), term: Term(1), kind: .command, payload: [])
      })
    #expect(core.lastIndex == meta.index)
    #expect(core.hasDiscardedEntries == isDiscarded)
  }

  /// Delivers everything, but only one message of snapshots in every third round.
  private func runSlowly(_ cluster: TestCluster, ticks: Int, each: (Int) -> Void = { _ in }) {
    for tick in 0..<ticks {
      for id in UInt64(1)...3 { cluster.step(id, .tick) }
      var position = 0
      var isBusy = tick % 3 != 0
      while position < cluster.flights.count {
        switch cluster.flights[position].message {
        case .snapshotChunk, .snapshotReply:
          if isBusy { position += 1 } else { cluster.deliver(position) }
          isBusy = true
        default: cluster.deliver(position)
        }
      }
      each(tick)
    }
  }

  /// Else the leader steps down as stalled, and the next one sends the snapshot from its start.
  @Test func `a leader that brings up the voter it needs does not give way`() {
    var options = Self.options
    options.stallTicks = 20
    options.snapshotChunkBytes = 5
    let cluster = laggard(options)
    cluster.kill(2)
    cluster.heal()
    cluster.step(1, .linkRestored(NodeID(3)))
    cluster.propose(1)
    let term = cluster[1].term
    runSlowly(cluster, ticks: 200)
    #expect(cluster.leaders == [1] && cluster[1].term == term)
    #expect(cluster[3].commitIndex == LogIndex(22))
  }

  @Test func `M6 compaction during a slow transfer does not make it start again and again`() {
    var options = Self.options
    options.snapshotChunkBytes = 5
    options.catchUpBytesMax = 100_000
    let cluster = laggard(options, isSilent: true)
    cluster.keepsSnapshots = true
    cluster.heal()
    cluster.step(1, .linkRestored(NodeID(3)))
    runSlowly(cluster, ticks: 300) { tick in
      cluster.propose(1)
      if tick % 10 == 9 { cluster.compact(1) }
    }
    let starts = cluster.events(1).filter {
      if case .snapshotSendStarted = $0 { true } else { false }
    }
    #expect(starts.count == 1)
    #expect(cluster[3].lastIndex > LogIndex(100))
  }

  @Test func `the same leader, elected again, goes on with a transfer where it was`() {
    let cluster = laggard()
    deliverTwoChunks(cluster)
    cluster.crash(1)
    cluster.restart(1)
    cluster.flights = []
    cluster.tick(2, count: 30)
    cluster.tick(3, count: 30)
    cluster.flights = []
    cluster.tick(1, count: 50)
    var offsets: [UInt64] = []
    for _ in 0..<100 {
      for id in UInt64(1)...3 { cluster.step(id, .tick) }
      while !cluster.flights.isEmpty {
        if case .snapshotChunk(let chunk) = cluster.flights[0].message {
          offsets.append(chunk.offset)
        }
        cluster.deliver(0)
      }
    }
    #expect(offsets == [0, 60, 90])
    #expect(cluster[3].lastApplied == cluster[1].lastApplied)
  }
}
