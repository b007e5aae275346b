import Foundation
import Synchronization

/// How long this machine stood still: a thread that wants to run every few milliseconds, and the
/// longest time that it did not. Bounds in time are honest only beside it.
final class StallMeter: Sendable {
  private let longestNanoseconds = Atomic<UInt64>(0)
  private let stopping = Atomic<Bool>(false)

  init() {
    Thread.detachNewThread { [self] in
      var last = DispatchTime.now().uptimeNanoseconds
      while !stopping.load(ordering: .relaxed) {
        usleep(5_000)
        let now = DispatchTime.now().uptimeNanoseconds
        longestNanoseconds.max(now - last, ordering: .relaxed)
        last = now
      }
    }
  }

  var longest: TimeInterval { Double(longestNanoseconds.load(ordering: .relaxed)) / 1e9 }
  func reset() { longestNanoseconds.store(0, ordering: .relaxed) }
  func stop() { stopping.store(true, ordering: .relaxed) }
}
