/// One operation of a client on a group of registers, as it goes into a history.
///
/// A register holds a value number: 0 while the key does not exist, otherwise a number that no
/// other write of the run uses. So "compare and set" by modify index is the same as one by value.
package struct Operation: Equatable, Sendable {
  package enum Action: Equatable, Sendable {
    /// The observed values are in `Result.values`, in the order of the read steps.
    case read
    case put(UInt32)
    case compareAndSet(expected: UInt32, UInt32)
    case delete
    /// Consul: a key that is gone already counts as deleted.
    case compareAndDelete(expected: UInt32)
    /// Succeeds when the register holds this value; changes nothing.
    case check(UInt32)
  }

  package struct Step: Equatable, Sendable {
    /// Position in the group, `0 ..< Operation.registersMax`.
    package var register: Int
    package var action: Action
    package init(_ register: Int, _ action: Action) {
      self.register = register
      self.action = action
    }
  }

  package struct Result: Equatable, Sendable {
    package var succeeded: Bool
    package var values: [UInt32]
    package init(succeeded: Bool, values: [UInt32] = []) {
      self.succeeded = succeeded
      self.values = values
    }
  }

  /// As many as fit into one SIMD value.
  package static let registersMax = 4

  /// All or nothing when there are several.
  package var steps: [Step]
  /// Position of the call in the run's order of events.
  package var invoked: UInt64
  /// Nil: the outcome is unknown; the operation may take effect at any later moment, or never.
  package var returned: UInt64?
  package var result: Result?
  /// Where the log says that it took effect. A hint for the search, never a proof.
  package var position: UInt64?
  /// The command's `Checker.name(of:)`; 0 for reads.
  var commandName: UInt64 = 0

  package init(
    _ steps: [Step], invoked: UInt64, returned: UInt64? = nil, result: Result? = nil
  ) {
    self.steps = steps
    self.invoked = invoked
    self.returned = returned
    self.result = result
  }
}

/// The registers of one group.
typealias Registers = SIMD4<UInt32>

extension Operation {
  /// The state after a successful operation, nil when one of its conditions does not hold.
  func effect(on state: Registers) -> Registers? {
    var after = state
    for step in steps {
      let register = step.register
      switch step.action {
      case .read: break
      case .put(let value): after[register] = value
      case .compareAndSet(let expected, let value):
        guard after[register] == expected else { return nil }
        after[register] = value
      case .delete: after[register] = 0
      case .compareAndDelete(let expected):
        guard after[register] == expected || after[register] == 0 else { return nil }
        after[register] = 0
      case .check(let expected):
        guard after[register] == expected else { return nil }
      }
    }
    return after
  }

  /// The state after this operation, nil when its known result contradicts `state`.
  func apply(to state: Registers) -> Registers? {
    guard let result else { return effect(on: state) }
    guard let after = effect(on: state) else { return result.succeeded ? nil : state }
    guard result.succeeded else { return nil }
    var observed = 0
    for step in steps where step.action == .read {
      guard observed < result.values.count, result.values[observed] == state[step.register] else {
        return nil
      }
      observed += 1
    }
    return after
  }
}

extension Operation: CustomStringConvertible {
  package var description: String {
    let what = steps.map { "\($0.action) r\($0.register)" }.joined(separator: " + ")
    guard let result, let returned else { return "[\(invoked), open) \(what) -> unknown" }
    let values = result.values.isEmpty ? "" : " \(result.values)"
    return "[\(invoked), \(returned)] \(what) -> \(result.succeeded ? "ok" : "refused")\(values)"
  }
}
