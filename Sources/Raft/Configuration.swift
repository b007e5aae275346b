extension Configuration {
  public var isJoint: Bool { !outgoing.isEmpty }

  /// Whether this member's vote counts, in either half of a joint configuration.
  public func isVoter(_ id: NodeID) -> Bool { voters.contains(id) || outgoing.contains(id) }

  public func isMember(_ id: NodeID) -> Bool { isVoter(id) || learners.contains(id) }

  /// A plain configuration in which all members vote.
  public init(voting members: [Member]) {
    let sorted = members.sorted { $0.id < $1.id }
    self.init(voters: sorted.map(\.id), members: sorted)
  }

  /// Lists sorted and free of duplicates, no learner among the voters it will have when the joint
  /// phase ends, and every member named exactly once.
  var isConsistent: Bool {
    guard Self.isSorted(voters), Self.isSorted(outgoing), Self.isSorted(learners),
      Self.isSorted(members.map(\.id)), !learners.contains(where: { voters.contains($0) }),
      outgoing.isEmpty || !voters.isEmpty
    else { return false }
    let ids = voters + outgoing + learners
    return members.allSatisfy { ids.contains($0.id) }
      && ids.allSatisfy { id in members.contains { $0.id == id } }
  }

  private static func isSorted(_ ids: [NodeID]) -> Bool {
    zip(ids, ids.dropFirst()).allSatisfy { $0 < $1 } && !ids.contains(NodeID(0))
  }

  /// The configuration that ends the joint phase.
  var afterJoint: Configuration {
    Configuration(
      voters: voters, learners: learners,
      members: members.filter { voters.contains($0.id) || learners.contains($0.id) })
  }
}

/// The configurations in the log since the snapshot, oldest first; never empty. The newest one is
/// in force, committed or not (dissertation 4.1); truncation brings back the one before.
struct ConfigurationHistory: Equatable, Sendable {
  struct Item: Equatable, Sendable {
    var index: LogIndex
    var configuration: Configuration
  }
  private(set) var items: [Item]
  /// The newest one, kept apart so that reading it costs no look into the array.
  private(set) var current: Configuration

  init(_ configuration: Configuration, index: LogIndex) {
    items = [Item(index: index, configuration: configuration)]
    current = configuration
  }

  var currentIndex: LogIndex { items[items.count - 1].index }

  func inForce(at index: LogIndex) -> Item { items.last { $0.index <= index } ?? items[0] }

  /// What was in force right before the entry at `index`, if that is known.
  func before(_ index: LogIndex) -> Item? { items.last { $0.index < index } }

  /// Whether this member votes in a configuration in force at `index` or in a later one.
  func isVoter(_ id: NodeID, since index: LogIndex) -> Bool {
    let first = inForce(at: index).index
    return items.contains { $0.index >= first && $0.configuration.isVoter(id) }
  }

  mutating func append(_ configuration: Configuration, index: LogIndex) {
    items.append(Item(index: index, configuration: configuration))
    current = configuration
  }

  /// True when the configuration in force has changed.
  mutating func truncate(from index: LogIndex) -> Bool {
    let count = items.count
    while items.count > 1, items[items.count - 1].index >= index { items.removeLast() }
    current = items[items.count - 1].configuration
    return items.count < count
  }

  /// Forgets what lies before the configuration in force at `index`.
  mutating func compact(through index: LogIndex) {
    guard let keep = items.lastIndex(where: { $0.index <= index }) else { return }
    items.removeSubrange(..<keep)
  }
}
