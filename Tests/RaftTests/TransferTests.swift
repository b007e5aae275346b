import Testing

@testable import Raft

@Suite struct TransferTests {
  @Test func `3.10 leadership moves at once, to the wanted or the best member`() {
    for target in [UInt64(3), nil] {
      let cluster = TestCluster(voters: 3)
      cluster.elect(1)
      cluster.step(1, .transferLeadership(to: target.map { NodeID($0) }))
      cluster.propose(1)
      #expect(cluster.nodes[0].proposal == .rejected(.transferring))
      cluster.settle()
      #expect(cluster.leader == target ?? 2)
      #expect(cluster.events(1).contains(.transferFinished(succeeded: true)))
      #expect(
        cluster.events(1).contains { event in
          if case .steppedDown(_, .transferred) = event { true } else { false }
        })
    }
  }

  @Test func `3.10 a transfer to a dead member is given up after an election timeout`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1)
    cluster.settle()
    cluster.step(1, .transferLeadership(to: NodeID(3)))
    #expect(cluster[1].isTransferring)
    cluster.run(ticks: cluster.options.electionTicks)
    #expect(cluster.leaders == [1])
    #expect(cluster.events(1).contains(.transferFinished(succeeded: false)))
    cluster.propose(1)
    cluster.settle()
    #expect(cluster[1].commitIndex == cluster[1].lastIndex)
  }

  @Test func `a target that lags is brought up to date first`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.cut(1, 3)
    for number in 0..<5 { cluster.propose(1, [UInt8(number)]) }
    cluster.settle()
    cluster.heal()
    cluster.step(1, .transferLeadership(to: NodeID(3)))
    cluster.run(until: { cluster.leader == 3 }, ticksMax: 60)
  }

  @Test func `nobody to hand over to is said so`() {
    let cluster = TestCluster(voters: 3, learners: 1)
    cluster.elect(1)
    for target in [UInt64(1), 4, 77] {
      cluster.clearEvents()
      cluster.step(1, .transferLeadership(to: NodeID(target)))
      #expect(cluster.events(1) == [.transferFinished(succeeded: false)])
    }
  }

  @Test func `D10 a leader whose disk hangs gives leadership away and does not come back`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.nodes[0].isDiskStuck = true
    cluster.propose(1)
    cluster.run(ticks: cluster.options.stallTicks + 10)
    #expect((cluster.leader ?? 1) != 1)
    #expect(
      cluster.events(1).contains { event in
        if case .steppedDown(_, .stalled) = event { true } else { false }
      })
    cluster.kill(cluster.leader ?? 2)
    cluster.run(ticks: 10)
    #expect(cluster[1].role == .follower, "a node that cannot write does not campaign")
  }

  @Test func `a leader that commits nothing for too long lets go`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    for position in 1...2 { cluster.nodes[position].isDiskStuck = true }
    cluster.propose(1)
    cluster.run(ticks: 2 * cluster.options.stallTicks)
    #expect(
      cluster.events(1).contains { event in
        if case .steppedDown(_, .stalled) = event { true } else { false }
      })
    for position in 1...2 {
      cluster.nodes[position].isDiskStuck = false
      cluster.sync(UInt64(position) + 1)
    }
    cluster.run(until: { cluster.leader.map { cluster[$0].commitIndex >= LogIndex(3) } ?? false })
  }

  @Test func `setElectable keeps a node from campaigning, also when told to`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.step(2, .setElectable(false))
    cluster.step(1, .transferLeadership(to: NodeID(2)))
    cluster.run(ticks: 30)
    #expect(cluster.leaders == [1])
    cluster.kill(1)
    cluster.run(until: { cluster.leader == 3 }, ticksMax: 200)
  }

  @Test func `a transfer ends at once when its target dies`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.step(1, .transferLeadership(to: NodeID(3)))
    cluster.kill(3)
    #expect(cluster.events(1).last == .transferFinished(succeeded: false))
    cluster.propose(1)
    cluster.settle()
    #expect(cluster.leaders == [1] && cluster[1].commitIndex == cluster[1].lastIndex)
  }

  @Test func `a leader that must go hands over to another when its target dies`() {
    let cluster = TestCluster(voters: 4)
    cluster.elect(1)
    cluster.step(1, .changeMembership(MembershipChange(remove: [NodeID(1)])))
    while !cluster[1].isTransferring, !cluster.flights.isEmpty { cluster.deliver(0) }
    cluster.flights.removeAll { if case .timeoutNow = $0.message { true } else { false } }
    cluster.kill(2)
    cluster.settle()
    cluster.run(until: { cluster.leader == 3 }, ticksMax: 6, "the next best")
  }
}
