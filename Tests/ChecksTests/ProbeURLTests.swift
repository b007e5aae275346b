import EventLoop
import Testing

@testable import Checks

@Suite struct ProbeURLTests {
  private func parts(_ text: String) -> String {
    do {
      let url = try ProbeURL(text)
      return "\(url.host) \(url.port) \(url.target) \(url.authority)"
    } catch {
      return error.message
    }
  }

  @Test(arguments: [
    ("http://a", "a 80 / a"), ("HTTP://a:8080/x?y=1#f", "a 8080 /x?y=1 a:8080"),
    ("http://a?b", "a 80 /?b a"), ("http://a:/x", "a 80 /x a:"), ("https://a/x", "a 443 /x a"),
    ("http://[::1]:9/z", "::1 9 /z [::1]:9"), ("http://[fe80::1]", "fe80::1 80 / [fe80::1]"),
    ("http://10.0.0.1:1", "10.0.0.1 1 / 10.0.0.1:1"), ("http://a#f", "a 80 / a"),
    ("ftp://a", "unsupported protocol scheme \"ftp\""), ("a/b", "unsupported protocol scheme \"\""),
    ("", "unsupported protocol scheme \"\""), ("http://", "http: no Host in request URL"),
    ("http:///x", "http: no Host in request URL"), ("http://:80/", "http: no Host in request URL"),
    ("http://[]:80/", "http: no Host in request URL"), ("http://[::1/", "missing ']' in host"),
    ("http://[::1]x", "invalid port \"x\" after host"),
    ("http://a:99999/", "invalid port \":99999\" after host"),
    ("http://a:+1/", "invalid port \":+1\" after host"),
    ("http://a:1:2/", "invalid port \":1:2\" after host"),
    ("http://u:p@a/", "user information in a check's URL is not supported, use its headers"),
    ("http://a/b c", "invalid character in URL"), ("http://a\r\nX: y", "invalid character in URL"),
  ])
  func parsed(_ text: String, _ expected: String) { #expect(parts(text) == expected) }

  @Test(arguments: [
    ("/c", "http://h:1/c"), ("c", "http://h:1/a/c"), ("?q", "http://h:1/a/b?q"),
    ("//other/x", "http://other/x"), ("https://o", "https://o/"), ("http://h:1/#f", "http://h:1/"),
  ])
  func resolved(_ location: String, _ expected: String) throws {
    #expect(try ProbeURL("http://h:1/a/b?x=/y").resolving(location).description == expected)
  }

  @Test func hostAndPort() {
    func parts(_ text: String) -> String {
      do {
        let target = try HostPort(text)
        return "\(target.host) \(target.port)"
      } catch {
        return error.message
      }
    }
    #expect(parts("a:80") == "a 80")
    #expect(parts("[::1]:80") == "::1 80")
    #expect(parts(":80") == "127.0.0.1 80")
    #expect(parts("a") == "address a: missing port in address")
    #expect(parts("::1:80") == "address ::1:80: too many colons in address")
    #expect(parts("[::1:80") == "address [::1:80: missing ']' in address")
    #expect(parts("a:65536") == "address a:65536: invalid port")
    #expect(parts("a:") == "address a:: invalid port")
  }

  @Test(arguments: [
    ("169.254.169.254", true), ("169.253.0.1", false), ("127.0.0.1", false), ("fe80::1", true),
    ("febf::1", true), ("fec0::1", false), ("::1", false), ("::ffff:169.254.1.1", true),
    ("::ffff:10.0.0.1", false),
  ])
  func linkLocal(_ host: String, _ expected: Bool) throws {
    let address = try #require(SocketAddress(host: host, port: 80))
    #expect(TargetAddress.isLinkLocal(address) == expected)
  }
}

@Suite struct StatusThresholdTests {
  @Test func countsInARow() {
    var threshold = StatusThreshold(successBeforePassing: 2, failuresBeforeCritical: 3)
    let results: [ProbeStatus] = [
      .critical, .critical, .passing, .critical, .critical, .critical, .critical, .warning,
      .passing, .passing,
    ]
    let admitted = results.map { threshold.admit($0) }
    #expect(
      admitted == [nil, nil, nil, nil, nil, .critical, .critical, nil, .passing, .passing])
    var none = StatusThreshold(successBeforePassing: 0, failuresBeforeCritical: 0)
    let each = [ProbeStatus.critical, .passing, .warning].map { none.admit($0) }
    #expect(each == [.critical, .passing, .warning])
  }

  @Test func aFewFailuresAreAWarning() {
    var threshold = StatusThreshold(
      successBeforePassing: 0, failuresBeforeWarning: 2, failuresBeforeCritical: 3)
    let admitted = [ProbeStatus.critical, .critical, .critical, .passing].map {
      threshold.admit($0)
    }
    #expect(admitted == [nil, .warning, .critical, .passing])
  }
}
