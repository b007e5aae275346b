import Glibc
import RoostClient
import Simulation
import Synchronization

/// What the clients of a run did and saw, for the checker and for outside tools.
final class History: Sendable {
  struct Event: Sendable {
    var client: Int
    var key: String
    var operation: Operation
    /// The node that was asked.
    var node: String
  }

  private let events = Mutex<[Event]>([])
  private let value = Atomic<UInt32>(0)

  /// Unique in the run, never 0.
  func newValue() -> UInt32 { value.add(1, ordering: .relaxed).newValue }

  func add(_ event: Event) { events.withLock { $0.append(event) } }
  var count: Int { events.withLock { $0.count } }
  var all: [Event] { events.withLock { $0 } }

  static func now() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// By key, in the order of the keys' names.
  func byKey() -> [(key: String, events: [Event])] {
    var groups: [String: [Event]] = [:]
    for event in all { groups[event.key, default: []].append(event) }
    return groups.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// One line of JSON; times in nanoseconds, `returned` null when the outcome is unknown.
  static func line(_ event: Event) -> String {
    let operation = event.operation
    let (name, arguments): (String, String) =
      switch operation.steps.first?.action {
      case .put(let value): ("write", "[\(value)]")
      case .compareAndSet(let expected, let value): ("cas", "[\(expected),\(value)]")
      default: ("read", "[]")
      }
    let result = operation.result.map { result in
      result.values.isEmpty ? "\(result.succeeded)" : "\(result.values[0])"
    }
    return "{\"client\":\(event.client),\"node\":\"\(event.node)\",\"key\":\"\(event.key)\","
      + "\"f\":\"\(name)\",\"args\":\(arguments),\"invoked\":\(operation.invoked),"
      + "\"returned\":\(operation.returned.map(String.init) ?? "null"),"
      + "\"result\":\(result ?? "null")}"
  }
}

/// One client: reads, writes and compares one register after the other, at any node, and writes
/// down what it saw. A write that got no clear answer stays open for ever.
struct RecordingClient {
  let number: Int
  let history: History
  let nodes: [(name: String, address: String)]
  private var turn: Int

  init(number: Int, history: History, nodes: [(name: String, address: String)]) {
    self.number = number
    self.history = history
    self.nodes = nodes
    turn = number
  }

  /// - Returns: whether the cluster answered.
  mutating func step(key: String, choice: UInt64) -> Bool {
    turn += 1
    let node = nodes[turn % nodes.count]
    guard var roost = try? Roost(addresses: [node.address]) else { return false }
    roost.readSeconds = 7
    switch choice % 4 {
    case 0: return write(key, node.name, roost)
    case 1:
      guard let (value, index) = read(key, node.name, roost) else { return false }
      return compare(key, node.name, roost, value, index)
    default: return read(key, node.name, roost) != nil
    }
  }

  /// The value (0: no such key) and its index.
  func read(_ key: String, _ node: String, _ roost: Roost) -> (UInt32, UInt64)? {
    let invoked = History.now()
    do throws(RoostError) {
      let pair = try roost.get(key)
      let value = pair.flatMap { UInt32(String(decoding: $0.value, as: UTF8.self)) } ?? 0
      record(
        Operation(
          [Operation.Step(0, .read)], invoked: invoked, returned: History.now(),
          result: Operation.Result(succeeded: true, values: [value])), key, node)
      return (value, pair?.modifyIndex ?? 0)
    } catch { return nil }
  }

  private func write(_ key: String, _ node: String, _ roost: Roost) -> Bool {
    let value = history.newValue()
    return change(key, node, .put(value)) { () throws(RoostError) in
      try roost.put(key, Array(String(value).utf8))
    }
  }

  private func compare(
    _ key: String, _ node: String, _ roost: Roost, _ old: UInt32, _ index: UInt64
  ) -> Bool {
    let value = history.newValue()
    return change(key, node, .compareAndSet(expected: old, value)) { () throws(RoostError) in
      try roost.put(key, Array(String(value).utf8), cas: index)
    }
  }

  private func change(
    _ key: String, _ node: String, _ action: Operation.Action,
    _ body: () throws(RoostError) -> Bool
  ) -> Bool {
    let invoked = History.now()
    var operation = Operation([Operation.Step(0, action)], invoked: invoked)
    do throws(RoostError) {
      let isDone = try body()
      operation.returned = History.now()
      operation.result = Operation.Result(succeeded: isDone)
    } catch {
      // Nothing was sent: nothing happened.
      if case .unreachable = error { return false }
    }
    record(operation, key, node)
    return operation.returned != nil
  }

  private func record(_ operation: Operation, _ key: String, _ node: String) {
    history.add(History.Event(client: number, key: key, operation: operation, node: node))
  }
}
