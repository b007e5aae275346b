import Registry

/// What a client asks of a node.
struct Request {
  enum Body {
    /// An encoded command. With a request id it may be sent again without harm.
    case write([UInt8], hasRequestID: Bool)
    case read([Key], Consistency)
  }
  enum Consistency: Equatable {
    case linearizable
    /// From the node's own state, once that is at least as new as this index.
    case stale(atLeast: UInt64)
  }
  var client: Int
  /// Names this attempt: a late answer to an earlier one is told from the answer to this one.
  var attempt: UInt64
  var body: Body
}

/// What a client is told.
enum Reply {
  case outcome(Outcome, index: UInt64)
  /// The values in the order of the keys; nil for a key that does not exist.
  case values([KVEntry?], index: UInt64)
  /// Certain: it was not done and will not be.
  case notDone
  case unknown
}

/// Who waits for an entry to be applied.
enum Waiter {
  case client(Request)
  /// A node that forwarded the command.
  case node(Int, ForwardID)
}
