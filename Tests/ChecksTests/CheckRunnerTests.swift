import EventLoop
import HTTP
import Testing

@testable import Checks

private let seconds: UInt64 = 1_000_000_000

/// A target on the same loop, and a runner whose reports are kept. Intervals may be short here.
private final class Fixture {
  struct Report: Equatable {
    var id: String
    var status: ProbeStatus
    var output: String
  }

  let loop: EventLoop
  let workers = Workers(threads: 1, queueMax: 16)
  private(set) var server: HTTPServer!
  private(set) var runner: CheckRunner!
  var reports: [Report] = []
  var requests: [HTTPRequest] = []
  var answer: (HTTPRequest, HTTPResponder) -> Void = { _, responder in
    responder.respond(.text(200, "fine"))
  }

  init(_ change: (inout CheckLimits) -> Void = { _ in }) throws {
    loop = try EventLoop()
    var limits = CheckLimits()
    limits.intervalNanosecondsMin = 1_000_000
    change(&limits)
    runner = CheckRunner(
      loop: loop, seed: 5, resolver: Resolver(loop: loop, workers: workers), limits: limits
    ) { [weak self] id, status, output in
      self?.reports.append(Report(id: id, status: status, output: output))
    }
    server = try HTTPServer(
      address: SocketAddress(ip: [127, 0, 0, 1], port: 0), loop: loop, limits: HTTPLimits(),
      bodyLimit: { _ in nil },
      handler: { [weak self] request, responder in
        self?.requests.append(request)
        self?.answer(request, responder)
      })
  }

  deinit {
    runner.removeAll()
    server.close()
    workers.stop()
  }

  var base: String { "http://\(server.localAddress)" }

  func wait(_ condition: () -> Bool) -> Bool { loop.run(forAtMost: 60 * seconds, until: condition) }

  func http(
    _ url: String, method: String = "", headers: [(String, [String])] = [], body: String = ""
  ) -> ProbeKind {
    .http(url: url, method: method, headers: headers, body: Array(body.utf8), tlsSkipVerify: false)
  }

  /// The first report of a check that is run once.
  func once(_ kind: ProbeKind, timeout: UInt64 = 5 * seconds, outputMax: Int = 4096) -> Report? {
    reports = []
    runner.set(
      ProbeSpec(
        id: "c", kind: kind, intervalNanoseconds: 20_000_000, timeoutNanoseconds: timeout,
        outputBytesMax: outputMax))
    _ = wait { !reports.isEmpty }
    runner.removeAll()
    return reports.first
  }
}

@Suite(.serialized, .timeLimit(.minutes(10))) struct CheckRunnerTests {
  @Test(arguments: [
    (200, ProbeStatus.passing, "200 OK"), (204, .passing, "204 No Content"),
    (429, .warning, "429 Too Many Requests"),
    (500, .critical, "500 Internal Server Error"), (404, .critical, "404 Not Found"),
  ])
  func statusRules(_ code: Int, _ status: ProbeStatus, _ line: String) throws {
    let fixture = try Fixture()
    fixture.answer = { _, responder in
      responder.respond(.text(code, code == 204 ? "" : "body"))
    }
    let report = fixture.once(fixture.http(fixture.base + "/health?x"))
    #expect(report?.status == status)
    let body = code == 204 ? "" : "body"
    #expect(report?.output == "HTTP GET \(fixture.base)/health?x: \(line) Output: \(body)")
  }

  @Test func requestIsConsuls() throws {
    let fixture = try Fixture()
    let kind = fixture.http(
      fixture.base + "/p", method: "POST",
      headers: [("X-A", ["1", "2"]), ("host", ["named"]), ("Content-Length", ["99"])],
      body: "ping")
    #expect(fixture.once(kind, outputMax: 2)?.output.hasSuffix("200 OK Output: fi") == true)
    let request = try #require(fixture.requests.first)
    func header(_ name: StaticString) -> String? {
      request.header(name).map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(request.method == .post && request.body.elementsEqual("ping".utf8))
    #expect(header("user-agent") == "Consul Health Check")
    #expect(header("accept") == "text/plain, text/*, */*")
    #expect(header("host") == "named" && header("x-a") == "1" && header("connection") == "close")
    #expect(header("content-length") == "4")
  }

  /// Refused by the target's machine, answered, or silent.
  @Test func udpRules() throws {
    let fixture = try Fixture()
    let silent = try UDPSocket(
      address: SocketAddress(ip: [127, 0, 0, 1], port: 0), loop: fixture.loop,
      datagramBytesMax: 512
    ) { _, _ in }
    let address = "\(silent.localAddress)"
    let report = fixture.once(.udp(address: address), timeout: seconds / 5)
    #expect(report?.status == .passing && report?.output == "UDP connect \(address): Success")
    silent.close()
    let refused = fixture.once(.udp(address: address))
    #expect(refused?.status == .critical)
    #expect(refused?.output.hasSuffix("connection refused") == true, "\(refused?.output ?? "")")
    #expect(fixture.once(.udp(address: "nonsense"))?.status == .critical)
    let metadata = fixture.once(.udp(address: "169.254.169.254:80"))
    #expect(metadata?.output == "dial udp 169.254.169.254:80: link-local targets are refused")
  }

  @Test func failuresInGoWords() throws {
    let fixture = try Fixture()
    func output(_ kind: ProbeKind, timeout: UInt64 = 5 * seconds) -> String {
      let report = fixture.once(kind, timeout: timeout)
      return "\(report?.status == .critical) \(report?.output ?? "")"
    }
    let refused = "dial tcp 127.0.0.1:1: connect: connection refused"
    #expect(
      output(fixture.http("http://127.0.0.1:1/")) == "true Get \"http://127.0.0.1:1/\": \(refused)")
    #expect(output(.tcp(address: "127.0.0.1:1")) == "true \(refused)")
    #expect(
      output(.tcp(address: "nonsense"))
        == "true dial tcp: address nonsense: missing port in address")
    #expect(
      output(fixture.http("ftp://x", method: "PUT"))
        == "true Put \"ftp://x\": unsupported protocol scheme \"ftp\"")
    #expect(
      output(fixture.http("http://x/", method: "G T"))
        == "true net/http: invalid method \"G T\"")
    #expect(output(fixture.http("https://x/")).contains("https is not supported"))
    let metadata = "169.254.169.254:80: link-local targets are refused"
    #expect(
      output(fixture.http("http://169.254.169.254/"))
        == "true Get \"http://169.254.169.254/\": dial tcp \(metadata)")
    #expect(output(.tcp(address: "169.254.169.254:80")) == "true dial tcp \(metadata)")
    #expect(output(.tcp(address: "[fe80::1]:80")).contains("link-local targets are refused"))
    // Held, so that the request is neither answered nor dropped.
    var held: [HTTPResponder] = []
    fixture.answer = { _, responder in held.append(responder) }
    let deadline = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    #expect(
      output(fixture.http(fixture.base + "/"), timeout: 30_000_000)
        == "true Get \"\(fixture.base)/\": \(deadline)")
    held = []
    fixture.answer = { _, responder in
      responder.begin(HTTPResponse(status: 200, body: Array("part".utf8)))
    }
    #expect(
      fixture.once(fixture.http(fixture.base + "/"))?.output
        == "HTTP GET \(fixture.base)/: 200 OK Output: part")
  }

  @Test func tcpConnects() throws {
    let fixture = try Fixture()
    let address = fixture.server.localAddress.description
    let report = fixture.once(.tcp(address: address))
    #expect(report?.status == .passing)
    #expect(report?.output == "TCP connect \(address): Success")
  }

  @Test func redirectsStayOnTheirHost() throws {
    let fixture = try Fixture()
    func redirect(_ status: Int, _ location: String) {
      fixture.answer = { request, responder in
        if request.rawPath.elementsEqual("/end".utf8) {
          responder.respond(.text(200, request.method.name))
        } else {
          responder.respond(
            HTTPResponse(status: status, headers: [("Location", .text(location))]))
        }
      }
    }
    let start = fixture.http(fixture.base + "/start", method: "POST", body: "b")
    redirect(302, "/end")
    #expect(
      fixture.once(start)?.output == "HTTP POST \(fixture.base)/start: 200 OK Output: GET")
    redirect(307, fixture.base + "/end")
    #expect(
      fixture.once(start)?.output == "HTTP POST \(fixture.base)/start: 200 OK Output: POST")
    redirect(302, "http://169.254.169.254/latest")
    let refused = fixture.once(start)
    #expect(refused?.status == .critical)
    #expect(refused?.output.contains("to another host refused") == true)
    fixture.requests = []
    redirect(302, "/again")
    #expect(
      fixture.once(start)?.output == "Get \"\(fixture.base)/again\": stopped after 10 redirects")
    #expect(fixture.requests.count == 11)
    redirect(301, "")
    #expect(fixture.once(start)?.output.contains("301 response missing Location header") == true)
  }

  @Test func thresholdsKeepTheStatus() throws {
    let fixture = try Fixture()
    var codes = [500, 200, 500, 500, 200, 200, 200]
    fixture.answer = { _, responder in
      responder.respond(.text(codes.isEmpty ? 200 : codes.removeFirst(), ""))
    }
    fixture.runner.set(
      ProbeSpec(
        id: "t", kind: fixture.http(fixture.base), intervalNanoseconds: 5_000_000,
        successBeforePassing: 3, failuresBeforeCritical: 2, initialStatus: .warning))
    #expect(fixture.runner.status("t") == .warning)
    #expect(fixture.wait { fixture.reports.count == 2 })
    #expect(fixture.reports.map(\.status) == [.critical, .passing])
    #expect(codes.isEmpty && fixture.requests.count == 7)
    #expect(fixture.runner.status("t") == .passing)
  }

  @Test func equalSpecsGoOnAndChangedOnesStartAgain() throws {
    let fixture = try Fixture()
    var held: [HTTPResponder] = []
    fixture.answer = { _, responder in held.append(responder) }
    var spec = ProbeSpec(
      id: "a", kind: fixture.http(fixture.base + "/old", headers: [("A", ["b"])]),
      intervalNanoseconds: 5_000_000)
    fixture.runner.set(spec)
    #expect(fixture.wait { held.count == 1 })
    fixture.runner.set(spec)
    #expect(fixture.runner.inFlight == 1)
    #expect(fixture.wait { fixture.runner.counters.skipped >= 2 })
    #expect(fixture.requests.count == 1)
    spec.kind = fixture.http(fixture.base + "/new")
    fixture.runner.set(spec)
    #expect(fixture.runner.inFlight == 0 && fixture.runner.count == 1)
    #expect(fixture.wait { held.count == 2 })
    held[0].respond(.text(200, "too late"))
    held[1].respond(.text(200, "new"))
    #expect(fixture.wait { !fixture.reports.isEmpty })
    #expect(fixture.reports[0].output.hasSuffix("/new: 200 OK Output: new"))
    fixture.runner.remove("a")
    let started = fixture.runner.counters.started
    _ = fixture.loop.run(forAtMost: 30_000_000) { false }
    #expect(fixture.runner.counters.started == started && fixture.runner.count == 0)
  }

  @Test func probesInFlightAreLimited() throws {
    let fixture = try Fixture { $0.probesInFlightMax = 3 }
    var held: [HTTPResponder] = []
    var most = 0
    fixture.answer = { _, responder in
      held.append(responder)
      most = max(most, held.count)
    }
    for index in 0..<20 {
      fixture.runner.set(
        ProbeSpec(
          id: "\(index)", kind: fixture.http(fixture.base + "/\(index)"),
          intervalNanoseconds: 5 * seconds / 100))
    }
    #expect(fixture.wait { held.count == 3 && fixture.runner.counters.delayed >= 17 })
    var seen: Set<String> = []
    #expect(
      fixture.wait {
        if !held.isEmpty { held.removeFirst().respond(.text(200, "")) }
        seen = Set(fixture.reports.map(\.id))
        return seen.count == 20
      })
    #expect(most <= 3)
  }

  @Test func manyBadChecksDoNotRecurse() throws {
    let fixture = try Fixture { $0.probesInFlightMax = 1 }
    var held: [HTTPResponder] = []
    fixture.answer = { _, responder in held.append(responder) }
    fixture.runner.set(
      ProbeSpec(id: "slow", kind: fixture.http(fixture.base), intervalNanoseconds: 1_000_000))
    #expect(fixture.wait { held.count == 1 })
    for index in 0..<20_000 {
      fixture.runner.set(
        ProbeSpec(id: "\(index)", kind: .tcp(address: "bad"), intervalNanoseconds: 100_000_000))
    }
    #expect(fixture.wait { fixture.runner.counters.delayed >= 20_000 })
    held[0].respond(.text(200, ""))
    #expect(fixture.wait { fixture.reports.count > 20_000 })
  }

  @Test func enormousTimesDoNotOverflow() throws {
    let fixture = try Fixture { $0.nanosecondsMax = 10_000_000 }
    fixture.runner.set(
      ProbeSpec(
        id: "a", kind: .tcp(address: "bad"), intervalNanoseconds: .max, timeoutNanoseconds: .max))
    #expect(fixture.wait { fixture.reports.count == 2 })
  }

  @Test func firstRunsAreSpreadAndThenSteady() throws {
    let fixture = try Fixture { $0.probesInFlightMax = 1000 }
    let interval: UInt64 = 200_000_000
    let start = fixture.loop.now
    var times: [UInt64] = []
    fixture.answer = { _, responder in
      times.append(fixture.loop.now - start)
      responder.respond(.text(200, ""))
    }
    for index in 0..<50 {
      fixture.runner.set(
        ProbeSpec(
          id: "\(index)", kind: fixture.http(fixture.base), intervalNanoseconds: interval))
    }
    #expect(fixture.wait { fixture.loop.now - start > interval * 3 })
    let firstHalf = times.filter { $0 < interval / 2 }.count
    #expect(firstHalf > 5 && firstHalf < 45)
    #expect(fixture.runner.counters.started >= 145 && fixture.runner.counters.started <= 155)
  }
}
