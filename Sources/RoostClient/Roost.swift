/// A Roost (or Consul) cluster as its clients see it: a list of addresses tried in turn, and the
/// calls on them. Every call blocks until it is answered or its time is up.
///
/// Writes carry an `X-Roost-Request-Id`, so a retry on another node is applied once.
public struct Roost: Sendable {
  /// "host:port" each.
  public let addresses: [String]
  /// Sent as `X-Consul-Token`; empty: none.
  public var token: String
  /// Sent as `dc` with every request; empty: none.
  public var datacenter = ""
  /// How long to wait for an answer after the request was sent.
  public var readSeconds = 30

  public struct Response: Sendable {
    public let status: Int
    public let body: [UInt8]
    /// `X-Consul-Index`, where the endpoint has it.
    public let index: UInt64?
    /// The address that answered.
    public let address: String

    var hasNoLeader: Bool {
      status == 500 && body == Array("No cluster leader".utf8)
    }
  }

  public enum Consistency: String, Sendable, CaseIterable {
    /// Linearizable, as is `.consistent`.
    case `default`
    case consistent
    /// The local state of the node asked, which may be behind.
    case stale
  }

  /// - Parameter addresses: "host:port" or "http://host:port"; at least one.
  public init(addresses: [String], token: String = "") throws(RoostError) {
    var parsed: [String] = []
    for text in addresses {
      var rest = Substring(text)
      if rest.hasPrefix("https://") { throw .badAddress(text) }
      if rest.hasPrefix("http://") { rest = rest.dropFirst(7) }
      while rest.hasSuffix("/") { rest = rest.dropLast() }
      guard Self.split(String(rest)) != nil else { throw .badAddress(text) }
      parsed.append(String(rest))
    }
    guard !parsed.isEmpty else { throw .badAddress("") }
    self.addresses = parsed
    self.token = token
  }

  /// Sends to the first address that takes the request, and on to the next when that node has no
  /// leader. A write that was sent and not answered is retried elsewhere under the same request id;
  /// only when that fails too is its outcome unknown.
  public func request(
    _ method: String, _ path: String, query: [(String, String?)] = [], body: [UInt8] = []
  ) throws(RoostError) -> Response {
    let target = target(path, query)
    var headers = authorization
    if method != "GET" { headers.append(("X-Roost-Request-Id", Self.makeRequestID())) }
    var refusal: Response?
    var unknown: RoostError?
    var reason = ""
    for address in addresses {
      guard let transport = transport(address) else { continue }
      do throws(Transport.Failure) {
        let answer = try transport.exchange(
          method: method, target: target, headers: headers, body: body)
        let response = Response(
          status: answer.status, body: answer.body,
          index: answer.header("x-consul-index").flatMap { UInt64($0) }, address: address)
        guard response.hasNoLeader else { return response }
        refusal = refusal ?? response
      } catch {
        switch error {
        case .notSent(let text): reason = text
        case .noAnswer(let text):
          reason = text
          if method != "GET" { unknown = .outcomeUnknown(address: address, reason: text) }
        }
      }
    }
    if let unknown { throw unknown }
    if let refusal { return refusal }
    throw .unreachable(addresses: addresses, reason: reason)
  }

  /// Hands over the body of a GET as it comes, until it ends or `piece` returns false.
  public func stream(
    _ path: String, query: [(String, String?)] = [], piece: ([UInt8]) -> Bool
  ) throws(RoostError) {
    var reason = ""
    for address in addresses {
      guard let transport = transport(address) else { continue }
      let answer: Transport.Answer
      do throws(Transport.Failure) {
        answer = try transport.stream(
          target: target(path, query), headers: authorization, piece: piece)
      } catch {
        switch error {
        case .notSent(let text):
          reason = text
          continue
        case .noAnswer(let text): throw .unreachable(addresses: [address], reason: text)
        }
      }
      guard answer.status == 200 else {
        throw .status(answer.status, Self.text(answer.body, "GET", path))
      }
      return
    }
    throw .unreachable(addresses: addresses, reason: reason)
  }

  private var authorization: [(String, String)] {
    token.isEmpty ? [] : [("X-Consul-Token", token)]
  }

  private func target(_ path: String, _ query: [(String, String?)]) -> String {
    var target = path
    let all = query + (datacenter.isEmpty ? [] : [("dc", datacenter)])
    for (position, item) in all.enumerated() {
      target += (position == 0 ? "?" : "&") + Self.encode(item.0, keepingSlash: false)
      if let value = item.1 { target += "=" + Self.encode(value, keepingSlash: false) }
    }
    return target
  }

  private func transport(_ address: String) -> Transport? {
    guard let (host, port) = Self.split(address) else { return nil }
    var transport = Transport(host: host, port: port)
    transport.readSeconds = readSeconds
    return transport
  }

  /// As `request`, and turns every status but 200 into an error.
  public func expectOK(
    _ method: String, _ path: String, query: [(String, String?)] = [], body: [UInt8] = []
  ) throws(RoostError) -> Response {
    let response = try request(method, path, query: query, body: body)
    guard response.status == 200 else {
      throw .status(response.status, Self.text(response.body, method, path))
    }
    return response
  }

  /// What a refusal says; an empty 404 is a server that does not know the path.
  static func text(_ body: [UInt8], _ method: String, _ path: String) -> String {
    let text = String(decoding: body, as: UTF8.self)
    guard text.isEmpty else { return text }
    return "the node does not offer \(method) \(path)"
  }

  /// Percent-encodes a path part or a query value (RFC 3986, unreserved characters stay).
  public static func encode(_ text: String, keepingSlash: Bool) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var result: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: result.append(byte)
      case 0x2F where keepingSlash: result.append(byte)
      default: result += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  private static func split(_ address: String) -> (host: String, port: UInt16)? {
    guard let colon = address.lastIndex(of: ":"),
      let port = UInt16(address[address.index(after: colon)...]), port > 0
    else { return nil }
    var host = address[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    return host.isEmpty ? nil : (String(host), port)
  }

  private static func makeRequestID() -> String {
    var digits = Array(String(UInt64.random(in: .min ... .max), radix: 16).utf8)
    digits += Array(String(UInt64.random(in: .min ... .max), radix: 16).utf8)
    digits = Array(repeating: 0x30, count: 32 - digits.count) + digits
    var text = ""
    for (position, digit) in digits.enumerated() {
      if [8, 12, 16, 20].contains(position) { text += "-" }
      text.unicodeScalars.append(Unicode.Scalar(digit))
    }
    return text
  }
}
