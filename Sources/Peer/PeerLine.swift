internal import Basics
internal import EventLoop
internal import Raft

/// What a line tells the transport.
protocol PeerLineOwner: AnyObject {
  /// Starts a connection, which the line gets through `attach`, or reports `attemptFailed`.
  func lineWantsToDial(_ line: PeerLine)
  func lineDidChange(_ line: PeerLine, _ state: PeerLinkState)
}

/// One dialed connection to one peer, kept up: for Raft and frames, or for bulk.
///
/// A connection that is lost is dialed again at once, so that a dead process is known within
/// milliseconds: its port refuses. Only then attempts back off, doubling, with jitter. An
/// accepted handshake of the same peer ends the waiting (`peerIsAlive`).
final class PeerLine {
  let peer: NodeID
  let purpose: PeerPurpose
  private(set) var connection: PeerConnection?
  /// Times the connection was up again after it had been up before.
  private(set) var reconnects: UInt64 = 0

  private let loop: EventLoop
  private let limits: PeerLimits
  private weak var owner: (any PeerLineOwner)?
  private var random: SplitMix
  private var failures = 0
  private var openedAt: UInt64 = 0
  private var promptlyDialedAt: UInt64?
  private var wasOpen = false
  private var isDialing = false
  private var announced: PeerLinkState?
  private var retry: TimerID?

  /// A connection that lived shorter leaves the back-off as it was.
  private static let stableNanoseconds: UInt64 = 500_000_000
  /// So often at most a lost connection is dialed again at once: one that is always closed as soon
  /// as it is open must not keep both sides busy.
  private static let promptNanoseconds: UInt64 = 100_000_000

  init(
    peer: NodeID, purpose: PeerPurpose, loop: EventLoop, limits: PeerLimits, seed: UInt64,
    owner: any PeerLineOwner
  ) {
    self.peer = peer
    self.purpose = purpose
    self.loop = loop
    self.limits = limits
    self.owner = owner
    random = SplitMix(seed: seed)
  }

  var isOpen: Bool { connection?.isOpen ?? false }

  // MARK: Dialing

  /// Dials now, whatever the back-off says, unless a connection is there or under way.
  func dial() {
    cancelRetry()
    guard connection == nil, !isDialing else { return }
    isDialing = true
    owner?.lineWantsToDial(self)
  }

  /// The transport has started the connection.
  func attach(_ connection: PeerConnection) {
    isDialing = false
    self.connection = connection
  }

  /// There was no address to dial.
  func attemptFailed() {
    isDialing = false
    backOff()
  }

  /// The peer itself has just connected: no reason to wait any longer.
  func peerIsAlive() {
    if retry != nil { dial() }
  }

  /// Drops the connection; nothing is announced.
  func close() {
    cancelRetry()
    connection?.close()
    connection = nil
    isDialing = false
  }

  /// The address is another one: starts over.
  func restart() {
    let wasUp = isOpen
    close()
    failures = 0
    if wasUp { announce(.broken(refused: false)) }
    dial()
  }

  // MARK: What the connection tells

  func didOpen() {
    if wasOpen { reconnects += 1 }
    wasOpen = true
    openedAt = loop.now
    announce(.connected)
  }

  func didEnd(_ end: PeerEnd, wasUp: Bool) {
    connection = nil
    if wasUp {
      announce(.broken(refused: false))
      if loop.now - min(openedAt, loop.now) >= PeerLine.stableNanoseconds { failures = 0 }
      if mayDialPromptly {
        promptlyDialedAt = loop.now
        return dial()
      }
    } else if announced == .broken(refused: false), PeerLine.isRefusal(end) {
      announce(.broken(refused: true))
    }
    backOff()
  }

  private var mayDialPromptly: Bool {
    guard let last = promptlyDialedAt else { return true }
    return loop.now - min(last, loop.now) >= PeerLine.promptNanoseconds
  }

  /// The process that was there is gone: its port is closed, it was reset while it died, or another
  /// node has taken its place. A timeout is none: the machine may be cut off.
  private static func isRefusal(_ end: PeerEnd) -> Bool {
    switch end {
    case .rejected(let rejection): rejection.reason == .wrongNode
    case .lost(nil): true
    case .lost(let error?): error.isRefusal
    }
  }

  private func announce(_ state: PeerLinkState) {
    guard announced != state else { return }
    announced = state
    owner?.lineDidChange(self, state)
  }

  private func backOff() {
    guard retry == nil, connection == nil, !isDialing else { return }
    let doublings = UInt64(min(failures, 16))
    failures += 1
    let full = min(limits.backoffNanosecondsMin << doublings, limits.backoffNanosecondsMax)
    let delay = full / 2 + random.below(full / 2 + 1)
    retry = loop.schedule(after: delay) { [weak self] in
      self?.retry = nil
      self?.dial()
    }
  }

  private func cancelRetry() {
    if let retry { loop.cancel(retry) }
    retry = nil
  }
}
