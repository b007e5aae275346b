internal import Basics
internal import CRoost
internal import Glibc

/// A thread of the system with a name that `top -H` shows.
package struct SystemThread: Sendable {
  private let handle: pthread_t

  /// What a thread is to run lives in `body`; a loop is made inside it, so that the compiler knows
  /// that it never leaves its thread.
  package init(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    var handle = pthread_t()
    let start = unsafe Unmanaged.passRetained(Start(name: name, body: body))
    // Sound: the new thread takes over the one reference that `passRetained` made.
    let code = unsafe pthread_create(
      &handle, nil,
      { raw in
        guard let raw = unsafe raw else { return nil }
        let start = unsafe Unmanaged<Start>.fromOpaque(raw).takeRetainedValue()
        // Sound: the text lives for the call.
        unsafe start.name.withCString { text in unsafe croost_set_thread_name(text) }
        start.body()
        return nil
      }, start.toOpaque())
    guard code == 0 else {
      unsafe start.release()
      throw SystemError(operation: "start", subject: "thread \(name)", code: code)
    }
    self.handle = handle
  }

  /// Waits for its end. Once only, and never from the thread itself; or else `detach`.
  package func join() {
    let code = pthread_join(handle, nil)
    invariant(code == 0, "join: errno \(code)")
  }

  /// Nobody will wait for it.
  package func detach() { _ = pthread_detach(handle) }

  private final class Start {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
}
