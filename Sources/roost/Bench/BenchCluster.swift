internal import CRoost
internal import EventLoop
internal import Foundation
internal import Harness
internal import RoostClient

/// Three nodes of this program on loopback, on free ports, with their data in a temporary folder:
/// what `roost bench` loads when it is not told an address. Gone with everything when it is closed.
final class BenchCluster {
  struct Node {
    let name: String
    let http: SocketAddress
    let peer: String
    let file: String
    var process: Int32 = 0
  }

  private(set) var nodes: [Node] = []
  let folder: String

  /// - Parameter raft: an entry of the configuration, with its comma; such as `"raft": {…},`.
  init(count: Int = 3, raft: String = "") throws {
    let base = Console.environment("TMPDIR") ?? "/tmp"
    folder = "\(base)/roost-bench-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let ports = try Ports.take(count * 2)
    for i in 0..<count {
      nodes.append(
        Node(
          name: "node\(i + 1)", http: SocketAddress(ip: [127, 0, 0, 1], port: ports[2 * i]),
          peer: "127.0.0.1:\(ports[2 * i + 1])", file: "\(folder)/node\(i + 1).json"))
    }
    for node in nodes { try write(node, raft) }
  }

  private func write(_ node: Node, _ raft: String) throws {
    let members = nodes.map { "{ \"name\": \"\($0.name)\", \"peer\": \"\($0.peer)\" }" }
      .joined(separator: ", ")
    let peerPort = node.peer.split(separator: ":").last ?? "0"
    let text = """
      { "node_name": "\(node.name)", "cluster": "bench", "data_dir": "\(folder)/\(node.name)",
        "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", \(raft)
        "ports": { "http": \(node.http.port), "https": -1, "dns": -1, "peer": \(peerPort) },
        "members": [\(members)], "log_level": "warning" }
      """
    try text.write(toFile: node.file, atomically: false, encoding: .utf8)
  }

  deinit { close() }

  func close() {
    for index in nodes.indices { kill(index) }
    try? FileManager.default.removeItem(atPath: folder)
  }

  // MARK: Processes

  func startAll() throws {
    for index in nodes.indices { try start(index) }
    _ = try waitForLeader()
  }

  func start(_ index: Int) throws {
    let log = "\(folder)/\(nodes[index].name).log"
    nodes[index].process = try NodeProgram.start(file: nodes[index].file, log: log)
  }

  func kill(_ index: Int) { ChildProcess.end(&nodes[index].process, SIGKILL) }
  /// Waits for the end.
  func terminate(_ index: Int) { ChildProcess.end(&nodes[index].process, SIGTERM) }
  func signal(_ index: Int, _ number: Int32) { croost_kill(nodes[index].process, number) }

  // MARK: What the nodes say

  var addresses: [SocketAddress] { nodes.map(\.http) }
  func client(_ index: Int) throws -> Roost { try Roost(addresses: ["\(nodes[index].http)"]) }

  /// The position of the leader that all the others know too.
  func waitForLeader(seconds: Double = 20, without excluded: Int? = nil) throws -> Int {
    let end = croost_monotonic() + UInt64(seconds * 1e9)
    while croost_monotonic() < end {
      let live = nodes.indices.filter { $0 != excluded }
      let leaders = live.map { index -> String in
        guard var roost = try? client(index) else { return "" }
        roost.readSeconds = 2
        guard let answer = try? roost.expectOK("GET", "/v1/roost/status"),
          let report = try? JSONDecoder().decode(NodeReport.self, from: Data(answer.body))
        else { return "" }
        return report.leader
      }
      if let name = leaders.first, !name.isEmpty, leaders.allSatisfy({ $0 == name }),
        let index = nodes.firstIndex(where: { $0.name == name }), index != excluded
      {
        return index
      }
      usleep(2000)
    }
    throw CommandFailure("no leader within \(Int(seconds)) s; the nodes' logs are in \(folder)")
  }
}
