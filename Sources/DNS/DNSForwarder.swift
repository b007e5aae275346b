internal import CRoost
internal import EventLoop

/// Asks other servers about names that are not ours.
///
/// Happy path: a question of our own, with a random id, leaves from a socket made for it, so from a
/// random port (RFC 5452 9.2); the first answer that comes back on that socket with the same id
/// and question counts. Failures: a recursor that does not answer in time, refuses or fails is
/// passed over for the next; after the last the answer is nil.
final class DNSForwarder {
  /// An answer, whole and looked into.
  struct Found {
    let bytes: [UInt8]
    let response: DNSResponse
  }

  fileprivate let loop: EventLoop
  fileprivate let recursors: [SocketAddress]
  fileprivate let timeoutNanoseconds: UInt64
  private var exchanges: [UInt64: Exchange] = [:]
  private var nextKey: UInt64 = 0

  init(loop: EventLoop, recursors: [SocketAddress], timeoutNanoseconds: UInt64) {
    self.loop = loop
    self.recursors = recursors
    self.timeoutNanoseconds = timeoutNanoseconds
  }

  /// How many may be under way is bounded by the server (`pendingMax`). `done` is called once,
  /// later.
  func ask(
    _ question: DNSQuestion, payloadBytes: UInt16?, flags: UInt16,
    over transport: DNSAnswers.Transport, done: @escaping (Found?) -> Void
  ) {
    let key = nextKey
    nextKey += 1
    let exchange = Exchange(
      forwarder: self, question: question, payloadBytes: payloadBytes, flags: flags,
      transport: transport
    ) { [weak self] found in
      self?.exchanges[key] = nil
      done(found)
    }
    exchanges[key] = exchange
    exchange.tryNext()
  }

  func close() {
    let all = exchanges
    exchanges = [:]
    for exchange in all.values { exchange.cancel() }
  }
}

/// One question on its way through the recursors.
private final class Exchange: TCPConnectionDelegate {
  private unowned let forwarder: DNSForwarder
  private let question: DNSQuestion
  private let payloadBytes: UInt16?
  private let flags: UInt16
  private let transport: DNSAnswers.Transport
  private var done: ((DNSForwarder.Found?) -> Void)?
  private var position = 0
  private var id: UInt16 = 0
  private var udp: UDPSocket?
  private var tcp: TCPConnection?
  private var timer: TimerID?

  init(
    forwarder: DNSForwarder, question: DNSQuestion, payloadBytes: UInt16?, flags: UInt16,
    transport: DNSAnswers.Transport, done: @escaping (DNSForwarder.Found?) -> Void
  ) {
    self.forwarder = forwarder
    self.question = question
    self.payloadBytes = payloadBytes
    self.flags = flags
    self.transport = transport
    self.done = done
  }

  func cancel() {
    release()
    done = nil
  }

  func tryNext() {
    release()
    // Not from within the call that asked, nor from a callback of the socket just given up.
    guard position < forwarder.recursors.count else {
      timer = forwarder.loop.schedule(after: 0) { [weak self] in self?.finish(nil) }
      return
    }
    let recursor = forwarder.recursors[position]
    position += 1
    timer = forwarder.loop.schedule(after: forwarder.timeoutNanoseconds) { [weak self] in
      self?.tryNext()
    }
    // Sound: C fills in exactly two bytes.
    _ = unsafe croost_random(&id, 2)
    let message = message()
    switch transport {
    case .udp: sendDatagram(message, to: recursor)
    case .tcp:
      var options = TCPConnection.Options()
      options.inputBytesMax = 2 + DNSWriter.messageBytesMax
      let connection = TCPConnection(
        connectingTo: recursor, loop: forwarder.loop, options: options, delegate: self)
      tcp = connection
      connection.output.append(UInt8(truncatingIfNeeded: message.count >> 8))
      connection.output.append(UInt8(truncatingIfNeeded: message.count))
      connection.output.append(message)
    }
  }

  private func message() -> [UInt8] {
    var writer = DNSWriter()
    let copied = DNSFlags.recursionDesired | DNSFlags.checkingDisabled
    writer.begin(id: id, flags: flags & copied)
    writer.question(question)
    if let payloadBytes { writer.options(payloadBytes: payloadBytes, code: .noError) }
    writer.finish()
    return writer.bytes
  }

  private func sendDatagram(_ message: [UInt8], to recursor: SocketAddress) {
    do throws(SystemError) {
      let socket = try UDPSocket(
        connectingTo: recursor, loop: forwarder.loop,
        datagramBytesMax: max(Int(payloadBytes ?? 0), DNSAnswers.plainUDPBytesMax)
      ) { [weak self] bytes, _ in
        self?.examine(Array(bytes))
      }
      socket.failed = { [weak self] _ in self?.tryNext() }
      udp = socket
      socket.send(message)
    } catch {
      // No descriptor, or no route: the next one, when the loop comes round.
      if let timer { forwarder.loop.cancel(timer) }
      timer = forwarder.loop.schedule(after: 0) { [weak self] in self?.tryNext() }
    }
  }

  /// Whatever does not fit the question is not from who was asked, and is ignored.
  private func examine(_ bytes: [UInt8]) {
    guard let response = try? DNSResponse(parsing: bytes), response.id == id,
      let echoed = response.question, echoed.type == question.type,
      echoed.name.matches(question.name)
    else { return }
    switch DNSCode(rawValue: response.code) {
    case .noError, .nameError: finish(DNSForwarder.Found(bytes: bytes, response: response))
    default: tryNext()
    }
  }

  private func finish(_ found: DNSForwarder.Found?) {
    let done = done
    release()
    self.done = nil
    done?(found)
  }

  private func release() {
    if let timer { forwarder.loop.cancel(timer) }
    timer = nil
    udp?.close()
    udp = nil
    let connection = tcp
    tcp = nil
    connection?.delegate = nil
    connection?.close()
  }

  // MARK: TCP

  func connectionDidConnect(_ connection: TCPConnection) {}

  func connectionDidRead(_ connection: TCPConnection) {
    let range = connection.input.readableRange
    guard range.count >= 2 else { return }
    let start = range.lowerBound
    let storage = connection.input.storage
    let count = Int(storage[start]) << 8 | Int(storage[start + 1])
    guard range.count >= 2 + count else { return }
    examine(Array(storage[(start + 2)..<(start + 2 + count)]))
  }

  func connectionDidReachEOF(_ connection: TCPConnection) { tryNext() }
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    if connection === tcp { tryNext() }
  }
}
