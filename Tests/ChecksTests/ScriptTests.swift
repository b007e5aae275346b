import EventLoop
import Glibc
import Testing

@testable import Checks

private let milliseconds: UInt64 = 1_000_000

@Suite(.serialized, .timeLimit(.minutes(10))) struct ScriptTests {
  private func run(_ arguments: [String], timeout: UInt64 = 5000, outputMax: Int = 4096)
    -> ProbeResult
  {
    Script(
      arguments: arguments, timeoutNanoseconds: timeout * milliseconds, outputBytesMax: outputMax
    ).run(AbortFlag())
  }

  @Test(arguments: [
    (0, ProbeStatus.passing), (1, .warning), (2, .critical), (127, .critical),
  ])
  func exitStatusDecides(_ code: Int, _ status: ProbeStatus) {
    let result = run(["/bin/sh", "-c", "echo out; echo err >&2; exit \(code)"])
    #expect(result == ProbeResult(status: status, output: "out\nerr\n"))
  }

  @Test func argumentsAreNotASentenceForAShell() {
    #expect(run(["echo", "a b", "$HOME", "; exit 2"]).output == "a b $HOME ; exit 2\n")
    #expect(run(["/bin/echo"]).status == .passing)
  }

  @Test func whatCannotBeStartedIsCritical() {
    #expect(run(["/no/such/program"]).status == .critical)
    #expect(run(["/no/such/program"]).output.contains("no such file"))
    #expect(run(["no-such-program-anywhere"]).status == .critical)
    #expect(run([]).status == .critical && run([""]).status == .critical)
    #expect(run(["/bin/echo", "a\0b"]).status == .critical)
    #expect(run(["/bin/sh", "-c", "kill -9 $$"]).status == .critical)
  }

  /// The last bytes are kept; a flood is read to its end.
  @Test func outputIsCut() {
    let result = run(
      ["/bin/sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo end"], outputMax: 10)
    #expect(result.status == .passing)
    #expect(result.output == "Captured 10 of 300004 bytes\n...\nxxxxxxend\n")
  }

  /// Also what the script started itself.
  @Test func theWholeGroupIsKilledAtTheEndOfItsTime() throws {
    let start = ContinuousClock.now
    let result = run(["/bin/sh", "-c", "sleep 300 & echo $!; wait"], timeout: 300)
    #expect(result == .critical("Timed out (300ms) running check"))
    #expect(ContinuousClock.now - start < .seconds(120))
    let silent = run(["/bin/sh", "-c", "exec >&- 2>&-; sleep 30"], timeout: 200)
    #expect(silent.output == "Timed out (200ms) running check")
    let marker = "300.\(getpid())"
    _ = run(["/bin/sh", "-c", "sleep \(marker) & wait"], timeout: 300)
    var left = true
    for _ in 0..<100 where left {
      left = run(["pgrep", "-f", "sleep \(marker)"]).status == .passing
      if left { usleep(20_000) }
    }
    #expect(!left, "the script's child lives on")
  }

  /// A child in the background that keeps the output open holds nobody up.
  @Test func theScriptsEndCounts() {
    let start = ContinuousClock.now
    let result = run(["/bin/sh", "-c", "sleep 300 & echo $!"], timeout: 60_000)
    #expect(result.status == .passing)
    #expect(ContinuousClock.now - start < .seconds(120))
    if let child = pid_t(result.output.dropLast()) {
      kill(child, SIGKILL)
    }
  }

  @Test func theRunnerRunsNoneUnlessItIsAllowed() throws {
    for isAllowed in [false, true] {
      let loop = try EventLoop()
      let workers = Workers(threads: 1, queueMax: 4)
      defer { workers.stop() }
      var limits = CheckLimits()
      limits.allowsScripts = isAllowed
      limits.intervalNanosecondsMin = milliseconds
      var reports: [ProbeStatus: String] = [:]
      let runner = CheckRunner(
        loop: loop, seed: 1, resolver: Resolver(loop: loop, workers: workers), limits: limits
      ) { _, status, output in reports[status] = output }
      let kind = ProbeKind.script(arguments: ["/bin/echo", "ran"])
      runner.set(ProbeSpec(id: "s", kind: kind, intervalNanoseconds: 20 * milliseconds))
      #expect(loop.run(forAtMost: 60_000 * milliseconds) { !reports.isEmpty })
      runner.removeAll()
      let expected: [ProbeStatus: String] =
        isAllowed ? [.passing: "ran\n"] : [.critical: "Scripts are disabled on this agent"]
      #expect(reports == expected)
    }
  }
}
