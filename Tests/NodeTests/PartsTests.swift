import EventLoop
import Glibc
import Raft
import Registry
import Testing
import Wire

@testable import Node

@Suite struct PartsTests {
  // MARK: Identity

  @Test func initialIDsAreStableAndDiffer() {
    let one = NodeID.ofInitialMember(cluster: "local", name: "node1")
    #expect(one == NodeID.ofInitialMember(cluster: "local", name: "node1"))
    var seen: Set<NodeID> = []
    for cluster in ["a", "b", "ab"] {
      for name in ["node1", "node2", "b", "bnode1", ""] {
        seen.insert(.ofInitialMember(cluster: cluster, name: name))
      }
    }
    #expect(seen.count == 15)
    #expect(!seen.contains(NodeID(0)))
  }

  @Test func aUUIDIsReadBack() {
    for value in [UInt64(1), 0xDEAD_BEEF, .max] {
      let text = Node.uuid(of: NodeID(value))
      #expect(text.utf8.count == 36)
      #expect(Node.id(ofUUID: text) == NodeID(value))
      #expect(Node.id(ofUUID: text.uppercased()) == NodeID(value))
      #expect(Node.id(ofUUID: String(text.dropLast()) + "x") == nil)
    }
    #expect(Node.id(ofUUID: "00000000-0000-0000-0000-000000000000") == nil)
    #expect(Node.id(ofUUID: "") == nil)
  }

  @Test(arguments: [
    ("127.0.0.1:8300", "127.0.0.1", 8300), ("[::1]:80", "::1", 80), ("host.name:1", "host.name", 1),
  ])
  func addressesAreRead(_ row: (String, String, Int)) {
    let address = HostPort(row.0)
    #expect(address?.host == row.1)
    #expect(address.map { Int($0.port) } == row.2)
    #expect(address?.text == row.0)
  }

  @Test(arguments: ["", ":80", "a", "a:", "a:0", "a:65536", "a:+5", "a:8 0", "a:-1"])
  func badAddressesAreNot(_ text: String) { #expect(HostPort(text) == nil) }

  // MARK: What comes from other nodes

  @Test func framesSurviveTruncationAndGarbage() throws {
    let configuration = Configuration(
      voters: [NodeID(1)],
      members: [
        Member(id: NodeID(1), context: MemberContext(name: "n", address: "h:1").encoded)
      ])
    let membership = AdmissionAnswer.Membership(
      clusterID: [UInt8](repeating: 1, count: 16), configuration: configuration)
    let answer = AdmissionAnswer(verdict: .accepted, text: "t", membership: membership)
    let ask = AdmissionRequest(id: NodeID(3), name: "n", address: "h:1")
    #expect(try AdmissionAnswer(decoding: answer.encoded) == answer)
    #expect(try AdmissionRequest(decoding: ask.encoded) == ask)
    for goal in [
      MembershipOperations.Goal.transfer(to: nil), .transfer(to: NodeID(4)), .remove(NodeID(5)),
      .add(name: "a", address: "b:1"),
    ] {
      #expect(try MembershipOperations.Goal(decoding: goal.encoded) == goal)
    }
    for count in 0..<answer.encoded.count {
      #expect(throws: WireError.self) {
        try AdmissionAnswer(decoding: Array(answer.encoded[..<count]))
      }
    }
    for count in 0..<ask.encoded.count {
      #expect(throws: WireError.self) {
        try AdmissionRequest(decoding: Array(ask.encoded[..<count]))
      }
    }
    var gossip = Gossip()
    let told = gossip.encoded(http: "a:1", peer: "b:2", applied: 7, version: "1", now: 0)
    for count in 1..<told.count {
      #expect(throws: WireError.self) {
        try gossip.receive(Array(told[..<count]), from: NodeID(1), now: 0)
      }
    }
  }

  @Test func failuresTravel() throws {
    let failures: [RequestFailure] = [
      .noLeader, .outcomeUnknown("x"), .overloaded("y"), .diskFull, .stopping,
      .refused(Refusal(status: 404, text: "z")),
    ]
    for failure in failures {
      var writer = Writer()
      failure.encode(into: &writer)
      var reader = Reader(writer.bytes)
      let code = try reader.u8()
      #expect(try RequestFailure(code: code, from: &reader) == failure)
      #expect(reader.isAtEnd)
    }
  }

  @Test func differingHashesAreFound() throws {
    var one = Gossip()
    var other = Gossip()
    for index in 1...5 {
      one.sample(index: UInt64(index), hash: UInt64(index))
      other.sample(index: UInt64(index), hash: UInt64(index == 4 ? 99 : index))
    }
    let told = other.encoded(http: "", peer: "h:1", applied: 5, version: "1", now: 0)
    #expect(try one.receive(told, from: NodeID(2), now: 0) == 4)
    let same = one.encoded(http: "", peer: "h:1", applied: 5, version: "1", now: 0)
    #expect(try one.receive(same, from: NodeID(3), now: 0) == nil)
  }

  // MARK: The table of proposals

  @Test func sequencesAreDenseAndAcknowledgedInOrder() {
    var table = ProposalTable(origin: 1)
    for number in 0..<3000 {
      table.add([UInt8(number & 255)], deadline: .max, now: 0) { _ in }
    }
    #expect(table.nextStamp.sequence == 3001)
    #expect(table.finish(2) != nil)
    #expect(table.finish(2) == nil)
    #expect(table.nextStamp.acknowledgedThrough == 0)
    #expect(table.finish(1) != nil)
    #expect(table.nextStamp.acknowledgedThrough == 2)
    for sequence in 3...2500 { #expect(table.finish(UInt64(sequence))?.payload.count == 1) }
    #expect(table.nextStamp.acknowledgedThrough == 2500)
    #expect(table.count == 500)
    #expect(table.bytes == 500)
    #expect(table.finish(0) == nil && table.finish(99_999) == nil)
  }

  @Test func batchesAreTimedUntilTheirCommit() {
    var batches = ProposedBatches()
    batches.add(through: LogIndex(3), at: 10)
    batches.add(through: LogIndex(7), at: 20)
    #expect(batches.takeCommitted(through: LogIndex(2)) == nil)
    #expect(batches.takeCommitted(through: LogIndex(6)) == 10)
    #expect(batches.takeCommitted(through: LogIndex(6)) == nil)
    #expect(batches.takeCommitted(through: LogIndex(9)) == 20)
    #expect(batches.takeCommitted(through: LogIndex(9)) == nil)
    batches.add(through: LogIndex(11), at: 30)
    batches.forget()
    #expect(batches.takeCommitted(through: LogIndex(11)) == nil)
  }

  @Test func whatWasHandedOverIsHandedOverAgain() {
    var table = ProposalTable(origin: 1)
    for number in 0..<4 { table.add([0], deadline: 10, now: UInt64(5 - number)) { _ in } }
    var handed: [UInt64] = []
    let oldest = table.hand(time: nil, now: 5) { sequence, _ in
      handed.append(sequence)
      return sequence < 3
    }
    #expect(handed == [1, 2, 3])
    #expect(oldest == 3)
    #expect(table.unsent == [3, 4])
    _ = table.finish(1)
    table.giveBack(2)
    #expect(table.unsent == [3, 4])
    table.retryDeferred()
    #expect(table.unsent == [2, 3, 4])
    #expect(table.hand(time: nil, now: 5) { _, _ in true } == 2)
    table.handAllAgain()
    #expect(table.unsent == [2, 3, 4])
    let expired = table.takeExpired(now: 10)
    #expect(expired.count == 3)
    #expect(
      expired.allSatisfy {
        if case .outcomeUnknown = $0.timeoutFailure { true } else { false }
      })
    table.add([0], deadline: 10, now: 0) { _ in }
    #expect(table.takeExpired(now: 10).first?.timeoutFailure == .noLeader)
  }

  // MARK: A real disk

  @Test func aDataDirectoryIsHeldByOneNodeAndReadBack() throws {
    let path = "/tmp/roost-node-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    var configuration = NodeConfiguration(nodeName: "n")
    configuration.dataDirectory = path
    configuration.ports.peer = 0
    configuration.logLevel = .error
    let loop = try EventLoop()
    func start() throws -> Node {
      let node = try Node(configuration: configuration, loop: loop)
      node.start()
      #expect(loop.run(forAtMost: 60_000_000_000) { node.isEstablishedLeader })
      return node
    }
    let node = try start()
    #expect(throws: StartFailure.self) { try Node(configuration: configuration, loop: loop) }
    var outcome: Result<Outcome, RequestFailure>?
    let set = KVSet(key: Key("a"), value: [1], flags: 0, mode: .plain)
    node.propose(.kvSet(set), RequestContext()) { outcome = $0 }
    #expect(loop.run(forAtMost: 60_000_000_000) { outcome != nil })
    var isStopped = false
    node.stop { isStopped = true }
    #expect(loop.run(forAtMost: 60_000_000_000) { isStopped })
    let again = try start()
    #expect(again.id == node.id)
    #expect(again.registry.kv(Key("a"))?.value == [1])
    again.close()
    configuration.nodeName = "other"
    #expect(throws: StartFailure.self) { try Node(configuration: configuration, loop: loop) }
  }
}
