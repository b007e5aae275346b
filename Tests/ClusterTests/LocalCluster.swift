import Foundation
import Glibc
import RoostClient
import Testing

/// A cluster of real `roost agent` processes on loopback, in a folder of its own.
///
/// Blocking; use it from `onThread`. Everything is killed when it goes away.
final class LocalCluster: @unchecked Sendable {
  // Sound: every test drives its cluster from one thread; `Load` only reads the addresses.

  struct Node {
    let name: String
    let httpPort: UInt16
    let peerPort: UInt16
    var process: Process?
    var http: String { "127.0.0.1:\(httpPort)" }
    var peer: String { "127.0.0.1:\(peerPort)" }
  }

  private(set) var nodes: [Node] = []
  let folder: URL
  private let settings: [String: Any]

  /// The program under test: `ROOST_BINARY`, or the one that was built beside the tests.
  static var binary: URL {
    if let path = ProcessInfo.processInfo.environment["ROOST_BINARY"] {
      return URL(fileURLWithPath: path)
    }
    return URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
      .appendingPathComponent("roost")
  }

  /// - Parameter settings: more keys for every node's configuration, such as `["raft": […]]`.
  init(count: Int, settings: [String: Any] = [:], start: Bool = true) throws {
    folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("roost-cluster-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    self.settings = settings
    let ports = try Ports.take(count * 2)
    for i in 0..<count {
      nodes.append(
        Node(name: "node\(i + 1)", httpPort: ports[2 * i], peerPort: ports[2 * i + 1]))
    }
    let members = nodes.map { ["name": $0.name, "peer": $0.peer] }
    for i in 0..<count { try writeConfiguration(i, ["members": members]) }
    if start {
      for i in 0..<count { try self.start(i) }
      try waitForLeader()
    }
  }

  deinit {
    for node in nodes {
      if let process = node.process, process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }
    try? FileManager.default.removeItem(at: folder)
  }

  /// Adds a node that joins the running ones; returns its position.
  func addJoiner() throws -> Int {
    let ports = try Ports.take(2)
    let node = Node(name: "node\(nodes.count + 1)", httpPort: ports[0], peerPort: ports[1])
    nodes.append(node)
    let live = nodes.dropLast().filter { $0.process?.isRunning == true }.map(\.peer)
    try writeConfiguration(nodes.count - 1, ["join": live])
    try start(nodes.count - 1)
    return nodes.count - 1
  }

  func dataFolder(_ i: Int) -> URL { folder.appendingPathComponent("data-\(nodes[i].name)") }
  func configurationFile(_ i: Int) -> URL { folder.appendingPathComponent("\(nodes[i].name).json") }
  func logFile(_ i: Int) -> URL { folder.appendingPathComponent("\(nodes[i].name).log") }
  func log(_ i: Int) -> String { (try? String(contentsOf: logFile(i), encoding: .utf8)) ?? "" }

  private func writeConfiguration(_ i: Int, _ extra: [String: Any]) throws {
    var configuration: [String: Any] = [
      "node_name": nodes[i].name, "cluster": "test", "data_dir": dataFolder(i).path,
      "ports": ["http": Int(nodes[i].httpPort), "dns": -1, "peer": Int(nodes[i].peerPort)],
    ]
    for (key, value) in settings.merging(extra, uniquingKeysWith: { _, new in new }) {
      configuration[key] = value
    }
    try JSONSerialization.data(withJSONObject: configuration).write(to: configurationFile(i))
  }

  // MARK: Processes

  func start(_ i: Int) throws {
    let process = Process()
    process.executableURL = Self.binary
    process.arguments = ["agent", "--config", configurationFile(i).path]
    if !FileManager.default.fileExists(atPath: logFile(i).path) {
      _ = FileManager.default.createFile(atPath: logFile(i).path, contents: nil)
    }
    let output = try FileHandle(forWritingTo: logFile(i))
    try output.seekToEnd()
    process.standardOutput = output
    process.standardError = output
    process.standardInput = FileHandle.nullDevice
    try process.run()
    nodes[i].process = process
  }

  /// Sends the signal; for SIGKILL and SIGTERM also waits for the end.
  func signal(_ i: Int, _ number: Int32) {
    guard let process = nodes[i].process, process.isRunning else { return }
    kill(process.processIdentifier, number)
    if number == SIGKILL || number == SIGTERM { process.waitUntilExit() }
  }

  func exitStatus(_ i: Int, within seconds: Double) -> Int32? {
    guard let process = nodes[i].process else { return nil }
    let end = Date().addingTimeInterval(seconds)
    while process.isRunning, Date() < end { usleep(20_000) }
    return process.isRunning ? nil : process.terminationStatus
  }

  // MARK: What the nodes say

  func client(_ i: Int) throws -> Roost {
    var roost = try Roost(addresses: [nodes[i].http])
    roost.readSeconds = 10
    return roost
  }

  func report(_ i: Int) -> NodeReport? {
    guard nodes[i].process?.isRunning == true else { return nil }
    var roost = try? client(i)
    roost?.readSeconds = 2
    return try? roost?.report()
  }

  /// Position of the node that leads in the highest term seen.
  func leader() -> Int? {
    nodes.indices.compactMap { i in report(i).map { (i, $0) } }
      .filter { $0.1.role == "leader" }.max { $0.1.term < $1.1.term }?.0
  }

  @discardableResult
  func waitForLeader(seconds: Double = 15) throws -> Int {
    var found: Int?
    try wait("a leader that can commit", seconds: seconds) {
      found = leader()
      guard let found else { return false }
      return (try? client(found).put("roost-test/ready", [])) ?? false
    }
    return try #require(found)
  }

  /// Polls; on failure the tail of every node's log goes into the message.
  func wait(_ what: String, seconds: Double = 15, _ condition: () throws -> Bool) throws {
    let end = Date().addingTimeInterval(seconds)
    while Date() < end {
      if try condition() { return }
      usleep(20_000)
    }
    throw Failure("waited \(seconds) s for \(what)\n\(tails())")
  }

  func tails() -> String {
    nodes.indices.map { i in
      "--- \(nodes[i].name)\n"
        + log(i).split(separator: "\n").suffix(15).joined(separator: "\n")
    }.joined(separator: "\n")
  }

  struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
  }
}

/// Ports that were free a moment ago.
enum Ports {
  static func take(_ count: Int) throws -> [UInt16] {
    var sockets: [Int32] = []
    defer { for descriptor in sockets { close(descriptor) } }
    return try (0..<count).map { _ in
      let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      sockets.append(descriptor)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = unsafe inet_addr("127.0.0.1")
      var size = socklen_t(MemoryLayout<sockaddr_in>.size)
      let port = unsafe withUnsafeMutablePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          guard unsafe bind(descriptor, $0, size) == 0,
            unsafe getsockname(descriptor, $0, &size) == 0
          else { return UInt16(0) }
          return unsafe UInt16(bigEndian: pointer.pointee.sin_port)
        }
      }
      guard port != 0 else { throw LocalCluster.Failure("no free port") }
      return port
    }
  }
}

/// Runs blocking code on a thread of its own, so that it does not take one of the test pool's.
func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
  try await withCheckedThrowingContinuation { continuation in
    let thread = Thread { continuation.resume(with: Result { try body() }) }
    thread.stackSize = 4 << 20
    thread.start()
  }
}
