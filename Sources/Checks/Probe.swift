import EventLoop

/// What one run of a check found.
struct ProbeResult: Equatable {
  var status: ProbeStatus
  var output: String

  static func critical(_ output: String) -> ProbeResult {
    ProbeResult(status: .critical, output: output)
  }
}

/// What all probes share.
struct ProbeContext {
  var loop: EventLoop
  var resolver: Resolver
  var limits: CheckLimits
}

/// One run of a check. `done` is called once, unless it is cancelled before.
protocol Probe: AnyObject {
  func start()
  func cancel()
}

/// Says the same every time: the check cannot be run here.
final class FixedProbe: Probe {
  private let reason: String
  private let done: (ProbeResult) -> Void

  init(_ reason: String, done: @escaping (ProbeResult) -> Void) {
    self.reason = reason
    self.done = done
  }

  func start() { done(.critical(reason)) }
  func cancel() {}
}

/// Takes the addresses of a target one after the other until one can be connected to, and shares
/// the time that is left among them.
struct AddressQueue {
  private var addresses: [SocketAddress]
  private let deadline: UInt64
  /// Of the first that failed: as with Go, it is the one reported.
  private(set) var firstFault: String?

  init(_ addresses: [SocketAddress], limits: CheckLimits, deadline: UInt64) {
    self.addresses = Array(addresses.prefix(limits.addressesMax).reversed())
    self.deadline = deadline
  }

  mutating func note(_ fault: String) {
    if firstFault == nil { firstFault = fault }
  }

  /// The next address and the time it may take, nil when none (or no time) is left.
  mutating func next(
    now: UInt64, limits: CheckLimits
  ) -> (address: SocketAddress, timeoutNanoseconds: UInt64)? {
    while let address = addresses.popLast() {
      if TargetAddress.isLinkLocal(address) && !limits.allowsLinkLocal {
        note(DialFault.linkLocal(address))
        continue
      }
      guard now < deadline else {
        note(DialFault.timeout(address))
        return nil
      }
      return (address, (deadline - now) / UInt64(addresses.count + 1))
    }
    return nil
  }
}
