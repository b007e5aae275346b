internal import Glibc
internal import RoostClient

extension Command {
  static let members = Command(
    name: "members", summary: "the nodes of the cluster",
    usage: "", flags: Flag.client
  ) { input in
    let command = try ClientCommand(input, flags: [])
    try command.arguments.expect()
    let report = try command.roost.report()
    if command.wantsJSON {
      try ClientCommand.printJSON(report.members)
      return 0
    }
    var table = Table("Node", "Address", "HTTP", "Status", "Role", "ID")
    for member in report.members {
      table.add(
        member.name, member.peerAddress, member.httpAddress.isEmpty ? "?" : member.httpAddress,
        member.isReachable ? "alive" : "unreachable",
        member.isLeader ? "leader" : member.isVoter ? "voter" : "learner", member.id)
    }
    Console.write(
      table.render { _, column, text in
        column == 3 ? (text == "alive" ? .green : .red) : nil
      })
    return 0
  }

  static let status = Command(
    name: "status", summary: "one table for the whole cluster",
    usage: "[--watch]",
    flags: [Flag("watch", "draw the table anew every second until interrupted")] + Flag.client,
    details: """
      Asks every node for its own view. Lag is how far a node's state is behind the leader's
      commit index; last contact is how long ago it heard the leader.
      """
  ) { input in
    let command = try ClientCommand(input, flags: [Flag("watch", "")])
    try command.arguments.expect()
    if command.arguments.has("watch") {
      while true {
        let text = (try? ClusterView(command.roost).render()) ?? "no node answers\n"
        Console.write((Console.isTerminal ? "\u{1B}[H\u{1B}[2J" : "") + text)
        sleep(1)
      }
    }
    let view = try ClusterView(command.roost)
    if command.wantsJSON {
      try ClientCommand.printJSON(view.nodes)
    } else {
      Console.write(view.render())
    }
    return view.hasLeader ? 0 : 1
  }
}

/// Every node's own report, gathered from the addresses given and from those the nodes name.
struct ClusterView {
  struct Node: Encodable {
    let name: String
    let httpAddress: String
    /// Nil: it does not answer.
    let report: NodeReport?
  }
  private(set) var nodes: [Node] = []

  init(_ roost: Roost) throws(RoostError) {
    var known: [(name: String, address: String)] = []
    var reports: [(address: String, report: NodeReport)] = []
    var failure: RoostError?
    for address in roost.addresses {
      do throws(RoostError) {
        reports.append((address, try Self.ask(address, roost)))
      } catch {
        failure = error
      }
    }
    guard let first = reports.first else {
      throw failure ?? .unreachable(addresses: roost.addresses, reason: "no answer")
    }
    for member in (reports.first { $0.report.role == "leader" } ?? first).report.members {
      known.append((member.name, member.httpAddress))
    }
    for (name, address) in known {
      if let have = reports.first(where: { $0.report.node == name }) {
        nodes.append(Node(name: name, httpAddress: have.address, report: have.report))
      } else {
        let report = address.isEmpty ? nil : try? Self.ask(address, roost)
        nodes.append(Node(name: name, httpAddress: address, report: report))
      }
    }
    for (address, report) in reports where !nodes.contains(where: { $0.name == report.node }) {
      nodes.append(Node(name: report.node, httpAddress: address, report: report))
    }
    nodes.sort { $0.name < $1.name }
  }

  private static func ask(_ address: String, _ roost: Roost) throws(RoostError) -> NodeReport {
    var one = try Roost(addresses: [address], token: roost.token)
    one.readSeconds = 2
    return try one.report()
  }

  var hasLeader: Bool { nodes.contains { $0.report?.role == "leader" } }

  func render() -> String {
    let leader = nodes.first { $0.report?.role == "leader" }?.report
    let commit = leader?.commitIndex ?? nodes.compactMap { $0.report?.commitIndex }.max() ?? 0
    var table = Table(
      "Node", "HTTP", "State", "Role", "Term", "Commit", "Applied", "Lag", "Last contact",
      "Services")
    for node in nodes {
      guard let report = node.report else {
        let address = node.httpAddress.isEmpty ? "?" : node.httpAddress
        table.add(node.name, address, "unreachable", "-", "-", "-", "-", "-", "-", "-")
        continue
      }
      let lag = commit > report.appliedIndex ? commit - report.appliedIndex : 0
      let contact =
        report.role == "leader"
        ? "-"
        : report.leader.isEmpty ? "no leader" : "\(report.lastContactMilliseconds) ms"
      table.add(
        node.name, node.httpAddress, "alive", report.role, String(report.term),
        String(report.commitIndex), String(report.appliedIndex), String(lag), contact,
        String(report.services))
    }
    let text = table.render { _, column, text in
      switch (column, text) {
      case (2, "alive"), (3, "leader"): .green
      case (2, _), (8, "no leader"): .red
      default: nil
      }
    }
    return text + "\n" + summary(leader) + "\n"
  }

  private func summary(_ leader: NodeReport?) -> String {
    let alive = nodes.count { $0.report != nil }
    guard let leader else {
      return Console.styled("No leader", .red)
        + ": \(alive) of \(nodes.count) nodes answer; writes and default reads are refused until a "
        + "majority is up."
    }
    return "Leader \(Console.styled(leader.node, .green)) in term \(leader.term); "
      + "\(alive) of \(nodes.count) nodes answer."
  }
}
