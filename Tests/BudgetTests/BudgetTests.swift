import CAllocations
import ConsulAPI
import EventLoop
import HTTP
import Node
import Testing

/// What a request may cost in allocations on the loop's thread, from the first byte read to the last
/// byte written. Counting does not depend on the machine or its load, so a slow-down shows here and
/// not in a timing that flakes.
///
/// A node of its own, in memory, with its API on a real socket; one client on the same loop.
@Suite(.enabled(if: callocations_counts() == 1))
struct BudgetTests {
  struct Budget: CustomTestStringConvertible {
    let name: String
    let method: String
    let target: String
    var body = ""
    /// Allocations per request, with debug checks; optimised code makes a fraction of them.
    let limit: Double

    var testDescription: String { name }
    var bytes: [UInt8] {
      let length = body.isEmpty ? "" : "Content-Length: \(body.utf8.count)\r\n"
      return Array("\(method) \(target) HTTP/1.1\r\nHost: node\r\n\(length)\r\n\(body)".utf8)
    }
  }

  @Test(arguments: [
    Budget(
      name: "put", method: "PUT", target: "/v1/kv/budget/key",
      body: String(repeating: "v", count: 128), limit: 280),
    Budget(
      name: "linearizable get", method: "GET", target: "/v1/kv/budget/key", limit: 200),
    Budget(
      name: "stale get", method: "GET", target: "/v1/kv/budget/key?stale", limit: 240),
    Budget(
      name: "health query", method: "GET", target: "/v1/health/service/budget?passing&stale",
      limit: 360),
  ])
  func staysWithinItsAllocations(_ budget: Budget) throws {
    let server = try Server()
    try server.request("PUT", "/v1/kv/budget/key", String(repeating: "v", count: 128))
    try server.request("PUT", "/v1/agent/service/register", #"{"Name":"budget","Port":80}"#)
    for _ in 0..<64 { try server.exchange(budget.bytes) }
    let before = callocations_of_this_thread()
    let count = 256
    for _ in 0..<count { try server.exchange(budget.bytes) }
    let each = Double(callocations_of_this_thread() - before) / Double(count)
    #expect(each <= budget.limit, "\(budget.name): \(each) allocations, \(budget.limit) allowed")
    server.stop()
  }
}

/// One node in memory, its API, and one client connection, all on one loop that the test turns.
private final class Server: TCPConnectionDelegate {
  private let loop: EventLoop
  private let node: Node
  private let duties: Duties
  private let api: ConsulAPI<Node>
  private let server: HTTPServer
  private var connection: TCPConnection?
  private var isConnected = false

  init() throws {
    loop = try EventLoop()
    let overrides = [
      (path: "ports.http", value: "0"), (path: "ports.peer", value: "0"),
      (path: "ports.dns", value: "-1"),
    ]
    guard case .valid(let configuration) = NodeConfiguration.development(overrides: overrides)
    else { throw Failure("the configuration is refused") }
    node = try Node(configuration: configuration, loop: loop)
    duties = Duties(node: node)
    api = ConsulAPI.make(node: node)
    server = try api.serve(address: SocketAddress(ip: [127, 0, 0, 1], port: 0), loop: loop)
    node.start()
    connection = TCPConnection(
      connectingTo: server.localAddress, loop: loop, options: TCPConnection.Options(),
      delegate: self)
    guard loop.run(forAtMost: 60_000_000_000, until: { isConnected && node.isEstablishedLeader })
    else { throw Failure("the node does not come up") }
  }

  func stop() {
    connection?.close()
    server.close()
    duties.stop()
    var isStopped = false
    node.stop { isStopped = true }
    _ = loop.run(forAtMost: 60_000_000_000) { isStopped }
  }

  /// Again and again until it is answered with 200: a node that has just come up is no host for
  /// services yet.
  func request(_ method: String, _ target: String, _ body: String) throws {
    let head = "\(method) \(target) HTTP/1.1\r\nHost: node\r\n"
    let bytes = Array("\(head)Content-Length: \(body.utf8.count)\r\n\r\n\(body)".utf8)
    for _ in 0..<200 {
      if (try? exchange(bytes)) != nil { return }
      _ = loop.run(forAtMost: 20_000_000) { false }
    }
    try exchange(bytes)
  }

  /// Writes the request and waits for its answer, which arrives in one piece.
  func exchange(_ bytes: [UInt8]) throws {
    guard let connection else { throw Failure("no connection") }
    connection.output.append(bytes)
    connection.flushAtTurnEnd()
    guard loop.run(forAtMost: 60_000_000_000, until: { !connection.input.isEmpty }) else {
      throw Failure("no answer")
    }
    let range = connection.input.readableRange
    let isOK = connection.input.storage[range.lowerBound + 9] == UInt8(ascii: "2")
    defer { connection.input.consume(range.count) }
    if !isOK {
      throw Failure(String(decoding: connection.input.storage[range], as: UTF8.self))
    }
  }

  func connectionDidConnect(_ connection: TCPConnection) { isConnected = true }
  func connectionDidRead(_ connection: TCPConnection) {}
  func connectionDidReachEOF(_ connection: TCPConnection) {}
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {}
}

private struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
