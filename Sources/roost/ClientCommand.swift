internal import FoundationEssentials
internal import RoostClient

/// What the commands that talk to a cluster share.
struct ClientCommand {
  let arguments: Arguments
  let roost: Roost
  let wantsJSON: Bool

  init(_ arguments: Arguments) throws {
    self.arguments = arguments
    roost = try Self.client(arguments)
    wantsJSON = arguments.has("json")
  }

  /// The cluster that the flags name, or else the environment, in Roost's words or Consul's.
  private static func client(_ arguments: Arguments) throws -> Roost {
    let addresses =
      arguments.value("http-addr") ?? environment("HTTP_ADDR") ?? "127.0.0.1:8500"
    var token = arguments.value("token") ?? ""
    if token.isEmpty {
      if let file = arguments.value("token-file") ?? environment("HTTP_TOKEN_FILE") {
        let text = String(decoding: try Console.readFile(file), as: UTF8.self)
        token = text.trimming { $0.isWhitespace }
      } else {
        token = environment("HTTP_TOKEN") ?? ""
      }
    }
    let list = addresses.split(separator: ",").map { String($0).trimming { $0.isWhitespace } }
    var roost = try Roost(addresses: list, token: token)
    roost.datacenter = arguments.value("datacenter") ?? ""
    return roost
  }

  private static func environment(_ name: String) -> String? {
    Console.environment("ROOST_" + name) ?? Console.environment("CONSUL_" + name)
  }

  /// Prints a value as indented JSON.
  static func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    Console.print(String(decoding: try encoder.encode(value), as: UTF8.self))
  }

  static func decode<T: Decodable>(_ type: T.Type, _ body: [UInt8]) throws -> T {
    do {
      return try JSONDecoder().decode(type, from: Data(body))
    } catch {
      throw RoostError.unexpectedAnswer(String(describing: error))
    }
  }

  var consistency: Roost.Consistency {
    arguments.has("stale") ? .stale : .default
  }

  static let staleFlag = Flag("stale", "ask only the local state of the node, which may be behind")
}

extension String {
  func trimming(_ isBlank: (Character) -> Bool) -> String {
    var rest = self[...]
    while let first = rest.first, isBlank(first) { rest.removeFirst() }
    while let last = rest.last, isBlank(last) { rest.removeLast() }
    return String(rest)
  }
}
