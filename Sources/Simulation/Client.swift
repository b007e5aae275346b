import Basics
import Registry

/// What a client does, over and over.
enum Workload: Equatable {
  /// Reads, writes, compare-and-set, deletes and transactions on one group of keys; judged by the
  /// linearizability checker.
  case registers(group: Int)
  /// Transfers between accounts by transactions: every read of all of them sees the same sum.
  case bank
  /// A session, a lock, and writes under it.
  case locks(Int)
}

/// What a client last read of a register.
struct Known: Equatable {
  var value: UInt32 = 0
  var modifyIndex: UInt64 = 0
}

/// One operation from its first attempt to its end.
struct Call {
  enum Kind {
    case read([Key], Request.Consistency)
    case write(Command)
    case renew(UniqueID)
  }
  var kind: Kind
  /// Goes into the history; nil for the bank and for stale reads.
  var operation: Operation?
  /// Sent with every attempt: without one a write is tried once only.
  var requestID: UniqueID?
  var attemptsLeft: Int
  /// An attempt ended without a certain outcome.
  var isUncertain = false
  var payload: [UInt8] = []
  var lockStep: LockStep?
  /// What the client knew before its first attempt.
  var floor: UInt64 = 0
  /// When the first attempt left, and the last one.
  var firstSentAt: UInt64 = 0
  var sentAt: UInt64 = 0
}

/// A user program: one operation at a time, through any node, retried on another one.
struct Client {
  let number: Int
  let workload: Workload
  /// The node it talks to.
  var node = 0
  var attempt: UInt64 = 0
  var call: Call?
  /// The newest index it was told; passed with stale reads.
  var lastIndex: UInt64 = 0
  /// The newest that came with any answer.
  var newestIndex: UInt64 = 0
  var known = Array(repeating: Known(), count: Operation.registersMax)
  /// What the last read of the bank saw; used by one transfer.
  var balances: [Balance] = []
  var lock = LockState()
  /// Before its next operation.
  var pauseMicroseconds: UInt64 = 0
}

/// Everything clients did, for judgement at the end.
struct Histories {
  var groups: [[Operation]] = []
  var nextValue: UInt32 = 1
}

extension Cluster {
  static var attemptsMax: Int { 6 }

  func makeClients() {
    history.groups = Array(repeating: [], count: options.registerGroups)
    for number in 0..<options.clients {
      let isBanker = number > 0 && number % 3 == 0 && options.bankAccounts > 1
      clients.append(
        Client(
          number: number,
          workload: isBanker ? .bank : .registers(group: number % options.registerGroups),
          node: world.index(below: options.voters)))
    }
    for locker in 0..<options.lockers {
      clients.append(
        Client(
          number: clients.count, workload: .locks(locker % options.locks),
          node: world.index(below: options.voters)))
    }
  }

  func nextOperation(_ number: Int) {
    guard phase == .faults || phase == .healed, clients[number].call == nil else { return }
    if world.random.chance(1, in: 20) { clients[number].node = world.index(below: nodes.count) }
    let newestIndex = clients[number].newestIndex
    clients[number].call = makeCall(for: clients[number])
    clients[number].call?.floor = newestIndex
    attempt(number)
  }

  /// Sends the current operation (once more) to the client's node.
  private func attempt(_ number: Int) {
    guard var call = clients[number].call else { return }
    clients[number].attempt += 1
    call.attemptsLeft -= 1
    call.sentAt = world.now
    if call.firstSentAt == 0 { call.firstSentAt = world.now }
    noteSent(call, by: number)
    let body: Request.Body
    switch call.kind {
    case .read(let keys, let consistency): body = .read(keys, consistency)
    case .renew(let id): body = .renew(id)
    case .write(let command):
      let isForgotten = sabotage == .forgetsRequestID && !call.payload.isEmpty
      let envelope = CommandEnvelope(
        time: 0, requestID: isForgotten ? nil : call.requestID,
        floor: sabotage == .ignoresRequestFloor ? .max : call.floor, command: command)
      call.payload = envelope.encoded()
      body = .write(call.payload, hasRequestID: call.requestID != nil)
    }
    clients[number].call = call
    let client = clients[number]
    world.schedule(
      .request(
        node: client.node, Request(client: number, attempt: client.attempt, body: body)),
      after: world.number(20...200))
    world.schedule(
      .clientTimeout(client: number, attempt: client.attempt), after: options.attemptMicroseconds)
  }

  /// A session may live from now on.
  private func noteSent(_ call: Call, by number: Int) {
    switch call.lockStep {
    case .create(let id), .renew(let id):
      sessionLedger.sent(id, by: number, ttl: options.sessionMicroseconds, at: world.now)
    default: break
    }
  }

  /// The node's process ended: its clients' connections are reset.
  func connectionsBroke(to slot: Int) {
    for client in clients where client.node == slot && client.call != nil {
      world.schedule(
        .reply(client: client.number, attempt: client.attempt, .unknown),
        after: world.number(50...500))
    }
  }

  func timedOut(_ number: Int, _ attempt: UInt64) {
    replied(number, attempt, .unknown)
  }

  func replied(_ number: Int, _ attempt: UInt64, _ reply: Reply) {
    guard clients[number].attempt == attempt, var call = clients[number].call else { return }
    switch reply {
    case .outcome(.refused(.requestForgotten), let index):
      clients[number].newestIndex = max(clients[number].newestIndex, index)
      // Whatever copies there are of the attempts so far are refused from now on: what is certain
      // not to be done may be tried as new.
      if !call.isUncertain { call.floor = clients[number].newestIndex }
      totals.forgotten += 1
    case .outcome, .values, .renewed:
      return finish(number, call, reply)
    case .notDone: break
    case .unknown:
      if case .write = call.kind { call.isUncertain = sabotage != .callsUnknownFailed }
    }
    clients[number].node = world.index(below: nodes.count)
    // One that may have been done before is not asked for again in vain.
    if case .outcome = reply, call.isUncertain { return finish(number, call, .unknown) }
    let isSafe = call.requestID != nil || !call.isUncertain
    clients[number].call = call
    if isSafe, call.attemptsLeft > 0 {
      // A new attempt number at once: a late answer to the old one must not count.
      return self.attempt(number)
    }
    finish(number, call, call.isUncertain ? .unknown : .notDone)
  }

  private func finish(_ number: Int, _ call: Call, _ reply: Reply) {
    switch reply {
    case .outcome(_, let index), .values(_, let index):
      clients[number].newestIndex = max(clients[number].newestIndex, index)
    case .notDone, .unknown, .renewed: break
    }
    clients[number].call = nil
    clients[number].attempt += 1
    switch reply {
    case .outcome:
      totals.operations += 1
      totals.writes += 1
    case .values, .renewed: totals.operations += 1
    case .unknown: totals.unknownOutcomes += 1
    case .notDone: totals.notDone += 1
    }
    note("client \(number) \(call.operation.map { "\($0.steps)" } ?? "\(call.kind)") -> \(reply)")
    record(call, reply, of: number)
    let pause = clients[number].pauseMicroseconds
    clients[number].pauseMicroseconds = 0
    world.schedule(
      .clientNext(client: number), after: pause + world.number(0...options.thinkMicroseconds * 2))
  }
}
