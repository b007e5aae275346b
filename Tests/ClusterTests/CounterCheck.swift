import Foundation
import RoostClient

/// A counter that one client raises by CAS while others read it from every node: a default read
/// must show at least what was acknowledged before it began, whatever happens to the cluster.
final class CounterCheck: @unchecked Sendable {
  // Sound: `lock` guards every mutable field.
  private let lock = NSLock()
  private var acknowledged: UInt64 = 0
  private var reads = 0
  private var found: [String] = []
  private var stopping = false
  private var threads = 0
  private let key = "counter"
  private let addresses: [String]
  private let writers: @Sendable () -> [String]

  /// - Parameters:
  ///   - addresses: read from each of them.
  ///   - writers: raised through these, asked again each time.
  init(addresses: [String], writers: @escaping @Sendable () -> [String]) {
    self.addresses = addresses
    self.writers = writers
  }

  /// Reads that went back.
  var faults: [String] { lock.withLock { found } }
  var value: UInt64 { lock.withLock { acknowledged } }
  var readCount: Int { lock.withLock { reads } }

  func start() {
    spawn { [self] in raise() }
    for address in addresses { spawn { [self] in read(address) } }
  }

  func stop() {
    lock.withLock { stopping = true }
    while lock.withLock({ threads > 0 }) { usleep(5_000) }
  }

  private func spawn(_ body: @escaping @Sendable () -> Void) {
    lock.withLock { threads += 1 }
    Thread.detachNewThread { [self] in
      while !lock.withLock({ stopping }) { body() }
      lock.withLock { threads -= 1 }
    }
  }

  private func raise() {
    do {
      var roost = try Roost(addresses: writers())
      roost.readSeconds = 6
      let now = try roost.get(key)
      let next = Self.number(now) + 1
      if try roost.put(key, Array("\(next)".utf8), cas: now?.modifyIndex ?? 0) {
        lock.withLock { acknowledged = max(acknowledged, next) }
      }
    } catch { usleep(5_000) }
  }

  private func read(_ address: String) {
    let floor = value
    guard var roost = try? Roost(addresses: [address]) else { return }
    roost.readSeconds = 12
    guard let pair = try? roost.get(key) else {
      usleep(2_000)
      return
    }
    let seen = Self.number(pair)
    lock.withLock {
      reads += 1
      if seen < floor { found.append("\(address) showed \(seen) after \(floor)") }
    }
    usleep(1_000)
  }

  private static func number(_ pair: KVPair?) -> UInt64 {
    pair.flatMap { UInt64(String(decoding: $0.value, as: UTF8.self)) } ?? 0
  }
}
