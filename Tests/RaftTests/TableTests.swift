import Basics
import Testing

@testable import Raft

@Suite struct TableTests {
  // MARK: EntryLog

  private func log(_ terms: [UInt64], base: UInt64 = 0) -> EntryLog {
    EntryLog(
      baseIndex: LogIndex(base), baseTerm: Term(base == 0 ? 0 : 1),
      entries: terms.enumerated().map {
        Entry(
          index: LogIndex(base + UInt64($0.offset) + 1), term: Term($0.element), kind: .command,
          payload: [1, 2, 3])
      })
  }

  @Test func `entry log: terms and slices are clipped to what is there`() {
    let log = log([1, 1, 2], base: 10)
    #expect(log.firstIndex == LogIndex(11) && log.lastIndex == LogIndex(13))
    #expect(log.term(at: LogIndex(10)) == Term(1))
    #expect(log.term(at: LogIndex(9)) == nil && log.term(at: LogIndex(14)) == nil)
    #expect(log.slice(from: .zero, through: LogIndex(99)).count == 3)
    #expect(log.slice(from: LogIndex(14), through: LogIndex(99)).isEmpty)
    #expect(log.slice(from: LogIndex(12), through: LogIndex(11)).isEmpty)
    #expect(log[LogIndex(10)] == nil && log[LogIndex(13)]?.term == Term(2))
  }

  @Test func `entry log: a batch keeps both limits but has an entry at least`() {
    let log = log([1, 1, 1, 1])
    let cost = 3 + EntryLog.entryOverheadBytes
    let first = LogIndex(1)
    #expect(log.batch(from: first, entriesMax: 3, bytesMax: 1 << 20).count == 3)
    #expect(log.batch(from: first, entriesMax: 9, bytesMax: 2 * cost).count == 2)
    #expect(log.batch(from: first, entriesMax: 9, bytesMax: 1).count == 1)
    #expect(log.batch(from: LogIndex(5), entriesMax: 9, bytesMax: 100).isEmpty)
  }

  @Test func `entry log: truncation and compaction keep count of bytes`() {
    var log = log([1, 2, 2, 3])
    log.truncate(from: LogIndex(4))
    log.compact(through: LogIndex(2))
    #expect(log.baseTerm == Term(2) && log.entries.map(\.index) == [LogIndex(3)])
    #expect(log.bytes == 3 + EntryLog.entryOverheadBytes)
    log.compact(through: LogIndex(9))
    #expect(log.lastIndex == LogIndex(3))
    log.reset(baseIndex: LogIndex(20), baseTerm: Term(7))
    #expect(log.lastIndex == LogIndex(20) && log.lastTerm == Term(7) && log.bytes == 0)
  }

  @Test(arguments: [
    (2, 9, 0, 5), (1, 9, 0, 3), (3, 9, 0, 7), (0, 9, 0, 0), (1, 9, 4, 4), (2, 2, 0, 2),
  ])
  func `5.3 the last index whose term is not above the other's`(
    _ term: Int, _ from: Int, _ floor: Int, _ found: Int
  ) {
    let log = log([1, 1, 1, 2, 2, 3, 3])
    let index = log.lastIndex(
      notAbove: Term(UInt64(term)), from: LogIndex(UInt64(from)), floor: LogIndex(UInt64(floor)))
    #expect(index == LogIndex(UInt64(found)))
  }

  // MARK: Inflights, Progress

  @Test func `inflights: full by messages or bytes, freed in order`() {
    var options = RaftOptions()
    options.inflightMessagesMax = 3
    options.inflightBytesMax = 100
    var inflights = Inflights()
    for index in UInt64(1)...3 { inflights.add(lastIndex: LogIndex(index * 10), bytes: 20) }
    #expect(inflights.isFull(options))
    inflights.free(through: LogIndex(19))
    #expect(inflights.count == 2 && inflights.bytes == 40)
    inflights.add(lastIndex: LogIndex(40), bytes: 80)
    #expect(inflights.bytes == 120)
    inflights.free(through: LogIndex(39))
    #expect(!inflights.isFull(options) && inflights.count == 1)
    inflights.free(through: LogIndex(40))
    #expect(inflights.isEmpty && inflights.bytes == 0)
    for index in UInt64(0)..<1000 {
      inflights.add(lastIndex: LogIndex(index), bytes: 1)
      if index >= 70 { inflights.free(through: LogIndex(index - 70)) }
    }
    #expect(inflights.count == 70 && inflights.bytes == 70)
  }

  @Test func `progress: probing pauses, a success replicates, a conflict probes again`() {
    let options = RaftOptions().clamped
    var progress = Progress(id: NodeID(2), nextIndex: LogIndex(10), isLearner: false)
    #expect(progress.maySend(options))
    progress.sent(lastIndex: LogIndex(12), bytes: 5, entryCount: 3)
    #expect(!progress.maySend(options) && progress.nextIndex == LogIndex(10))
    let answer1 = progress.conflicted(previousIndex: LogIndex(3), agreement: LogIndex(1))
    #expect(!answer1, "stale")
    let answer2 = progress.conflicted(previousIndex: LogIndex(9), agreement: LogIndex(4))
    #expect(answer2)
    #expect(progress.nextIndex == LogIndex(5) && progress.maySend(options))
    let answer3 = progress.matched(LogIndex(4))
    #expect(answer3)
    progress.becomeReplicating()
    progress.sent(lastIndex: LogIndex(7), bytes: 5, entryCount: 3)
    #expect(progress.nextIndex == LogIndex(8) && progress.inflights.count == 1)
    let answer4 = progress.matched(LogIndex(2))
    #expect(!answer4, "match never falls")
    #expect(progress.matchIndex == LogIndex(4))
    let answer5 = progress.conflicted(previousIndex: LogIndex(4), agreement: .zero)
    #expect(!answer5, "stale")
    let answer6 = progress.conflicted(previousIndex: LogIndex(7), agreement: .zero)
    #expect(answer6)
    #expect(progress.nextIndex == LogIndex(5) && progress.inflights.isEmpty)
  }

  // MARK: Configuration

  private func sample() -> Configuration {
    Configuration(
      voters: [NodeID(1), NodeID(3)], outgoing: [NodeID(1), NodeID(2)], learners: [NodeID(9)],
      members: [1, 2, 3, 9].map { Member(id: NodeID($0), context: [UInt8](repeating: 7, count: 5)) }
    )
  }

  @Test func `configuration: decoding is the inverse of encoding`() {
    #expect(Configuration(decoding: sample().encoded()) == sample())
    #expect(Configuration(decoding: Configuration().encoded()) == Configuration())
  }

  @Test func `configuration: truncated and damaged bytes are refused or at least consistent`() {
    let bytes = sample().encoded()
    for count in 0..<bytes.count {
      #expect(Configuration(decoding: Array(bytes.prefix(count))) == nil)
    }
    #expect(Configuration(decoding: bytes + [0]) == nil)
    for position in bytes.indices {
      for bit in 0..<8 {
        var damaged = bytes
        damaged[position] ^= 1 << UInt8(bit)
        if let decoded = Configuration(decoding: damaged) { #expect(decoded.isConsistent) }
      }
    }
  }

  @Test func `configuration: lists that contradict each other are refused`() {
    var learnerVotes = sample()
    learnerVotes.learners = [NodeID(1)]
    var unsorted = sample()
    unsorted.voters = [NodeID(3), NodeID(1)]
    var nameless = sample()
    nameless.members.removeLast()
    var surplus = sample()
    surplus.members.append(Member(id: NodeID(99), context: []))
    for wrong in [learnerVotes, unsorted, nameless, surplus] {
      #expect(Configuration(decoding: wrong.encoded()) == nil)
    }
  }

  @Test func `numbers at their end do not trap`() {
    #expect(Term(.max).next == Term(.max))
    #expect(LogIndex(.max).next == LogIndex(.max))
    #expect(LogIndex.zero.previous == .zero)
  }
}
