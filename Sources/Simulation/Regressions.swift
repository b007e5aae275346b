import Glibc

/// Seeds that failed once, each with what it found: `SEEDS=regressions` runs them all.
///
/// A seed means the same run only until the simulator draws a number more or less, so each bug has
/// a test or a scenario of its own as well; the list is what a change most likely breaks again.
enum Regressions {
  static let all: [(seed: UInt64, found: String)] = [
    (86, "a leader that is being removed dies: nobody may campaign"),
    (25, "a follower that lost what it acknowledged and its leader answer each other for ever"),
    (101_962, "leadership goes to and fro while a snapshot that the quorum needs is under way"),
    (103_214, "the same, with another configuration"),
    (102_558, "a client that tries many nodes that are no members needs longer than the bound"),
    (102_645, "the same"),
    (3_111_947_180, "a rename that survives alone brought an older temporary file into force"),
    (3_214_518_417, "the next disk is lost before the replacement of the last was committed"),
    (788_265_738, "links stay cut although one of the voters has lost its disk"),
    (788_267_602, "the same, with five nodes"),
    (2_422_567_405, "damage in a file that was never synced"),
    (671_096_755, "a renewal under way for ten seconds makes its session live longer"),
    (178, "a write handed to two leaders: one copy applied and forgotten, the other refused"),
    (18, "the same"),
    (1_347_649_993, "a slow watcher does not reach the end within the bound"),
    (2_784_169_788, "faults end for a paused node: it hears messages, and has no ticks yet"),
    (3_229_674_135, "the end of a session waits in the log behind a queue of entries"),
    (2_422_566_612, "a paused node hears of a broken link after it heard of the next one"),
  ]

  static func main(willRun: (UInt64) -> Void) -> Int32 {
    var failures = 0
    for (seed, found) in all {
      willRun(seed)
      let failure = SimulationRunner.run(seed: seed).failure
      print("\(seed) \(failure.map { "FAILED: \($0)" } ?? "held"): \(found)")
      fflush(nil)
      if failure != nil { failures += 1 }
    }
    return failures == 0 ? 0 : 1
  }
}
