import EventLoop

/// Asks gRPC's standard health service over cleartext HTTP/2: passing when it says SERVING.
final class GRPCProbe: Probe {
  private let target: String
  private let usesTLS: Bool
  private let context: ProbeContext
  private let deadline: UInt64
  private var done: ((ProbeResult) -> Void)?
  private var dialer: Dialer?
  private var connection: TCPConnection?
  private var timer: TimerID?
  private var call: GRPCCall

  init(
    target: String, usesTLS: Bool, context: ProbeContext, timeoutNanoseconds: UInt64,
    done: @escaping (ProbeResult) -> Void
  ) {
    self.target = target
    self.usesTLS = usesTLS
    self.context = context
    deadline = context.loop.now &+ timeoutNanoseconds
    self.done = done
    let parts = target.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    call = GRPCCall(
      authority: String(parts.first ?? ""), service: parts.count > 1 ? String(parts[1]) : "")
  }

  func start() {
    guard !usesTLS else {
      return finish(
        .critical("TLS is not supported by this version of Roost; use a grpc check without it"))
    }
    let address: HostPort
    do {
      address = try HostPort(String(target.prefix { $0 != "/" }))
    } catch {
      return finish(.critical("dial tcp: \(error.message)"))
    }
    dialer = Dialer(address, context: context, deadline: deadline) { [self] result in
      dialer = nil
      switch result {
      case .success(let connection): connected(connection)
      case .failure(let failure): failed(code: "Unavailable", "connection error: \(failure.text)")
      }
    }
    dialer?.start()
  }

  func cancel() { finish(nil) }

  private func connected(_ connection: TCPConnection) {
    self.connection = connection
    connection.delegate = self
    let left = deadline - min(deadline, context.loop.now)
    timer = context.loop.schedule(after: left) { [self] in
      failed(code: "DeadlineExceeded", "context deadline exceeded")
    }
    flush()
    // What came with the connection.
    connectionDidRead(connection)
  }

  private func flush() {
    let bytes = call.takeOutput()
    guard !bytes.isEmpty, let connection else { return }
    connection.output.append(bytes)
    connection.flushAtTurnEnd()
  }

  private func judge() {
    switch call.outcome {
    case .serving: finish(ProbeResult(status: .passing, output: "gRPC check \(target): success"))
    case .failed(let reason): finish(.critical(reason))
    case nil: flush()
    }
  }

  private func failed(code: String, _ reason: String) {
    finish(.critical("rpc error: code = \(code) desc = \(reason)"))
  }

  private func finish(_ result: ProbeResult?) {
    guard let done else { return }
    self.done = nil
    if let timer { context.loop.cancel(timer) }
    timer = nil
    dialer?.cancel()
    dialer = nil
    let old = connection
    connection = nil
    old?.delegate = nil
    old?.close()
    if let result { done(result) }
  }
}

extension GRPCProbe: TCPConnectionDelegate {
  func connectionDidConnect(_ connection: TCPConnection) {}
  func connectionDidRead(_ connection: TCPConnection) {
    let range = connection.input.readableRange
    guard !range.isEmpty else { return }
    let bytes = Array(connection.input.storage[range])
    connection.input.consume(bytes.count)
    call.receive(bytes[...])
    judge()
  }
  func connectionDidReachEOF(_ connection: TCPConnection) {
    call.receiveEnd()
    judge()
  }
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    failed(
      code: "Unavailable",
      "connection error: \(error.map { SystemError.text(of: $0.code) } ?? "EOF")")
  }
}
