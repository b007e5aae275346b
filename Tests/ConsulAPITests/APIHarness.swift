import ConsulAPI
import HTTP
import Node
import Registry
import Testing

/// The API on a memory backend, asked in process.
final class APIHarness {
  let backend: MemoryBackend
  let api: ConsulAPI<MemoryBackend>

  init(limits: APILimits = APILimits()) {
    backend = MemoryBackend()
    var last: UInt64 = 0
    api = ConsulAPI(node: backend, limits: limits) {
      last += 1
      return last
    }
  }

  /// A request under way.
  final class Exchange {
    fileprivate(set) var response: HTTPResponse?
    fileprivate(set) var responder: HTTPResponder?
  }

  /// Sends a request and runs what it put off; the answer may still be missing (a blocking query).
  @discardableResult
  func send(
    _ method: String, _ target: String, body: String = "", headers: [(String, String)] = []
  ) -> Exchange {
    send(method, target, bytes: Array(body.utf8), headers: headers)
  }

  @discardableResult
  func send(
    _ method: String, _ target: String, bytes: [UInt8], headers: [(String, String)] = []
  ) -> Exchange {
    let exchange = Exchange()
    let request = HTTPRequest(
      method: HTTPMethod(name: method), target: target, headers: headers, body: bytes)
    let responder = HTTPResponder { exchange.response = $0 }
    exchange.responder = responder
    api.handle(request, responder)
    backend.run()
    if exchange.response != nil { exchange.responder = nil }
    return exchange
  }

  /// A request that must be answered at once.
  func ask(
    _ method: String, _ target: String, body: String = "", headers: [(String, String)] = []
  ) -> Reply {
    let exchange = send(method, target, body: body, headers: headers)
    guard let response = exchange.response else {
      Issue.record("no answer to \(method) \(target)")
      return Reply(HTTPResponse(status: 0))
    }
    return Reply(response)
  }

  func get(_ target: String) -> Reply { ask("GET", target) }
  @discardableResult
  func put(_ target: String, _ body: String = "") -> Reply { ask("PUT", target, body: body) }
}

/// An answer as a client sees it.
struct Reply {
  let status: Int
  let text: String
  let headers: [String: String]

  init(_ response: HTTPResponse) {
    status = response.status
    text = String(decoding: response.body, as: UTF8.self)
    var headers: [String: String] = [:]
    for (name, value) in response.allHeaders { headers[name] = value }
    if let type = response.contentType { headers["Content-Type"] = "\(type)" }
    self.headers = headers
  }

  var index: UInt64 { headers["X-Consul-Index"].flatMap { UInt64($0) } ?? 0 }
  /// Status and text, for comparing both at once.
  var line: String { "\(status) \(text)" }
  var json: JSONValue? { try? JSONScanner.parse(Array(text.utf8)[...]) }
}
