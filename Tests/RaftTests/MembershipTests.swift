import Testing

@testable import Raft

@Suite struct MembershipTests {
  private func change(
    _ cluster: TestCluster, by leader: UInt64 = 1, add: [UInt64] = [], promote: [UInt64] = [],
    remove: [UInt64] = []
  ) -> MembershipResult? {
    cluster.nodes[Int(leader) - 1].membership = nil
    cluster.step(
      leader,
      .changeMembership(
        MembershipChange(
          addLearners: add.map { Member(id: NodeID($0), context: [UInt8($0)]) },
          promote: promote.map { NodeID($0) }, remove: remove.map { NodeID($0) })))
    return cluster.nodes[Int(leader) - 1].membership
  }

  private func ids(_ values: [UInt64]) -> [NodeID] { values.map { NodeID($0) } }

  @Test func `4.2.1 a learner catches up without a vote, then is promoted`() {
    var options = RaftOptions()
    options.caughtUpEntries = 2
    let cluster = TestCluster(voters: 3, spare: 1, options: options)
    cluster.elect(1)
    for number in 0..<20 { cluster.propose(1, [UInt8(number)]) }
    cluster.settle()
    cluster.isolate(4)
    #expect(change(cluster, add: [4]) == .accepted)
    cluster.settle()
    #expect(cluster[1].configuration.learners == [NodeID(4)])
    #expect(!cluster[1].configuration.isJoint)
    #expect(change(cluster, promote: [4]) == .rejected(.notCaughtUp(NodeID(4))))
    cluster.heal()
    cluster.run(ticks: 20)
    #expect(cluster.events(1).filter { $0 == .learnerCaughtUp(NodeID(4)) }.count == 1)
    cluster.tick(4, count: 200)
    #expect(cluster[4].role == .follower, "a learner does not campaign")
    cluster.settle()
    #expect(change(cluster, promote: [4]) == .accepted)
    #expect(cluster[1].configuration.outgoing == ids([1, 2, 3]))
    cluster.settle()
    #expect(cluster[4].configuration.voters == ids([1, 2, 3, 4]))
    #expect(!cluster[4].configuration.isJoint)
  }

  @Test func `4.3 in the joint phase both majorities are needed`() {
    let cluster = TestCluster(voters: 3, spare: 2)
    cluster.elect(1)
    #expect(change(cluster, add: [4, 5], promote: [4, 5], remove: [2, 3]) == .accepted)
    for id in UInt64(2)...3 { cluster.isolate(id) }
    cluster.settle()
    #expect(cluster[1].configuration.isJoint)
    #expect(cluster[4].lastIndex == cluster[1].lastIndex)
    #expect(cluster[1].commitIndex < cluster[1].lastIndex, "4 and 5 agree, the old majority is cut")
    cluster.heal()
    cluster.run(ticks: 60)
    #expect(cluster[1].configuration.voters == ids([1, 4, 5]))
    #expect(!cluster[1].configuration.isJoint)
    for id in UInt64(2)...3 { #expect(cluster.events(id).contains(.removedFromCluster)) }
  }

  @Test func `one change at a time, by an established leader, and never without a voter`() {
    let cluster = TestCluster(voters: 3, spare: 2)
    #expect(change(cluster, add: [4]) == .rejected(.notLeader(leader: nil)))
    cluster.elect(1)
    #expect(change(cluster, remove: [1, 2, 3]) == .rejected(.wouldLeaveNoVoter))
    #expect(change(cluster, remove: [9]) == .rejected(.notAMember(NodeID(9))))
    #expect(change(cluster, promote: [9]) == .rejected(.notAMember(NodeID(9))))
    #expect(change(cluster, add: [4]) == .accepted)
    #expect(change(cluster, add: [5]) == .rejected(.busy))
    cluster.settle()
    #expect(change(cluster, add: [5]) == .accepted)
  }

  @Test func `a changed context needs no joint phase`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.step(
      1,
      .changeMembership(
        MembershipChange(addLearners: [Member(id: NodeID(2), context: [42])])))
    cluster.settle()
    #expect(cluster[3].configuration.members[1].context == [42])
    #expect(cluster[3].configuration.voters == ids([1, 2, 3]))
    #expect(
      !cluster.events(1).contains {
        if case .configurationAppended(let appended, _) = $0 { appended.isJoint } else { false }
      })
  }

  @Test func `4.1 truncation brings the previous configuration back`() {
    let cluster = TestCluster(voters: 3, spare: 1)
    cluster.elect(1)
    cluster.isolate(1)
    #expect(change(cluster, add: [4], promote: [4]) == .accepted)
    #expect(cluster[1].configuration.isJoint)
    cluster.run(until: { cluster.leaders.contains { $0 != 1 } }, ticksMax: 200)
    cluster.propose(cluster.leader ?? 2, [1])
    cluster.settle()
    cluster.heal()
    cluster.run(ticks: 60)
    #expect(cluster[1].configuration.voters == ids([1, 2, 3]))
    #expect(!cluster[1].configuration.isJoint)
  }

  @Test func `4.2.2 a leader that removes itself hands over, with a short gap`() {
    for seed in UInt64(1)...10 {
      let cluster = TestCluster(voters: 3, seed: seed)
      cluster.elect(1)
      #expect(change(cluster, remove: [1]) == .accepted)
      cluster.settle()
      cluster.run(until: { (cluster.leader ?? 1) != 1 }, ticksMax: 6, "a leader among the others")
      cluster.run(ticks: 20)
      #expect(cluster.leaders.count == 1 && cluster.leaders != [1])
      #expect(cluster.events(1).contains(.removedFromCluster))
      let term = cluster[2].term
      cluster.run(ticks: 300)
      #expect(cluster[2].term == term, "the removed node does not disturb")
    }
  }

  @Test func `4.2.3 a removed node that heard nothing does not disturb`() {
    let cluster = TestCluster(voters: 4)
    cluster.elect(1)
    cluster.isolate(4)
    #expect(change(cluster, remove: [4]) == .accepted)
    cluster.run(ticks: 200)
    cluster.heal()
    let term = cluster[1].term
    cluster.run(ticks: 300)
    #expect(cluster.leaders == [1])
    #expect(cluster[1].term == term)
  }

  @Test func `M3 a dead voter is replaced while it stays down`() {
    let cluster = TestCluster(voters: 3, spare: 1)
    cluster.elect(1)
    cluster.kill(3)
    #expect(change(cluster, add: [4], promote: [4], remove: [3]) == .accepted)
    cluster.run(ticks: 20)
    #expect(cluster[1].configuration.voters == ids([1, 2, 4]))
    cluster.kill(2)
    cluster.propose(1)
    cluster.run(ticks: 20)
    #expect(cluster[4].commitIndex == cluster[1].lastIndex)
  }

  @Test func `a new leader ends the joint phase that another began`() {
    let cluster = TestCluster(voters: 3, spare: 1)
    cluster.elect(1)
    #expect(change(cluster, add: [4], promote: [4]) == .accepted)
    // The joint entry reaches everyone, the leader dies before it can go on.
    while cluster[1].commitIndex < cluster[1].configurationIndex, !cluster.flights.isEmpty {
      if cluster[2].configuration.isJoint, cluster[3].configuration.isJoint { break }
      cluster.deliver(0)
    }
    cluster.kill(1)
    cluster.run(until: { cluster.leader != nil }, ticksMax: 200)
    cluster.run(ticks: 20)
    for id in UInt64(2)...4 { #expect(cluster[id].configuration.voters == ids([1, 2, 3, 4])) }
  }

  /// Only the leader, on its way out, has the configuration without itself.
  private func leaderAloneHasFinal(voters: Int, remove: [UInt64] = [1]) -> TestCluster {
    let cluster = TestCluster(voters: voters)
    cluster.elect(1)
    #expect(change(cluster, remove: remove) == .accepted)
    while cluster[1].configuration.isJoint, !cluster.flights.isEmpty { cluster.deliver(0) }
    #expect(!cluster[1].configuration.isVoter(NodeID(1)))
    cluster.flights = []
    for id in 2...UInt64(voters) { #expect(cluster[id].configuration.isVoter(NodeID(1))) }
    return cluster
  }

  @Test(arguments: [true, false])
  func `4.2.2 a removed leader is still needed until Cnew is committed`(_ isCrash: Bool) {
    // Node 2 needs the vote of node 1, whose log is longer: only node 1 can lead.
    let cluster = leaderAloneHasFinal(voters: 2)
    if isCrash {
      cluster.crash(1)
      cluster.restart(1)
    } else {
      cluster.cut(1, 2)
      cluster.run(ticks: 30)
      #expect(cluster[1].role != .leader)
      cluster.heal()
    }
    cluster.run(until: { cluster.leader == 2 }, ticksMax: 200, "the one that stays")
    cluster.run(ticks: 10)
    #expect(cluster[2].configuration.voters == ids([2]))
    #expect(cluster.events(1).contains(.removedFromCluster))
    let term = cluster[2].term
    cluster.run(ticks: 200)
    #expect(cluster[2].term == term && cluster[1].role == .follower)
  }

  @Test func `4.2.2 the vote of a server that is not in its configuration does not count`() {
    let cluster = leaderAloneHasFinal(voters: 3, remove: [1, 3])
    cluster.crash(1)
    cluster.restart(1)
    for id in UInt64(2)...3 { cluster.isolate(id) }
    cluster.run(ticks: 200)
    #expect(cluster[1].role == .preCandidate && cluster[1].term == cluster[2].term)
    // The vote of node 3 is none either.
    cluster.heal()
    cluster.isolate(2)
    cluster.run(ticks: 200)
    #expect(cluster.leaders.isEmpty)
    cluster.heal()
    cluster.run(until: { cluster.leader == 2 }, ticksMax: 200)
    #expect(cluster[2].configuration.voters == ids([2]))
  }

  @Test func `4.2.2 a leader on its way out does not count itself for commit or reads`() {
    let cluster = leaderAloneHasFinal(voters: 3)
    let commit = cluster[1].commitIndex
    cluster.cut(1, 2)
    cluster.read(1, 1)
    cluster.step(1, .linkRestored(NodeID(3)))
    cluster.run(ticks: 10)
    #expect(cluster[3].lastIndex == cluster[1].lastIndex)
    #expect(cluster[1].commitIndex == commit, "one of two")
    #expect(cluster.nodes[0].reads.isEmpty)
    cluster.run(ticks: 30)
    #expect(cluster[1].role != .leader, "CheckQuorum without the own vote")
    #expect(cluster.nodes[0].reads == [ReadResult(id: ReadID(1), index: nil)])
  }

  @Test func `the death of a leader that is no member any more is noticed at once`() {
    let cluster = TestCluster(voters: 4)
    cluster.elect(1)
    #expect(change(cluster, remove: [1]) == .accepted)
    while cluster[2].configuration.isVoter(NodeID(1)), !cluster.flights.isEmpty {
      cluster.deliver(0)
    }
    #expect(cluster[2].leader == NodeID(1) && cluster[1].role == .leader)
    cluster.kill(1)
    cluster.run(until: { cluster.leader != nil }, ticksMax: 12, "fast failover")
  }

  @Test func `a failed transfer does not depose a leader whose removal is not committed`() {
    let cluster = leaderAloneHasFinal(voters: 3)
    cluster.cut(1, 3)
    cluster.step(1, .transferLeadership(to: NodeID(3)))
    for _ in 0..<cluster.options.electionTicks {
      cluster.step(1, .linkRestored(NodeID(3)))
      cluster.run(ticks: 1)
    }
    #expect(cluster.events(1).contains(.transferFinished(succeeded: false)))
  }

  /// The answers that are missing come from a member that is none any more, and is dead.
  @Test func `a read round ends when the members it waits for are removed`() {
    let cluster = TestCluster(voters: 2)
    cluster.elect(1)
    #expect(change(cluster, remove: [2]) == .accepted)
    cluster.read(1, 1)
    while cluster[1].configuration.isJoint, !cluster.flights.isEmpty {
      if case .heartbeatReply = cluster.flights[0].message {
        cluster.flights.removeFirst()
      } else {
        cluster.deliver(0)
      }
    }
    cluster.kill(2)
    cluster.read(1, 2)
    cluster.run(ticks: 10)
    let served = cluster.nodes[0].reads.compactMap { $0.index == nil ? nil : $0.id.value }
    #expect(served == [1, 2])
  }

  @Test func `a new leader tells those whom its predecessor removed`() {
    let cluster = TestCluster(voters: 4)
    cluster.elect(1)
    #expect(change(cluster, remove: [4]) == .accepted)
    while cluster[2].configuration.isMember(NodeID(4)) || cluster[3].configuration.isJoint,
      !cluster.flights.isEmpty
    {
      if cluster.flights[0].to.value == 4 {
        cluster.flights.removeFirst()
      } else {
        cluster.deliver(0)
      }
    }
    #expect(cluster[4].configuration.isMember(NodeID(4)))
    #expect(cluster[2].commitIndex < cluster[2].configurationIndex)
    cluster.kill(1)
    cluster.run(until: { cluster.leader != nil }, ticksMax: 20)
    cluster.run(ticks: 40)
    #expect(cluster.events(4).contains(.removedFromCluster))
  }

  @Test func `a member that comes back at once is not believed to have what it had`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    #expect(change(cluster, remove: [3]) == .accepted)
    while cluster[1].configuration.isMember(NodeID(3)) || cluster[1].commitIndex < LogIndex(3),
      !cluster.flights.isEmpty
    {
      cluster.deliver(0)
    }
    cluster.isolate(3)
    #expect(change(cluster, add: [3]) == .accepted)
    cluster.settle()
    #expect(cluster[1].progress.map(\.matchIndex) == [LogIndex(4), .zero])
  }

  @Test func `a context that no log could hold is refused`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    let long = Member(id: NodeID(9), context: [UInt8](repeating: 1, count: 65537))
    cluster.step(1, .changeMembership(MembershipChange(addLearners: [long])))
    #expect(cluster.nodes[0].membership == .rejected(.notAMember(NodeID(9))))
  }
}
