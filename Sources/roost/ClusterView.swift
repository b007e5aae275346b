internal import Dispatch
internal import Foundation
internal import RoostClient
internal import Synchronization

/// Every node's own report, gathered from the addresses given and from those the nodes name.
struct ClusterView {
  struct Node: Encodable {
    let name: String
    let httpAddress: String
    /// The node that was asked has a connection to it.
    let isHeard: Bool
    /// Nil: it does not answer.
    let report: NodeReport?
  }
  private(set) var nodes: [Node] = []

  init(_ roost: Roost) throws(RoostError) {
    var reports: [(address: String, report: NodeReport)] = []
    var failure: RoostError?
    for (address, answer) in Self.ask(roost.addresses, roost) {
      switch answer {
      case .success(let report):
        let isNew = !reports.contains { $0.report.node == report.node }
        if isNew { reports.append((address, report)) }
      case .failure(let error): failure = error
      }
    }
    guard let first = reports.first else {
      throw failure ?? .unreachable(addresses: roost.addresses, reason: "no answer")
    }
    // Who leads knows every node's address; of two that think they do, the later term is right.
    let leading = reports.filter { $0.report.role == "leader" }
    let best = leading.max { $0.report.term < $1.report.term } ?? first
    let others = best.report.members.filter { member in
      !reports.contains { $0.report.node == member.name }
    }
    // Who has not answered is not asked again.
    let unasked = others.map(\.httpAddress).filter { !$0.isEmpty && !roost.addresses.contains($0) }
    let answers = Self.ask(unasked, roost)
    for member in best.report.members {
      if let have = reports.first(where: { $0.report.node == member.name }) {
        nodes.append(
          Node(
            name: member.name, httpAddress: have.address, isHeard: true, report: have.report))
      } else {
        let answer = answers.first { $0.address == member.httpAddress }?.answer
        let report = try? answer?.get()
        nodes.append(
          Node(
            name: member.name, httpAddress: member.httpAddress, isHeard: member.isReachable,
            report: report))
      }
    }
    for (address, report) in reports where !nodes.contains(where: { $0.name == report.node }) {
      nodes.append(
        Node(name: report.node, httpAddress: address, isHeard: true, report: report))
    }
    nodes.sort { $0.name < $1.name }
  }

  /// Asks all at once, so that one that hangs costs no more than its own two seconds.
  private static func ask(
    _ addresses: [String], _ roost: Roost
  ) -> [(address: String, answer: Result<NodeReport, RoostError>)] {
    let answers = Mutex<[Int: Result<NodeReport, RoostError>]>([:])
    let group = DispatchGroup()
    for (position, address) in addresses.enumerated() {
      group.enter()
      // A thread each: they block.
      Thread.detachNewThread {
        let answer = Result { () throws(RoostError) in try ask(address, roost) }
        answers.withLock { $0[position] = answer }
        group.leave()
      }
    }
    group.wait()
    return answers.withLock { answers in
      addresses.enumerated().compactMap { position, address in
        answers[position].map { (address, $0) }
      }
    }
  }

  private static func ask(_ address: String, _ roost: Roost) throws(RoostError) -> NodeReport {
    var one = try Roost(addresses: [address], token: roost.token)
    one.readSeconds = 2
    return try one.report()
  }

  /// The node that leads; of two that think they do, the one with the later term.
  var leader: NodeReport? {
    nodes.compactMap(\.report).filter { $0.role == "leader" }.max { $0.term < $1.term }
  }

  func render() -> String {
    let leader = leader
    let commit = leader?.commitIndex ?? nodes.compactMap { $0.report?.commitIndex }.max() ?? 0
    var table = Table(
      "Node", "HTTP", "State", "Role", "Term", "Commit", "Applied", "Lag", "Last contact",
      "Services")
    for node in nodes {
      guard let report = node.report else {
        let address = node.httpAddress.isEmpty ? "?" : node.httpAddress
        // A node that has just come up is heard of before its address is.
        let state = node.isHeard && node.httpAddress.isEmpty ? "alive" : "unreachable"
        table.add(node.name, address, state, "-", "-", "-", "-", "-", "-", "-")
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
    let alive = nodes.count { $0.report != nil || ($0.isHeard && $0.httpAddress.isEmpty) }
    guard let leader else {
      let said = nodes.compactMap(\.report).first { !$0.leader.isEmpty }
      if let said, nodes.contains(where: { $0.name == said.leader && $0.isHeard }) {
        return "Leader \(Console.styled(said.leader, .green)), as \(said.node) says; "
          + "\(alive) of \(nodes.count) nodes are up."
      }
      if alive * 2 > nodes.count {
        return Console.styled("No leader yet", .yellow)
          + ": \(alive) of \(nodes.count) nodes answer, a majority; they are electing one."
      }
      return Console.styled("No leader", .red)
        + ": \(alive) of \(nodes.count) nodes answer; writes and default reads are refused until a "
        + "majority is up."
    }
    return "Leader \(Console.styled(leader.node, .green)) in term \(leader.term); "
      + "\(alive) of \(nodes.count) nodes answer."
  }
}
