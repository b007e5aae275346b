import Testing

@testable import Raft

@Suite struct QuorumTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var voters: [UInt64]
    var outgoing: [UInt64] = []
    /// Match indexes of nodes 1, 2, ….
    var matches: [UInt64]
    var index: UInt64
    var testDescription: String { "\(voters) \(outgoing) \(matches)" }
  }

  @Test(arguments: [
    Row(voters: [], matches: [], index: 0),
    Row(voters: [1], matches: [7], index: 7),
    Row(voters: [1, 2], matches: [7, 9], index: 7),
    Row(voters: [1, 2, 3], matches: [2, 7, 9], index: 7),
    Row(voters: [1, 2, 3], matches: [7], index: 0),
    Row(voters: [1, 2, 3, 4], matches: [9, 8, 7, 6], index: 7),
    Row(voters: [1, 2, 3, 4, 5], matches: [9, 8, 7, 6, 5], index: 7),
    Row(voters: [1, 2, 3], outgoing: [1, 4, 5], matches: [9, 9, 9, 3, 2], index: 3),
    Row(voters: [1, 2, 3], outgoing: [4], matches: [9, 9, 9], index: 0),
  ])
  func `4.3 the commit index is what a majority of each set has`(_ row: Row) {
    let configuration = Configuration(
      voters: row.voters.map { NodeID($0) }, outgoing: row.outgoing.map { NodeID($0) })
    let index = Quorum.index(configuration) { id in
      let position = Int(id.value) - 1
      return LogIndex(position < row.matches.count ? row.matches[position] : 0)
    }
    #expect(index == LogIndex(row.index))
  }

  @Test func `votes are counted per set, once per voter`() {
    let configuration = Configuration(
      voters: [NodeID(1), NodeID(2), NodeID(3)], outgoing: [NodeID(1), NodeID(4), NodeID(5)])
    var tally = VoteTally()
    tally.record(NodeID(1), granted: true)
    tally.record(NodeID(2), granted: true)
    #expect(tally.outcome(configuration, unreachable: []) == .pending)
    #expect(tally.outcome(configuration, unreachable: [NodeID(4), NodeID(5)]) == .lost)
    tally.record(NodeID(4), granted: false)
    tally.record(NodeID(4), granted: false)
    #expect(tally.outcome(configuration, unreachable: []) == .pending)
    tally.record(NodeID(4), granted: true)
    tally.record(NodeID(4), granted: false)
    #expect(tally.outcome(configuration, unreachable: []) == .won)
  }

  @Test func `a configuration without voters decides nothing`() {
    #expect(!Quorum.holds(Configuration()) { _ in true })
    #expect(VoteTally().outcome(Configuration(), unreachable: []) == .lost)
  }
}
