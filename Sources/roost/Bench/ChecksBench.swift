internal import CRoost
internal import EventLoop
internal import Foundation
internal import Harness
internal import RoostClient
internal import Synchronization

extension Bench {
  /// Registers `--instances` services with an HTTP check each, spread over the nodes, answers the
  /// probes itself, and prints what they cost each node beside what as many bare exchanges cost a
  /// program that does nothing else.
  func checks() throws -> Int32 {
    let instances = try number("instances", 10_000, 1...100_000)
    let interval = try number("interval", 10, 1...3600)
    let target = try ProbeTarget()
    defer { target.stop() }
    return try onNodes { all, cluster in
      for (index, address) in all.enumerated() {
        try register(instances, of: all.count, at: index, address, target.port, interval)
      }
      // Every check has been probed once: what follows is the steady state.
      usleep(UInt32(Double(interval) * 1.5e6))
      let costs = all.map { ProcessCost(listeningOn: $0.port) }
      let before = costs.map { $0?.sample() }
      let seconds = options.seconds * 2 + Double(interval)
      let first = target.answered
      usleep(UInt32(seconds * 1e6))
      let answered = target.answered - first
      let shares = zip(costs, before).compactMap { cost, old in
        cost.map { ($0.sample().cpuSeconds - (old?.cpuSeconds ?? 0)) / seconds * 100 }
      }
      let rate = Double(answered) / seconds / Double(all.count)
      let share = try BareExchanges(port: target.port).share(rate: rate, seconds: 5)
      let nodes = shares.map { String(format: "%.1f", $0) }.joined(separator: ", ")
      Console.print(
        String(
          format: "%d HTTP checks every %d s: %.0f probes per second", instances, interval,
          Double(answered) / seconds))
      Console.print("each node: \(nodes) % of a core")
      Console.print(String(format: "the bare exchanges of one node: %.1f %% of a core", share))
      let wanted = Double(instances) / Double(interval)
      guard Double(answered) / seconds > wanted * 0.9 else {
        throw CommandFailure("only \(answered) probes in \(Int(seconds)) s")
      }
      return 0
    }
  }

  private func register(
    _ instances: Int, of nodes: Int, at index: Int, _ address: SocketAddress, _ port: UInt16,
    _ interval: Int
  ) throws {
    let roost = try Roost(addresses: ["\(address)"])
    for id in stride(from: index, to: instances, by: nodes) {
      let body = """
        {"ID":"checked-\(id)","Name":"checked","Port":80,"Check":{"HTTP":"http://127.0.0.1:\
        \(port)/health","Interval":"\(interval)s","Timeout":"5s"}}
        """
      _ = try roost.expectOK("PUT", "/v1/agent/service/register", body: Array(body.utf8))
      if id % 500 < nodes { Progress.show("\(id) of \(instances) registered") }
    }
    Progress.clear()
  }
}

/// The service behind the checks: answers every request with 200 and closes, on a thread of its own.
private final class ProbeTarget: Sendable {
  let port: UInt16
  private let answers = Atomic<Int>(0)
  private let isStopped = Atomic<Bool>(false)

  init() throws {
    port = try Ports.take(1)[0]
    let failure = Mutex<String?>(nil)
    let isReady = DispatchSemaphore(value: 0)
    Thread.detachNewThread { [self] in
      do {
        let server = try ProbeServer(port: port)
        isReady.signal()
        while !isStopped.load(ordering: .relaxed) {
          server.loop.runTurn(waitingAtMost: 50_000_000)
          answers.store(server.answered, ordering: .relaxed)
        }
      } catch {
        failure.withLock { $0 = "\(error)" }
        isReady.signal()
      }
    }
    isReady.wait()
    if let text = failure.withLock({ $0 }) { throw CommandFailure(text) }
  }

  func stop() { isStopped.store(true, ordering: .relaxed) }
  var answered: Int { answers.load(ordering: .relaxed) }
}

private final class ProbeServer: TCPConnectionDelegate {
  let loop: EventLoop
  private(set) var answered = 0
  private var listener: TCPListener?
  private var connections: [ObjectIdentifier: TCPConnection] = [:]
  private static let response = Array(
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".utf8)

  init(port: UInt16) throws(SystemError) {
    loop = try EventLoop()
    listener = try TCPListener(
      address: SocketAddress(ip: [127, 0, 0, 1], port: port), loop: loop,
      options: TCPConnection.Options()
    ) { [unowned self] connection in
      connection.delegate = self
      connections[ObjectIdentifier(connection)] = connection
    }
  }

  func connectionDidRead(_ connection: TCPConnection) {
    let bytes = connection.input.storage[connection.input.readableRange]
    guard bytes.suffix(4).elementsEqual("\r\n\r\n".utf8) else { return }
    connection.input.consume(bytes.count)
    connection.output.append(Self.response)
    connection.closeAfterFlush()
    answered += 1
  }

  func connectionDidConnect(_ connection: TCPConnection) {}
  func connectionDidReachEOF(_ connection: TCPConnection) { connection.close() }
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    connections[ObjectIdentifier(connection)] = nil
  }
}

/// Exchanges of one request on a connection of its own, at a steady rate, by a program that does
/// nothing else: what nobody who probes by HTTP can save.
private final class BareExchanges: TCPConnectionDelegate {
  private let loop: EventLoop
  private let address: SocketAddress
  private var connections: [ObjectIdentifier: TCPConnection] = [:]
  private var started = 0
  private static let request = Array(
    "GET /health HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".utf8)

  init(port: UInt16) throws(SystemError) {
    loop = try EventLoop()
    address = SocketAddress(ip: [127, 0, 0, 1], port: port)
  }

  /// The share of a core that this thread needs, in percent.
  func share(rate: Double, seconds: Double) -> Double {
    let begin = croost_monotonic()
    let before = Self.threadSeconds
    func tick() {
      let due = Double(croost_monotonic() - begin) / 1e9 * rate
      while Double(started) < due { start() }
      loop.schedule(after: 5_000_000, tick)
    }
    tick()
    _ = loop.run(forAtMost: UInt64(seconds * 1e9)) { false }
    return (Self.threadSeconds - before) / seconds * 100
  }

  private func start() {
    started += 1
    let connection = TCPConnection(
      connectingTo: address, loop: loop, options: TCPConnection.Options(), delegate: self)
    connections[ObjectIdentifier(connection)] = connection
  }

  private static var threadSeconds: Double {
    var time = timespec()
    // Sound: the pointer is valid for the call.
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  func connectionDidConnect(_ connection: TCPConnection) {
    connection.output.append(Self.request)
    connection.flushAtTurnEnd()
  }
  func connectionDidRead(_ connection: TCPConnection) {
    connection.input.consume(connection.input.count)
  }
  func connectionDidReachEOF(_ connection: TCPConnection) { connection.close() }
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    connections[ObjectIdentifier(connection)] = nil
  }
}
