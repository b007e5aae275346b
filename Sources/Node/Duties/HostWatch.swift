import Registry

/// How the leader finds out that a host is dead, gone, or back. Pure.
///
/// A host is dead when the leader has had no contact with it for `deadAfter`, counted at the
/// earliest from the moment it became leader, so that a failover condemns nobody early. Services
/// move only to hosts that are alive *and* passing: a node that lives again, but has not said so in
/// the catalog yet, would take them out of service. Names are compared folded, as the catalog does.
struct HostWatch {
  struct Member: Equatable {
    var name: String
    /// When the leader last heard it; nil: not since it leads.
    var lastContact: UInt64?
    var isSelf: Bool
  }
  /// A Roost node in the catalog.
  struct Host: Equatable {
    var name: String
    /// Its `serfHealth`.
    var isPassing: Bool
    /// Agent services that are (still) on it; asked for only when it is not passing.
    var services: [String] = []
  }
  enum Verdict: Equatable {
    case down(host: String, liveHosts: [String])
    case gone(host: String, liveHosts: [String])
  }
  private struct Move: Equatable {
    var services: [String]
    var liveHosts: [String]
  }

  let deadAfter: UInt64
  private var leadingSince: UInt64 = 0
  /// What was left on a dead host, and who could have taken it, when a move was last tried: it is
  /// tried again when one of both differs. By folded name; as many as there are dead hosts.
  private var triedMoves: [String: Move] = [:]

  init(deadAfter: UInt64) { self.deadAfter = deadAfter }

  mutating func startLeading(now: UInt64) {
    leadingSince = now
    triedMoves = [:]
  }

  mutating func judge(members: [Member], hosts: [Host], now: UInt64) -> [Verdict] {
    let known = Set(members.map { foldedName($0.name) })
    let alive = Set(
      members.filter { $0.isSelf || isAlive($0, now: now) }.map { foldedName($0.name) })
    let live = hosts.filter { $0.isPassing && alive.contains(foldedName($0.name)) }.map(\.name)
      .sorted()
    return hosts.compactMap { host in
      let name = foldedName(host.name)
      guard known.contains(name) else { return .gone(host: host.name, liveHosts: live) }
      guard !alive.contains(name) else {
        triedMoves[name] = nil
        return nil
      }
      if host.isPassing { return .down(host: host.name, liveHosts: live) }
      // Registered there after it was found dead, or nobody could take it then.
      let move = Move(services: host.services, liveHosts: live)
      guard !host.services.isEmpty, triedMoves[name] != move else { return nil }
      triedMoves[name] = move
      return .down(host: host.name, liveHosts: live)
    }
  }

  func isAlive(_ member: Member, now: UInt64) -> Bool {
    now < max(member.lastContact ?? 0, leadingSince) + deadAfter
  }
}
