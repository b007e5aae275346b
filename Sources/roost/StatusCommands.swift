internal import Glibc
internal import RoostClient

extension Command {
  static let members = Command.client(
    name: "members", summary: "the nodes of the cluster",
    usage: ""
  ) { command in
    try command.arguments.expect()
    let report = try command.roost.report()
    if command.wantsJSON {
      try ClientCommand.printJSON(report.members)
      return 0
    }
    var table = Table("Node", "Address", "HTTP", "Status", "Role", "ID")
    for member in report.members.sorted(by: { $0.name < $1.name }) {
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

  static let status = Command.client(
    name: "status", summary: "one table for the whole cluster",
    usage: "[--watch | --leader]",
    flags: [
      Flag("watch", "draw the table anew every second until interrupted"),
      Flag("leader", "print only the name of the node that leads"),
    ],
    details: """
      Asks every node for its own view; one address that answers is enough. Lag is how far a
      node's state is behind the leader's commit index; last contact is how long ago it heard the
      leader. Exit status: 0 while there is a leader, 1 otherwise.
      """
  ) { command in
    try command.arguments.expect()
    if command.arguments.has("leader") {
      guard let leader = try ClusterView(command.roost).leader else {
        throw CommandFailure("there is no leader")
      }
      Console.print(leader.node)
      return 0
    }
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
    return view.leader == nil ? 1 : 0
  }
}
