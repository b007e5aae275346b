import CRoost
import EventLoop

/// Large pages for the heap of a node whose state has grown.
///
/// A state of many keys is looked at here and there all the time. With pages of 4 KB each look
/// costs a walk through the page tables, in a virtual machine twice: a quarter of the CPU time of a
/// write. What an idle node needs stays in small pages, and so small.
final class HeapPages {
  private static let bytesOfSmallPages = 2 << 20

  /// Of `tend`: between two looks. However much has filled meanwhile, one job does it all.
  private static let callsPerLook = 10

  private var calls = 0
  private let workers = Workers(threads: 1, queueMax: 1, isBackground: true)

  /// To be called before the state is made.
  static func prepare() { croost_heap_prepare(bytesOfSmallPages) }

  /// Every 100 ms, from the thread that called `prepare`; the work is done by another.
  func tend() {
    calls += 1
    guard calls % Self.callsPerLook == 0, croost_heap_has_filled() else { return }
    // A full queue: it is being done.
    _ = workers.run { croost_heap_collapse() }
  }
}
