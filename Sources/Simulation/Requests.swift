import Node
import Registry

/// What a client asks of a node.
struct Request {
  enum Body {
    /// An encoded command. With a request id it may be sent again without harm.
    case write([UInt8], hasRequestID: Bool)
    case read([Key], Consistency)
    case renew(UniqueID)
    /// A watcher wants every change after that index, once the node has seen what others have.
    case watch(after: UInt64)
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
  /// The node that it came through, when that one passed it on to the leader.
  var via: Int?
  /// The node has handed it to more than one leader, or to one twice.
  var isRepeated = false
}

/// What a client is told.
enum Reply {
  case outcome(Outcome, index: UInt64)
  /// The values in the order of the keys; nil for a key that does not exist.
  case values([KVEntry?], index: UInt64)
  /// Certain: it was not done and will not be.
  case notDone
  case unknown
  /// Whether there is such a session.
  case renewed(Bool)
}

/// Who waits for an entry to be applied.
enum Waiter {
  case client(Request)
  /// A node that forwarded the command.
  case node(Int, ForwardID)
  /// The leader itself, for what ran out in that leadership.
  case leader(LeaderDeadlines.Key, UInt64)
}
