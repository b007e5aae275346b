import CRoost
import EventLoop
import Glibc
import Testing

/// The parts of the C shim that other targets rely on.
@Suite(.serialized) struct ProcessTests {
  private func spawn(_ words: [String], out: Int32 = -1) -> Int32 {
    var pointers = unsafe words.map { unsafe strdup($0) }
    unsafe pointers.append(nil)
    var environment: [UnsafeMutablePointer<CChar>?] = unsafe [nil]
    let pid = unsafe croost_spawn(words[0], &pointers, &environment, nil, -1, out, -1, 0)
    unsafe pointers.forEach { unsafe free($0) }
    return pid
  }

  private func wait(for pid: Int32) -> croost_exit {
    var result = croost_exit()
    _ = unsafe croost_wait(pid, 1, &result)
    return result
  }

  @Test func exitStatusAndSignalAreTold() {
    let failed = wait(for: spawn(["/bin/sh", "-c", "exit 3"]))
    #expect(failed.code == 3)
    #expect(failed.signal == 0)
    let killed = wait(for: spawn(["/bin/sh", "-c", "kill -9 $$"]))
    #expect(killed.code == -1)
    #expect(killed.signal == SIGKILL)
  }

  @Test func outputIsReadThroughAPipe() {
    var ends: [Int32] = [0, 0]
    #expect(unsafe croost_pipe(&ends, 0) == 0)
    let pid = spawn(["/bin/echo", "hello"], out: ends[1])
    #expect(pid > 0)
    _ = croost_close(ends[1])
    var bytes = [UInt8](repeating: 0, count: 16)
    #expect(unsafe read(ends[0], &bytes, 16) == 6)
    #expect(bytes.prefix(6).elementsEqual("hello\n".utf8))
    _ = croost_close(ends[0])
    #expect(wait(for: pid).code == 0)
  }

  @Test func aMissingProgramIsAnError() {
    #expect(spawn(["/no/such/program"]) == -ENOENT)
  }

  @Test func groupsAndInitAreNeverKilled() {
    #expect(croost_kill(0, 0) == -EINVAL)
    #expect(croost_kill(-1, 0) == -EINVAL)
    #expect(croost_kill_group(1, 0) == -EINVAL)
  }

  @Test func signalsAreEventsOfTheLoop() async {
    await #expect(processExitsWith: .success) {
      let loop = try EventLoop()
      var heard: [Int32] = []
      let source = try SignalSource([SIGTERM, SIGHUP], loop: loop) { heard.append($0) }
      pthread_kill(pthread_self(), SIGTERM)
      let isHeard = loop.run(forAtMost: 60 * second) { heard == [SIGTERM] }
      withExtendedLifetime(source) {}
      exit(isHeard ? 0 : 2)
    }
  }

  @Test func systemAnswers() {
    var usage = croost_usage()
    #expect(unsafe croost_usage(&usage) == 0)
    #expect(usage.resident_bytes > 1 << 20)
    var free: UInt64 = 0
    var total: UInt64 = 0
    #expect(unsafe croost_free_space("/", &free, &total) == 0)
    #expect(total >= free && total > 0)
    #expect(unsafe croost_free_space("/no/such/place", &free, &total) == -ENOENT)
    let bytes = Array("ab\rcd\r\n".utf8)
    #expect(unsafe croost_find_crlf(bytes, bytes.count) == 5)
    #expect(unsafe croost_find_crlf(bytes, 6) == -1)
    #expect(unsafe croost_find_byte(bytes, bytes.count, 0x63) == 3)
    #expect(unsafe croost_find_byte(bytes, 0, 0x63) == -1)
    #expect(croost_monotonic() <= croost_monotonic())
  }
}
