import EventLoop
import Harness
import Raft
import Registry
import Storage
import Testing

@testable import Node

@Suite(.serialized, .timeLimit(.minutes(10)))
struct MembershipTests {
  private func names(_ node: Node) -> [String] {
    node.status.members.filter(\.isVoter).map(\.name).sorted()
  }

  @Test func aMajorityFormsAndTheLateOneJoins() throws {
    let cluster = try Cluster(3)
    try cluster.start(0)
    try cluster.start(1)
    _ = cluster.awaitLeader()
    #expect(cluster.put(cluster[0], "a", "1") == .success(.flag(true)))
    let initialID = NodeID.ofInitialMember(
      cluster: cluster.configuration(2).cluster, name: "node3")
    try cluster.start(2)
    #expect(cluster.run { cluster[2].status.role == .follower })
    #expect(cluster[2].id != initialID, "it must not vote under an id that may have voted")
    #expect(cluster.get(cluster[2], "a") == "1")
    // Its old incarnation is gone.
    #expect(cluster.run { cluster[0].status.members.count == 3 })
    #expect(names(cluster[0]) == ["node1", "node2", "node3"])
    cluster.stopAll()
  }

  @Test func aWipedFollowerComesBackThroughASnapshot() throws {
    let cluster = try Cluster(3) { $0.raft.snapshotAfterEntries = 50 }
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    let victim = cluster.running.firstIndex { $0 !== leader }!
    let oldID = cluster[victim].id
    // A member that has nothing yet would keep the log from being cut.
    #expect(
      cluster.run {
        cluster.running.allSatisfy { $0.status.lastApplied == leader.status.lastApplied }
      })
    for number in 0..<150 {
      #expect(cluster.put(leader, "k\(number)", "v") == .success(.flag(true)))
    }
    #expect(cluster.run { leader.status.snapshotIndex > 0 && leader.status.firstIndex > 2 })
    cluster.kill(victim)
    cluster.wipe(victim)
    try cluster.start(victim)
    #expect(cluster.run { cluster[victim].status.role == .follower })
    #expect(cluster[victim].id != oldID)
    #expect(cluster[victim].status.snapshotIndex > 0)
    #expect(cluster.get(cluster[victim], "k149") == "v")
    #expect(cluster[victim].registry.stateHash() == leader.registry.stateHash())
    #expect(cluster.run { leader.status.members.count == 3 })
    // It is a full member: the others may lose one.
    let third = cluster.running.first { $0 !== leader && $0 !== cluster[victim] }!
    cluster.kill(cluster.index(of: third))
    #expect(cluster.put(cluster[victim], "z", "1") == .success(.flag(true)))
    cluster.stopAll()
  }

  @Test func aFourthNodeJoinsAndIsPromoted() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    _ = cluster.awaitLeader()
    #expect(cluster.put(cluster[0], "a", "1") == .success(.flag(true)))
    let fourth = try cluster.startJoining()
    #expect(cluster.run { fourth.status.role == .follower })
    #expect(cluster.run { names(cluster[0]).count == 4 })
    #expect(cluster.put(fourth, "b", "2") == .success(.flag(true)))
    #expect(cluster.get(fourth, "a") == "1")
    cluster.stopAll()
  }

  @Test func aMemberIsRemovedAndIdles() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    let victim = cluster.running.first { $0 !== leader }!
    let other = cluster.running.first { $0 !== leader && $0 !== victim }!
    let term = leader.status.term
    var failure: RequestFailure??
    other.removePeer(victim.id) { failure = .some($0) }
    #expect(cluster.run { failure != nil })
    #expect(failure! == nil)
    #expect(cluster.run { victim.isRemoved })
    #expect(leader.status.members.count == 2)
    cluster.run(seconds: 1) { false }
    #expect(leader.status.term == term, "the removed node disturbs")
    #expect(cluster.put(other, "a", "1") == .success(.flag(true)))
    cluster.stopAll()
  }

  @Test func theLeaderIsRemoved() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    let other = cluster.running.first { $0 !== leader }!
    var failure: RequestFailure??
    other.removePeer(leader.id) { failure = .some($0) }
    #expect(cluster.run { failure != nil })
    #expect(failure! == nil)
    #expect(cluster.put(other, "a", "1") == .success(.flag(true)))
    #expect(other.status.leader != leader.id)
    cluster.stopAll()
  }

  @Test func leadershipIsTransferredFromAnyNode() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    let target = cluster.running.first { $0 !== leader }!
    let asked = cluster.running.first { $0 !== leader && $0 !== target }!
    var failure: RequestFailure??
    asked.transferLeadership(to: target.id) { failure = .some($0) }
    #expect(cluster.run { failure != nil && target.isEstablishedLeader })
    #expect(failure! == nil)
    var refused: RequestFailure??
    asked.transferLeadership(to: NodeID(4711)) { refused = .some($0) }
    #expect(cluster.run { refused != nil })
    guard case .some(.some(.refused(let refusal))) = refused else {
      Issue.record("got \(refused as Any)")
      return
    }
    #expect(refusal.status == 404)
    cluster.stopAll()
  }

  @Test func anAddressThatAnswersNotChangesNothing() throws {
    let cluster = try Cluster(3) { $0.requestTimeoutMilliseconds = 500 }
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    let port = try Ports.take(1)[0]
    var failure: RequestFailure??
    leader.addPeer(name: "x", peerAddress: "127.0.0.1:\(port)") { failure = .some($0) }
    #expect(cluster.run { failure != nil })
    if case .some(.some) = failure {} else { Issue.record("added a node that is not there") }
    #expect(leader.status.members.count == 3)
    cluster.stopAll()
  }

  @Test func twoNodesOfOneNameDoNotBothGetIn() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    let double = try cluster.startJoining()
    cluster.kill(3)
    var own = cluster.configuration(3)
    own.nodeName = "node1"
    own.members = []
    own.join = ["127.0.0.1:\(cluster.places[0].port)"]
    let second = try cluster.start(3, own, files: MemoryFileSystem())
    withExtendedLifetime(double) {}
    cluster.run(seconds: 2) { second.status.role == .follower }
    #expect(second.status.role == .joining)
    #expect(leader.status.members.filter { $0.name == "node1" }.count == 1)
    cluster.stopAll()
  }

  @Test func aMemberThatMovedIsFoundAgain() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    let index = cluster.index(of: cluster.running.first { $0 !== leader }!)
    cluster.kill(index)
    var moved = cluster.configuration(index)
    moved.ports.peer = Int(try Ports.take(1)[0])
    try cluster.start(index, moved, files: cluster.places[index].files)
    let address = "127.0.0.1:\(moved.ports.peer)"
    #expect(cluster.run { leader.status.members.contains { $0.peerAddress == address } })
    #expect(cluster.run { cluster[index].hasLeader })
    #expect(cluster.put(cluster[index], "a", "1") == .success(.flag(true)))
    cluster.stopAll()
  }
}

extension MembershipTests {
  @Test func whoWasRemovedWhileDownIsToldOnReturn() throws {
    let cluster = try Cluster(3)
    try cluster.startAll()
    let leader = cluster.awaitLeader()
    let victim = cluster.index(of: cluster.running.first { $0 !== leader }!)
    let id = cluster[victim].id
    cluster.kill(victim)
    var failure: RequestFailure??
    leader.removePeer(id) { failure = .some($0) }
    #expect(cluster.run { failure != nil })
    #expect(failure! == nil)
    try cluster.start(victim)
    #expect(cluster.run { cluster[victim].isRemoved })
    cluster.stopAll()
  }
}
