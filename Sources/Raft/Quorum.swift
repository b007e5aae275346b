/// Majorities, of one set of voters or of both sets of a joint configuration (dissertation 4.3).
enum Quorum {
  static func majority(of count: Int) -> Int { count / 2 + 1 }

  /// Whether a majority of each set of voters satisfies `condition`. Never true without voters.
  static func holds(_ configuration: Configuration, _ condition: (NodeID) -> Bool) -> Bool {
    guard majorityHolds(configuration.voters, condition) else { return false }
    return !configuration.isJoint || majorityHolds(configuration.outgoing, condition)
  }

  /// The highest index that a majority of each set of voters has. 0 without voters.
  static func index(_ configuration: Configuration, _ match: (NodeID) -> LogIndex) -> LogIndex {
    let incoming = majorityIndex(configuration.voters, match)
    guard configuration.isJoint else { return incoming }
    return min(incoming, majorityIndex(configuration.outgoing, match))
  }

  private static func majorityHolds(_ voters: [NodeID], _ condition: (NodeID) -> Bool) -> Bool {
    guard !voters.isEmpty else { return false }
    var count = 0
    for voter in voters where condition(voter) { count += 1 }
    return count >= majority(of: voters.count)
  }

  /// Compares all pairs: a handful of voters, and no array to allocate and sort.
  private static func majorityIndex(
    _ voters: [NodeID], _ match: (NodeID) -> LogIndex
  ) -> LogIndex {
    let needed = majority(of: voters.count)
    var best = LogIndex.zero
    for voter in voters {
      let candidate = match(voter)
      guard candidate > best else { continue }
      var count = 0
      for other in voters where match(other) >= candidate { count += 1 }
      if count >= needed { best = candidate }
    }
    return best
  }
}

/// Who said what in one election.
struct VoteTally: Equatable, Sendable {
  enum Outcome: Equatable, Sendable {
    case won
    case lost
    case pending
  }

  private(set) var granted: [NodeID] = []
  private(set) var rejected: [NodeID] = []

  /// A vote that was granted stays so; a PreVote that was refused may be granted later.
  mutating func record(_ voter: NodeID, granted isGranted: Bool) {
    guard !granted.contains(voter) else { return }
    if isGranted {
      rejected.removeAll { $0 == voter }
      granted.append(voter)
    } else if !rejected.contains(voter) {
      rejected.append(voter)
    }
  }

  mutating func reset() {
    granted.removeAll(keepingCapacity: true)
    rejected.removeAll(keepingCapacity: true)
  }

  /// - Parameter unreachable: voters known to be dead, who will not answer.
  func outcome(_ configuration: Configuration, unreachable: [NodeID]) -> Outcome {
    if Quorum.holds(configuration, { granted.contains($0) }) { return .won }
    let isOpen = Quorum.holds(configuration) {
      granted.contains($0) || !(rejected.contains($0) || unreachable.contains($0))
    }
    return isOpen ? .pending : .lost
  }
}
