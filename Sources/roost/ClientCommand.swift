internal import FoundationEssentials
internal import RoostClient

/// What the commands that talk to a cluster share.
struct ClientCommand {
  let arguments: Arguments
  let roost: Roost
  let wantsJSON: Bool

  init(_ input: ArraySlice<String>, flags: [Flag]) throws {
    arguments = try Arguments(input, flags: flags + Flag.client)
    roost = try Self.client(arguments)
    wantsJSON = arguments.has("json")
  }

  static func client(_ arguments: Arguments) throws(RoostError) -> Roost {
    let addresses =
      arguments.value("http-addr") ?? Console.environment("ROOST_HTTP_ADDR")
      ?? Console.environment("CONSUL_HTTP_ADDR") ?? "127.0.0.1:8500"
    let token =
      arguments.value("token") ?? Console.environment("ROOST_HTTP_TOKEN")
      ?? Console.environment("CONSUL_HTTP_TOKEN") ?? ""
    let list = addresses.split(separator: ",").map {
      String($0.drop { $0 == " " })
    }
    return try Roost(addresses: list, token: token)
  }

  /// Prints a value as indented JSON.
  static func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    Console.print(String(decoding: try encoder.encode(value), as: UTF8.self))
  }

  var consistency: Roost.Consistency {
    arguments.has("stale") ? .stale : .default
  }

  static let staleFlag = Flag("stale", "ask only the local state of the node, which may be behind")
}
