package import HTTP
import Node
import Registry

/// On every answer of the API (consul-api.md 1.11, 2.5).
private let commonLines: StaticString =
  "Vary: Accept-Encoding\r\nX-Consul-Default-Acl-Policy: allow\r\n"
private let commonLinesWithLeader: StaticString =
  "Vary: Accept-Encoding\r\nX-Consul-Default-Acl-Policy: allow\r\nX-Consul-Knownleader: true\r\n"
private let commonLinesWithoutLeader: StaticString =
  "Vary: Accept-Encoding\r\nX-Consul-Default-Acl-Policy: allow\r\nX-Consul-Knownleader: false\r\n"

/// From an answer to what goes on the wire, and the answers that no handler is asked for.
extension ConsulAPI {
  func respond(_ answer: Answer, _ responder: HTTPResponder) {
    responder.respond(response(answer))
  }

  func response(_ answer: Answer) -> HTTPResponse { Self.response(answer) }

  static func response(_ answer: Answer) -> HTTPResponse {
    // An error without a text has no type either; an empty `?raw` value has.
    let isBare = answer.body.isEmpty && answer.status != 200
    let contentType = isBare ? nil : answer.contentType
    var response = HTTPResponse(
      status: answer.status, contentType: contentType, headers: answer.headers, body: answer.body)
    response.lines.0 = commonLines
    return response
  }

  /// With the headers of section 2: index, leader, contact, mode.
  func response(
    _ answer: Answer, _ consistency: Consistency, _ options: QueryOptions
  ) -> HTTPResponse {
    var response = response(answer)
    if let hash = answer.hash {
      response.headers.append(("X-Consul-Contenthash", .text(String(hash, radix: 16))))
    }
    guard consistency.hasIndex else { return response }
    response.numbers.0 = .init("X-Consul-Index", max(1, answer.index))
    if consistency == .events { return response }
    appendLeader(to: &response, options, denied: answer.deniesLeader)
    if consistency == .indexedWithMode {
      response.lines.1 = options.mode.line
    }
    // There is no cache: every answer is fresh (3.5).
    if options.isCached { response.headers.append(("X-Cache", .fixed("MISS"))) }
    return response
  }

  func appendLeader(
    to response: inout HTTPResponse, _ options: QueryOptions, denied: Bool = false
  ) {
    response.lines.0 =
      backend.hasLeader && !denied ? commonLinesWithLeader : commonLinesWithoutLeader
    // After a read barrier the answer is as good as the leader's: 0, as in 2.3.
    let contact = options.mode == .stale ? backend.lastContactMilliseconds : 0
    response.numbers.1 = .init("X-Consul-Lastcontact", contact)
  }

  func otherMethod(_ request: HTTPRequest, _ route: Route<B>) -> HTTPResponse {
    if request.method == .options {
      var answer = Answer.empty
      answer.headers = [("Allow", .text(route.allow))]
      return response(answer)
    }
    var answer = Answer.text(405, "method \(request.method.name) not allowed")
    // The head of an answer to HEAD; it has no body (1.5).
    if request.method == .head { answer.body = [] }
    answer.headers = [("Allow", .text(route.allow))]
    return response(answer)
  }

  static func unknownPath(_ path: ArraySlice<UInt8>) -> HTTPResponse {
    // As with the UI switched off (1.4).
    if path.elementsEqual("/".utf8) {
      return HTTPResponse(
        status: 200, contentType: Answer.textType, body: Array("Consul Agent".utf8))
    }
    return HTTPResponse(status: 404)
  }

  /// 301 to `path`, the query kept; for GET with Go's small body (1.7).
  static func redirect(to path: [UInt8], _ request: HTTPRequest) -> HTTPResponse {
    var location: [UInt8] = []
    PercentCoding.encodePath(path[...], into: &location)
    if let query = request.rawQuery, !query.isEmpty {
      location.append(0x3F)
      location.append(contentsOf: query)
    }
    let target = String(decoding: location, as: UTF8.self)
    guard request.method == .get else {
      return HTTPResponse(status: 301, headers: [("Location", .text(target))])
    }
    let escaped = target.utf8.reduce(into: "") { text, byte in
      switch byte {
      case 0x26: text += "&amp;"
      case 0x3C: text += "&lt;"
      case 0x3E: text += "&gt;"
      case 0x22: text += "&#34;"
      case 0x27: text += "&#39;"
      default: text.unicodeScalars.append(Unicode.Scalar(byte))
      }
    }
    return HTTPResponse(
      status: 301, contentType: "text/html; charset=utf-8",
      headers: [("Location", .text(target))],
      body: Array("<a href=\"\(escaped)\">Moved Permanently</a>.\n\n".utf8))
  }

  // MARK: Body limits

  /// Refuses bodies by their `Content-Length`, before they are read; nil lets the server's own
  /// limit rule. Chunked bodies are looked at again when they are here (`checkBodySize`).
  package func bodyLimit(_ head: HTTPRequest) -> HTTPResponse? {
    guard let length = head.contentLength else { return nil }
    if length <= min(backend.kvMaxValueBytes, limits.jsonBodyBytesMax) { return nil }
    let path = head.rawPath
    // The server's own limit for that path.
    if path.elementsEqual("/v1/snapshot".utf8) { return nil }
    let isTransaction = path.elementsEqual("/v1/txn".utf8)
    let limit =
      path.starts(with: "/v1/kv/".utf8) || isTransaction
      ? backend.kvMaxValueBytes : limits.jsonBodyBytesMax
    guard length > limit else { return nil }
    var response = response(Self.tooLarge(length, limit, isTransaction: isTransaction))
    response.closes = true
    return response
  }

  static func tooLarge(_ size: Int, _ limit: Int, isTransaction: Bool) -> Answer {
    let option = isTransaction ? "txn_max_req_len" : "kv_max_value_size"
    return .text(
      413,
      "Request body(\(size) bytes) too large, max size: \(limit) bytes. "
        + "See https://www.consul.io/docs/agent/options.html#\(option).")
  }

  func checkBodySize(_ call: Call, isTransaction: Bool) throws(Refusal) {
    let limit = backend.kvMaxValueBytes
    guard call.request.body.count > limit else { return }
    let answer = Self.tooLarge(call.request.body.count, limit, isTransaction: isTransaction)
    throw Refusal(status: 413, text: String(decoding: answer.body, as: UTF8.self))
  }
}
