internal import CRoost
internal import Foundation
internal import RoostClient
internal import Synchronization

extension Command {
  static let lock = Command.client(
    name: "lock", summary: "run a program while holding a lock",
    usage: "[-n N] [--timeout DURATION] PREFIX [--] PROGRAM [ARGUMENT]…",
    flags: [
      Flag("n", "N", "so many holders at a time (1)"),
      Flag("name", "NAME", "of the session, for people"),
      Flag("timeout", "DURATION", "give up when it is not held after so long"),
      Flag("try", "DURATION", "the same"),
      Flag("ttl", "DURATION", "others may take over so long after this process died (15s)"),
      Flag("child-exit-code", "accepted: it is always so"),
      Flag("pass-stdin", "accepted: it is always so"),
    ],
    details: """
      The lock is the key PREFIX/.lock, as Consul's clients take it. The program gets SIGTERM when
      the lock is lost, and SIGKILL five seconds later. Signals sent to this process go on to it.
      Exit status: the program's; 1 when the lock could not be had or was lost.
      """,
    wordsBeforeRest: 1
  ) { command in
    let arguments = command.arguments
    guard let prefix = arguments.words.first else { throw UsageError("PREFIX is missing") }
    let words = Array(arguments.words.dropFirst().drop { $0 == "--" })
    guard !words.isEmpty else { throw UsageError("PROGRAM is missing") }
    let limit = try arguments.number("n", in: 1...1000, otherwise: 1)
    let patience = try arguments.seconds("timeout") ?? arguments.seconds("try")
    let ttl = arguments.value("ttl") ?? "15s"
    let ttlSeconds = try arguments.seconds("ttl") ?? 15
    let session = try command.roost.createSession(
      name: arguments.value("name") ?? "Roost lock: \(words[0])", ttl: ttl,
      behavior: limit > 1 ? .delete : .release, checks: [])
    let exclusion: any Exclusion =
      limit > 1
      ? Semaphore(command.roost, prefix: prefix, limit: limit, session: session)
      : Lock(command.roost, prefix: prefix, session: session)
    let holder = try LockHolder(
      roost: command.roost, exclusion: exclusion, session: session, ttlSeconds: ttlSeconds,
      patience: patience)
    defer { try? command.roost.destroySession(session) }
    return try holder.run(words)
  }
}

/// Holds a lock for the life of a program.
///
/// The main thread starts the program and waits for signals and for news; one thread acquires the
/// lock and then watches it; one renews the session. News come through a pipe, so that one `poll`
/// waits for everything. A session that could not be renewed for its TTL counts as lost, although
/// nobody said so: from then on another may hold the lock.
final class LockHolder: Sendable {
  private enum News: Sendable {
    case acquired
    case notAcquired(String)
    case lost(String)
  }

  private static let killDelayNanoseconds: UInt64 = 5_000_000_000
  private static let retrySeconds = 1.0

  private let roost: Roost
  private let exclusion: any Exclusion
  private let session: String
  private let ttlSeconds: Double
  private let patience: Double?
  private let news = Mutex<[News]>([])
  private let isOver = Mutex(false)
  private let readEnd: Int32
  private let writeEnd: Int32

  init(
    roost: Roost, exclusion: any Exclusion, session: String, ttlSeconds: Double, patience: Double?
  ) throws(CommandFailure) {
    self.roost = roost
    self.exclusion = exclusion
    self.session = session
    self.ttlSeconds = ttlSeconds
    self.patience = patience
    var pipe: [Int32] = [-1, -1]
    // Sound: the array has room for the two.
    guard unsafe croost_pipe(&pipe, 1) == 0 else { throw CommandFailure("cannot make a pipe") }
    (readEnd, writeEnd) = (pipe[0], pipe[1])
  }

  func run(_ words: [String]) throws(CommandFailure) -> Int32 {
    let forwarded = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2]
    let signals = try SignalWaiter(forwarded + [SIGCHLD])
    Thread.detachNewThread { self.holdAndWatch() }
    Thread.detachNewThread { self.renew() }
    defer { isOver.withLock { $0 = true } }
    while true {
      if let signal = signals.wait(milliseconds: 1000, other: readEnd), signal != SIGCHLD {
        return 128 + signal
      }
      switch nextNews() {
      case .acquired?:
        let child = try ChildProgram.start(words, input: 0, group: .own)
        child.takeTerminal()
        let status = supervise(child, signals)
        ChildProgram.returnTerminal()
        try? exclusion.release()
        return status
      case .notAcquired(let reason)?, .lost(let reason)?:
        throw CommandFailure(reason)
      case nil:
        continue
      }
    }
  }

  /// Until the program has ended; stops it when the lock is lost.
  private func supervise(_ child: ChildProgram, _ signals: SignalWaiter) -> Int32 {
    var killAt: UInt64?
    while true {
      if let exit = child.poll() { return killAt == nil ? exit.status : 1 }
      if let signal = signals.wait(milliseconds: 200, other: readEnd), signal != SIGCHLD {
        child.signal(signal)
      }
      if case .lost(let reason)? = nextNews(), killAt == nil {
        Console.printError("roost lock: \(reason); stopping the program")
        child.signal(SIGTERM)
        child.signal(SIGCONT)
        killAt = croost_monotonic() + Self.killDelayNanoseconds
      }
      if let due = killAt, croost_monotonic() >= due { child.signal(SIGKILL) }
    }
  }

  private func nextNews() -> News? {
    var byte: UInt8 = 0
    // Sound: one byte is read into one byte.
    guard unsafe read(readEnd, &byte, 1) == 1 else { return nil }
    return news.withLock { $0.isEmpty ? nil : $0.removeFirst() }
  }

  private func tell(_ item: News) {
    news.withLock { $0.append(item) }
    var byte: UInt8 = 1
    // Sound: one byte is written from one byte.
    unsafe write(writeEnd, &byte, 1)
  }

  // MARK: Threads

  private func holdAndWatch() {
    let deadline = patience.map { ContinuousClock.now + .seconds($0) }
    while true {
      do throws(RoostError) {
        guard try exclusion.acquire(until: deadline) else {
          return tell(.notAcquired("the lock is held by another"))
        }
        break
      } catch {
        guard Self.isPassing(error), deadline.map({ $0 > .now }) ?? true else {
          return tell(.notAcquired("\(error)"))
        }
        Thread.sleep(forTimeInterval: Self.retrySeconds)
      }
    }
    tell(.acquired)
    while true {
      do throws(RoostError) {
        try exclusion.waitUntilLost()
        return tell(.lost("the lock was lost"))
      } catch {
        // Whether the lock is still ours nobody can say now; the renewals decide.
        Thread.sleep(forTimeInterval: Self.retrySeconds)
      }
    }
  }

  private func renew() {
    var lastRenewal = ContinuousClock.now
    var client = roost
    client.readSeconds = max(1, Int(ttlSeconds / 3))
    while !isOver.withLock({ $0 }) {
      Thread.sleep(forTimeInterval: ttlSeconds / 3)
      let start = ContinuousClock.now
      do throws(RoostError) {
        guard try client.renewSession(session) else { return tell(.lost("the session has ended")) }
        lastRenewal = start
      } catch {
        guard lastRenewal.duration(to: .now) > .seconds(ttlSeconds) else { continue }
        return tell(.lost("the session could not be renewed (\(error))"))
      }
    }
  }

  private static func isPassing(_ error: RoostError) -> Bool {
    switch error {
    case .unreachable, .outcomeUnknown, .status(429, _), .status(500..., "No cluster leader"): true
    default: false
    }
  }
}
