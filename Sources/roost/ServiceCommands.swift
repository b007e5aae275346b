internal import RoostClient

extension Command {
  private static let registrationFlags = [
    Flag("name", "NAME", "name of the service"),
    Flag("id", "ID", "unique in the cluster; the name when not given"),
    Flag("address", "IP", "where it listens; the node's address when not given"),
    Flag("port", "N", "the port it listens on"),
    Flag("tag", "TAG", "may be repeated"),
    Flag("meta", "KEY=VALUE", "may be repeated"),
    Flag("check-http", "URL", "probe: GET answers 2xx"),
    Flag("check-tcp", "HOST:PORT", "probe: a connection can be made"),
    Flag("check-ttl", "DURATION", "the service reports by itself, at least this often"),
    Flag("check-interval", "DURATION", "time between probes (10s)"),
  ]

  static let servicesRegister = Command.client(
    name: "services register", summary: "register a service through any node",
    usage: "--name NAME [--port N] [--tag TAG]… [--check-http URL] | FILE",
    flags: registrationFlags,
    details: "FILE holds the JSON body of /v1/agent/service/register; - is standard input."
  ) { command in
    if let file = command.arguments.words.first {
      try command.arguments.expect("FILE")
      let json = file == "-" ? Console.readInput() : try Console.readFile(file)
      try command.roost.register(json: json)
      Console.print("Registered service: \(file == "-" ? "from standard input" : "from " + file)")
      return 0
    }
    let service = try registration(command.arguments)
    try command.roost.register(service)
    Console.print("Registered service: \(service.name)")
    return 0
  }

  private static func registration(
    _ arguments: Arguments
  ) throws(UsageError) -> ServiceRegistration {
    guard let name = arguments.value("name") else { throw UsageError("--name or FILE is missing") }
    var service = ServiceRegistration(name: name)
    service.id = arguments.value("id") ?? ""
    service.address = arguments.value("address") ?? ""
    if let port = try arguments.number("port") {
      guard port <= 65535 else { throw UsageError("--port \(port) is above 65535") }
      service.port = Int(port)
    }
    service.tags = arguments.all("tag")
    for pair in arguments.all("meta") {
      guard let equals = pair.firstIndex(of: "=") else {
        throw UsageError("--meta takes KEY=VALUE, not \"\(pair)\"")
      }
      service.meta[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
    }
    let interval = arguments.value("check-interval") ?? "10s"
    for url in arguments.all("check-http") {
      var check = ServiceRegistration.Check()
      check.http = url
      check.interval = interval
      service.checks.append(check)
    }
    for address in arguments.all("check-tcp") {
      var check = ServiceRegistration.Check()
      check.tcp = address
      check.interval = interval
      service.checks.append(check)
    }
    for ttl in arguments.all("check-ttl") {
      var check = ServiceRegistration.Check()
      check.ttl = ttl
      service.checks.append(check)
    }
    return service
  }

  static let servicesDeregister = Command.client(
    name: "services deregister", summary: "remove a service, whichever node it came through",
    usage: "ID | --id ID", flags: [Flag("id", "ID", "id of the service")]
  ) { command in
    guard let id = command.arguments.value("id") ?? command.arguments.words.first else {
      throw UsageError("ID is missing")
    }
    try command.roost.deregister(serviceID: id)
    Console.print("Deregistered service: \(id)")
    return 0
  }

  static let servicesList = Command.client(
    name: "services list", summary: "names of all services, with their tags",
    usage: "[--stale]", flags: [ClientCommand.staleFlag]
  ) { command in
    try command.arguments.expect()
    let services = try command.roost.services(consistency: command.consistency)
    if command.wantsJSON {
      let pairs = services.map { ($0.name, $0.tags) }
      try ClientCommand.printJSON(Dictionary(pairs) { first, _ in first })
      return 0
    }
    var table = Table("Service", "Tags")
    for service in services {
      table.add(service.name, service.tags.sorted().joined(separator: ", "))
    }
    Console.write(table.render())
    return 0
  }

  static let health = Command.client(
    name: "health", summary: "instances of a service and the state of their checks",
    usage: "[--passing] [--stale] SERVICE",
    flags: [Flag("passing", "only instances all of whose checks pass"), ClientCommand.staleFlag]

  ) { command in
    try command.arguments.expect("SERVICE")
    let instances = try command.roost.health(
      command.arguments.words[0], passingOnly: command.arguments.has("passing"),
      consistency: command.consistency)
    if command.wantsJSON {
      try ClientCommand.printJSON(instances.map(ShownInstance.init))
      return 0
    }
    guard !instances.isEmpty else {
      throw CommandFailure("no instance of \(command.arguments.words[0]) is registered")
    }
    var table = Table("ID", "Address", "Node", "Status", "Checks", "Output")
    for instance in instances {
      let failing = instance.checks.filter { $0.status != "passing" }
      let output = failing.first.map { firstLine($0.output) } ?? ""
      table.add(
        instance.id, "\(instance.address):\(instance.port)", instance.node, instance.status,
        "\(instance.checks.count - failing.count)/\(instance.checks.count) passing", output)
    }
    Console.write(table.render { _, column, text in column == 3 ? style(ofStatus: text) : nil })
    return 0
  }

  private static func firstLine(_ text: String) -> String {
    let line = text.prefix { !$0.isNewline }
    return line.count > 60 ? line.prefix(59) + "…" : String(line)
  }

  static func style(ofStatus status: String) -> Console.Style {
    switch status {
    case "passing": .green
    case "warning": .yellow
    default: .red
    }
  }
}

private struct ShownInstance: Encodable {
  let id: String
  let service: String
  let node: String
  let address: String
  let port: Int
  let tags: [String]
  let status: String
  let checks: [CheckState]

  init(_ instance: ServiceInstance) {
    id = instance.id
    service = instance.name
    node = instance.node
    address = instance.address
    port = instance.port
    tags = instance.tags
    status = instance.status
    checks = instance.checks
  }
}
