import Glibc
package import Raft
import Synchronization

/// The WAL thread: appends and syncs, nothing else. Batches that arrive during a sync go into the
/// next write together (group commit).
///
/// Thread rules: `submit`, `compact`, `reset` and `stop` from any thread; `notify` is called on
/// the WAL thread, in order, and must not block. What is queued is bounded by the caller, who
/// knows what it has submitted and what was answered.
///
/// **Happy path.** The thread takes everything queued, appends it with one write, syncs once if
/// any batch must, and says `durable` with the last ticket. Batches that need no sync are
/// answered with the next sync, at the latest when the thread has been idle for `idleMilliseconds`
/// (it then also writes the log's mark, and prepares spare segments piece by piece).
///
/// **A full disk.** The first batch that does not fit is answered `failed(ticket, .diskFull)`, and
/// so is, in order and each with its own ticket, every batch after it, queued already or submitted
/// later, until a batch comes in with the ticket of the *first refused* one (or a lower one): the
/// caller has seen the failures and starts over from there. So no batch overtakes a refused one.
/// That new batch need not be the same: a node may send a hard state alone, for which the log
/// keeps a reserve. Batches before the refused one are durable, and were answered first.
///
/// **Any other error** is final: `failed` with the last ticket that was queued, then the thread
/// ends and everything submitted later is dropped without an answer.
package final class LogWriter: Sendable {
  package enum Completion: Sendable, Equatable {
    /// Every batch submitted with a ticket up to this one is durable.
    case durable(ticket: UInt64, microseconds: Int)
    /// Nothing after the last `durable` ticket may be trusted. `diskFull` is recoverable: the
    /// batch was not written and can be submitted again; anything else is final.
    case failed(ticket: UInt64, StorageError)
    case compacted(through: LogIndex)
  }

  /// After this long without work the log is synced, marked and its spares prepared.
  package static let idleMilliseconds = 20
  /// On a full disk a spare segment is tried again this often.
  package static let retryMilliseconds = 500

  private let queue: Monitor<LogQueue>
  private let spaceIsShort: Flag
  private let thread: Thread

  package init<Files: FileSystem>(
    _ open: sending @escaping () throws(StorageError) -> Log<Files>,
    notify: @escaping @Sendable (Completion) -> Void
  ) {
    let queue = Monitor(LogQueue())
    let flag = Flag()
    self.queue = queue
    spaceIsShort = flag
    thread = Thread {
      do throws(StorageError) {
        let log = try open()
        var worker = LogWorker(log: log, queue: queue, spaceIsShort: flag, notify: notify)
        worker.run()
      } catch {
        notify(.failed(ticket: queue.withLock { $0.end() }, error))
      }
      queue.signal { $0.hasEnded = true }
    }
  }

  /// Tickets must grow (but for starting over after `.diskFull`).
  package func submit(_ batch: LogBatch, ticket: UInt64) {
    queue.signal { $0.add(.batch(batch, ticket: ticket), ticket: ticket) }
  }

  /// Done between batches, in any order with them; answered with `compacted`.
  package func compact(through index: LogIndex) {
    queue.signal { $0.add(.compact(index), ticket: 0) }
  }

  /// Done after every batch submitted before and ahead of every one submitted after. Durable
  /// before any of those is.
  package func reset(after index: LogIndex) {
    queue.signal { $0.add(.reset(index), ticket: 0) }
  }

  /// Writes out what was submitted, then ends the thread. Call it once. False: the disk hangs, the
  /// thread is left alone with it, and the process should end.
  @discardableResult
  package func stop(withinMilliseconds limit: Int = 60_000) -> Bool {
    queue.signal { $0.isStopping = true }
    let hasEnded = queue.wait(milliseconds: limit) { $0.hasEnded ? true : nil }
    guard hasEnded ?? false else {
      thread.detach()
      return false
    }
    thread.join()
    return true
  }

  /// The disk had no room for the next spare segment: refuse what can be refused, while there
  /// is room for the rest.
  package var isShortOfSpace: Bool { spaceIsShort.value.load(ordering: .relaxed) }
}

final class Flag: Sendable {
  let value = Atomic<Bool>(false)
}

/// What waits for the WAL thread.
struct LogQueue: Sendable {
  enum Item: Sendable {
    case batch(LogBatch, ticket: UInt64)
    case compact(LogIndex)
    case reset(LogIndex)
  }

  var items: [Item] = []
  var isStopping = false
  /// The thread does nothing any more.
  var hasEnded = false
  private var isEnded = false
  private var lastTicket: UInt64 = 0

  mutating func add(_ item: Item, ticket: UInt64) {
    guard !isEnded else { return }
    items.append(item)
    lastTicket = max(lastTicket, ticket)
  }

  /// Refuses everything from now on; the last ticket that was let in.
  mutating func end() -> UInt64 {
    isEnded = true
    items = []
    return lastTicket
  }
}

/// The loop of the WAL thread; lives and dies on it.
private struct LogWorker<Files: FileSystem> {
  let log: Log<Files>
  let queue: Monitor<LogQueue>
  let spaceIsShort: Flag
  let notify: (LogWriter.Completion) -> Void

  private var items: [LogQueue.Item] = []
  private var group: [LogBatch] = []
  private var groupTickets: [UInt64] = []
  private var groupMustSync = false
  /// Appended, and not yet answered.
  private var unanswered: UInt64?
  /// The first ticket that was refused for want of space.
  private var refusedFrom: UInt64?

  init(
    log: Log<Files>, queue: Monitor<LogQueue>, spaceIsShort: Flag,
    notify: @escaping (LogWriter.Completion) -> Void
  ) {
    self.log = log
    self.queue = queue
    self.spaceIsShort = spaceIsShort
    self.notify = notify
  }

  mutating func run() {
    do throws(StorageError) {
      while try turn() {}
      try syncAndAnswer()
    } catch {
      var final = error
      // Nobody would hear of room again: this is the end, and must not look like a refusal.
      if case .diskFull(let path) = error {
        final = .io(operation: "write", path: path, code: ENOSPC, name: "no space left on device")
      }
      notify(.failed(ticket: queue.withLock { $0.end() }, final))
    }
    _ = queue.withLock { $0.end() }
    log.close()
  }

  /// Takes what is queued and does it; false when it is time to end.
  private mutating func turn() throws(StorageError) -> Bool {
    items.removeAll(keepingCapacity: true)
    let isStopping = take()
    if items.isEmpty {
      if isStopping { return false }
      try idle()
      return true
    }
    try perform()
    return true
  }

  /// Swaps the empty `items`, whose capacity is kept, with what is queued; true: time to end.
  private mutating func take() -> Bool {
    let retry = log.isShortOfSpace ? LogWriter.retryMilliseconds : LogWriter.idleMilliseconds
    var empty: [LogQueue.Item] = []
    swap(&empty, &items)
    let taken = queue.wait(milliseconds: hasIdleWork ? retry : nil) {
      state -> (items: [LogQueue.Item], isStopping: Bool)? in
      guard !state.items.isEmpty || state.isStopping else { return nil }
      swap(&empty, &state.items)
      return (empty, state.isStopping)
    }
    items = taken?.items ?? []
    return taken?.isStopping ?? false
  }

  private mutating func perform() throws(StorageError) {
    var compactTo: LogIndex?
    for item in items {
      switch item {
      case .batch(let batch, let ticket): collect(batch, ticket)
      case .compact(let index): compactTo = max(compactTo ?? .zero, index)
      case .reset(let index):
        try writeGroup()
        try syncAndAnswer()
        try resetWhenThereIsRoom(index)
      }
    }
    try writeGroup()
    if let compactTo {
      try log.compact(through: compactTo)
      notify(.compacted(through: compactTo))
    }
    spaceIsShort.value.store(log.isShortOfSpace, ordering: .relaxed)
  }

  /// On most file systems there is always room for it: the space was taken beforehand. One that
  /// never writes in place may have none.
  private func resetWhenThereIsRoom(_ index: LogIndex) throws(StorageError) {
    while true {
      do { return try log.reset(after: index) } catch {
        guard case .diskFull = error else { throw error }
        let isStopping = queue.wait(milliseconds: LogWriter.retryMilliseconds) {
          $0.isStopping ? true : nil
        }
        guard isStopping == nil else { throw error }
      }
    }
  }

  private mutating func collect(_ batch: LogBatch, _ ticket: UInt64) {
    if let refused = refusedFrom {
      // While one is refused the group is empty, so this answer comes in order.
      guard ticket <= refused else {
        return notify(.failed(ticket: ticket, .diskFull(path: log.directory)))
      }
      refusedFrom = nil
    }
    group.append(batch)
    groupTickets.append(ticket)
    groupMustSync = groupMustSync || batch.mustSync
  }
}

// MARK: - Writing and answering

extension LogWorker {
  private mutating func writeGroup() throws(StorageError) {
    guard !group.isEmpty else { return }
    defer {
      group.removeAll(keepingCapacity: true)
      groupTickets.removeAll(keepingCapacity: true)
      groupMustSync = false
    }
    do {
      try log.append(group)
      unanswered = groupTickets[groupTickets.count - 1]
    } catch {
      guard case .diskFull = error else { throw error }
      return try writeOneByOne(error)
    }
    if groupMustSync { try syncAndAnswer() }
  }

  /// The group as a whole has no room: what fits is written, the rest is refused.
  private mutating func writeOneByOne(_ full: StorageError) throws(StorageError) {
    var refused = group.count
    for i in group.indices {
      do { try log.append([group[i]]) } catch {
        guard case .diskFull = error else { throw error }
        refused = i
        break
      }
      unanswered = groupTickets[i]
    }
    try syncAndAnswer()
    guard refused < group.count else { return }
    refusedFrom = groupTickets[refused]
    for ticket in groupTickets[refused...] { notify(.failed(ticket: ticket, full)) }
  }

  private mutating func syncAndAnswer() throws(StorageError) {
    guard let ticket = unanswered else { return }
    let start = Self.now()
    try log.sync()
    unanswered = nil
    notify(.durable(ticket: ticket, microseconds: Self.now() - start))
  }

  private var hasIdleWork: Bool {
    unanswered != nil || log.needsMark || log.needsPreparation
  }

  /// One small piece of work that nobody waits for.
  private mutating func idle() throws(StorageError) {
    try syncAndAnswer()
    if log.needsMark {
      do {
        try log.mark()
        try log.sync()
      } catch {
        // Only a proof: it can wait for room.
        guard case .diskFull = error else { throw error }
      }
    } else {
      // Pieces follow each other without a pause, unless something is queued.
      while queue.withLock({ $0.items.isEmpty && !$0.isStopping }) {
        guard try log.prepareStep() else { break }
      }
      spaceIsShort.value.store(log.isShortOfSpace, ordering: .relaxed)
    }
  }

  private static func now() -> Int {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000 + time.tv_nsec / 1000
  }
}
