internal import RoostClient

extension Command {
  static let listPeers = Command.client(
    name: "operator raft list-peers", summary: "the members of the Raft configuration",
    usage: "[--stale]", flags: [ClientCommand.staleFlag]
  ) { command in
    try command.arguments.expect()
    let peers = try command.roost.raftPeers(stale: command.arguments.has("stale"))
    if command.wantsJSON {
      try ClientCommand.printJSON(peers)
      return 0
    }
    var table = Table("Node", "ID", "Address", "State", "Voter")
    for peer in peers {
      table.add(
        peer.node, peer.id, peer.address, peer.isLeader ? "leader" : "follower",
        String(peer.isVoter))
    }
    Console.write(table.render())
    return 0
  }

  static let addPeer = Command.client(
    name: "operator raft add-peer", summary: "add a running node to the cluster",
    usage: "--name NAME --address HOST:PORT",
    flags: [
      Flag("name", "NAME", "the node's name"), Flag("address", "HOST:PORT", "its peer address"),
    ],
    details: """
      The node must run with an empty data directory. It learns first and votes when it has
      caught up. Nodes started with "join" in their configuration do this by themselves.
      """
  ) { command in
    guard let name = command.arguments.value("name") else { throw UsageError("--name is missing") }
    guard let address = command.arguments.value("address") else {
      throw UsageError("--address is missing")
    }
    try command.roost.addPeer(name: name, address: address)
    Console.print("Added \(name) at \(address); it votes as soon as it has caught up")
    return 0
  }

  static let removePeer = Command.client(
    name: "operator raft remove-peer", summary: "remove a node from the cluster for good",
    usage: "--id ID | --address HOST:PORT",
    flags: [
      Flag("id", "ID", "as list-peers shows it"), Flag("address", "HOST:PORT", "its peer address"),
    ]
  ) { command in
    switch (command.arguments.value("id"), command.arguments.value("address")) {
    case (let id?, nil):
      try command.roost.removePeer(id: id)
      Console.print("Removed peer with id \"\(id)\"")
    case (nil, let address?):
      try command.roost.removePeer(address: address)
      Console.print("Removed peer with address \"\(address)\"")
    default:
      throw UsageError("give either --id or --address")
    }
    return 0
  }

  static let transferLeader = Command.client(
    name: "operator raft transfer-leader", summary: "hand leadership to another node",
    usage: "[--id ID]",
    flags: [Flag("id", "ID", "the new leader; the one suited best when not given")]
  ) { command in
    try command.arguments.expect()
    try command.roost.transferLeadership(to: command.arguments.value("id"))
    Console.print("Success")
    return 0
  }
}
