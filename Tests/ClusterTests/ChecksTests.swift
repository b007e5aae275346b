import Basics
import Foundation
import Harness
import Glibc
import RoostClient
import Testing

@Suite(.serialized, .timeLimit(.minutes(2)))
struct ChecksTests {
  /// fault-scenarios.md R1, R2: the node that runs a check is killed; the check goes on elsewhere
  /// on one node, and its service is passing all the time.
  @Test func aCheckOutlivesTheNodeThatRunsIt() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let target = try CountingTarget()
      defer { target.close() }
      let leader = try #require(cluster.leader())
      let host = (leader + 1) % 3
      try Self.register(target, cluster, host)
      func isPassing(_ i: Int) throws -> Bool { try Self.isPassing(cluster, i) }
      try cluster.wait("the first probe") { try isPassing(leader) }

      cluster.signal(host, SIGKILL)
      let killed = Date()
      let before = target.count
      let survivors = (0..<3).filter { $0 != host }
      try cluster.wait("a probe by another node", seconds: 30) {
        let isServed = try survivors.allSatisfy { try isPassing($0) }
        #expect(isServed)
        return target.count > before
      }
      print("checks: probed again after \(Date().timeIntervalSince(killed)) s")
      // Once a second by one node: by two of them there were twice as many.
      let start = (count: target.count, time: Date())
      try cluster.wait("more probes", seconds: 30) {
        let isServed = try survivors.allSatisfy { try isPassing($0) }
        #expect(isServed)
        return target.count >= start.count + 5
      }
      let took = Date().timeIntervalSince(start.time)
      #expect(took > 3.5, "\(target.count - start.count) probes in \(took) s")
    }
  }

  /// R1: an instance dies together with the node that it was registered through and that ran its
  /// check: the others notice, on every node.
  @Test func anInstanceThatDiesWithItsNodeIsNoticed() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let target = try CountingTarget()
      let host = (try #require(cluster.leader()) + 1) % 3
      try Self.register(target, cluster, host)
      let survivors = (0..<3).filter { $0 != host }
      try cluster.wait("the first probe", seconds: 30) {
        try survivors.allSatisfy { try Self.isPassing(cluster, $0) }
      }
      target.close()
      cluster.signal(host, SIGKILL)
      try cluster.wait("the dead instance to be noticed", seconds: 40) {
        try survivors.allSatisfy { try !Self.isPassing(cluster, $0) }
      }
      try cluster.start(host)
      try cluster.wait("the old host to know as well", seconds: 40) {
        cluster.report(host)?.role == "follower" ? try !Self.isPassing(cluster, host) : false
      }
    }
  }

  private static func register(
    _ target: CountingTarget, _ cluster: LocalCluster, _ host: Int
  ) throws {
    let body = """
      {"Name": "web", "ID": "web1", "Port": 80, "Check":
        {"HTTP": "http://127.0.0.1:\(target.port)/health", "Interval": "1s", "Timeout": "1s"}}
      """
    let raw = try RawConnection(port: cluster.nodes[host].httpPort)
    let answer = try raw.exchange("PUT", "/v1/agent/service/register", body: Array(body.utf8))
    #expect(answer.status == 200, "\(String(decoding: answer.body, as: UTF8.self))")
  }

  private static func isPassing(_ cluster: LocalCluster, _ i: Int) throws -> Bool {
    let connection = try RawConnection(port: cluster.nodes[i].httpPort)
    let answer = try connection.exchange("GET", "/v1/health/service/web?passing")
    guard answer.status == 200 else {
      throw LocalCluster.Failure("\(answer.head)")
    }
    return String(decoding: answer.body, as: UTF8.self).contains("web1")
  }
}

/// Answers 200 to whatever comes, and counts.
final class CountingTarget: @unchecked Sendable {
  // Sound: the descriptor is set before the thread starts; the count is behind the lock.
  let port: UInt16
  private let descriptor: Int32
  private let lock = NSLock()
  private var answered = 0

  var count: Int { lock.withLock { answered } }

  init() throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = unsafe inet_addr("127.0.0.1")
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = descriptor
    port = unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        guard unsafe bind(listener, $0, size) == 0, listen(listener, 64) == 0,
          unsafe getsockname(listener, $0, &size) == 0
        else { return UInt16(0) }
        return unsafe UInt16(bigEndian: pointer.pointee.sin_port)
      }
    }
    guard port != 0 else { throw LocalCluster.Failure("no free port for the target") }
    let thread = Thread { [self] in serve() }
    thread.start()
  }

  func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }

  private func serve() {
    while true {
      let connection = accept(descriptor, nil, nil)
      guard connection >= 0 else { break }
      var request = [UInt8](repeating: 0, count: 4096)
      _ = unsafe recv(connection, &request, request.count, 0)
      let answer = Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".utf8)
      _ = unsafe send(connection, answer, answer.count, Int32(MSG_NOSIGNAL))
      Glibc.close(connection)
      lock.withLock { answered += 1 }
    }
    Glibc.close(descriptor)
  }
}
