import Raft
import Registry

/// What an io loop asks of the core; each is answered once (`IOAnswer`).
enum IORequest: Sendable {
  case propose(Command, RequestContext)
  /// For all reads that came in one turn with the same deadline.
  case readBarrier(deadline: UInt64)
  case updateTTLCheck(CheckUpdate, RequestContext)
  case renewSession(UniqueID, RequestContext)
  case transferLeadership(NodeID?)
  case addPeer(name: String, address: String)
  case removePeer(NodeID)
  case metrics
}

enum IOAnswer: Sendable {
  case outcome(Result<Outcome, RequestFailure>)
  case done(RequestFailure?)
  case session(Result<SessionRecord?, RequestFailure>)
  case metrics(Metrics.Report)
}

/// What an io loop tells the core.
package enum IONotice: Sendable {
  case leave, reload
  /// It takes no new connections, and all that it had to ask so far is asked.
  case draining
  case drained
}

/// All that one io loop has to say after one of its turns.
struct IOBatch: Sendable {
  let loop: Int
  let requests: [(id: UInt64, request: IORequest)]
  /// Come after the requests.
  let notices: [IONotice]
  let counted: [Metrics.CounterSample]
}
