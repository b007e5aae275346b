import EventLoop

/// Sends a datagram: critical when the target's machine says that nobody listens there, passing when
/// something comes back, or nothing does.
final class UDPProbe: Probe {
  /// A refusal comes within a round trip; silence is success after this.
  private static let patienceNanoseconds: UInt64 = 1_000_000_000

  private let address: String
  private let context: ProbeContext
  private let timeoutNanoseconds: UInt64
  private var done: ((ProbeResult) -> Void)?
  private var socket: UDPSocket?
  private var timer: TimerID?

  init(
    address: String, context: ProbeContext, timeoutNanoseconds: UInt64,
    done: @escaping (ProbeResult) -> Void
  ) {
    self.address = address
    self.context = context
    self.timeoutNanoseconds = timeoutNanoseconds
    self.done = done
  }

  func start() {
    let target: HostPort
    do {
      target = try HostPort(address)
    } catch {
      return finish(.critical("dial udp: \(error.message)"))
    }
    timer = context.loop.schedule(after: timeoutNanoseconds) { [self] in
      finish(.critical("dial udp: lookup \(target.host): i/o timeout"))
    }
    context.resolver.resolve(host: target.host, port: target.port) { [weak self] answer in
      self?.resolved(answer)
    }
  }

  func cancel() { finish(nil) }

  private func resolved(_ answer: Resolver.Answer) {
    guard done != nil else { return }
    guard case .success(let addresses) = answer, let first = addresses.first else {
      return finish(.critical("dial udp: lookup \(address): no such host"))
    }
    guard context.limits.allowsLinkLocal || !TargetAddress.isLinkLocal(first) else {
      return finish(.critical("dial udp \(first): link-local targets are refused"))
    }
    do throws(SystemError) {
      let socket = try UDPSocket(connectingTo: first, loop: context.loop, datagramBytesMax: 512) {
        [weak self] _, _ in self?.succeed()
      }
      socket.failed = { [weak self] error in
        self?.finish(.critical("udp \(first): \(SystemError.text(of: error.code))"))
      }
      self.socket = socket
      if let timer { context.loop.cancel(timer) }
      let wait = min(timeoutNanoseconds, Self.patienceNanoseconds)
      timer = context.loop.schedule(after: wait) { [self] in succeed() }
      socket.send([])
    } catch {
      finish(.critical("dial udp \(first): \(SystemError.text(of: error.code))"))
    }
  }

  private func succeed() {
    finish(ProbeResult(status: .passing, output: "UDP connect \(address): Success"))
  }

  private func finish(_ result: ProbeResult?) {
    guard let done else { return }
    self.done = nil
    if let timer { context.loop.cancel(timer) }
    timer = nil
    socket?.close()
    socket = nil
    if let result { done(result) }
  }
}
