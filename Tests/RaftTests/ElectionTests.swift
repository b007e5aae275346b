import Testing

@testable import Raft

@Suite struct ElectionTests {
  private func request(
    _ term: UInt64, last: UInt64 = 0, lastTerm: UInt64 = 0, pre: Bool = false,
    transfer: Bool = false
  ) -> Message {
    .voteRequest(
      VoteRequest(
        term: Term(term), lastIndex: LogIndex(last), lastTerm: Term(lastTerm), isPreVote: pre,
        isTransfer: transfer))
  }

  private func vote(_ cluster: TestCluster, of id: UInt64, from: UInt64, _ request: Message)
    -> VoteReply?
  {
    cluster.flights = []
    cluster.step(id, .message(request, from: NodeID(from)))
    for case .voteReply(let reply) in cluster.messages(to: from) { return reply }
    return nil
  }

  @Test func `5.2 the timer elects one leader, and it stays`() {
    let cluster = TestCluster(voters: 3)
    let leader = cluster.elect()
    let term = cluster[leader].term
    cluster.run(ticks: 500)
    #expect(cluster.leaders == [leader])
    #expect(cluster[leader].term == term)
    #expect(cluster[1].leader == NodeID(leader) && cluster[3].leader == NodeID(leader))
  }

  @Test func `5.2 timeouts are random within one to two election timeouts`() {
    var seen: Set<Int> = []
    for seed in UInt64(0)..<200 {
      let cluster = TestCluster(voters: 3, seed: seed)
      var ticks = 0
      while cluster[1].role == .follower, ticks < 60 {
        cluster.tick(1)
        ticks += 1
      }
      seen.insert(ticks)
    }
    #expect(seen.min() == 25)
    #expect(seen.max() == 49)
    #expect(seen.count > 20)
  }

  @Test func `priority 0 never campaigns, a high one campaigns early`() {
    var options = RaftOptions()
    options.electionPriority = 0
    let idle = TestCluster(voters: 1, options: options)
    idle.tick(1, count: 200)
    #expect(idle[1].role == .follower)
    options.electionPriority = 25
    let eager = TestCluster(voters: 3, options: options)
    eager.tick(1, count: 25)
    #expect(eager[1].role == .preCandidate)
  }

  @Test func `figure 2 one vote per term, remembered on disk before it is given`() {
    let cluster = TestCluster(voters: 3)
    cluster.syncsAtOnce = false
    #expect(vote(cluster, of: 1, from: 2, request(5)) == nil)
    #expect(cluster.nodes[0].writes.last?.hardState?.votedFor == NodeID(2))
    cluster.sync(1)
    #expect(cluster.messages(to: 2).count == 1)
    #expect(vote(cluster, of: 1, from: 3, request(5))?.granted == false)
    cluster.crash(1)
    cluster.restart(1)
    #expect(vote(cluster, of: 1, from: 3, request(5))?.granted == false)
    #expect(vote(cluster, of: 1, from: 2, request(5))?.granted == true)
  }

  @Test func `figure 2 an older term is refused and told the current one`() {
    let cluster = TestCluster(voters: 3)
    _ = vote(cluster, of: 1, from: 2, request(5))
    let reply = vote(cluster, of: 1, from: 3, request(4))
    #expect(reply == VoteReply(term: Term(5), granted: false, isPreVote: false))
  }

  @Test(arguments: [
    (UInt64(3), UInt64(1), false), (2, 2, false), (3, 2, true), (1, 3, true), (4, 2, true),
  ])
  func `5.4.1 only a log at least as up to date gets the vote`(
    _ last: UInt64, _ lastTerm: UInt64, _ granted: Bool
  ) {
    let entries = [1, 1, 2].enumerated().map { position, term in
      Entry(
        index: LogIndex(UInt64(position) + 1), term: Term(term), kind: .command, payload: [])
    }
    let cluster = TestCluster(voters: 3)
    cluster.nodes[0].disk.entries = entries
    cluster.nodes[0].disk.hardState = HardState(term: Term(2))
    cluster.restart(1)
    #expect(
      vote(cluster, of: 1, from: 2, request(9, last: last, lastTerm: lastTerm))?.granted == granted
    )
    #expect(
      vote(cluster, of: 1, from: 3, request(10, last: last, lastTerm: lastTerm, pre: true))?.granted
        == granted)
  }

  @Test func `9.6 PreVote takes no term and promises nothing`() {
    let cluster = TestCluster(voters: 3)
    #expect(vote(cluster, of: 1, from: 2, request(5, pre: true))?.granted == true)
    #expect(vote(cluster, of: 1, from: 3, request(5, pre: true))?.granted == true)
    #expect(cluster[1].term == .zero)
    #expect(cluster.nodes[0].disk.hardState == HardState())
  }

  @Test func `9.6 an isolated node does not raise its term, nor disturb on return`() {
    let cluster = TestCluster(voters: 3)
    let leader = cluster.elect(1)
    cluster.isolate(3)
    cluster.run(ticks: 1000)
    #expect(cluster[3].term == cluster[1].term)
    cluster.heal()
    cluster.run(ticks: 100)
    #expect(cluster.leaders == [leader])
    #expect(cluster[3].leader == NodeID(leader))
  }

  @Test func `4.2.3 while a leader is heard, votes are refused and no term is taken`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    let term = cluster[2].term.value
    #expect(vote(cluster, of: 2, from: 3, request(term + 1, last: 99, lastTerm: term)) == nil)
    #expect(cluster[2].term == Term(term))
    let pre = request(term + 1, last: 99, lastTerm: term, pre: true)
    #expect(vote(cluster, of: 2, from: 3, pre)?.granted == false)
    #expect(vote(cluster, of: 1, from: 3, request(term + 1, last: 99, lastTerm: term)) == nil)
    #expect(cluster.leaders == [1])
    let transfer = request(term + 1, last: 99, lastTerm: term, transfer: true)
    #expect(vote(cluster, of: 2, from: 3, transfer)?.granted == true)
  }

  @Test func `6.2 CheckQuorum: a leader that hears no majority steps down`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.isolate(1)
    cluster.run(ticks: 26)
    #expect(cluster[1].role != .leader)
    #expect(cluster.events(1).contains(.steppedDown(term: cluster[1].term, reason: .lostQuorum)))
    cluster.run(until: { cluster.leaders.count == 1 && cluster.leaders != [1] })
    cluster.heal()
    cluster.run(ticks: 60)
    #expect(cluster[1].leader == cluster.leaders.first.map { NodeID($0) })
  }

  @Test func `a node stuck in a higher term deposes the leader once and rejoins`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.crash(3)
    cluster.nodes[2].disk.hardState.term = Term(40)
    cluster.restart(3)
    cluster.run(ticks: 150)
    #expect(cluster.leaders.count == 1)
    #expect(cluster[1].term == cluster[3].term && cluster[3].term > Term(40))
    let term = cluster[1].term
    cluster.run(ticks: 300)
    #expect(cluster[1].term == term)
  }

  @Test func `PreVote with a shorter log in a higher term does not block the others`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1)
    cluster.run(ticks: 10)
    cluster.heal()
    cluster.kill(1)
    cluster.nodes[2].disk.hardState.term = Term(9)
    cluster.restart(3)
    cluster.run(until: { cluster.leader == 2 }, ticksMax: 200, "the node with the longer log")
  }

  @Test func `a killed leader is replaced within a few ticks`() {
    for seed in UInt64(1)...40 {
      for voters in [3, 5] {
        let cluster = TestCluster(voters: voters, seed: seed)
        let old = cluster.elect()
        cluster.run(ticks: 10)
        cluster.kill(old)
        cluster.settle()
        cluster.run(until: { cluster.leader != nil }, ticksMax: 12, "fast failover")
      }
    }
  }

  @Test func `a silent leader is replaced, after a split vote too`() {
    for seed in UInt64(1)...40 {
      for voters in [3, 5] {
        let cluster = TestCluster(voters: voters, seed: seed)
        let old = cluster.elect()
        cluster.run(ticks: 10)
        cluster.isolate(old)
        cluster.run(until: { (cluster.leader ?? old) != old }, ticksMax: 110, "failover")
      }
    }
  }

  @Test func `a link that only one follower lost changes nothing`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    let term = cluster[1].term
    cluster.cut(1, 2)
    cluster.step(2, .linkBroken(NodeID(1)))
    cluster.run(ticks: 300)
    #expect(cluster.leaders == [1])
    #expect(cluster[1].term == term)
  }

  @Test func `linkRestored calls the campaign off`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.step(3, .linkBroken(NodeID(1)))
    cluster.step(3, .linkRestored(NodeID(1)))
    cluster.tick(3, count: 10)
    #expect(cluster[3].role == .follower)
  }

  /// N3: all 64 subsets of the 6 one-way links of three nodes.
  @Test func `a leader stands whenever some node can talk both ways with a majority`() {
    let links: [[UInt64]] = [[1, 2], [2, 1], [1, 3], [3, 1], [2, 3], [3, 2]]
    for subset in 0..<64 {
      let cluster = TestCluster(voters: 3, seed: UInt64(subset))
      cluster.elect(1 + UInt64(subset % 3))
      cluster.cuts = Set(links.indices.filter { subset >> $0 & 1 == 1 }.map { links[$0] })
      let isPossible = [(0, 1), (2, 3), (4, 5)].contains { a, b in
        subset >> a & 1 == 0 && subset >> b & 1 == 0
      }
      cluster.run(ticks: 300)
      guard isPossible else { continue }
      #expect(cluster.leaders.count == 1, "subset \(subset)")
      let leader = cluster.leaders.first ?? 1
      let term = cluster[leader].term
      cluster.propose(leader)
      cluster.run(ticks: 200)
      #expect(cluster.leaders == [leader] && cluster[leader].term == term, "subset \(subset)")
      #expect(cluster[leader].commitIndex == cluster[leader].lastIndex, "subset \(subset)")
    }
  }

  /// N5: five nodes in a star; only the middle one sees a majority.
  @Test func `the one node that sees a majority becomes leader and stays`() {
    for middle in UInt64(1)...5 {
      let cluster = TestCluster(voters: 5, seed: middle)
      cluster.elect(middle % 5 + 1)
      for a in UInt64(1)...5 {
        for b in UInt64(1)...5 where a != b && a != middle && b != middle { cluster.cut(a, b) }
      }
      cluster.run(until: { cluster.leader == middle }, ticksMax: 1000, "node \(middle)")
      let term = cluster[middle].term
      cluster.run(ticks: 300)
      #expect(cluster.leaders == [middle])
      #expect(cluster[middle].term == term)
    }
  }

  @Test func `5.1 votes whose request was lost are asked for again`() {
    let cluster = TestCluster(voters: 3)
    while cluster[1].role != .candidate {
      cluster.tick(1)
      while !cluster.flights.isEmpty, cluster[1].role != .candidate { cluster.deliver(0) }
    }
    let term = cluster[1].term
    cluster.flights = []
    cluster.tick(1, count: cluster.options.heartbeatTicks)
    cluster.settle()
    #expect(cluster[1].role == .leader && cluster[1].term == term)
  }
}
