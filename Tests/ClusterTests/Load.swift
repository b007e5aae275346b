import Foundation
import RoostClient

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
      let list = addresses()
      guard !list.isEmpty else {
        usleep(5_000)
        continue
      }
      turn += 1
      let value = Array("\(number)".utf8)
      do {
        var roost = try Roost(addresses: [list[turn % list.count]])
        roost.readSeconds = 10
        // One key per number: a plain write, so a retry by the cluster must not show twice.
        let written = try roost.put("\(key)/\(number)", value, cas: 0)
        note(writer, number, written: written)
      } catch {
        note(writer, number, error: error, address: list[turn % list.count])
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
