internal import Basics
internal import CRoost

/// Something that owns a descriptor and wants to hear when it is ready.
package class PollHandler {
  init() {}

  /// `events`: `CROOST_READABLE` and its siblings.
  func pollReady(_ events: UInt32) { fatalError("a poll handler that handles nothing") }
}

/// epoll and the table of who owns which descriptor.
///
/// Level-triggered. An event carries the descriptor and the generation of its registration, so an
/// event that was fetched for a descriptor since closed (and perhaps opened again by somebody else
/// in the same turn) is recognised and dropped. Handlers are not retained: they take themselves
/// out before they die.
struct Poller {
  @safe private struct Registration {
    var generation: UInt32 = 0
    /// Not `unowned(unsafe)` of a protocol: Swift 6.3 loses its nil in generic code.
    var handler: Unmanaged<PollHandler>?
  }

  /// Taken from the kernel at a time; more wait for the next turn.
  private static let eventsMax = 512

  private let epoll: Int32
  private var registrations: [Registration] = []
  private var generation: UInt32 = 0
  private var events = [croost_event](repeating: croost_event(), count: eventsMax)

  init() throws(SystemError) {
    epoll = croost_epoll_create()
    guard epoll >= 0 else {
      throw SystemError(operation: "create", subject: "epoll", code: -epoll)
    }
  }

  func close() { _ = croost_close(epoll) }

  /// `fd` must not be registered. Returns 0 or an errno.
  mutating func add(_ fd: Int32, _ interest: UInt32, _ handler: PollHandler) -> Int32 {
    invariant(fd >= 0, "descriptor \(fd)")
    let index = Int(fd)
    if index >= registrations.count {
      let missing = index + 1 - registrations.count
      registrations.append(contentsOf: repeatElement(Registration(), count: missing))
    }
    generation &+= 1
    // Sound: the handler unregisters before it dies.
    unsafe registrations[index].handler = Unmanaged.passUnretained(handler)
    registrations[index].generation = generation
    return -croost_epoll_add(epoll, fd, interest, userData(fd))
  }

  func modify(_ fd: Int32, _ interest: UInt32) {
    let code = croost_epoll_modify(epoll, fd, interest, userData(fd))
    invariant(code == 0, "epoll modify of \(fd): errno \(-code)")
  }

  mutating func remove(_ fd: Int32) {
    // Sound: forgets the handler.
    unsafe registrations[Int(fd)].handler = nil
    _ = croost_epoll_remove(epoll, fd)
  }

  private func userData(_ fd: Int32) -> UInt64 {
    UInt64(registrations[Int(fd)].generation) << 32 | UInt64(UInt32(bitPattern: fd))
  }

  /// Waits at most `nanoseconds` (nil: for ever); returns how many events there are.
  mutating func wait(_ nanoseconds: UInt64?) -> Int {
    let limit = nanoseconds.map { Int64(min($0, 3_600_000_000_000)) } ?? -1
    // Sound: C writes at most `eventsMax` events.
    let count = unsafe croost_epoll_wait(epoll, &events, Int32(Poller.eventsMax), limit)
    invariant(count >= 0, "epoll wait: errno \(-count)")
    return Int(count)
  }

  /// The owner of event `index` and what happened, nil when the registration has ended meanwhile.
  func event(_ index: Int) -> (handler: PollHandler, events: UInt32)? {
    let data = events[index].data
    let fd = Int(data & 0xFFFF_FFFF)
    guard fd < registrations.count,
      registrations[fd].generation == UInt32(truncatingIfNeeded: data >> 32),
      // Sound: handlers take themselves out before they die.
      let handler = unsafe registrations[fd].handler?.takeUnretainedValue()
    else { return nil }
    return (handler, events[index].events)
  }
}
