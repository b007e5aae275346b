import Foundation
import Harness
import RoostClient
import Testing

/// Sessions and locks through failovers, and holders that die or stand still (fault scenarios R8, T8,
/// invariants I6 and I7).
@Suite(.serialized, .timeLimit(.minutes(15)))
struct SessionTests {
  private static let ttl = 10.0

  /// Renewed all the time, a session outlives every leader; renewed no more, it ends not before its
  /// TTL and at most one TTL late. `ROOST_ROUNDS=20` kills twenty leaders.
  @Test func aSessionOutlivesItsLeadersAndNotItsTTL() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      var roost = try Roost(addresses: cluster.nodes.map(\.http))
      roost.readSeconds = 8
      let id = try roost.createSession(name: "held", ttl: "10s", lockDelay: "1ms", checks: [])
      #expect(try roost.acquire("held/lock", Array("mine".utf8), session: id))
      let held = try #require(try roost.get("held/lock"))
      let keeper = Keeper(roost, id)
      for round in 0..<FaultTests.rounds {
        let leader = try cluster.waitForLeader(seconds: 60)
        cluster.signal(leader, SIGKILL)
        try cluster.wait("another leader", seconds: 60) {
          cluster.leader().map { $0 != leader } ?? false
        }
        let renewals = keeper.renewals
        try cluster.wait("a renewal after kill \(round)", seconds: 60) {
          keeper.isLost || keeper.renewals > renewals
        }
        try cluster.start(leader)
        try cluster.wait("\(cluster.nodes[leader].name) to be back", seconds: 60) {
          cluster.report(leader)?.role == "follower"
        }
      }
      keeper.stop()
      #expect(!keeper.isLost)
      let now = try #require(try roost.get("held/lock"))
      #expect(now.session == id && now.lockIndex == held.lockIndex && now.value == held.value)

      // The last renewal was sent between these two; then a leader dies once more.
      let (sent, answered) = keeper.last
      let leader = try cluster.waitForLeader(seconds: 60)
      cluster.signal(leader, SIGKILL)
      try cluster.wait("the session to end", seconds: 3 * Self.ttl) {
        guard let pair = try? roost.get("held/lock") else { return false }
        return pair.session == nil
      }
      let gone = Date()
      #expect(gone.timeIntervalSince(sent) >= Self.ttl - 0.1)
      #expect(gone.timeIntervalSince(answered) <= 2 * Self.ttl + 2)
      print("session: ended \(gone.timeIntervalSince(answered)) s after its last renewal")
    }
  }

  /// Two client processes contend for a lock that each of them writes to while it holds it. The
  /// holder is killed, then stopped beyond its TTL and woken: what it writes then is refused, the
  /// new holder keeps the lock, and tokens only grow.
  @Test func aLockIsNeverHeldByTwo() async throws {
    try await onThread {
      let cluster = try LocalCluster(count: 3)
      let observer = LockObserver(cluster, key: "work/lock")
      var contenders = try ["ann", "bob"].map { try Contender($0, cluster, key: "work/lock") }
      defer { for contender in contenders { contender.signal(SIGKILL) } }
      func holder(other than: Int?) throws -> Int {
        var found: Int?
        try cluster.wait("a holder to write", seconds: 90) {
          found = try? observer.writer().flatMap { name in
            contenders.firstIndex { $0.name == name }
          }
          return found != nil && found != than
        }
        return try #require(found)
      }
      for round in 0..<max(1, FaultTests.rounds / 5) {
        let killed = try holder(other: nil)
        contenders[killed].signal(SIGKILL)
        let next = try holder(other: killed)
        contenders[killed] = try Contender(contenders[killed].name, cluster, key: "work/lock")

        let refusals = contenders[next].refusals
        contenders[next].signal(SIGSTOP)
        let third = try holder(other: next)
        let token = try observer.token()
        contenders[next].signal(SIGCONT)
        try cluster.wait("the old holder to be refused, round \(round)", seconds: 60) {
          contenders[next].refusals > refusals
        }
        #expect(try observer.writer() == contenders[third].name)
        #expect(try observer.token() == token)
      }
      observer.stop()
      #expect(observer.faults == [])
      #expect(observer.tokens >= 3)
      print("lock: \(observer.tokens) tokens, \(observer.looks) looks")
    }
  }
}

/// Renews a session every second.
private final class Keeper: @unchecked Sendable {
  // Sound: `lock` guards every mutable field.
  private let lock = NSLock()
  private let done = DispatchSemaphore(value: 0)
  private var count = 0
  private var lost = false
  private var stopping = false
  private var lastSent = Date()
  private var lastAnswered = Date()

  init(_ roost: Roost, _ id: String) {
    Thread.detachNewThread { [self] in
      while !lock.withLock({ stopping }) {
        let sent = Date()
        do {
          let isAlive = try roost.renewSession(id)
          lock.withLock {
            guard isAlive else { return lost = true }
            count += 1
            (lastSent, lastAnswered) = (sent, Date())
          }
        } catch {}
        usleep(1_000_000)
      }
      done.signal()
    }
  }

  var renewals: Int { lock.withLock { count } }
  var isLost: Bool { lock.withLock { lost } }
  var last: (sent: Date, answered: Date) { lock.withLock { (lastSent, lastAnswered) } }

  func stop() {
    lock.withLock { stopping = true }
    done.wait()
  }
}

/// A client process of its own: a shell that renews its session, acquires the lock with each write,
/// and writes down what was refused.
private struct Contender {
  let name: String
  private let process: Process
  private let journal: URL

  init(_ name: String, _ cluster: LocalCluster, key: String) throws {
    self.name = name
    journal = cluster.folder.appendingPathComponent("\(name)-\(UUID().uuidString.prefix(4))")
    _ = FileManager.default.createFile(atPath: journal.path, contents: nil)
    process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    // A group of its own, so that a signal reaches the shell and what it runs.
    process.arguments = ["setsid", "--wait", "sh", "-c", Self.script]
    process.environment = ProcessInfo.processInfo.environment.merging([
      "ROOST": LocalCluster.binary.path, "NAME": name, "KEY": key, "JOURNAL": journal.path,
      "ROOST_HTTP_ADDR": cluster.nodes.map(\.http).joined(separator: ","),
    ]) { _, new in new }
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
  }

  private static let script = """
    echo pid $$ >>"$JOURNAL"
    session=
    number=0
    while :; do
      if [ -z "$session" ] || ! "$ROOST" session renew "$session"; then
        session=$("$ROOST" session create --ttl 10s --lock-delay 1ms --no-checks)
      fi
      number=$((number + 1))
      if "$ROOST" kv put --acquire --session "$session" "$KEY" "$NAME $session $number"; then
        sleep 0.1
      else
        echo refused >>"$JOURNAL"
        sleep 0.5
      fi
    done
    """

  private var lines: [Substring] {
    let text = (try? String(contentsOf: journal, encoding: .utf8)) ?? ""
    return text.split(separator: "\n")
  }

  var refusals: Int { lines.count { $0 == "refused" } }

  func signal(_ number: Int32) {
    guard let first = lines.first?.split(separator: " ").last, let leader = Int32(first) else {
      return process.terminate()
    }
    kill(-leader, number)
  }
}

/// Looks at a lock through every node: one session per token, and tokens only grow.
private final class LockObserver: @unchecked Sendable {
  // Sound: `lock` guards every mutable field.
  private let lock = NSLock()
  private let key: String
  private let addresses: [String]
  private var sessions: [UInt64: String] = [:]
  private var highest: UInt64 = 0
  private var found: [String] = []
  private var count = 0
  private var stopping = false
  private var threads = 0

  init(_ cluster: LocalCluster, key: String) {
    self.key = key
    addresses = cluster.nodes.map(\.http)
    for address in addresses {
      threads += 1
      Thread.detachNewThread { [self] in
        while !lock.withLock({ stopping }) {
          let floor = lock.withLock { highest }
          if let pair = try? Roost(addresses: [address]).get(key) { note(pair, floor) }
          usleep(20_000)
        }
        lock.withLock { threads -= 1 }
      }
    }
  }

  private func note(_ pair: KVPair, _ floor: UInt64) {
    lock.withLock {
      count += 1
      highest = max(highest, pair.lockIndex)
      if pair.lockIndex < floor { found.append("token \(pair.lockIndex) after \(floor)") }
      guard let session = pair.session else { return }
      let known = sessions[pair.lockIndex, default: session]
      sessions[pair.lockIndex] = known
      if known != session {
        found.append("token \(pair.lockIndex) was held by \(known) and \(session)")
      }
      let writer = String(decoding: pair.value, as: UTF8.self).split(separator: " ")
      if writer.count == 3, writer[1] != session {
        found.append("\(session) holds what \(writer[1]) wrote")
      }
    }
  }

  var faults: [String] { lock.withLock { found } }
  var tokens: Int { lock.withLock { sessions.count } }
  var looks: Int { lock.withLock { count } }

  /// The name of who holds it; nil: nobody.
  func writer() throws -> String? {
    guard let pair = try Roost(addresses: addresses).get(key), pair.session != nil else {
      return nil
    }
    return String(decoding: pair.value, as: UTF8.self).split(separator: " ").first.map(String.init)
  }

  func token() throws -> UInt64? { try Roost(addresses: addresses).get(key)?.lockIndex }

  func stop() {
    lock.withLock { stopping = true }
    while lock.withLock({ threads > 0 }) { usleep(5_000) }
  }
}
