internal import Foundation
internal import Node
internal import RoostClient

extension Command {
  static let cluster = Command(
    name: "cluster", summary: "run every node of a folder of configurations, one process each",
    usage: "[--restart] DIR",
    flags: [Flag("restart", "start a node again when its process ends")],
    details: """
      Starts `roost agent --config F` for each DIR/*.json, prefixes what they log with their
      names, and stops them on ctrl-C. A node that dies is reported; the others go on.
      """
  ) { input in
    let arguments = try Arguments(input, flags: [Flag("restart", "")])
    try arguments.expect("DIR")
    let directory = arguments.words[0]
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: directory)
    } catch {
      throw CommandFailure("cannot list \(directory): it is no folder, or not readable")
    }
    let files = names.filter { $0.hasSuffix(".json") }.sorted()
    guard !files.isEmpty else { throw CommandFailure("\(directory) holds no *.json file") }
    let nodes = try files.map { try SupervisedNode(file: directory + "/" + $0) }
    var supervisor = Supervisor(nodes: nodes, restarts: arguments.has("restart"))
    return try supervisor.run()
  }
}

/// One node's file and what the supervisor needs to know of it.
struct SupervisedNode: Sendable {
  let file: String
  let name: String
  let httpAddress: String

  init(file: String) throws(CommandFailure) {
    let configuration = try Command.configuration(file: file, overrides: [])
    self.file = file
    name = configuration.nodeName
    httpAddress = "\(configuration.clientAddress):\(configuration.ports.http)"
  }

  /// Prints the addresses, and who leads as soon as somebody does. Runs on a thread of its own.
  static func announce(_ nodes: [SupervisedNode]) {
    for node in nodes { Console.print("  \(node.name)  http://\(node.httpAddress)") }
    for _ in 0..<150 {
      for node in nodes {
        guard var roost = try? Roost(addresses: [node.httpAddress]) else { continue }
        roost.readSeconds = 1
        guard let report = try? roost.report(), !report.leader.isEmpty else { continue }
        Console.print(
          Console.styled("Ready.", .green) + " \(report.leader) leads. Try, in another terminal:")
        Console.print("  curl -X PUT -d hello http://\(nodes[0].httpAddress)/v1/kv/greeting")
        Console.print("  curl http://\(nodes[nodes.count - 1].httpAddress)/v1/kv/greeting?raw")
        Console.print(
          "  roost status --http-addr \(nodes.map(\.httpAddress).joined(separator: ","))")
        return
      }
      Thread.sleep(forTimeInterval: 0.1)
    }
    Console.print(
      Console.styled("No leader after 15 seconds.", .red)
        + " The lines above say why; a cluster needs a majority of its nodes.")
  }
}
