package import EventLoop
internal import Basics
internal import CRoost

/// DNS over UDP and TCP on one address (RFC 1035 4.2, RFC 7766).
///
/// Happy path: a datagram arrives, is parsed, answered out of the data source and sent back, all in
/// one turn and without allocating sockets or timers. Three things take longer: a read barrier
/// (when stale answers are not allowed), names outside the domain and host names as addresses
/// (recursors). Failures: what is no question is dropped, what is malformed gets FORMERR, what
/// cannot be answered now SERVFAIL, and what would be too much for a sender that may be forged is
/// answered "come over TCP".
package final class DNSServer {
  package struct Counters: Sendable {
    package var questions: UInt64 = 0
    package var malformed: UInt64 = 0
    package var failures: UInt64 = 0
    package var forwarded: UInt64 = 0
    /// UDP answers withheld for their size.
    package var deflected: UInt64 = 0
    package var connectionsOpen = 0
    package var connectionsRefused: UInt64 = 0
    package init() {}
  }

  /// Who asked, and what.
  struct Asker {
    enum Way {
      case udp(UDPEnvelope)
      /// Weak: a client may hang up before its answer is there.
      case tcp(Connection)
    }
    struct Connection { weak var connection: DNSConnection? }

    let way: Way
    let query: DNSQuery

    var transport: DNSAnswers.Transport {
      if case .tcp = way { .tcp } else { .udp }
    }
  }

  package private(set) var counters = Counters()
  package let localAddress: SocketAddress

  let loop: EventLoop
  let limits: DNSLimits
  private let options: DNSOptions
  private let source: any DNSDataSource
  private var answers: DNSAnswers
  private var rateLimit: DNSRateLimit
  private let forwarder: DNSForwarder
  private var udp: UDPSocket?
  private var listener: TCPListener?
  private var connections: [DNSConnection] = []
  /// Connections per client; only looked up, never walked.
  private var clients: [[UInt8]: Int] = [:]
  private var pending = 0
  private var sweepTimer: TimerID?
  private var isClosed = false

  private static let sweepNanoseconds: UInt64 = 1_000_000_000

  /// Binds UDP and TCP. Port 0: the kernel chooses one, the same for both.
  package init(
    address: SocketAddress, loop: EventLoop, options: DNSOptions, limits: DNSLimits = DNSLimits(),
    source: any DNSDataSource
  ) throws(SystemError) {
    self.loop = loop
    self.limits = limits
    self.options = options
    self.source = source
    var seeds: [2 of UInt64] = [0, 0]
    // Sound: C fills in exactly the bytes of both numbers.
    _ = unsafe croost_random(&seeds, 16)
    answers = DNSAnswers(options: options, seed: seeds[0])
    rateLimit = DNSRateLimit(
      bytesPerSecond: limits.amplifiedBytesPerSecond, seed: seeds[1], now: loop.now)
    forwarder = DNSForwarder(
      loop: loop, recursors: options.recursors,
      timeoutNanoseconds: options.recursorTimeoutNanoseconds)
    // Both need a closure over this server, which needs their address.
    let box = Box()
    var connectionOptions = TCPConnection.Options()
    connectionOptions.inputBytesMax = 2 * (limits.queryBytesMax + 2)
    connectionOptions.outputHighWater = limits.outputHighWater
    connectionOptions.outputLowWater = limits.outputHighWater / 4
    let listener = try TCPListener(address: address, loop: loop, options: connectionOptions) {
      box.server?.accept($0)
    }
    self.listener = listener
    localAddress = listener.localAddress
    udp = try UDPSocket(
      address: listener.localAddress, loop: loop, datagramBytesMax: limits.queryBytesMax + 1
    ) { bytes, envelope in
      box.server?.receive(bytes, envelope)
    }
    box.server = self
  }

  private final class Box {
    weak var server: DNSServer?
  }

  package func close() {
    guard !isClosed else { return }
    isClosed = true
    udp?.close()
    udp = nil
    listener?.close()
    listener = nil
    forwarder.close()
    for connection in connections { connection.tcp.close() }
    if let sweepTimer { loop.cancel(sweepTimer) }
    sweepTimer = nil
  }

  // MARK: Questions

  private func receive(_ bytes: ArraySlice<UInt8>, _ envelope: UDPEnvelope) {
    // Longer ones arrive cut off.
    guard bytes.count <= limits.queryBytesMax else { return }
    handle(Array(bytes), .udp(envelope))
  }

  func receive(_ bytes: [UInt8], from connection: DNSConnection) {
    handle(bytes, .tcp(Asker.Connection(connection: connection)))
  }

  private func handle(_ bytes: [UInt8], _ way: Asker.Way) {
    counters.questions &+= 1
    let query: DNSQuery
    do throws(DNSQuery.Refusal) {
      query = try DNSQuery(parsing: bytes)
    } catch {
      counters.malformed &+= 1
      guard case .answer(let code, let id, let flags) = error else { return }
      // No longer than the question: nobody can be flooded with it.
      answers.refuse(id: id, flags: flags, code)
      return send(answers.message, way)
    }
    let asker = Asker(way: way, query: query)
    if options.isStaleAllowed {
      guard source.mayLackAnsweredWrites, begin() else { return answer(asker) }
      return source.catchUp { [weak self] in
        if let self, end() { answer(asker) }
      }
    }
    guard begin() else { return fail(asker) }
    source.confirm { [weak self] isConfirmed in
      guard let self, end() else { return }
      if isConfirmed { answer(asker) } else { fail(asker) }
    }
  }

  private func answer(_ asker: Asker) {
    let time = UInt32(truncatingIfNeeded: loop.wallClock / 1_000_000_000)
    let disposition = answers.respond(
      to: asker.query, over: asker.transport, from: source, time: time)
    switch disposition {
    case .answered: deliver(answers.message, asker)
    case .forward: forward(asker)
    case .chase(let target, let ttl): chase(target, ttl, asker)
    }
  }

  private func fail(_ asker: Asker) {
    counters.failures &+= 1
    answers.refuse(asker.query, .serverFailure)
    deliver(answers.message, asker)
  }

  private func forward(_ asker: Asker) {
    guard begin() else { return fail(asker) }
    counters.forwarded &+= 1
    forwarder.ask(
      asker.query.question, payloadBytes: asker.query.edns?.payloadBytes,
      flags: asker.query.flags, over: asker.transport
    ) { [weak self] found in
      guard let self, end() else { return }
      guard var message = found?.bytes else { return fail(asker) }
      message[0] = UInt8(asker.query.id >> 8)
      message[1] = UInt8(truncatingIfNeeded: asker.query.id)
      deliver(message, asker)
    }
  }

  private func chase(_ target: DNSName, _ ttl: UInt32, _ asker: Asker) {
    guard begin() else { return deliver(answers.message, asker) }
    counters.forwarded &+= 1
    let question = DNSQuestion(name: target, type: asker.query.question.type)
    forwarder.ask(
      question, payloadBytes: nil, flags: DNSFlags.recursionDesired, over: asker.transport
    ) { [weak self] found in
      guard let self, end() else { return }
      // Without an answer the alias alone is still true.
      answers.complete(
        asker.query, over: asker.transport, target: target, ttl: ttl,
        addresses: found?.response.addresses ?? [])
      deliver(answers.message, asker)
    }
  }

  /// Room for one more question that waits; `end` gives it back and says whether the server still
  /// runs.
  private func begin() -> Bool {
    guard pending < limits.pendingMax else { return false }
    pending += 1
    return true
  }

  private func end() -> Bool {
    pending -= 1
    return !isClosed
  }

  // MARK: Answers

  private func deliver(_ message: [UInt8], _ asker: Asker) {
    if case .udp(let envelope) = asker.way,
      !rateLimit.allows(
        message.count, to: envelope.remote, questionBytes: asker.query.byteCount, now: loop.now)
    {
      counters.deflected &+= 1
      answers.deflect(asker.query)
      return send(answers.message, asker.way)
    }
    send(message, asker.way)
  }

  private func send(_ message: [UInt8], _ way: Asker.Way) {
    switch way {
    case .udp(let envelope): udp?.send(message, to: envelope)
    case .tcp(let client): client.connection?.send(message)
    }
  }

  // MARK: Connections

  private func accept(_ tcp: TCPConnection) {
    let count = clients[tcp.remoteAddress.ip, default: 0]
    guard connections.count < limits.connectionsMax, count < limits.connectionsPerClientMax else {
      counters.connectionsRefused &+= 1
      return tcp.reset()
    }
    clients[tcp.remoteAddress.ip] = count + 1
    let connection = DNSConnection(tcp: tcp, server: self)
    tcp.delegate = connection
    connections.append(connection)
    counters.connectionsOpen = connections.count
    scheduleSweep()
  }

  func remove(_ connection: DNSConnection) {
    guard let position = connections.firstIndex(where: { $0 === connection }) else { return }
    connections.swapAt(position, connections.count - 1)
    connections.removeLast()
    counters.connectionsOpen = connections.count
    let ip = connection.tcp.remoteAddress.ip
    let left = clients[ip, default: 1] - 1
    clients[ip] = left > 0 ? left : nil
  }

  /// One timer for all: closes what has been idle for too long.
  private func scheduleSweep() {
    guard sweepTimer == nil, !isClosed, !connections.isEmpty else { return }
    sweepTimer = loop.schedule(after: min(Self.sweepNanoseconds, limits.idleNanoseconds)) {
      [weak self] in
      guard let self else { return }
      sweepTimer = nil
      let now = loop.now
      for connection in connections where connection.isIdle(at: now) {
        connection.tcp.closeAfterFlush()
      }
      scheduleSweep()
    }
  }
}
