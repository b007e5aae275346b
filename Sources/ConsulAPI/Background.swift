/// What a worker gives back to the loop.
package struct BackgroundResult: Sendable {
  let job: UInt64
  let value: any Sendable
}

/// Work that would hold up the loop, done by the node's workers: values go there, values come
/// back, and what is to happen with them waits here, on the loop's thread.
final class Background<B: Backend> {
  /// At a time; more are refused.
  static var jobsMax: Int { 64 }

  private unowned let backend: B
  private var post: (@Sendable (BackgroundResult) -> Void)?
  private var waiting: [UInt64: (any Sendable) -> Void] = [:]
  private var listeners: [UInt64: (any Sendable) -> Void] = [:]
  private var nextJob: UInt64 = 1

  init(_ backend: B) { self.backend = backend }

  /// False: too much is under way, `job` will not run.
  func run<R: Sendable>(
    _ job: @escaping @Sendable () -> R, then done: @escaping (R) -> Void
  ) -> Bool {
    guard waiting.count < Self.jobsMax else { return false }
    let post = post ?? connect()
    let number = nextJob
    guard backend.runOnWorker({ post(BackgroundResult(job: number, value: job())) }) else {
      return false
    }
    nextJob += 1
    waiting[number] = { value in
      if let result = value as? R { done(result) }
    }
    return true
  }

  /// Values that come from any thread, as often as they do, until `forget`.
  func listen(
    _ body: @escaping (any Sendable) -> Void
  ) -> (listener: UInt64, post: @Sendable (any Sendable) -> Void) {
    let post = post ?? connect()
    let number = nextJob
    nextJob += 1
    listeners[number] = body
    return (number, { value in post(BackgroundResult(job: number, value: value)) })
  }

  func forget(_ listener: UInt64) { listeners[listener] = nil }

  private func connect() -> @Sendable (BackgroundResult) -> Void {
    let post = backend.makePost { [weak self] (results: [BackgroundResult]) in
      for result in results { self?.deliver(result) }
    }
    self.post = post
    return post
  }

  private func deliver(_ result: BackgroundResult) {
    if let body = listeners[result.job] { return body(result.value) }
    waiting.removeValue(forKey: result.job)?(result.value)
  }
}
