import Testing

@testable import Raft

@Suite struct ReadTests {
  private func result(_ cluster: TestCluster, _ id: UInt64, _ read: UInt64) -> ReadResult? {
    cluster.nodes[Int(id) - 1].reads.last { $0.id == ReadID(read) }
  }

  private func index(_ cluster: TestCluster, _ id: UInt64, _ read: UInt64) -> UInt64? {
    result(cluster, id, read)?.index?.value
  }

  @Test func `6.4 a read on the leader costs one round of heartbeats`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.read(1, 1)
    #expect(cluster.flights.count == 2)
    #expect(result(cluster, 1, 1) == nil)
    cluster.settle()
    #expect(index(cluster, 1, 1) == 1)
  }

  @Test func `6.4 reads that arrive during a round share the next one`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    for read in UInt64(1)...5 { cluster.read(1, read) }
    #expect(cluster.flights.count == 2)
    // One answer is a majority: the first read is served, the others' round starts.
    cluster.deliver(0)
    cluster.deliver(1)
    #expect(index(cluster, 1, 1) == 1)
    #expect(result(cluster, 1, 2) == nil)
    cluster.settle()
    for read in UInt64(2)...5 { #expect(index(cluster, 1, read) == 1) }
  }

  @Test func `6.4 a follower asks its leader`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.propose(1)
    cluster.settle()
    cluster.read(2, 1)
    cluster.settle()
    #expect(index(cluster, 2, 1) == 2)
  }

  @Test func `6.4 the question of one of three voters needs no round`() {
    let cluster = TestCluster(voters: 3, learners: 1)
    cluster.elect(1)
    cluster.tick(1)
    cluster.settle()
    cluster.read(2, 1)
    cluster.deliver(0)
    #expect(cluster.flights.count == 1)
    cluster.deliver(0)
    #expect(index(cluster, 2, 1) == 1)
    // A learner's does.
    cluster.read(4, 2)
    cluster.deliver(0)
    #expect(cluster.flights.count == 2)
    cluster.settle()
    #expect(index(cluster, 4, 2) == 1)
  }

  @Test func `6.4 the question of one of five voters needs a round`() {
    let cluster = TestCluster(voters: 5)
    cluster.elect(1)
    cluster.tick(1)
    cluster.settle()
    // The leader and one follower, cut off from the others, which elect another and write.
    for id in UInt64(3)...5 {
      cluster.cut(1, id)
      cluster.cut(2, id)
      cluster.step(id, .linkBroken(NodeID(1)))
    }
    cluster.run(until: { cluster.leaders.contains { $0 > 2 } }, ticksMax: 20)
    cluster.read(2, 1)
    cluster.settle()
    #expect(result(cluster, 2, 1)?.index == nil)
  }

  @Test func `6.4 a question of another term than the leader's needs a round`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.isolate(3)
    for term in [Term(cluster[1].term.value - 1), cluster[1].term.next] {
      let request = ReadIndexRequest(term: term, id: ReadID(9))
      cluster.step(1, .message(.readIndex(request), from: NodeID(2)))
      #expect(cluster.messages(to: 2).count == 1)
      for case .readIndexReply in cluster.messages(to: 2) { Issue.record("answered at once") }
      cluster.settle()
    }
  }

  @Test func `6.4 nothing is read before an entry of the own term is committed`() {
    let cluster = TestCluster(voters: 3)
    cluster.syncsAtOnce = false
    cluster.tick(1, count: 50)
    for _ in 0..<20 {
      if cluster[1].role == .leader { break }
      for id in UInt64(1)...3 { cluster.sync(id) }
      cluster.settle()
    }
    #expect(cluster[1].role == .leader && !cluster[1].isEstablishedLeader)
    cluster.read(1, 1)
    cluster.settle()
    #expect(result(cluster, 1, 1) == nil)
    cluster.syncsAtOnce = true
    for id in UInt64(1)...3 { cluster.sync(id) }
    cluster.settle()
    #expect(index(cluster, 1, 1) == 1)
  }

  @Test func `a deposed leader answers no read`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.isolate(1)
    cluster.step(2, .linkBroken(NodeID(1)))
    cluster.step(3, .linkBroken(NodeID(1)))
    cluster.settle()
    cluster.run(until: { cluster.leaders.contains { $0 != 1 } }, ticksMax: 10)
    cluster.read(1, 1)
    cluster.settle()
    #expect(result(cluster, 1, 1) == nil)
    cluster.run(ticks: 60)
    #expect(result(cluster, 1, 1) == ReadResult(id: ReadID(1), index: nil))
  }

  @Test func `without a leader a read is refused at once`() {
    let cluster = TestCluster(voters: 3)
    cluster.read(1, 1)
    #expect(result(cluster, 1, 1) == ReadResult(id: ReadID(1), index: nil))
  }

  @Test func `lost rounds and lost questions are tried again`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.read(1, 1)
    cluster.read(2, 2)
    cluster.flights = []
    cluster.run(ticks: 20)
    #expect(index(cluster, 1, 1) == 1)
    #expect(index(cluster, 2, 2) == 1)
  }

  @Test func `a follower's reads end with its leader`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.read(2, 1)
    cluster.flights = []
    cluster.kill(1)
    #expect(result(cluster, 2, 1) == ReadResult(id: ReadID(1), index: nil))
  }

  @Test func `a sole voter answers at once`() {
    let cluster = TestCluster(voters: 1)
    cluster.elect(1)
    cluster.read(1, 1)
    #expect(index(cluster, 1, 1) == 1)
  }

  @Test func `more reads than pendingReadsMax are refused`() {
    var options = RaftOptions()
    options.pendingReadsMax = 3
    let cluster = TestCluster(voters: 3, options: options)
    cluster.elect(1)
    for read in UInt64(1)...4 {
      cluster.read(1, read)
      cluster.read(2, read)
    }
    #expect(result(cluster, 1, 4) == ReadResult(id: ReadID(4), index: nil))
    #expect(result(cluster, 2, 4) == ReadResult(id: ReadID(4), index: nil))
    #expect(result(cluster, 1, 3) == nil)
  }

  /// A node that restarts must not take the answer to an old question for the answer to a new one.
  @Test func `answers from before a restart are not taken`() {
    let cluster = TestCluster(voters: 3)
    cluster.elect(1)
    cluster.read(2, 1)
    cluster.deliver(0)
    cluster.crash(2)
    cluster.restart(2)
    let late = cluster.flights
    cluster.flights = []
    cluster.run(ticks: 8)
    cluster.cut(2, 1)
    cluster.read(2, 1)
    cluster.flights += late
    cluster.settle()
    for flight in late where flight.to.value == 3 {
      cluster.step(3, .message(flight.message, from: flight.from))
    }
    cluster.settle()
    #expect(result(cluster, 2, 1) == nil)
  }
}
