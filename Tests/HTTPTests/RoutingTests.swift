import EventLoop
import Testing

@testable import HTTP

private func bytes(_ text: String) -> ArraySlice<UInt8> { Array(text.utf8)[...] }
private func text(_ bytes: some Sequence<UInt8>) -> String {
  String(decoding: Array(bytes), as: UTF8.self)
}

@Suite struct RouterTests {
  @Test func longestMatchWins() {
    var router = Router()
    let names = ["root", "kv", "self", "service", "deregister", "special", "ui"]
    router.add(exact: "/", 0)
    router.add(prefix: "/v1/kv/", 1)
    router.add(exact: "/v1/agent/self", 2)
    router.add(prefix: "/v1/agent/service/", 3)
    router.add(prefix: "/v1/agent/service/deregister/", 4)
    router.add(exact: "/v1/kv/special", 5)
    router.add(prefix: "/ui/", 6)
    func find(_ path: String) -> String? {
      router.lookup(bytes(path)).map { "\(names[$0.place]) \(text(bytes(path)[$0.rest]))" }
    }
    #expect(find("/") == "root ")
    #expect(find("/v1/kv/") == "kv ")
    #expect(find("/v1/kv/a/b") == "kv a/b")
    #expect(find("/v1/kv/special") == "special ")
    #expect(find("/v1/kv/special/x") == "kv special/x")
    #expect(find("/v1/kv") == nil)
    #expect(find("/v1/agent/self/") == nil)
    #expect(find("/v1/agent/service/deregister/x") == "deregister x")
    #expect(find("/v1/agent/service/other") == "service other")
    #expect(find("/V1/kv/a") == nil)
    #expect(find("") == nil)
    let slice = bytes("junk/v1/kv/k")[4...]
    #expect(router.lookup(slice).map { text(slice[$0.rest]) } == "k")
  }
}

@Suite struct PathTests {
  @Test(arguments: [
    ("/", nil), ("/a", nil), ("/a/", nil), ("/a/b.c/..d", nil), ("", "/"), ("a", "/a"), ("//", "/"),
    ("/a//b", "/a/b"), ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/..", "/"), ("/../../a/", "/a/"),
    ("/a/b/..", "/a"), ("/a/b/.", "/a/b"), ("/a/..", "/"), ("/v1/kv//lead", "/v1/kv/lead"),
    ("/a//", "/a/"),
    ("/.", "/"), ("/a/b/../", "/a/"),
  ])
  func cleanedAsGoDoes(_ path: String, _ expected: String?) {
    #expect(PathCleaner.cleaned(bytes(path)).map(text) == expected)
  }

  @Test func decodesOnce() throws {
    #expect(text(try PercentCoding.decodePath(bytes("/a%20b+c%2Fd%2525"))) == "/a b+c/d%25")
    for bad in ["%", "%2", "%zz", "a%2", "%%20"] {
      #expect(throws: PercentCoding.Fault.invalidEscape) {
        try PercentCoding.decodePath(bytes(bad))
      }
    }
    for bad in ["%00", "%0a", "%1F", "%7f", "a\tb"] {
      #expect(throws: PercentCoding.Fault.controlCharacter) {
        try PercentCoding.decodePath(bytes(bad))
      }
    }
    var encoded: [UInt8] = []
    PercentCoding.encodePath(bytes("/a b/é?%"), into: &encoded)
    #expect(text(encoded) == "/a%20b/%C3%A9%3F%25")
  }

  @Test func queries() throws {
    let query = try QueryParameters(bytes("recurse&index=5&dc=&a+b=c%20d+e&x=1&x=2&&=v&e=a=b"))
    #expect(query.has("recurse") && query.has("dc") && !query.has("keys"))
    #expect(query.text("index") == "5")
    #expect(query.text("dc") == "")
    #expect(query.text("a b") == "c d e")
    #expect(query.all("x").map(text) == ["1", "2"])
    #expect(query.text("e") == "a=b")
    #expect(query.text("") == "v")
    #expect(query.parameters.count == 8)
    #expect(query.parameters[3] == .init(name: Array("a b".utf8), value: Array("c d e".utf8)))
    #expect(query.all("y").isEmpty && query.bytes("recurs") == nil)
    let few = try QueryParameters(bytes("stale&index=1"))
    #expect(few.areAll(among: ["index", "stale", "wait"]) && !few.areAll(among: ["stale"]))
    let long = String(repeating: "n", count: 70)
    let wide = try QueryParameters(bytes("\(long)=\(String(repeating: "%41", count: 300))"))
    #expect(wide.parameters.first?.name == Array(long.utf8))
    #expect(wide.parameters.first?.value == Array(repeating: 0x41, count: 300))
    #expect(try QueryParameters(nil).isEmpty)
    #expect(try QueryParameters(bytes("")).isEmpty)
    func fault(_ text: String) -> String? {
      do {
        _ = try QueryParameters(bytes(text))
        return nil
      } catch { return error.message }
    }
    #expect(fault("a=%zz") == "invalid URL escape \"%zz\"")
    #expect(fault("a=%20%4") == "invalid URL escape \"%4\"")
    #expect(fault("%=1") == "invalid URL escape \"%\"")
    #expect(fault("a;b") == "invalid semicolon separator in query")
    #expect(fault(String(repeating: "a&", count: 300)) == "too many query parameters")
    #expect(fault(String(repeating: "a", count: 65_536)) == "query too long")
  }
}

@Suite struct HTTPDateTests {
  @Test(arguments: [
    (UInt64(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
    (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
    (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
    (1_795_253_927, "Sat, 21 Nov 2026 09:38:47 GMT"),
  ])
  func fixedForm(_ seconds: UInt64, _ expected: String) {
    var output: [UInt8] = []
    HTTPDate.append(secondsSince1970: seconds, to: &output)
    #expect(text(output) == expected)
  }
}

@Suite struct ResponseWriterTests {
  @Test func headIsWrittenInOrder() {
    let response = HTTPResponse(
      status: 404, contentType: "text/plain",
      headers: [
        ("X-Consul-Index", .number(7)), ("X-A", .fixed("b")), ("X-T", .text("é\r\nX-Evil: 1")),
      ], body: [1])
    var output: [UInt8] = []
    let date = Array("Date: d\r\n".utf8)
    output.append(addingCapacity: ResponseWriter.headBytesMax(response, date)) { output in
      ResponseWriter.writeHead(
        response, framing: .length(1), closes: true, date: date, into: &output)
    }
    let expected =
      "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nX-Consul-Index: 7\r\nX-A: b\r\n"
      + "X-T: é  X-Evil: 1\r\nDate: d\r\nContent-Length: 1\r\nConnection: close\r\n\r\n"
    #expect(text(output) == expected)
  }

  @Test func chunks() {
    var output: [UInt8] = []
    ResponseWriter.writeChunk([], into: &output)
    ResponseWriter.writeChunk(Array(repeating: 0x61, count: 17), into: &output)
    ResponseWriter.writeLastChunk(into: &output)
    #expect(text(output) == "11\r\n" + String(repeating: "a", count: 17) + "\r\n0\r\n\r\n")
  }
}

@Suite struct ResponseParserTests {
  private func parse(_ text: String, max: Int = 100, eof: Bool = true) -> String {
    let all = Array(text.utf8)
    var outcomes: Set<String> = []
    for cut in 0...all.count {
      var parser = ResponseParser(isHead: false, bodyBytesMax: max)
      var offset = 0
      var step = parser.next(all, &offset, cut)
      if step == .needsMore { step = parser.next(all, &offset, all.count) }
      if step == .needsMore && eof && parser.endOfInput() { step = .complete }
      switch step {
      case .needsMore: outcomes.insert("incomplete")
      case .fault(let message): outcomes.insert(message)
      case .complete:
        let body = String(decoding: parser.body, as: UTF8.self)
        outcomes.insert("\(parser.status) \(parser.reason) \(parser.headers.count) \(body)")
      }
    }
    return outcomes.count == 1 ? outcomes.first ?? "" : "differs: \(outcomes.sorted())"
  }

  @Test func framings() {
    let ok = "HTTP/1.1 200 OK\r\n"
    #expect(parse(ok + "Content-Length: 3\r\n\r\nabcd") == "200 OK 1 abc")
    #expect(parse(ok + "\r\nabc") == "200 OK 0 abc")
    #expect(parse("HTTP/1.0 503\r\nA: b\r\n\r\n") == "503  1 ")
    #expect(parse("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n") == "204 No 0 ")
    #expect(
      parse(ok + "Transfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n02\r\nbc\r\n0\r\n\r\n")
        == "200 OK 1 abc")
    #expect(parse(ok + "\r\nabcdef", max: 4) == "200 OK 0 abcd")
    #expect(parse(ok + "Content-Length: 5\r\n\r\nabc") == "incomplete")
    #expect(parse(ok + "Content-Length: +5\r\n\r\nabc") == "bad Content-Length")
    #expect(parse("SSH-2.0-x\r\n") == "malformed HTTP response \"SSH-2.0-x\"")
    #expect(parse(ok + "Transfer-Encoding: chunked\r\n\r\nx\r\n") == "malformed chunked encoding")
    #expect(parse("") == "incomplete")
  }
}

@Suite struct ClientKeyTests {
  @Test func networksCountAsOneClient() throws {
    func key(_ host: String) throws -> [UInt8] {
      ClientKey.of(try #require(SocketAddress(host: host, port: 1)))
    }
    #expect(try key("10.0.0.1") == [10, 0, 0, 1])
    #expect(try key("::ffff:10.0.0.1") == [10, 0, 0, 1])
    #expect(try key("2001:db8:1:2::3") == key("2001:db8:1:2:ffff::9"))
    #expect(try key("2001:db8:1:2::3") != key("2001:db8:1:3::3"))
  }
}
