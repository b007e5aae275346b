import EventLoop

/// A connection is made and closed again: passing when the target accepts it.
final class TCPProbe: Probe {
  private let address: String
  private let context: ProbeContext
  private let deadline: UInt64
  private var done: ((ProbeResult) -> Void)?
  private var queue = AddressQueue([], limits: CheckLimits(), deadline: 0)
  private var connection: TCPConnection?
  private var timer: TimerID?

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
    let left = deadline - min(deadline, context.loop.now)
    timer = context.loop.schedule(after: left) { [self] in
      finish(.critical("dial tcp: lookup \(target.host): i/o timeout"))
    }
    context.resolver.resolve(host: target.host, port: target.port) { [weak self] answer in
      self?.resolved(answer)
    }
  }

  func cancel() { finish(nil) }

  private func resolved(_ answer: Resolver.Answer) {
    guard done != nil else { return }
    switch answer {
    case .failure(let failure): finish(.critical(DialFault.lookup(failure)))
    case .success(let addresses):
      queue = AddressQueue(addresses, limits: context.limits, deadline: deadline)
      connectToNext()
    }
  }

  private func connectToNext() {
    disconnect()
    guard let (address, time) = queue.next(now: context.loop.now, limits: context.limits) else {
      return finish(.critical(queue.firstFault ?? "dial tcp: lookup \(address): no such host"))
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

  private func finish(_ result: ProbeResult?) {
    guard let done else { return }
    self.done = nil
    disconnect()
    if let result { done(result) }
  }
}

extension TCPProbe: TCPConnectionDelegate {
  func connectionDidConnect(_ connection: TCPConnection) {
    finish(ProbeResult(status: .passing, output: "TCP connect \(address): Success"))
  }
  func connectionDidRead(_ connection: TCPConnection) {}
  func connectionDidReachEOF(_ connection: TCPConnection) {}
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    let unknown = SystemError(operation: "connect", subject: address, code: 0)
    queue.note(DialFault.text(connection.remoteAddress, error ?? unknown))
    connectToNext()
  }
}
