import Basics
import Testing

@testable import Registry

/// KV, locks and transactions against a model as plain as can be: a sorted list of rows, copied for
/// each transaction.
struct KVModel: Equatable {
  struct Row: Equatable {
    var key: String
    var value: [UInt8]
    var flags: UInt64
    var create: UInt64
    var modify: UInt64
    var lock: UInt64
    var holder: UInt64?
  }

  var rows: [Row] = []
  var sessions: [UInt64] = []

  func row(_ key: String) -> Row? { rows.first { $0.key == key } }

  mutating func put(_ row: Row) {
    rows.removeAll { $0.key == row.key }
    rows.append(row)
    rows.sort { Key($0.key) < Key($1.key) }
  }

  /// The outcome; nil when the session is not known.
  mutating func set(
    _ key: String, _ value: [UInt8], _ flags: UInt64, _ mode: KVSet.Mode, at index: UInt64
  ) -> Bool? {
    let old = row(key)
    var new = Row(
      key: key, value: value, flags: flags, create: old?.create ?? index,
      modify: old?.modify ?? index, lock: 0, holder: old?.holder)
    switch mode {
    case .plain: break
    case .cas(let expected):
      guard expected == 0 ? old == nil : old?.modify == expected else { return false }
    case .acquire(let id):
      guard sessions.contains(id.low) else { return nil }
      guard old?.holder == nil || old?.holder == id.low else { return false }
      new.lock = (old?.lock ?? 0) + (old?.holder == nil ? 1 : 0)
      new.holder = id.low
    case .release(let id):
      guard let old, old.holder == id.low else { return false }
      new.lock = old.lock
      new.holder = nil
    }
    if new == old { return true }
    new.modify = index
    put(new)
    return true
  }

  mutating func delete(_ key: String, cas: UInt64?) -> Bool {
    guard let old = row(key) else { return true }
    if let cas, cas != old.modify { return false }
    rows.removeAll { $0.key == key }
    return true
  }

  mutating func destroy(_ session: UInt64, at index: UInt64) {
    sessions.removeAll { $0 == session }
    for i in rows.indices where rows[i].holder == session {
      rows[i].holder = nil
      rows[i].modify = index
    }
  }
}

@Suite struct ModelTests {
  static let keys = ["a", "a/x", "a/y", "ab", "b", "b/z"]

  @Test(arguments: [UInt64(31), 32, 33, 34])
  func behavesAsTheModel(seed: UInt64) {
    var random = SplitMix(seed: seed)
    let t = Harness()
    var model = KVModel()
    t.node("n1")
    for _ in 0..<1500 {
      step(t, &model, &random)
      expectEqual(t, model)
    }
  }

  func step(_ t: Harness, _ model: inout KVModel, _ random: inout SplitMix) {
    let index = t.index + 1
    let key = Self.keys[Int(random.below(6))]
    let session = random.below(4)
    switch random.below(10) {
    case 0..<5:
      let value = [UInt8(random.below(2))]
      let mode = mode(key, session, model, &random)
      let expected = model.set(key, value, 1, mode, at: index)
      let set = KVSet(key: Key(key), value: value, flags: 1, mode: mode)
      let outcome = t.apply(.kvSet(set))
      if let expected {
        #expect(outcome == .flag(expected))
      } else {
        #expect(refusal(outcome) != nil)
      }
    case 5:
      let cas = random.chance(1, in: 2) ? model.row(key)?.modify : nil
      let expected = model.delete(key, cas: cas)
      #expect(t.delete(key, cas: cas) == .flag(expected))
    case 6:
      model.rows.removeAll { Key($0.key).hasPrefix(Key(key)) }
      #expect(t.apply(.kvDeleteTree(prefix: Key(key))) == .flag(true))
    case 7:
      if !model.sessions.contains(session) { model.sessions.append(session) }
      t.session(session)
    case 8:
      model.destroy(session, at: index)
      t.apply(.sessionDestroy(t.id(session)))
    default: transaction(t, &model, &random)
    }
  }

  func mode(
    _ key: String, _ session: UInt64, _ model: KVModel, _ random: inout SplitMix
  ) -> KVSet.Mode {
    let id = UniqueID(high: 0, low: session)
    switch random.below(5) {
    case 0: return .cas(random.chance(1, in: 2) ? model.row(key)?.modify ?? 0 : random.below(9))
    case 1, 2: return .acquire(id)
    case 3: return .release(id)
    default: return .plain
    }
  }

  func transaction(_ t: Harness, _ model: inout KVModel, _ random: inout SplitMix) {
    let index = t.index + 1
    var draft = model
    var failed: [Int] = []
    var operations: [TransactionOperation] = []
    for i in 0..<Int(random.below(4) + 1) {
      let key = Self.keys[Int(random.below(6))]
      var operation = KVOperation(verb: .set, key: Key(key), value: [7])
      var succeeded = true
      switch random.below(5) {
      case 0:
        operation.verb = .cas
        operation.index = draft.row(key)?.modify ?? 0
        succeeded = draft.set(key, [7], 0, .cas(operation.index), at: index) == true
      case 1:
        operation.verb = .lock
        operation.session = t.id(random.below(4))
        let mode = KVSet.Mode.acquire(operation.session ?? t.id(0))
        succeeded = draft.set(key, [7], 0, mode, at: index) == true
      case 2:
        operation.verb = .checkNotExists
        succeeded = draft.row(key) == nil
      case 3:
        operation.verb = .delete
        _ = draft.delete(key, cas: nil)
      default: _ = draft.set(key, [7], 0, .plain, at: index)
      }
      if !succeeded { failed.append(i) }
      operations.append(.kv(operation))
    }
    let outcome = t.apply(.transaction(operations))
    if failed.isEmpty { model = draft }
    switch outcome {
    case .transaction(.committed): #expect(failed.isEmpty)
    case .transaction(.failed(let errors)): #expect(errors.map(\.operation) == failed)
    default: Issue.record("not a transaction's outcome")
    }
  }

  func expectEqual(_ t: Harness, _ model: KVModel) {
    var rows: [KVModel.Row] = []
    t.registry.forEachKV(prefix: Key("")) { entry in
      rows.append(
        KVModel.Row(
          key: entry.key.text, value: entry.value, flags: entry.flags, create: entry.createIndex,
          modify: entry.modifyIndex, lock: entry.lockIndex, holder: entry.session?.low))
      return true
    }
    #expect(rows == model.rows)
    #expect(t.registry.sessions().map(\.id.low) == model.sessions.sorted())
  }
}
