/// Why a call to a Roost cluster failed. The texts are for people: what, where, what to do.
public enum RoostError: Error, Equatable, Sendable, CustomStringConvertible {
  /// No address answered; the last reason.
  case unreachable(addresses: [String], reason: String)
  /// An address that is not `host:port` or `http://host:port`.
  case badAddress(String)
  /// The request was sent and no answer came: a write may or may not have happened.
  case outcomeUnknown(address: String, reason: String)
  /// The node answered with an error status; the text is the node's.
  case status(Int, String)
  /// Something there is in the way: a key that is used for another purpose.
  case conflict(String)
  /// The answer was not what this version understands.
  case unexpectedAnswer(String)

  /// Without the blank lines that some of Consul's texts end with.
  private static func trimmed(_ text: String) -> Substring {
    var rest = text[...]
    while rest.last?.isWhitespace == true { rest.removeLast() }
    return rest
  }

  public var description: String {
    switch self {
    case .unreachable(let addresses, let reason):
      "cannot reach \(addresses.joined(separator: ", ")): \(reason). "
        + "Is a node running there? Name another with --http-addr or ROOST_HTTP_ADDR."
    case .badAddress(let text):
      text.hasPrefix("https://")
        ? "\(text): https is not supported by this client; name the node's plain HTTP port"
        : "\"\(text)\" is not an address; write host:port, for example 127.0.0.1:8500"
    case .outcomeUnknown(let address, let reason):
      "\(address) did not answer (\(reason)); whether the request took effect is unknown"
    case .status(500, "No cluster leader"):
      "No cluster leader (status 500): a majority of the nodes must be up; "
        + "`roost status` shows which answer"
    case .status(let code, let text):
      text.isEmpty
        ? "the node answered with status \(code)" : "\(Self.trimmed(text)) (status \(code))"
    case .conflict(let what):
      what
    case .unexpectedAnswer(let what):
      "the answer could not be understood: \(what)"
    }
  }
}
