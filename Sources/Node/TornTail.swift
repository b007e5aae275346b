import EventLoop
import Raft

/// A node whose log ended in an unfinished record lets the others elect first.
///
/// Normally such a record was never synced, so nothing relied on it. But when a disk tore a record
/// that had been synced, this node may have acknowledged entries that it no longer has; its vote
/// could then elect a leader without them, although another node still holds them. The two cases
/// look alike from here. So for a while this node neither campaigns nor votes: if the nodes with
/// whole logs are a majority, they elect one of themselves, which has every acknowledged entry.
/// It ends with the first leader heard of, or when the time is up: after a power loss that tore the
/// logs of most nodes somebody has to begin.
extension Node {
  static let tornTailNanoseconds: UInt64 = 5_000_000_000

  func beginTornTail() {
    guard raft.configuration.voters.contains(id), raft.configuration.voters.count > 1 else {
      return
    }
    tornTailUntil = loop.now + Self.tornTailNanoseconds
    updateElectable()
  }

  /// Dropping a message is always safe; whoever asks will ask again.
  func withholdsVote(_ message: Message) -> Bool {
    guard tornTailUntil > 0, case .voteRequest(let request) = message else { return false }
    return !request.isTransfer
  }

  func endTornTailWhenDue() {
    guard raft.leader != nil || loop.now >= tornTailUntil else { return }
    tornTailUntil = 0
    updateElectable()
  }
}
