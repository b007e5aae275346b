package import Foundation
import Glibc
package import RoostClient

/// A cluster of real `roost agent` processes on loopback, in a folder of its own.
///
/// Blocking; use it from `onThread`. Everything is killed when it goes away.
package final class LocalCluster: @unchecked Sendable {
  // Sound: every test drives its cluster from one thread; `Load` only reads the addresses.

  package struct Node {
    package let name: String
    package let httpPort: UInt16
    package let peerPort: UInt16
    package var process: Process?
    package var http: String { "127.0.0.1:\(httpPort)" }
    /// What the others dial: the relay's, where there is one.
    package var advertisedPort: UInt16
    package var peer: String { "127.0.0.1:\(advertisedPort)" }
  }

  package private(set) var nodes: [Node] = []
  package let folder: URL
  /// Logs stay for a look.
  package var keepsFolder = false
  /// What is started for a node, before its arguments: another copy of the program, or one that
  /// looks at it; found in `PATH`. Nil: `binary`.
  package var command: [String]?
  private let settings: [String: Any]
  private let dataFolders: [Int: URL]
  /// Between all nodes, when asked for; joiners are not behind them.
  package private(set) var proxies: LinkProxies?
  /// Between all nodes and their disks, when asked for; nil without a C compiler.
  package private(set) var disks: DiskFaults?

  /// The program under test: `ROOST_BINARY`, this program itself, or the one that was built beside
  /// the tests.
  package static var binary: URL {
    if let path = ProcessInfo.processInfo.environment["ROOST_BINARY"] {
      return URL(fileURLWithPath: path)
    }
    let own = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    if own.lastPathComponent == "roost" { return own }
    return URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
      .appendingPathComponent("roost")
  }

  /// `ROOST_IO_THREADS`: every node of every cluster gets so many, unless its settings say otherwise.
  private static var ioThreads: Int? {
    ProcessInfo.processInfo.environment["ROOST_IO_THREADS"].flatMap { Int($0) }
  }

  /// - Parameters:
  ///   - settings: more keys for every node's configuration, such as `["raft": […]]`.
  ///   - isProxied: the nodes reach each other through `proxies`.
  ///   - hasDiskFaults: the nodes reach their disks through `disks`.
  ///   - dataFolders: other places for the data of some nodes, by position.
  package init(
    count: Int, settings: [String: Any] = [:], start: Bool = true, isProxied: Bool = false,
    hasDiskFaults: Bool = false, dataFolders: [Int: URL] = [:]
  ) throws {
    folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("roost-cluster-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    self.settings = settings
    self.dataFolders = dataFolders
    if hasDiskFaults { disks = DiskFaults(folder: folder) }
    let ports = try Ports.take(count * 2)
    for i in 0..<count {
      nodes.append(
        Node(
          name: "node\(i + 1)", httpPort: ports[2 * i], peerPort: ports[2 * i + 1],
          advertisedPort: ports[2 * i + 1]))
    }
    if isProxied {
      let made = try LinkProxies(
        nodes.map { LinkProxies.Target(name: $0.name, port: $0.peerPort) })
      for (i, port) in made.ports.enumerated() { nodes[i].advertisedPort = port }
      proxies = made
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
    proxies?.stop()
    if !keepsFolder { try? FileManager.default.removeItem(at: folder) }
  }

  /// Adds a node that joins the running ones; returns its position.
  package func addJoiner() throws -> Int {
    let ports = try Ports.take(2)
    let node = Node(
      name: "node\(nodes.count + 1)", httpPort: ports[0], peerPort: ports[1],
      advertisedPort: ports[1])
    nodes.append(node)
    let live = nodes.dropLast().filter { $0.process?.isRunning == true }.map(\.peer)
    try writeConfiguration(nodes.count - 1, ["join": live])
    try start(nodes.count - 1)
    return nodes.count - 1
  }

  package func dataFolder(_ i: Int) -> URL {
    dataFolders[i] ?? folder.appendingPathComponent("data-\(nodes[i].name)")
  }
  /// What it holds on its disk.
  package func dataBytes(_ i: Int) -> Int {
    let path = dataFolder(i).path
    let names = (try? FileManager.default.subpathsOfDirectory(atPath: path)) ?? []
    return names.reduce(0) { total, name in
      let attributes = try? FileManager.default.attributesOfItem(atPath: path + "/" + name)
      return total + (attributes?[.size] as? Int ?? 0)
    }
  }
  package func configurationFile(_ i: Int) -> URL {
    folder.appendingPathComponent("\(nodes[i].name).json")
  }
  package func logFile(_ i: Int) -> URL { folder.appendingPathComponent("\(nodes[i].name).log") }
  package func log(_ i: Int) -> String {
    (try? String(contentsOf: logFile(i), encoding: .utf8)) ?? ""
  }

  private func writeConfiguration(_ i: Int, _ extra: [String: Any]) throws {
    var configuration: [String: Any] = [
      "node_name": nodes[i].name, "cluster": "test", "data_dir": dataFolder(i).path,
      "ports": [
        "http": Int(nodes[i].httpPort), "dns": -1, "peer": Int(nodes[i].peerPort),
        "peer_advertised": Int(nodes[i].advertisedPort),
      ],
    ]
    if let threads = Self.ioThreads { configuration["io_threads"] = threads }
    for (key, value) in settings.merging(extra, uniquingKeysWith: { _, new in new }) {
      configuration[key] = value
    }
    try JSONSerialization.data(withJSONObject: configuration).write(to: configurationFile(i))
  }

  // MARK: Processes

  package func start(_ i: Int) throws {
    let process = Process()
    process.executableURL =
      command == nil ? Self.binary : URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = (command ?? []) + ["agent", "--config", configurationFile(i).path]
    if !FileManager.default.fileExists(atPath: logFile(i).path) {
      _ = FileManager.default.createFile(atPath: logFile(i).path, contents: nil)
    }
    let output = try FileHandle(forWritingTo: logFile(i))
    try output.seekToEnd()
    process.standardOutput = output
    process.standardError = output
    process.standardInput = FileHandle.nullDevice
    if let disks {
      process.environment = ProcessInfo.processInfo.environment.merging(
        try disks.environment(i), uniquingKeysWith: { _, new in new })
    }
    try process.run()
    nodes[i].process = process
  }

  /// Sends the signal; for SIGKILL and SIGTERM also waits for the end.
  package func signal(_ i: Int, _ number: Int32) {
    guard let process = nodes[i].process, process.isRunning else { return }
    kill(process.processIdentifier, number)
    if number == SIGKILL || number == SIGTERM { process.waitUntilExit() }
  }

  package func exitStatus(_ i: Int, within seconds: Double) -> Int32? {
    guard let process = nodes[i].process else { return nil }
    let end = Date().addingTimeInterval(seconds)
    while process.isRunning, Date() < end { usleep(20_000) }
    return process.isRunning ? nil : process.terminationStatus
  }

  /// Runs another command of the program to its end; what it printed on both outputs.
  package func runTool(_ arguments: [String]) throws -> (status: Int32, text: String) {
    let process = Process()
    process.executableURL = Self.binary
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }

  // MARK: What the nodes say

  package func client(_ i: Int) throws -> Roost {
    var roost = try Roost(addresses: [nodes[i].http])
    roost.readSeconds = 10
    return roost
  }

  package func report(_ i: Int) -> NodeReport? {
    guard nodes[i].process?.isRunning == true else { return nil }
    var roost = try? client(i)
    roost?.readSeconds = 2
    return try? roost?.report()
  }

  /// Position of the node that leads in the highest term seen.
  package func leader() -> Int? {
    nodes.indices.compactMap { i in report(i).map { (i, $0) } }
      .filter { $0.1.role == "leader" }.max { $0.1.term < $1.1.term }?.0
  }

  @discardableResult
  package func waitForLeader(seconds: Double = 15) throws -> Int {
    var found: Int?
    try wait("a leader that can commit", seconds: seconds) {
      found = leader()
      guard let found else { return false }
      return (try? client(found).put("roost-test/ready", [])) ?? false
    }
    guard let found else { throw Failure("no leader") }
    return found
  }

  /// Polls; on failure the tail of every node's log goes into the message.
  package func wait(_ what: String, seconds: Double = 15, _ condition: () throws -> Bool) throws {
    let end = Date().addingTimeInterval(seconds)
    while Date() < end {
      if try condition() { return }
      usleep(20_000)
    }
    throw Failure("waited \(seconds) s for \(what)\n\(tails())")
  }

  package func tails() -> String {
    nodes.indices.map { i in
      "--- \(nodes[i].name)\n"
        + log(i).split(separator: "\n").suffix(15).joined(separator: "\n")
    }.joined(separator: "\n")
  }

  package struct Failure: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
  }
}
