internal import RoostClient

/// `roost catalog …`: what the catalog holds, in the words of Consul's command line.
extension Command {
  static let catalogDatacenters = Command.client(
    name: "catalog datacenters", summary: "the datacenters; a cluster has one", usage: ""
  ) { command in
    try command.arguments.expect()
    let names = try command.roost.datacenters()
    if command.wantsJSON {
      try ClientCommand.printJSON(names)
    } else {
      for name in names { Console.print(name) }
    }
    return 0
  }

  static let catalogNodes = Command.client(
    name: "catalog nodes", summary: "nodes in the catalog",
    usage: "[--service NAME] [--node-meta KEY=VALUE]… [--detailed]",
    flags: [
      Flag("detailed", "all of the ID, tagged addresses and metadata too"),
      Flag("service", "NAME", "only nodes with an instance of this service"),
      Flag("node-meta", "KEY=VALUE", "only nodes with this metadata; may be repeated"),
      Flag("filter", "EXPRESSION", "only nodes for which it holds, such as Node == \"n1\""),
      Flag("near", "NODE", "accepted; the order is always by name"), ClientCommand.staleFlag,
    ]
  ) { command in
    try command.arguments.expect()
    let nodes = try command.roost.nodes(
      service: command.arguments.value("service"), meta: command.arguments.all("node-meta"),
      filter: command.arguments.value("filter"), consistency: command.consistency
    ).sorted { $0.name < $1.name }
    if command.wantsJSON {
      try ClientCommand.printJSON(nodes.map(ShownNode.init))
      return 0
    }
    guard !nodes.isEmpty else {
      throw CommandFailure("No nodes match the given query - try expanding your search.")
    }
    let isDetailed = command.arguments.has("detailed")
    var table =
      isDetailed
      ? Table("Node", "ID", "Address", "DC", "TaggedAddresses", "Meta")
      : Table("Node", "ID", "Address", "DC")
    for node in nodes {
      table.add(
        node.name, isDetailed ? node.id : String(node.id.prefix(8)), node.address, node.datacenter,
        pairs(node.taggedAddresses), pairs(node.meta))
    }
    Console.write(table.render())
    return 0
  }

  static let catalogServices = Command.client(
    name: "catalog services", summary: "names of services in the catalog",
    usage: "[--tags] [--node NAME]",
    flags: [
      Flag("tags", "their tags too"),
      Flag("node", "NAME", "only services of this node"), ClientCommand.staleFlag,
    ]
  ) { command in
    try command.arguments.expect()
    let services: [(name: String, tags: [String])]
    if let node = command.arguments.value("node") {
      guard let own = try command.roost.services(ofNode: node) else {
        throw CommandFailure("No node exists with the name \"\(node)\"")
      }
      services = own
    } else {
      services = try command.roost.services(consistency: command.consistency)
    }
    if command.wantsJSON {
      let pairs = services.map { ($0.name, $0.tags.sorted()) }
      try ClientCommand.printJSON(Dictionary(pairs) { first, _ in first })
    } else if command.arguments.has("tags") {
      // No heading, as in Consul.
      let width = services.map(\.name.count).max() ?? 0
      for service in services {
        let name = Table.printable(service.name)
        let padding = String(repeating: " ", count: width - service.name.count + 2)
        let tags = service.tags.sorted().joined(separator: ",")
        Console.print(tags.isEmpty ? name : name + padding + Table.printable(tags))
      }
    } else {
      for service in services { Console.print(Table.printable(service.name)) }
    }
    return 0
  }

  private static func pairs(_ values: [String: String]) -> String {
    values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
  }
}

private struct ShownNode: Encodable {
  let id: String
  let node: String
  let address: String
  let datacenter: String
  let taggedAddresses: [String: String]
  let meta: [String: String]

  init(_ node: CatalogNode) {
    id = node.id
    self.node = node.name
    address = node.address
    datacenter = node.datacenter
    taggedAddresses = node.taggedAddresses
    meta = node.meta
  }
}
