import Foundation
import Harness
import RoostClient
import Testing

/// Clients that write all the time and keep book of what was acknowledged.
///
/// Each writer appends its own numbers to its own list key by CAS, so that after the run a lost or
/// doubled write shows. A writer goes to the next address when one does not answer.
final class Load: @unchecked Sendable {
  // Sound: `lock` guards every mutable field.
  private let lock = NSLock()
  private var stopping = false
  private var threads = 0
  private var acknowledged: [[UInt64]] = []
  private var unknown: [Set<UInt64>] = []
  private var errors: [String] = []
  private var lastAck = Date()
  private var longest: TimeInterval = 0
  private var total = 0
  /// Requests under way, by address.
  private var underWay: [String: Int] = [:]

  let writers: Int
  private let addresses: @Sendable () -> [String]
  private let prefix: String

  /// - Parameter addresses: asked again for every write, so that a test can take nodes out.
  init(writers: Int, prefix: String = "load", addresses: @escaping @Sendable () -> [String]) {
    self.writers = writers
    self.addresses = addresses
    self.prefix = prefix
    acknowledged = Array(repeating: [], count: writers)
    unknown = Array(repeating: [], count: writers)
  }

  func start() {
    lock.withLock { lastAck = Date() }
    for writer in 0..<writers {
      lock.withLock { threads += 1 }
      Thread.detachNewThread { [self] in
        run(writer)
        lock.withLock { threads -= 1 }
      }
    }
  }

  func stop() {
    lock.withLock { stopping = true }
    while lock.withLock({ threads > 0 }) { usleep(5_000) }
  }

  /// Waits for so many more acknowledged writes: what a test goes by instead of time.
  func await(_ more: Int, _ cluster: LocalCluster, seconds: Double = 60) throws {
    let goal = count + more
    try cluster.wait("\(more) more acknowledged writes", seconds: seconds) { count >= goal }
  }

  /// Waits until no request is under way at an address that is given out no more.
  func awaitNobody(at address: String, _ cluster: LocalCluster) throws {
    try cluster.wait("the requests at \(address) to end", seconds: 30) {
      lock.withLock { underWay[address, default: 0] == 0 }
    }
  }

  /// Stops each node by SIGTERM and starts it again, while this load goes on through the others.
  /// - Parameter down: the node that is given out to no client.
  func restartOneByOne(_ cluster: LocalCluster, _ down: Locked<Int?>) throws {
    for i in cluster.nodes.indices {
      down.value = i
      try awaitNobody(at: cluster.nodes[i].http, cluster)
      cluster.signal(i, SIGTERM)
      #expect(cluster.exitStatus(i, within: 20) == 0)
      try self.await(100, cluster)
      try cluster.start(i)
      try cluster.wait("\(cluster.nodes[i].name) to be back") {
        ["follower", "leader"].contains(cluster.report(i)?.role)
      }
      down.value = nil
    }
  }

  /// Waits for a node to end while writes go on, which is what makes it reach its end.
  func awaitEnd(of node: Int, _ cluster: LocalCluster, _ what: String) throws {
    try cluster.wait("\(cluster.nodes[node].name) \(what)", seconds: 60) {
      cluster.nodes[node].process?.isRunning != true
    }
  }

  func resetGap() {
    lock.withLock {
      longest = 0
      lastAck = Date()
    }
  }
  /// The longest time between two acknowledged writes of all writers together.
  var longestGap: TimeInterval { lock.withLock { max(longest, Date().timeIntervalSince(lastAck)) } }
  var count: Int { lock.withLock { total } }
  var failures: [String] { lock.withLock { errors } }

  private func run(_ writer: Int) {
    let key = "\(prefix)/\(writer)"
    var number: UInt64 = 0
    var turn = writer
    while !lock.withLock({ stopping }) {
      number += 1
      turn += 1
      // Chosen and counted in one step, so that `awaitNobody` misses none.
      let chosen: String? = lock.withLock {
        let list = addresses()
        guard !list.isEmpty else { return nil }
        underWay[list[turn % list.count], default: 0] += 1
        return list[turn % list.count]
      }
      guard let address = chosen else {
        usleep(5_000)
        continue
      }
      defer { lock.withLock { underWay[address, default: 0] -= 1 } }
      let value = Array("\(number)".utf8)
      do {
        var roost = try Roost(addresses: [address])
        roost.readSeconds = 10
        // One key per number: a plain write, so a retry by the cluster must not show twice.
        let written = try roost.put("\(key)/\(number)", value, cas: 0)
        note(writer, number, written: written)
      } catch {
        note(writer, number, error: error, address: address)
      }
    }
  }

  private func note(_ writer: Int, _ number: UInt64, written: Bool) {
    lock.withLock {
      guard written else {
        errors.append(
          "\(prefix)/\(writer)/\(number): cas=0 on a fresh key said false (applied twice)")
        return
      }
      let now = Date()
      longest = max(longest, now.timeIntervalSince(lastAck))
      lastAck = now
      acknowledged[writer].append(number)
      total += 1
    }
  }

  private func note(_ writer: Int, _ number: UInt64, error: any Error, address: String) {
    lock.withLock {
      unknown[writer].insert(number)
      errors.append("\(address) \(number): \(error)")
    }
    usleep(2_000)
  }

  /// Every acknowledged write is there, exactly once, with its value.
  func verify(_ roost: Roost) throws -> [String] {
    var faults: [String] = []
    for writer in 0..<writers {
      let pairs = try roost.list("\(prefix)/\(writer)/")
      var found: [UInt64: [UInt8]] = [:]
      for pair in pairs {
        guard let number = UInt64(pair.key.split(separator: "/").last ?? "") else { continue }
        found[number] = pair.value
        if pair.createIndex != pair.modifyIndex { faults.append("\(pair.key) was written twice") }
      }
      for number in lock.withLock({ acknowledged[writer] })
      where found[number] != Array("\(number)".utf8) {
        faults.append("\(prefix)/\(writer)/\(number) was acknowledged and is not there")
      }
    }
    return faults
  }
}
