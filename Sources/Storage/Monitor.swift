import Glibc

/// A value behind a mutex with one condition: what `Synchronization.Mutex` lacks is waiting.
@safe
final class Monitor<State>: @unchecked Sendable {
  // Sound: mutex and condition are allocated once, never move, and are freed with the last
  // reference, when no thread can be inside. `state` is only touched under the mutex.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var state: State

  init(_ state: sending State) {
    self.state = state
    unsafe mutex = .allocate(capacity: 1)
    unsafe condition = .allocate(capacity: 1)
    unsafe pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(condition, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  func withLock<Result>(_ body: (inout State) -> sending Result) -> sending Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return body(&state)
  }

  /// Changes the state and wakes whoever waits; after the mutex is free again, or the woken thread
  /// would run into it and sleep a second time.
  func signal(_ body: (inout State) -> Void) {
    unsafe pthread_mutex_lock(mutex)
    body(&state)
    unsafe pthread_mutex_unlock(mutex)
    unsafe pthread_cond_broadcast(condition)
  }

  /// Waits until `body` returns a value, at most `milliseconds` (for ever when nil).
  func wait<Result>(
    milliseconds: Int?, _ body: (inout State) -> sending Result?
  ) -> sending Result? {
    var deadline = timespec()
    if let milliseconds {
      unsafe clock_gettime(CLOCK_MONOTONIC, &deadline)
      deadline.tv_sec += milliseconds / 1000
      deadline.tv_nsec += milliseconds % 1000 * 1_000_000
      if deadline.tv_nsec >= 1_000_000_000 {
        deadline.tv_sec += 1
        deadline.tv_nsec -= 1_000_000_000
      }
    }
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while true {
      if let result = body(&state) { return result }
      if milliseconds == nil {
        unsafe pthread_cond_wait(condition, mutex)
      } else if unsafe pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT {
        return body(&state)
      }
    }
  }
}

/// A thread that is started once and joined once.
final class Thread: Sendable {
  private let handle: pthread_t

  init(_ body: sending @escaping () -> Void) {
    let box = unsafe Unmanaged.passRetained(ThreadBody(body)).toOpaque()
    var handle = pthread_t()
    // Sound: the new thread takes over the one reference that is retained above.
    let result = unsafe pthread_create(
      &handle, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, box)
    guard result == 0 else { fatalError("cannot start a thread: errno \(result)") }
    self.handle = handle
  }

  func join() { pthread_join(handle, nil) }

  /// Nobody will wait for it.
  func detach() { pthread_detach(handle) }
}

/// Carries a closure to its thread.
private final class ThreadBody {
  private let body: () -> Void
  init(_ body: @escaping () -> Void) { self.body = body }
  func run() { body() }
}
