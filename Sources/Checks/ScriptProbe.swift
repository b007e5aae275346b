import EventLoop

/// Runs a command: exit status 0 is passing, 1 a warning, anything else critical.
final class ScriptProbe: Probe {
  private let arguments: [String]
  private let timeoutNanoseconds: UInt64
  private let outputBytesMax: Int
  private let desk: ScriptDesk
  private var done: ((ProbeResult) -> Void)?
  private var job: ScriptDesk.JobID?

  init(
    arguments: [String], desk: ScriptDesk, timeoutNanoseconds: UInt64, outputBytesMax: Int,
    done: @escaping (ProbeResult) -> Void
  ) {
    self.arguments = arguments
    self.desk = desk
    self.timeoutNanoseconds = timeoutNanoseconds
    self.outputBytesMax = outputBytesMax
    self.done = done
  }

  func start() {
    let script = Script(
      arguments: arguments, timeoutNanoseconds: timeoutNanoseconds, outputBytesMax: outputBytesMax)
    job = desk.run(script) { [weak self] in self?.finish($0) }
    if job == nil { finish(.critical("too many scripts are running")) }
  }

  func cancel() {
    done = nil
    if let job { desk.cancel(job) }
    job = nil
  }

  private func finish(_ result: ProbeResult) {
    job = nil
    let done = done
    self.done = nil
    done?(result)
  }
}

/// Threads that wait for scripts, and the way their results take back to the loop. Its own threads:
/// a script may take its time, and must not keep name lookups or snapshots waiting.
final class ScriptDesk {
  struct JobID: Hashable {
    var value: UInt64
  }
  private struct Answer: Sendable {
    var id: UInt64
    var result: ProbeResult
  }
  private struct Job {
    var abort: AbortFlag
    var done: (ProbeResult) -> Void
  }
  /// Who waits for what; found by key only.
  private final class Waiting {
    var jobs: [UInt64: Job] = [:]
  }

  /// Scripts that run at a time; others wait.
  private static let threads = 4
  private static let waitingMax = 1024

  private let workers = Workers(threads: threads, queueMax: waitingMax)
  private let waiting: Waiting
  private let mailbox: Mailbox<Answer>
  private var nextID: UInt64 = 1

  init(loop: EventLoop) {
    let waiting = Waiting()
    self.waiting = waiting
    mailbox = loop.makeMailbox { answers in
      for answer in answers { waiting.jobs.removeValue(forKey: answer.id)?.done(answer.result) }
    }
  }

  deinit {
    for job in waiting.jobs.values { job.abort.set() }
  }

  /// Nil: too many wait already.
  func run(_ script: Script, done: @escaping (ProbeResult) -> Void) -> JobID? {
    let id = nextID
    let abort = AbortFlag()
    let mailbox = mailbox
    let isTaken = workers.run {
      mailbox.post(Answer(id: id, result: script.run(abort)))
    }
    guard isTaken else { return nil }
    nextID += 1
    waiting.jobs[id] = Job(abort: abort, done: done)
    return JobID(value: id)
  }

  func cancel(_ id: JobID) { waiting.jobs.removeValue(forKey: id.value)?.abort.set() }
}
