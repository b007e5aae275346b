import Basics
import Testing

@testable import Simulation

private func put(_ value: UInt32, _ from: UInt64, _ to: UInt64?) -> Operation {
  Operation(
    [.init(0, .put(value))], invoked: from, returned: to,
    result: to.map { _ in .init(succeeded: true) })
}

private func read(_ value: UInt32, _ from: UInt64, _ to: UInt64) -> Operation {
  Operation(
    [.init(0, .read)], invoked: from, returned: to,
    result: .init(succeeded: true, values: [value]))
}

private func swap(
  _ expected: UInt32, _ value: UInt32, _ succeeded: Bool, _ from: UInt64, _ to: UInt64
) -> Operation {
  Operation(
    [.init(0, .compareAndSet(expected: expected, value))], invoked: from, returned: to,
    result: .init(succeeded: succeeded))
}

private func erase(_ from: UInt64, _ to: UInt64?) -> Operation {
  Operation(
    [.init(0, .delete)], invoked: from, returned: to,
    result: to.map { _ in .init(succeeded: true) })
}

private struct HistoryRow: CustomTestStringConvertible {
  var name: String
  var isLinearizable: Bool
  var history: [Operation]
  var testDescription: String { name }
}

private let rows: [HistoryRow] = [
  HistoryRow(name: "nothing happened", isLinearizable: true, history: []),
  HistoryRow(
    name: "a read sees the write before it", isLinearizable: true,
    history: [put(1, 1, 2), read(1, 3, 4)]),
  HistoryRow(
    name: "a read misses an acknowledged write", isLinearizable: false,
    history: [put(1, 1, 2), read(0, 3, 4)]),
  HistoryRow(
    name: "concurrent with a write, a read may see either", isLinearizable: true,
    history: [put(1, 1, 10), read(0, 2, 3), read(1, 4, 5)]),
  HistoryRow(
    name: "reads go back in time", isLinearizable: false,
    history: [put(1, 1, 10), read(1, 2, 3), read(0, 4, 5)]),
  HistoryRow(
    name: "a value nobody wrote", isLinearizable: false, history: [put(1, 1, 2), read(7, 3, 4)]),
  HistoryRow(
    name: "two readers disagree about the order of two writes", isLinearizable: false,
    history: [
      put(1, 1, 20), put(2, 2, 21), read(1, 3, 4), read(2, 5, 6), read(1, 7, 8),
    ]),
  HistoryRow(
    name: "two compare-and-set from one value both succeed", isLinearizable: false,
    history: [put(1, 1, 2), swap(1, 2, true, 3, 10), swap(1, 3, true, 4, 11)]),
  HistoryRow(
    name: "one of two compare-and-set is refused", isLinearizable: true,
    history: [put(1, 1, 2), swap(1, 2, true, 3, 10), swap(1, 3, false, 4, 11), read(2, 12, 13)]),
  HistoryRow(
    name: "a compare-and-set is refused for no reason", isLinearizable: false,
    history: [put(1, 1, 2), swap(1, 2, false, 3, 4)]),
  HistoryRow(
    name: "a write of unknown outcome takes effect late", isLinearizable: true,
    history: [put(1, 1, 2), put(2, 3, nil), read(1, 4, 5), read(2, 6, 7)]),
  HistoryRow(
    name: "a write of unknown outcome takes effect twice", isLinearizable: false,
    history: [put(2, 1, nil), read(2, 2, 3), put(1, 4, 5), read(1, 6, 7), read(2, 8, 9)]),
  HistoryRow(
    name: "a write of unknown outcome takes effect before it was called", isLinearizable: false,
    history: [read(2, 1, 2), put(2, 3, nil)]),
  HistoryRow(
    name: "a refusal explained by an unknown write that nobody saw", isLinearizable: true,
    history: [put(1, 1, 2), put(5, 3, nil), swap(1, 2, false, 4, 5), put(3, 6, 7), read(3, 8, 9)]),
  HistoryRow(
    name: "one unknown write cannot explain two refusals", isLinearizable: false,
    history: [
      put(1, 1, 2), put(5, 3, nil), swap(1, 2, false, 4, 5), put(3, 6, 7),
      swap(3, 4, false, 8, 9),
    ]),
  HistoryRow(
    name: "an unknown delete explains an absence", isLinearizable: true,
    history: [put(1, 1, 2), erase(3, nil), read(0, 4, 5)]),
  HistoryRow(
    name: "an acknowledged write is lost behind a delete that came first", isLinearizable: false,
    history: [erase(1, 2), put(1, 3, 4), read(0, 5, 6)]),
]

@Suite struct LinearizabilityTests {
  @Test(arguments: rows) private func judges(_ row: HistoryRow) {
    let verdict = LinearizabilityChecker.check(row.history)
    if row.isLinearizable {
      #expect(verdict == .linearizable)
    } else {
      guard case .violation(let text) = verdict else {
        Issue.record("accepted: \(row.name)")
        return
      }
      #expect(!text.isEmpty)
    }
  }

  @Test func transactionsAreAllOrNothing() {
    let transaction = Operation(
      [.init(0, .put(1)), .init(1, .put(2))], invoked: 1, returned: 10,
      result: .init(succeeded: true))
    func both(_ a: UInt32, _ b: UInt32) -> Operation {
      Operation(
        [.init(0, .read), .init(1, .read)], invoked: 2, returned: 9,
        result: .init(succeeded: true, values: [a, b]))
    }
    #expect(LinearizabilityChecker.check([transaction, both(1, 2)]) == .linearizable)
    #expect(LinearizabilityChecker.check([transaction, both(0, 0)]) == .linearizable)
    #expect(LinearizabilityChecker.check([transaction, both(1, 0)]) != .linearizable)
  }

  @Test func deletingWhatIsGoneSucceedsAsInConsul() {
    func erase(_ expected: UInt32, _ succeeded: Bool) -> Operation {
      Operation(
        [.init(0, .compareAndDelete(expected: expected))], invoked: 3, returned: 4,
        result: .init(succeeded: succeeded))
    }
    #expect(LinearizabilityChecker.check([erase(5, true)]) == .linearizable)
    #expect(LinearizabilityChecker.check([put(1, 1, 2), erase(5, true)]) != .linearizable)
    #expect(LinearizabilityChecker.check([put(1, 1, 2), erase(1, true)]) == .linearizable)
    #expect(LinearizabilityChecker.check([put(1, 1, 2), erase(5, false)]) == .linearizable)
  }

  @Test func aBudgetEndsTheSearch() {
    var history = (1...9).map { put(UInt32($0), 1, 100) }
    history.append(read(77, 2, 99))
    #expect(LinearizabilityChecker.check(history, configurationsMax: 10) == .undecided)
    #expect(LinearizabilityChecker.check(history) != .linearizable)
  }

  /// Histories made by a real register are accepted; one result changed makes them false.
  @Test(arguments: 0..<20 as Range<UInt64>)
  func acceptsWhatARegisterDoesAndNothingElse(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var state: UInt32 = 0
    var history: [Operation] = []
    for i in 0..<400 as Range<UInt64> {
      // Takes effect at 10 i + 5; the calls of several clients overlap around it.
      let from = 10 * i + 5 - random.below(min(40, 10 * i + 5))
      let to = 10 * i + 5 + 1 + random.below(40)
      switch random.below(3) {
      case 0:
        state = UInt32(i) + 1
        history.append(put(state, from, random.chance(1, in: 20) ? nil : to))
      case 1:
        let matches = random.chance(1, in: 2)
        let expected = matches ? state : 100_000
        history.append(swap(expected, UInt32(i) + 1, matches, from, to))
        if matches { state = UInt32(i) + 1 }
      default: history.append(read(state, from, to))
      }
    }
    #expect(LinearizabilityChecker.check(history) == .linearizable)
    guard let last = history.lastIndex(where: { $0.steps[0].action == .read }) else { return }
    history[last].result = .init(succeeded: true, values: [99_999])
    #expect(LinearizabilityChecker.check(history) != .linearizable)
  }
}
