import Raft

/// Whether this node may stand in an election: one answer, from all that speaks against it.
extension Node {
  /// A removed node must not disturb those that removed it; one that stops hands over instead; a
  /// full disk cannot take the entries of a leader; a torn tail lets the others elect first.
  var isElectable: Bool {
    !isRemoved && !isStopping && !isStopped && !disk.isDiskFull && tornTailUntil == 0
  }

  /// With every tick, and whenever something of the above changes.
  func updateElectable() { raft.step(.setElectable(isElectable), into: &effects) }
}
