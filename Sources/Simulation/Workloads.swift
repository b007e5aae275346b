import Basics
import Registry

/// What clients do, and what they must see.
extension Cluster {
  private static var bankTotal: UInt64 { 1_000 }

  func makeCall(for client: Client) -> Call {
    switch client.workload {
    case .registers(let group): registerCall(client, group: group)
    case .bank: bankCall(client)
    case .locks(let lock): lockCall(client, lock: lock)
    }
  }

  /// Takes the end of a call into the history and into what the client knows.
  func record(_ call: Call, _ reply: Reply, of number: Int) {
    if case .values(_, let index) = reply {
      if case .read(_, .stale(let atLeast)) = call.kind, index < atLeast {
        return fail("stale read: client \(number) goes back to \(index) from \(atLeast)")
      }
      clients[number].lastIndex = max(clients[number].lastIndex, index)
    }
    if case .outcome(.refused(let refusal), _) = reply, call.lockStep == nil {
      return fail("refusal: client \(number) was refused: \(refusal.text)")
    }
    switch clients[number].workload {
    case .registers(let group): recordRegisters(call, reply, of: number, group: group)
    case .bank: recordBank(reply, of: number)
    case .locks: recordLock(call, reply, of: number)
    }
  }

  /// When all is quiet: what the cluster holds now must follow from the histories too.
  func readFinally(from leader: SimulatedNode) {
    for group in history.groups.indices {
      let registers = 0..<Operation.registersMax
      var read = Operation(registers.map { .init($0, .read) }, invoked: world.moment())
      read.result = .init(
        succeeded: true,
        values: registers.map { register in
          leader.registry.kv(registerKey(group, register)).map { number(in: $0.value) } ?? 0
        })
      read.position = leader.lastApplied
      read.returned = world.moment()
      history.groups[group].append(read)
    }
  }

  /// Most writes have one, and all that would look like another one in the log without it.
  private func requestID(for steps: [Operation.Step]) -> UniqueID? {
    let isUnique = steps.contains { step in
      switch step.action {
      case .put, .compareAndSet: true
      case .read, .delete, .compareAndDelete, .check: false
      }
    }
    guard !isUnique || world.random.chance(7, in: 10) else { return nil }
    return UniqueID(high: world.random.next(), low: world.random.next())
  }

  // MARK: Registers

  static func registerKey(_ group: Int, _ register: Int) -> Key { Key("g\(group)/\(register)") }
  private func registerKey(_ group: Int, _ register: Int) -> Key {
    watchedKeys[group * Operation.registersMax + register]
  }

  private func registerCall(_ client: Client, group: Int) -> Call {
    let dice = world.random.below(100)
    if dice < 45 { return readCall(client, group: group, isStale: dice >= 35) }
    let register = world.index(below: Operation.registersMax)
    let known = client.known[register]
    let key = registerKey(group, register)
    let action: Operation.Action
    let command: Command
    switch dice {
    case 45..<70:
      let value = newValue()
      action = .put(value)
      command = .kvSet(KVSet(key: key, value: bytes(of: value), flags: 0, mode: .plain))
    case 70..<82:
      let value = newValue()
      action = .compareAndSet(expected: known.value, value)
      command = .kvSet(
        KVSet(key: key, value: bytes(of: value), flags: 0, mode: .cas(known.modifyIndex)))
    case 82..<87:
      action = .delete
      command = .kvDelete(key: key, cas: nil)
    case 87..<92 where known.value != 0:
      action = .compareAndDelete(expected: known.value)
      command = .kvDelete(key: key, cas: known.modifyIndex)
    default:
      return transactionCall(client, group: group)
    }
    return Call(
      kind: .write(command),
      operation: Operation([.init(register, action)], invoked: world.moment()),
      requestID: requestID(for: [.init(register, action)]), attemptsLeft: Self.attemptsMax)
  }

  private func readCall(_ client: Client, group: Int, isStale: Bool) -> Call {
    let registers = 0..<Operation.registersMax
    let keys = registers.map { registerKey(group, $0) }
    let operation = Operation(registers.map { .init($0, .read) }, invoked: world.moment())
    return Call(
      kind: .read(keys, isStale ? .stale(atLeast: client.lastIndex) : .linearizable),
      operation: isStale ? nil : operation, attemptsLeft: Self.attemptsMax)
  }

  private func transactionCall(_ client: Client, group: Int) -> Call {
    var steps: [Operation.Step] = []
    var operations: [TransactionOperation] = []
    for register in 0..<Operation.registersMax where world.random.chance(1, in: 2) {
      let (action, operation) = transactionStep(
        registerKey(group, register), client.known[register])
      steps.append(.init(register, action))
      operations.append(.kv(operation))
    }
    if operations.isEmpty {
      let value = newValue()
      steps = [.init(0, .put(value))]
      operations = [
        .kv(KVOperation(verb: .set, key: registerKey(group, 0), value: bytes(of: value)))
      ]
    }
    return Call(
      kind: .write(.transaction(operations)),
      operation: Operation(steps, invoked: world.moment()), requestID: requestID(for: steps),
      attemptsLeft: Self.attemptsMax)
  }

  private func transactionStep(
    _ key: Key, _ known: Known
  ) -> (Operation.Action, KVOperation) {
    switch world.random.below(5) {
    case 0:
      let value = newValue()
      return (.put(value), KVOperation(verb: .set, key: key, value: bytes(of: value)))
    case 1:
      return (.delete, KVOperation(verb: .delete, key: key))
    case 2 where known.value == 0:
      return (.check(0), KVOperation(verb: .checkNotExists, key: key))
    case 2:
      return (
        .check(known.value),
        KVOperation(verb: .checkIndex, key: key, index: known.modifyIndex)
      )
    default:
      let value = newValue()
      return (
        .compareAndSet(expected: known.value, value),
        KVOperation(verb: .cas, key: key, value: bytes(of: value), index: known.modifyIndex)
      )
    }
  }

  private func recordRegisters(_ call: Call, _ reply: Reply, of number: Int, group: Int) {
    if case .values(let entries, _) = reply {
      for (register, entry) in entries.enumerated() {
        clients[number].known[register] = Known(
          value: entry.map { self.number(in: $0.value) } ?? 0,
          modifyIndex: entry?.modifyIndex ?? 0)
      }
    }
    guard var operation = call.operation else { return }
    if case .write = call.kind { operation.commandName = Checker.name(of: call.payload) }
    switch reply {
    case .notDone, .renewed: return
    case .unknown: break
    case .values(_, let index):
      operation.position = index
      operation.returned = world.moment()
      operation.result = .init(succeeded: true, values: clients[number].known.map(\.value))
    case .outcome(let outcome, let index):
      // With a request id the first of several entries is the one that counts.
      if call.requestID == nil { operation.position = index }
      operation.returned = world.moment()
      operation.result = .init(succeeded: succeeded(outcome))
    }
    history.groups[group].append(operation)
  }

  private func succeeded(_ outcome: Outcome) -> Bool {
    switch outcome {
    case .done, .transaction(.committed): true
    case .flag(let flag): flag
    case .refused, .transaction(.failed): false
    }
  }

  // MARK: Values

  /// Every write of a run has its own value.
  private func newValue() -> UInt32 {
    defer { history.nextValue += 1 }
    return history.nextValue
  }

  /// The number, then padding whose length and content follow from it.
  private func bytes(of number: UInt32) -> [UInt8] {
    let padding = Int(UInt64(number &* 2_654_435_761 >> 8) % (options.valuePaddingMax + 1))
    return (0..<4).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
      + Array(repeating: UInt8(truncatingIfNeeded: number), count: padding)
  }

  private func number(in value: [UInt8]) -> UInt32 {
    var number: UInt32 = 0
    for (i, byte) in value.prefix(4).enumerated() { number |= UInt32(byte) << (8 * UInt32(i)) }
    if value != bytes(of: number) {
      fail("unwritten value: a value was read that nobody wrote: \(value)")
    }
    return number
  }

  // MARK: Bank

  private func account(_ number: Int) -> Key { Key("bank/\(number)") }

  /// Reads all accounts, then moves money by what was read.
  private func bankCall(_ client: Client) -> Call {
    let accounts = 0..<options.bankAccounts
    let balances = clients[client.number].balances
    clients[client.number].balances = []
    guard balances.count == accounts.count else {
      let isStale = world.random.chance(1, in: 4)
      return Call(
        kind: .read(
          accounts.map(account), isStale ? .stale(atLeast: client.lastIndex) : .linearizable),
        attemptsLeft: Self.attemptsMax)
    }
    var operations: [TransactionOperation] = []
    func set(_ number: Int, to balance: UInt64) {
      operations.append(
        .kv(
          KVOperation(
            verb: .cas, key: account(number), value: Array(String(balance).utf8),
            index: balances[number].modifyIndex)))
    }
    if balances[0].modifyIndex == 0 {
      for number in accounts { set(number, to: number == 0 ? Self.bankTotal : 0) }
    } else {
      let from = world.index(below: accounts.count)
      let to = (from + 1 + world.index(below: accounts.count - 1)) % accounts.count
      let amount = world.number(0...balances[from].amount)
      set(from, to: balances[from].amount - amount)
      set(to, to: balances[to].amount + amount)
    }
    return Call(
      kind: .write(.transaction(operations)), requestID: requestID(for: []),
      attemptsLeft: Self.attemptsMax)
  }

  private func recordBank(_ reply: Reply, of number: Int) {
    guard case .values(let entries, let index) = reply else { return }
    var balances: [Balance] = []
    for entry in entries {
      let amount = entry.map { UInt64(String(decoding: $0.value, as: UTF8.self)) ?? .max } ?? 0
      balances.append(Balance(amount: amount, modifyIndex: entry?.modifyIndex ?? 0))
    }
    let sum = balances.reduce(0) { $0 &+ $1.amount }
    let isEmpty = balances.allSatisfy { $0.modifyIndex == 0 }
    if !isEmpty, sum != Self.bankTotal {
      fail("bank: balances at index \(index) add up to \(sum): \(balances)")
    }
    clients[number].balances = balances
  }
}

/// What a client read of an account.
struct Balance: Equatable {
  var amount: UInt64
  var modifyIndex: UInt64
}
