import Registry

/// How the leader finds out that a host is dead, gone, or back. Pure.
///
/// A host is dead when the leader has had no contact with it for `deadAfter`, counted at the
/// earliest from the moment it became leader, so that a failover condemns nobody early.
struct HostWatch {
  struct Member: Equatable {
    var name: String
    /// When the leader last heard it; nil: not since it leads.
    var lastContact: UInt64?
    var isSelf: Bool
  }
  enum Verdict: Equatable {
    case down(host: String, liveHosts: [String])
    case gone(host: String, liveHosts: [String])
  }

  let deadAfter: UInt64
  private var leadingSince: UInt64 = 0

  init(deadAfter: UInt64) { self.deadAfter = deadAfter }

  mutating func startLeading(now: UInt64) { leadingSince = now }

  /// - Parameter hosts: Roost nodes in the catalog, with whether `serfHealth` is passing.
  func judge(
    members: [Member], hosts: [(name: String, isPassing: Bool)], now: UInt64
  ) -> [Verdict] {
    let live = members.filter { $0.isSelf || isAlive($0, now: now) }.map(\.name).sorted()
    return hosts.compactMap { host in
      guard members.contains(where: { $0.name == host.name }) else {
        return .gone(host: host.name, liveHosts: live)
      }
      guard host.isPassing, !live.contains(host.name) else { return nil }
      return .down(host: host.name, liveHosts: live)
    }
  }

  private func isAlive(_ member: Member, now: UInt64) -> Bool {
    now < max(member.lastContact ?? 0, leadingSince) + deadAfter
  }
}
