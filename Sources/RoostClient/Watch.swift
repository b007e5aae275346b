/// Follows one path by blocking queries: each `next` waits for the next change.
///
/// The rules for clients of such queries: an index that falls means that the state was restored, so
/// the watch begins anew; a wait that ends may bring the same data again, which is not a change.
public struct Watch: Sendable {
  private let roost: Roost
  private let path: String
  private let query: [(String, String?)]
  /// An index that is a hash (events) may fall at any time.
  private let hasOrderedIndex: Bool
  private var lastStatus = 0
  private var lastBody: [UInt8] = []
  /// Of the last answer; 0 before it.
  public private(set) var index: UInt64 = 0
  /// How long one query waits at the server.
  public var waitSeconds = 60

  public init(
    _ roost: Roost, _ path: String, query: [(String, String?)] = [], hasOrderedIndex: Bool = true
  ) {
    self.roost = roost
    self.path = path
    self.query = query
    self.hasOrderedIndex = hasOrderedIndex
  }

  /// Follows one key.
  public init(_ roost: Roost, key: String) { self.init(roost, Roost.path(key)) }

  /// Follows all keys with a prefix.
  public init(_ roost: Roost, prefix: String) {
    self.init(roost, Roost.path(prefix), query: [("recurse", nil)])
  }

  /// The first answer at once, then each that differs from the one before. 404 is an answer, too.
  public mutating func next() throws(RoostError) -> Roost.Response {
    while true {
      let isFirst = lastStatus == 0
      let response = try poll()
      if isFirst || response.status != lastStatus || response.body != lastBody {
        lastStatus = response.status
        lastBody = response.body
        return response
      }
    }
  }

  /// One query: returns when something changed or the wait is over.
  public mutating func poll() throws(RoostError) -> Roost.Response {
    var client = roost
    // The server adds up to a sixteenth to every wait.
    client.readSeconds = waitSeconds + waitSeconds / 16 + 10
    let position: [(String, String?)] =
      index == 0 ? [] : [("index", String(index)), ("wait", "\(waitSeconds)s")]
    let response = try client.request("GET", path, query: query + position)
    guard response.status == 200 || response.status == 404 && response.index != nil else {
      throw .status(response.status, Roost.text(response.body, "GET", path))
    }
    guard let new = response.index else {
      throw .unexpectedAnswer("\(path) has no X-Consul-Index, so it cannot be followed")
    }
    index = hasOrderedIndex && new < index ? 0 : new
    return response
  }

  /// The entries in an answer of a watch on keys.
  public static func pairs(_ response: Roost.Response) throws(RoostError) -> [KVPair] {
    try Roost.pairs(response)
  }
}
