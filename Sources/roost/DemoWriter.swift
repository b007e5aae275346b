internal import CRoost
internal import Foundation
internal import RoostClient
internal import Synchronization

/// A client that writes one key after the other, on a thread of its own, and keeps account of what
/// was acknowledged and of the longest time without an acknowledgement.
final class DemoWriter: Sendable {
  static let prefix = "demo/writes/"
  private static let pauseSeconds = 0.002
  /// Bounds the account, and the demo's keys.
  private static let writesMax = 20_000

  struct Account: Sendable {
    var acknowledged: [Int] = []
    var lastAcknowledgement = croost_monotonic()
    var longestGap: UInt64 = 0
    fileprivate var attempts = 0
    fileprivate var isRunning = true
    fileprivate var hasEnded = false
  }

  private let account = Mutex(Account())
  private let roost: Roost

  init(_ roost: Roost) { self.roost = roost }

  func start() {
    Thread.detachNewThread { [self] in
      while account.withLock({ $0.isRunning && $0.attempts < Self.writesMax }) {
        writeOne()
        Thread.sleep(forTimeInterval: Self.pauseSeconds)
      }
      account.withLock { $0.hasEnded = true }
    }
  }

  private func writeOne() {
    let number = account.withLock { account in
      account.attempts += 1
      return account.attempts
    }
    let value = Array("\(number)".utf8)
    guard (try? roost.put(Self.prefix + String(number), value)) == true else { return }
    let now = croost_monotonic()
    account.withLock { account in
      account.acknowledged.append(number)
      account.longestGap = max(account.longestGap, now - account.lastAcknowledgement)
      account.lastAcknowledgement = now
    }
  }

  /// From here on the longest gap is counted anew.
  func mark() { account.withLock { $0.longestGap = 0 } }

  var state: Account { account.withLock { $0 } }

  /// Returns when the write under way is answered.
  func stop() {
    account.withLock { $0.isRunning = false }
    while !account.withLock({ $0.hasEnded }) { Thread.sleep(forTimeInterval: 0.005) }
  }

  /// How many acknowledged writes this node does not have.
  func missing(in client: Roost) throws(RoostError) -> Int {
    let present = Set(try client.keys(Self.prefix))
    return state.acknowledged.count { !present.contains(Self.prefix + String($0)) }
  }
}
