import EventLoop

/// Resolves a target and connects to the first of its addresses that takes a connection, within a
/// deadline. The connection comes without a delegate; whoever gets it keeps or closes it.
final class Dialer {
  private let host: String
  private let port: UInt16
  private let context: ProbeContext
  private let deadline: UInt64
  private var done: ((Result<TCPConnection, DialFailure>) -> Void)?
  private var queue = AddressQueue([], limits: CheckLimits(), deadline: 0)
  private var connection: TCPConnection?
  private var timer: TimerID?

  struct DialFailure: Error {
    var text: String
  }

  init(
    _ target: HostPort, context: ProbeContext, deadline: UInt64,
    done: @escaping (Result<TCPConnection, DialFailure>) -> Void
  ) {
    host = target.host
    port = target.port
    self.context = context
    self.deadline = deadline
    self.done = done
  }

  func start() {
    let left = deadline - min(deadline, context.loop.now)
    timer = context.loop.schedule(after: left) { [self] in
      finish(.failure(DialFailure(text: "dial tcp: lookup \(host): i/o timeout")))
    }
    context.resolver.resolve(host: host, port: port) { [weak self] answer in
      self?.resolved(answer)
    }
  }

  func cancel() {
    done = nil
    disconnect()
  }

  private func resolved(_ answer: Resolver.Answer) {
    guard done != nil else { return }
    switch answer {
    case .failure(let failure): finish(.failure(DialFailure(text: DialFault.lookup(failure))))
    case .success(let addresses):
      queue = AddressQueue(addresses, limits: context.limits, deadline: deadline)
      connectToNext()
    }
  }

  private func connectToNext() {
    disconnect()
    guard let (address, time) = queue.next(now: context.loop.now, limits: context.limits) else {
      let text = queue.firstFault ?? "dial tcp: lookup \(host): no such host"
      return finish(.failure(DialFailure(text: text)))
    }
    timer = context.loop.schedule(after: time) { [self] in
      queue.note(DialFault.timeout(address))
      connectToNext()
    }
    connection = TCPConnection(
      connectingTo: address, loop: context.loop, options: TCPConnection.Options(), delegate: self)
  }

  private func disconnect() {
    if let timer { context.loop.cancel(timer) }
    timer = nil
    let old = connection
    connection = nil
    old?.delegate = nil
    // Go closes too; nothing is owed to a peer that was only asked whether it is there.
    old?.close()
  }

  private func finish(_ result: Result<TCPConnection, DialFailure>) {
    guard let done else { return }
    self.done = nil
    disconnect()
    done(result)
  }
}

extension Dialer: TCPConnectionDelegate {
  func connectionDidConnect(_ connection: TCPConnection) {
    connection.delegate = nil
    self.connection = nil
    finish(.success(connection))
  }
  func connectionDidRead(_ connection: TCPConnection) {}
  func connectionDidReachEOF(_ connection: TCPConnection) {}
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    let unknown = SystemError(operation: "connect", subject: host, code: 0)
    queue.note(DialFault.text(connection.remoteAddress, error ?? unknown))
    connectToNext()
  }
}
