import EventLoop

/// A connection is made and closed again: passing when the target accepts it.
final class TCPProbe: Probe {
  private let address: String
  private let context: ProbeContext
  private let deadline: UInt64
  private var done: ((ProbeResult) -> Void)?
  private var dialer: Dialer?

  init(
    address: String, context: ProbeContext, timeoutNanoseconds: UInt64,
    done: @escaping (ProbeResult) -> Void
  ) {
    self.address = address
    self.context = context
    deadline = context.loop.now &+ timeoutNanoseconds
    self.done = done
  }

  func start() {
    let target: HostPort
    do {
      target = try HostPort(address)
    } catch {
      return finish(.critical("dial tcp: \(error.message)"))
    }
    dialer = Dialer(target, context: context, deadline: deadline) { [self] result in
      switch result {
      case .success(let connection):
        connection.close()
        finish(ProbeResult(status: .passing, output: "TCP connect \(address): Success"))
      case .failure(let failure): finish(.critical(failure.text))
      }
    }
    dialer?.start()
  }

  func cancel() { finish(nil) }

  private func finish(_ result: ProbeResult?) {
    guard let done else { return }
    self.done = nil
    dialer?.cancel()
    dialer = nil
    if let result { done(result) }
  }
}
