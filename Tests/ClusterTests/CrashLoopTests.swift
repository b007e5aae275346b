import Basics
import Foundation
import Harness
import RoostClient
import Testing

/// Kills at random moments, again and again (fault scenarios P5, P6, P7).
@Suite(.serialized, .timeLimit(.minutes(30)))
struct CrashLoopTests {
  /// More by hand: `ROOST_SECONDS=600`.
  static let seconds =
    Double(ProcessInfo.processInfo.environment["ROOST_SECONDS"] ?? "") ?? 8

  /// Any node, now and then two of them, killed every 0.1 to 1 s and started again: also in the
  /// middle of its start.
  @Test func aCrashLoopLosesNothing() async throws {
    try await onThread {
      let seed = UInt64.random(in: 0 ... .max)
      print("crash loop: seed \(seed)")
      var random = SplitMix(seed: seed)
      let cluster = try LocalCluster(
        count: 3, settings: ["raft": ["snapshot_after_entries": 500]])
      let load = Load(writers: 4) { cluster.nodes.map(\.http) }
      load.start()
      let end = Date().addingTimeInterval(Self.seconds)
      var kills = 0
      while Date() < end {
        usleep(useconds_t(100_000 + random.below(900_000)))
        var victims = [Int(random.below(3))]
        if random.below(4) == 0 { victims.append((victims[0] + 1) % 3) }
        for victim in victims { cluster.signal(victim, SIGKILL) }
        kills += victims.count
        if random.below(3) == 0 { usleep(useconds_t(random.below(600_000))) }
        for victim in victims { try cluster.start(victim) }
      }
      try cluster.wait("all three to be back") {
        cluster.nodes.indices.allSatisfy {
          ["leader", "follower"].contains(cluster.report($0)?.role)
        }
      }
      load.stop()
      for i in 0..<3 { #expect(try load.verify(cluster.client(i)) == [], "seed \(seed)") }
      #expect(load.failures.filter { $0.contains("applied twice") } == [], "seed \(seed)")
      #expect(load.count > 50)
      print("crash loop: \(kills) kills, \(load.count) writes")
    }
  }
}
