import EventLoop
import HTTP

/// One request as Consul's HTTP check makes it: 2xx is passing, 429 a warning, the rest critical.
///
/// Redirects are followed on the same host only (security rule S30): the target of a check must not
/// be able to send us anywhere else.
final class HTTPProbe: Probe {
  struct Definition {
    var url: String
    var method: String
    var headers: [(String, [String])]
    var body: [UInt8]
    var outputBytesMax: Int
  }

  private let definition: Definition
  private let context: ProbeContext
  private let deadline: UInt64
  private var done: ((ProbeResult) -> Void)?
  /// Of the request under way; redirects change them.
  private var method: String
  private var body: [UInt8]
  private var url: ProbeURL?
  private var redirects = 0
  private var queue = AddressQueue([], limits: CheckLimits(), deadline: 0)
  private var timer: TimerID?
  private var cancelRequest: (() -> Void)?

  init(
    _ definition: Definition, context: ProbeContext, timeoutNanoseconds: UInt64,
    done: @escaping (ProbeResult) -> Void
  ) {
    self.definition = definition
    self.context = context
    deadline = context.loop.now &+ timeoutNanoseconds
    self.done = done
    method = definition.method.isEmpty ? "GET" : definition.method
    body = definition.body
  }

  func start() {
    guard Self.isToken(method) else {
      return finish(.critical("net/http: invalid method \(method.debugDescription)"))
    }
    do {
      send(to: try ProbeURL(definition.url))
    } catch {
      finish(.critical(fault(definition.url, error.message)))
    }
  }

  func cancel() { finish(nil) }

  // MARK: One request

  private func send(to url: ProbeURL) {
    self.url = url
    guard !url.isSecure else {
      let message = "https is not supported by this version of Roost; use an http or tcp check"
      return finish(.critical(fault(url.description, message)))
    }
    let left = deadline - min(deadline, context.loop.now)
    timer = context.loop.schedule(after: left) { [self] in failWithTimeout() }
    context.resolver.resolve(host: url.host, port: url.port) { [weak self] answer in
      self?.resolved(answer)
    }
  }

  private func resolved(_ answer: Resolver.Answer) {
    guard done != nil, let url else { return }
    if let timer { context.loop.cancel(timer) }
    timer = nil
    switch answer {
    case .failure(let failure):
      finish(.critical(fault(url.description, DialFault.lookup(failure))))
    case .success(let addresses):
      queue = AddressQueue(addresses, limits: context.limits, deadline: deadline)
      sendToNext(url)
    }
  }

  private func sendToNext(_ url: ProbeURL) {
    guard let (address, _) = queue.next(now: context.loop.now, limits: context.limits) else {
      let reason = queue.firstFault ?? "dial tcp: lookup \(url.host): no such host"
      return finish(.critical(fault(url.description, reason)))
    }
    var request = HTTPClient.Request(
      method: method, address: address, host: url.authority, target: url.target, body: body)
    addHeaders(to: &request)
    cancelRequest = HTTPClient.send(
      request, loop: context.loop, timeoutNanoseconds: deadline - context.loop.now,
      bodyBytesMax: max(1, definition.outputBytesMax)
    ) { [self] result in answered(result, url, address) }
  }

  private func addHeaders(to request: inout HTTPClient.Request) {
    var names: Set<String> = []
    for (name, values) in definition.headers {
      let lower = name.lowercased()
      // These frame the message and are the client's to write.
      guard !["content-length", "transfer-encoding", "connection"].contains(lower) else { continue }
      names.insert(lower)
      if lower == "host" {
        if let host = values.first, !host.isEmpty { request.host = host }
        continue
      }
      for value in values { request.headers.append((name, value)) }
    }
    if !names.contains("user-agent") {
      request.headers.append(("User-Agent", "Consul Health Check"))
    }
    if !names.contains("accept") {
      request.headers.append(("Accept", "text/plain, text/*, */*"))
    }
  }

  private func answered(
    _ result: Result<HTTPClient.Response, HTTPClient.Failure>, _ url: ProbeURL,
    _ address: SocketAddress
  ) {
    cancelRequest = nil
    switch result {
    case .success(let response):
      if Self.isRedirect(response.status) {
        redirect(response, from: url)
      } else {
        judge(response.status, response.reason, response.body)
      }
    case .failure(.incomplete(let status, let reason, let body)): judge(status, reason, body)
    case .failure(.connect(let error)):
      queue.note(DialFault.text(address, error))
      sendToNext(url)
    case .failure(.timeout): failWithTimeout()
    case .failure(.closed): finish(.critical(fault(url.description, "EOF")))
    case .failure(.malformed(let message)):
      let reason = "net/http: HTTP/1.x transport connection broken: \(message)"
      finish(.critical(fault(url.description, reason)))
    }
  }

  private func failWithTimeout() {
    let reason =
      "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    finish(.critical(fault(url?.description ?? definition.url, reason)))
  }

  private func judge(_ status: Int, _ reason: String, _ body: [UInt8]) {
    let shown = definition.method.isEmpty ? "GET" : definition.method
    let line = reason.isEmpty ? "\(status)" : "\(status) \(reason)"
    let text = String(decoding: body.prefix(max(0, definition.outputBytesMax)), as: UTF8.self)
    let output = "HTTP \(shown) \(definition.url): \(line) Output: \(text)"
    switch status {
    case 200...299: finish(ProbeResult(status: .passing, output: output))
    case 429: finish(ProbeResult(status: .warning, output: output))
    default: finish(.critical(output))
    }
  }

  // MARK: Redirects

  private static func isRedirect(_ status: Int) -> Bool {
    [301, 302, 303, 307, 308].contains(status)
  }

  private func redirect(_ response: HTTPClient.Response, from url: ProbeURL) {
    guard let location = response.header("location"), !location.isEmpty else {
      let reason = "\(response.status) response missing Location header"
      return finish(.critical(fault(url.description, reason)))
    }
    let next: ProbeURL
    do {
      next = try url.resolving(location)
    } catch {
      return finish(.critical(fault(location, error.message)))
    }
    redirects += 1
    guard redirects <= context.limits.redirectsMax else {
      let reason = "stopped after \(context.limits.redirectsMax) redirects"
      return finish(.critical(fault(next.description, reason)))
    }
    guard next.host.lowercased() == url.host.lowercased(), next.port == url.port else {
      let reason = "redirect from \(url.authority) to another host refused"
      return finish(.critical(fault(next.description, reason)))
    }
    // RFC 9110 15.4: only 307 and 308 keep the method and the body.
    if response.status < 307 {
      if method != "HEAD" { method = "GET" }
      body = []
    }
    send(to: next)
  }

  // MARK: The end

  /// As Go's `url.Error` says it: `Get "http://…": reason`.
  private func fault(_ url: String, _ reason: String) -> String {
    let verb = method.prefix(1).uppercased() + method.dropFirst().lowercased()
    return "\(verb) \"\(url)\": \(reason)"
  }

  private func finish(_ result: ProbeResult?) {
    guard let done else { return }
    self.done = nil
    if let timer { context.loop.cancel(timer) }
    timer = nil
    cancelRequest?()
    cancelRequest = nil
    if let result { done(result) }
  }

  private static func isToken(_ text: String) -> Bool {
    !text.isEmpty
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 0x41...0x5A, 0x61...0x7A, 0x30...0x39, 0x2D, 0x5F: true
        default: false
        }
      }
  }
}
