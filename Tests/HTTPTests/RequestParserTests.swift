import Basics
import EventLoop
import Testing

@testable import HTTP

private let remote = SocketAddress(ip: [127, 0, 0, 1], port: 4)

/// Feeds `text` in pieces cut at `cuts` and describes every request, or the fault that ended it.
private func parse(
  _ text: [UInt8], cuts: [Int] = [], limits: HTTPLimits = HTTPLimits()
) -> [String] {
  var parser = RequestParser(limits: limits)
  var seen: [String] = []
  var offset = 0
  for end in cuts + [text.count] {
    steps: while true {
      switch parser.next(text, &offset, end) {
      case .needsMore: break steps
      case .head: continue
      case .request: seen.append(describe(parser.takeRequest(remote)))
      case .fault(let fault): return seen + ["\(fault.status) \(fault.reason)"]
      }
    }
  }
  if parser.progress != .idle { seen.append("incomplete") }
  return seen
}

private func parse(_ text: String, limits: HTTPLimits = HTTPLimits()) -> [String] {
  parse(Array(text.utf8), limits: limits)
}

private func describe(_ request: HTTPRequest) -> String {
  var text = request.method.name + " " + String(decoding: request.rawPath, as: UTF8.self)
  if let query = request.rawQuery { text += "?" + String(decoding: query, as: UTF8.self) }
  for (name, value) in request.headers where !name.equalsIgnoringCase("host") {
    text += " \(String(decoding: name, as: UTF8.self))=\(String(decoding: value, as: UTF8.self))"
  }
  return text + " [" + String(decoding: request.body, as: UTF8.self) + "]"
}

private let get = "GET / HTTP/1.1\r\nHost: a\r\n"

struct SmugglingRow: Sendable, CustomTestStringConvertible {
  var text: String
  var outcome: String
  var testDescription: String { text.prefix(80).debugDescription }
  init(_ text: String, _ outcome: String) {
    self.text = text
    self.outcome = outcome
  }
}

@Suite struct RequestParserTests {
  static let pipelined =
    "\r\nPUT /v1/kv/a?flags=1 HTTP/1.1\r\nHost: a\r\nX-Token: \t t \r\nContent-Length: 5\r\n\r\nhello"
    + "GET http://b.example:80?x HTTP/1.1\r\nhost: b\r\n\r\n"
    + "POST /c HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: Chunked\r\n\r\n"
    + "3;ext=\"1\"\r\nabc\r\n0000A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
    + "DELETE /d HTTP/1.0\r\n\r\n"
  static let expected = [
    "PUT /v1/kv/a?flags=1 X-Token=t Content-Length=5 [hello]", "GET /?x []",
    "POST /c Transfer-Encoding=Chunked [abc0123456789]", "DELETE /d []",
  ]

  @Test func everySplitPointGivesTheSame() {
    let text = Array(Self.pipelined.utf8)
    for cut in 0...text.count { #expect(parse(text, cuts: [cut]) == Self.expected) }
    #expect(parse(text, cuts: Array(0..<text.count)) == Self.expected)
  }

  @Test func everyTruncationIsIncompleteAndNoFault() {
    let text = Array(Self.pipelined.utf8)
    for count in 0..<text.count {
      let seen = parse(Array(text[..<count]))
      #expect(seen.allSatisfy { Self.expected.contains($0) || $0 == "incomplete" })
    }
  }

  @Test(arguments: [
    SmugglingRow("GET / HTTP/1.1\nHost: a\n\n", "400 line ends without CR"),
    SmugglingRow("GET / HTTP/1.1\r\nHost: a\n\r\n", "400 line ends without CR"),
    SmugglingRow("\n", "400 line ends without CR"),
    SmugglingRow("\r\n\r\nGET / HTTP/1.1\r\n", "400 empty request line"),
    SmugglingRow(
      get + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "400 repeated Content-Length"),
    SmugglingRow(get + "Content-Length: 1, 1\r\n\r\na", "400 invalid Content-Length"),
    SmugglingRow(get + "Content-Length: +5\r\n\r\n", "400 invalid Content-Length"),
    SmugglingRow(get + "Content-Length: -5\r\n\r\n", "400 invalid Content-Length"),
    SmugglingRow(get + "Content-Length: 0x5\r\n\r\n", "400 invalid Content-Length"),
    SmugglingRow(get + "Content-Length: 5 5\r\n\r\n", "400 invalid Content-Length"),
    SmugglingRow(get + "Content-Length:\r\n\r\n", "400 invalid Content-Length"),
    SmugglingRow(
      get + "Content-Length: 99999999999999999999\r\n\r\n", "413 request body too large"),
    SmugglingRow(get + "Content-Length: 9223372036854775807\r\n\r\n", "413 request body too large"),
    SmugglingRow(
      get + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "400 Content-Length with Transfer-Encoding"),
    SmugglingRow(
      get + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
      "400 repeated Transfer-Encoding"),
    SmugglingRow(get + "Transfer-Encoding: gzip, chunked\r\n\r\n", "501 unknown Transfer-Encoding"),
    SmugglingRow(
      get + "Transfer-Encoding: \u{b}chunked\r\n\r\n", "400 invalid character in header value"),
    SmugglingRow(get + "Transfer-Encoding : chunked\r\n\r\n", "400 malformed header"),
    SmugglingRow(
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Transfer-Encoding in HTTP/1.0"),
    SmugglingRow(get + "A: b\r\n c\r\n\r\n", "400 malformed header"),
    SmugglingRow(get + "\tA: b\r\n\r\n", "400 malformed header"),
    SmugglingRow(get + ": b\r\n\r\n", "400 malformed header"),
    SmugglingRow(get + "A\r\n\r\n", "400 malformed header"),
    SmugglingRow(get + "A b: c\r\n\r\n", "400 malformed header"),
    SmugglingRow(get + "A: b\u{0}c\r\n\r\n", "400 invalid character in header value"),
    SmugglingRow(get + "A: b\rc\r\n\r\n", "400 invalid character in header value"),
    SmugglingRow(get + "Host: b\r\n\r\n", "400 repeated Host"),
    SmugglingRow("GET / HTTP/1.1\r\n\r\n", "400 missing Host"),
    SmugglingRow(get + "Expect: magic\r\n\r\n", "417 unknown expectation"),
    SmugglingRow("GET  / HTTP/1.1\r\n\r\n", "400 malformed request line"),
    SmugglingRow("GET / HTTP/1.1 \r\n\r\n", "400 malformed HTTP version"),
    SmugglingRow("GET / x HTTP/1.1\r\n\r\n", "400 malformed HTTP version"),
    SmugglingRow(" GET / HTTP/1.1\r\n\r\n", "400 malformed request line"),
    SmugglingRow("GET /\r\n\r\n", "400 malformed request line"),
    SmugglingRow("GET / http/1.1\r\n\r\n", "400 malformed HTTP version"),
    SmugglingRow("GET / HTTP/1.2\r\n\r\n", "505 HTTP version not supported"),
    SmugglingRow("PRI * HTTP/2.0\r\n\r\n", "505 HTTP version not supported"),
    SmugglingRow("G\u{0}T / HTTP/1.1\r\n\r\n", "400 malformed request line"),
    SmugglingRow("GET /\u{0} HTTP/1.1\r\n\r\n", "400 invalid character in request target"),
    SmugglingRow("GET /a#b HTTP/1.1\r\n\r\n", "400 invalid character in request target"),
    SmugglingRow("GET a HTTP/1.1\r\n\r\n", "400 invalid request target"),
    SmugglingRow("GET * HTTP/1.1\r\n\r\n", "400 invalid request target"),
    SmugglingRow("GET http:///a HTTP/1.1\r\n\r\n", "400 invalid authority in request target"),
    SmugglingRow("GET http://u@b/ HTTP/1.1\r\n\r\n", "400 invalid authority in request target"),
    SmugglingRow("CONNECT a:1 HTTP/1.1\r\n\r\n", "501 CONNECT is not supported"),
    SmugglingRow("\u{16}\u{3}\u{1}\u{2}\u{0}\r\n", "400 malformed request line"),
  ])
  func refuses(_ row: SmugglingRow) { #expect(parse(row.text) == [row.outcome]) }

  @Test(arguments: [
    SmugglingRow("\r\n", "400 invalid chunk size"), SmugglingRow("g\r\n", "400 invalid chunk size"),
    SmugglingRow("+5\r\n", "400 invalid chunk size"),
    SmugglingRow("-5\r\n", "400 invalid chunk size"),
    SmugglingRow("0x5\r\n", "400 invalid chunk size"),
    SmugglingRow("5 \r\n", "400 invalid chunk size"),
    SmugglingRow(" 5\r\n", "400 invalid chunk size"),
    SmugglingRow("5\nhello\r\n", "400 line ends without CR"),
    SmugglingRow("5\r\nhelloX\r\n", "400 chunk longer than its size"),
    SmugglingRow("5\r\nhello\n", "400 line ends without CR"),
    SmugglingRow("ffffffffffffffff\r\n", "413 request body too large"),
    SmugglingRow("7fffffffffffffff\r\n", "413 request body too large"),
    SmugglingRow("fffffff0\r\n", "413 request body too large"),
    SmugglingRow("1;a\u{1}\r\n", "400 invalid chunk extension"),
    SmugglingRow("1;" + String(repeating: "a", count: 300), "400 invalid chunk"),
    SmugglingRow("0\r\nbad trailer\r\n\r\n", "400 malformed header"),
  ])
  func refusesChunks(_ row: SmugglingRow) {
    #expect(parse(get + "Transfer-Encoding: chunked\r\n\r\n" + row.text) == [row.outcome])
  }

  @Test func limitsHoldBeforeAndAfterTheLineEnds() {
    var limits = HTTPLimits()
    limits.requestLineBytesMax = 64
    limits.headerBytesMax = 128
    limits.headerCountMax = 4
    limits.bodyBytesMax = 10
    let long = String(repeating: "a", count: 200)
    #expect(parse("GET /" + long, limits: limits) == ["414 request line too long"])
    #expect(parse("GET /\(long) HTTP/1.1\r\n", limits: limits) == ["414 request line too long"])
    #expect(parse(get + "A: " + long, limits: limits) == ["431 request headers too large"])
    let many = String(repeating: "A: b\r\n", count: 4)
    #expect(parse(get + many, limits: limits) == ["431 too many request headers"])
    let large = String(repeating: "A: " + long.prefix(40) + "\r\n", count: 3)
    #expect(parse(get + large, limits: limits) == ["431 request headers too large"])
    let post = get + "Content-Length: "
    #expect(parse(post + "11\r\n\r\n", limits: limits) == ["413 request body too large"])
    #expect(
      parse(post + "10\r\n\r\n0123456789", limits: limits).first?.hasSuffix("[0123456789]") == true)
    let chunked = get + "Transfer-Encoding: chunked\r\n\r\n"
    let sixTwice = chunked + "6\r\nabcdef\r\n6\r\n"
    #expect(parse(sixTwice, limits: limits) == ["413 request body too large"])
    let trailers = chunked + "0\r\n" + String(repeating: "A: b\r\n", count: 5)
    #expect(parse(trailers, limits: limits) == ["431 too many trailers"])
    let extensions = chunked + String(repeating: "1;\(long.prefix(50))\r\na\r\n", count: 3)
    #expect(parse(extensions, limits: limits) == ["400 chunk extensions too large"])
  }

  @Test func keepsAliveAsAsked() {
    func keepsAlive(_ text: String) -> Bool? {
      var parser = RequestParser(limits: HTTPLimits())
      var offset = 0
      let bytes = Array(text.utf8)
      guard parser.next(bytes, &offset, bytes.count) == .request else { return nil }
      return parser.keepsAlive
    }
    #expect(keepsAlive(get + "\r\n") == true)
    #expect(keepsAlive(get + "Connection: keep-alive\r\n\r\n") == true)
    #expect(keepsAlive(get + "Connection: te , CLOSE\t\r\n\r\n") == false)
    #expect(keepsAlive("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") == false)
  }

  @Test func mutationsNeverTrap() {
    var random = SplitMix(seed: 11)
    let seed = Array(Self.pipelined.utf8)
    var complete = 0
    for _ in 0..<20_000 {
      var text = seed
      for _ in 0...random.below(4) {
        let place = Int(random.below(UInt64(text.count)))
        switch random.below(3) {
        case 0: text[place] = UInt8(truncatingIfNeeded: random.next())
        case 1: text.remove(at: place)
        default: text.insert(seed[Int(random.below(UInt64(seed.count)))], at: place)
        }
      }
      let cut = Int(random.below(UInt64(text.count)))
      let whole = parse(text)
      #expect(parse(text, cuts: [cut]) == whole)
      if whole.count >= 4 { complete += 1 }
    }
    #expect(complete > 0)
  }
}
