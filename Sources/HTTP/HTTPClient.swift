package import EventLoop

/// One request to one server on a fresh connection; for checks and tests.
///
/// Happy path: connect, write the whole request, read until the response is complete, close. Every
/// failure is reported once: no connection, the time is over, the server closed too early, or what
/// it sent is no HTTP.
package final class HTTPClient {
  package struct Request: Sendable {
    package var method: String
    package var address: SocketAddress
    /// For the Host header.
    package var host: String
    package var target: String
    package var headers: [(String, String)]
    package var body: [UInt8]
    package init(
      method: String, address: SocketAddress, host: String, target: String,
      headers: [(String, String)] = [], body: [UInt8] = []
    ) {
      self.method = method
      self.address = address
      self.host = host
      self.target = target
      self.headers = headers
      self.body = body
    }
  }
  package struct Response: Sendable {
    package var status: Int
    package var reason: String
    package var headers: [(String, String)]
    /// At most `bodyBytesMax`, the rest was dropped.
    package var body: [UInt8]

    /// The first header of that name, in any case.
    package func header(_ name: String) -> String? {
      let wanted = name.lowercased()
      return headers.first { $0.0.lowercased() == wanted }?.1
    }
  }
  package enum Failure: Error, Equatable, Sendable {
    case connect(SystemError)
    case timeout
    case closed
    case malformed(String)
    /// The head came, but the body ended too early or not in time: what there is of it.
    case incomplete(status: Int, reason: String, body: [UInt8])
  }

  /// Cancel with the returned closure; `done` is called exactly once unless cancelled.
  package static func send(
    _ request: Request, loop: EventLoop, timeoutNanoseconds: UInt64, bodyBytesMax: Int,
    done: @escaping (Result<Response, Failure>) -> Void
  ) -> () -> Void {
    let client = HTTPClient(request, loop: loop, bodyBytesMax: bodyBytesMax, done: done)
    client.start(timeoutNanoseconds)
    return { client.finish(nil) }
  }

  private let request: Request
  private let loop: EventLoop
  private var done: ((Result<Response, Failure>) -> Void)?
  private var parser: ResponseParser
  private var connection: TCPConnection?
  private var isConnected = false
  /// Also what keeps this object alive while the exchange lasts.
  private var timer: TimerID?

  private init(
    _ request: Request, loop: EventLoop, bodyBytesMax: Int,
    done: @escaping (Result<Response, Failure>) -> Void
  ) {
    self.request = request
    self.loop = loop
    self.done = done
    parser = ResponseParser(isHead: request.method == "HEAD", bodyBytesMax: bodyBytesMax)
  }

  private func start(_ timeoutNanoseconds: UInt64) {
    timer = loop.schedule(after: timeoutNanoseconds) { self.fail(.timeout) }
    var options = TCPConnection.Options()
    options.inputBytesMax = 128 << 10
    connection = TCPConnection(
      connectingTo: request.address, loop: loop, options: options, delegate: self)
  }

  private func finish(_ result: Result<Response, Failure>?) {
    guard let done else { return }
    self.done = nil
    if let timer { loop.cancel(timer) }
    timer = nil
    let connection = connection
    self.connection = nil
    connection?.delegate = nil
    connection?.close()
    if let result { done(result) }
  }

  private func read(_ connection: TCPConnection) {
    let consumed: Int
    let step: ResponseParser.Step
    do {
      let queue = connection.input
      let range = queue.readableRange
      var offset = range.lowerBound
      step = parser.next(queue.storage, &offset, range.upperBound)
      consumed = offset - range.lowerBound
    }
    connection.input.consume(consumed)
    switch step {
    case .needsMore: break
    case .complete: succeed()
    case .fault(let message): finish(.failure(.malformed(message)))
    }
  }

  private func fail(_ failure: Failure) {
    guard parser.hasHead else { return finish(.failure(failure)) }
    finish(
      .failure(
        .incomplete(status: parser.status, reason: parser.reason, body: parser.body)))
  }

  private func succeed() {
    finish(
      .success(
        Response(
          status: parser.status, reason: parser.reason, headers: parser.headers,
          body: parser.body)))
  }

  /// Nothing in the request can add a header or a second request: names and the method must be
  /// tokens, control characters are sent as blanks, and blanks in the target percent-encoded.
  private func writeRequest(into output: inout [UInt8]) {
    output.append(contentsOf: request.method.utf8.filter(ASCII.isToken))
    output.append(ASCII.space)
    for byte in (request.target.isEmpty ? "/" : request.target).utf8 {
      if byte <= ASCII.space || byte == 0x7F {
        output.append(0x25)
        output.append(ASCII.hexDigit(byte >> 4))
        output.append(ASCII.hexDigit(byte))
      } else {
        output.append(byte)
      }
    }
    output.append(" HTTP/1.1\r\n")
    writeHeader("Host", request.host, into: &output)
    for (name, value) in request.headers { writeHeader(name, value, into: &output) }
    if !request.body.isEmpty || request.method == "POST" || request.method == "PUT" {
      output.append("Content-Length: ")
      output.append(decimal: UInt64(request.body.count))
      output.append("\r\n")
    }
    output.append("Connection: close\r\n\r\n")
    output.append(contentsOf: request.body)
  }

  private func writeHeader(_ name: String, _ value: String, into output: inout [UInt8]) {
    guard !name.isEmpty, name.utf8.allSatisfy(ASCII.isToken) else { return }
    output.append(contentsOf: name.utf8)
    output.append(": ")
    for byte in value.utf8 { output.append(byte < 0x20 || byte == 0x7F ? ASCII.space : byte) }
    output.append("\r\n")
  }
}

extension HTTPClient: TCPConnectionDelegate {
  package func connectionDidConnect(_ connection: TCPConnection) {
    isConnected = true
    connection.output.withStorage { output in writeRequest(into: &output) }
    connection.flushAtTurnEnd()
  }

  package func connectionDidRead(_ connection: TCPConnection) { read(connection) }

  package func connectionDidReachEOF(_ connection: TCPConnection) {
    read(connection)
    guard done != nil else { return }
    if parser.endOfInput() { succeed() } else { fail(.closed) }
  }

  package func connectionDidDrain(_ connection: TCPConnection) {}

  package func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    guard isConnected else {
      let unknown = SystemError(operation: "connect", subject: "\(request.address)", code: 0)
      finish(.failure(.connect(error ?? unknown)))
      return
    }
    if parser.endOfInput() { succeed() } else { fail(.closed) }
  }
}
