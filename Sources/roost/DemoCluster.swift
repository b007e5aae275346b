internal import CRoost
internal import Foundation
internal import Harness
internal import RoostClient

/// Three real nodes, one process each, in a temporary folder and on ports that were free.
///
/// They die with this process; `remove` ends them and deletes the folder.
final class DemoCluster {
  struct Node {
    let name: String
    let httpPort: UInt16
    let peerPort: UInt16
    let file: String
    /// 0 while it does not run.
    var pid: Int32 = 0
    var http: String { "127.0.0.1:\(httpPort)" }
  }

  private(set) var nodes: [Node] = []
  let folder: String
  let roost: Roost

  init() throws {
    folder = FileManager.default.temporaryDirectory.path + "/roost-demo-\(getpid())"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    let ports = try Ports.take(6)
    for i in 0..<3 {
      let name = "node\(i + 1)"
      nodes.append(
        Node(
          name: name, httpPort: ports[i], peerPort: ports[i + 3], file: "\(folder)/\(name).json"))
    }
    var client = try Roost(addresses: nodes.map(\.http))
    client.readSeconds = 10
    roost = client
    for i in nodes.indices { try writeConfiguration(i) }
  }

  private func writeConfiguration(_ i: Int) throws {
    struct Configuration: Encodable {
      struct Member: Encodable {
        let name: String
        let peer: String
      }
      let node_name: String
      let cluster = "demo"
      let data_dir: String
      let ports: [String: Int]
      let members: [Member]
    }
    let node = nodes[i]
    let configuration = Configuration(
      node_name: node.name, data_dir: "\(folder)/\(node.name)",
      ports: ["http": Int(node.httpPort), "peer": Int(node.peerPort), "dns": -1],
      members: nodes.map { .init(name: $0.name, peer: "127.0.0.1:\($0.peerPort)") })
    try Console.writeFile(node.file, Array(JSONEncoder().encode(configuration)))
  }

  /// A client that asks only this node.
  func client(_ i: Int) throws -> Roost {
    var client = try Roost(addresses: [nodes[i].http])
    client.readSeconds = 10
    return client
  }

  // MARK: Processes

  func start(_ i: Int) throws(CommandFailure) {
    let log = "\(folder)/\(nodes[i].name).log"
    nodes[i].pid = try NodeProgram.start(file: nodes[i].file, log: log)
  }

  /// As `kill -9` does; returns when the process is gone.
  func kill(_ i: Int) { ChildProcess.end(&nodes[i].pid, SIGKILL) }

  func remove() {
    for i in nodes.indices { kill(i) }
    try? FileManager.default.removeItem(atPath: folder)
  }

  /// The last lines of a node's log, for when something goes wrong.
  func logTail(_ i: Int) -> String {
    let text =
      (try? String(contentsOfFile: "\(folder)/\(nodes[i].name).log", encoding: .utf8)) ?? ""
    return text.split(separator: "\n").suffix(5).map { "  \($0)" }.joined(separator: "\n")
  }

  // MARK: What the nodes say

  func report(_ i: Int) -> NodeReport? {
    guard nodes[i].pid > 0, var client = try? client(i) else { return nil }
    client.readSeconds = 2
    return try? client.report()
  }

  /// The node that leads in the highest term.
  func leader() -> Int? {
    nodes.indices.compactMap { i in report(i).map { (i, $0) } }
      .filter { $0.1.role == "leader" }.max { $0.1.term < $1.1.term }?.0
  }
}
