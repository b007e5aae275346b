import Basics

/// Decides whether a history of one group of registers is linearizable: is there one order of the
/// operations that explains every result and keeps "returned before the other was called"?
///
/// The search of Wing and Gong ("Testing and verifying concurrent objects") with Lowe's memory of
/// configurations seen ("Testing for linearizability"): always try an operation that was called
/// before the first return among those left, go back when none fits. A configuration is the set of
/// operations already in order plus the state. The set is remembered as the xor of one random
/// 128-bit number per operation, so a step costs the same for ten and for ten thousand operations.
/// Operations of unknown outcome have no return: they stay candidates to the end, may be left out,
/// and are tried last, since most of them explain nothing. Where the log told the order, that
/// order is tried before any search.
package struct LinearizabilityChecker {
  package enum Verdict: Equatable, Sendable {
    case linearizable
    /// The text names the operations at which the longest explanation ended.
    case violation(String)
    /// More configurations than the budget allows: nothing is known.
    case undecided
  }

  /// Checks `history`, all registers starting at 0. `configurationsMax` bounds time and memory.
  package static func check(
    _ history: [Operation], configurationsMax: Int = 400_000
  ) -> Verdict {
    if isExplainedByPositions(history) { return .linearizable }
    var search = Search(history, configurationsMax: configurationsMax)
    return search.run()
  }

  /// Tries the one order that the positions suggest. If it explains every result and respects
  /// time, it is the proof itself, wherever the positions came from; if not, nothing is said.
  private static func isExplainedByPositions(_ history: [Operation]) -> Bool {
    var order: [(position: UInt64, isRead: Bool, operation: Operation)] = []
    for operation in history {
      guard let position = operation.position else {
        if operation.returned != nil { return false }
        continue
      }
      let isRead = operation.steps.allSatisfy { $0.action == .read }
      order.append((position, isRead, operation))
    }
    order.sort { a, b in
      (a.position, a.isRead ? 1 : 0, a.operation.invoked)
        < (b.position, b.isRead ? 1 : 0, b.operation.invoked)
    }
    var state = Registers()
    var lastInvoked: UInt64 = 0
    for (_, _, operation) in order {
      lastInvoked = max(lastInvoked, operation.invoked)
      if let returned = operation.returned {
        guard returned >= lastInvoked, let after = operation.apply(to: state) else { return false }
        state = after
      } else {
        state = operation.effect(on: state) ?? state
      }
    }
    return true
  }

  private struct Configuration: Hashable {
    var high: UInt64
    var low: UInt64
    var state: Registers

    func hash(into hasher: inout Hasher) { hasher.combine(high ^ UInt64(state.wrappedSum())) }
  }

  private struct Frame {
    /// Position in `known`, or in `unknown`.
    var operation: Int
    var isKnown: Bool
    /// Where the search stood in the list.
    var cursor: Int
    var before: Configuration
  }

  private struct Search {
    let known: [Operation]
    let unknown: [Operation]
    /// The operation of the same effect called last before, -1 for none: of twins the earlier is
    /// used first, since whatever the later explains the earlier does too.
    let twinBefore: [Int]
    let configurationsMax: Int
    /// Two random numbers per operation; the unknown ones come after the known.
    var marks: [(high: UInt64, low: UInt64)] = []
    /// A linked list of calls and returns in time order; node 0 is the head.
    var next: [Int] = []
    var previous: [Int] = []
    var times: [UInt64] = []
    var operations: [Int] = []
    var isCall: [Bool] = []
    var callNode: [Int]
    var returnNode: [Int]
    var isUsed: [Bool]
    var remaining: Int
    var frames: [Frame] = []
    var seen: Set<Configuration> = []
    var current = Configuration(high: 0, low: 0, state: Registers())
    var bestRemaining: Int
    var bestText = ""

    init(_ history: [Operation], configurationsMax: Int) {
      known = history.filter { $0.returned != nil }
      // An unknown read changes nothing and explains nothing.
      let open = history.filter { operation in
        operation.returned == nil && !operation.steps.allSatisfy { $0.action == .read }
      }.sorted { $0.invoked < $1.invoked }
      unknown = Self.withoutUnseenValues(open, history)
      twinBefore = Self.twins(unknown)
      self.configurationsMax = configurationsMax
      remaining = known.count
      bestRemaining = known.count + 1
      callNode = Array(repeating: 0, count: known.count)
      returnNode = callNode
      isUsed = Array(repeating: false, count: unknown.count)
      var random = SplitMix(seed: 0x11EA)
      for _ in 0..<(known.count + unknown.count) { marks.append((random.next(), random.next())) }
      link()
    }

    /// Writes of unknown outcome whose value nobody ever asked about all write the same value here:
    /// no result can tell them apart, and the search need not either.
    private static func withoutUnseenValues(
      _ operations: [Operation], _ history: [Operation]
    ) -> [Operation] {
      var seen: Set<UInt32> = [0]
      for operation in history {
        seen.formUnion(operation.result?.values ?? [])
        for step in operation.steps {
          switch step.action {
          case .read, .put, .delete: break
          case .compareAndSet(let value, _), .compareAndDelete(let value), .check(let value):
            seen.insert(value)
          }
        }
      }
      return operations.map { operation in
        var operation = operation
        for i in operation.steps.indices {
          switch operation.steps[i].action {
          case .put(let value) where !seen.contains(value):
            operation.steps[i].action = .put(.max)
          case .compareAndSet(let expected, let value) where !seen.contains(value):
            operation.steps[i].action = .compareAndSet(expected: expected, .max)
          default: break
          }
        }
        return operation
      }
    }

    private static func twins(_ operations: [Operation]) -> [Int] {
      operations.indices.map { i in
        operations[..<i].lastIndex { $0.steps == operations[i].steps } ?? -1
      }
    }

    private mutating func link() {
      var events: [(time: UInt64, isCall: Bool, operation: Int)] = []
      for (i, operation) in known.enumerated() {
        events.append((operation.invoked, true, i))
        events.append((operation.returned ?? .max, false, i))
      }
      events.sort { ($0.time, $0.isCall ? 0 : 1) < ($1.time, $1.isCall ? 0 : 1) }
      times = [0] + events.map(\.time)
      isCall = [false] + events.map(\.isCall)
      operations = [-1] + events.map(\.operation)
      next = (1...(events.count + 1)).map { $0 }
      previous = (0...events.count).map { $0 - 1 } + [events.count]
      for (i, event) in events.enumerated() {
        if event.isCall {
          callNode[event.operation] = i + 1
        } else {
          returnNode[event.operation] = i + 1
        }
      }
    }

    mutating func run() -> Verdict {
      var cursor = next[0]
      var candidate = 0
      while remaining > 0 {
        if seen.count > configurationsMax { return .undecided }
        if isCall[cursor] {
          if place(known: operations[cursor], at: cursor) {
            cursor = next[0]
            candidate = 0
          } else {
            cursor = next[cursor]
          }
          continue
        }
        // `cursor` is the first return among what is left: no later call may come before it.
        if placeUnknown(before: cursor, from: candidate) {
          cursor = next[0]
          candidate = 0
          continue
        }
        noteBest(stuckAt: cursor)
        guard let frame = frames.popLast() else { return .violation(bestText) }
        current = frame.before
        if frame.isKnown {
          unlift(frame.operation)
          cursor = next[frame.cursor]
          candidate = 0
        } else {
          isUsed[frame.operation] = false
          cursor = frame.cursor
          candidate = frame.operation + 1
        }
      }
      return .linearizable
    }

    private mutating func place(known i: Int, at cursor: Int) -> Bool {
      guard let state = known[i].apply(to: current.state) else { return false }
      let mark = marks[i]
      let after = Configuration(
        high: current.high ^ mark.high, low: current.low ^ mark.low, state: state)
      guard seen.insert(after).inserted else { return false }
      frames.append(Frame(operation: i, isKnown: true, cursor: cursor, before: current))
      current = after
      lift(i)
      return true
    }

    private mutating func placeUnknown(before cursor: Int, from first: Int) -> Bool {
      var i = first
      while i < unknown.count, unknown[i].invoked < times[cursor] {
        defer { i += 1 }
        guard !isUsed[i], twinBefore[i] < 0 || isUsed[twinBefore[i]],
          let state = unknown[i].effect(on: current.state),
          state != current.state
        else { continue }
        let mark = marks[known.count + i]
        let after = Configuration(
          high: current.high ^ mark.high, low: current.low ^ mark.low, state: state)
        guard seen.insert(after).inserted else { continue }
        frames.append(Frame(operation: i, isKnown: false, cursor: cursor, before: current))
        current = after
        isUsed[i] = true
        return true
      }
      return false
    }

    private mutating func lift(_ i: Int) {
      for node in [callNode[i], returnNode[i]] {
        next[previous[node]] = next[node]
        previous[next[node]] = previous[node]
      }
      remaining -= 1
    }

    private mutating func unlift(_ i: Int) {
      for node in [returnNode[i], callNode[i]] {
        next[previous[node]] = node
        previous[next[node]] = node
      }
      remaining += 1
    }

    private mutating func noteBest(stuckAt cursor: Int) {
      guard remaining < bestRemaining else { return }
      bestRemaining = remaining
      var text = "state \(current.state); none of these can come next:"
      var node = next[0]
      while node != cursor {
        if isCall[node] { text += "\n    \(known[operations[node]])" }
        node = next[node]
      }
      for (i, operation) in unknown.enumerated()
      where !isUsed[i] && operation.invoked < times[cursor] {
        text += "\n    \(operation)"
      }
      let placed = frames.suffix(8).map { frame in
        "\n    \(frame.isKnown ? known[frame.operation] : unknown[frame.operation])"
      }
      bestText = text + "\n  after (the last of \(frames.count)):" + placed.joined()
    }
  }
}
