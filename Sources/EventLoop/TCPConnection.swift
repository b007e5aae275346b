internal import Basics
internal import CRoost
internal import Glibc

/// What a connection tells its owner; always on the loop's thread.
package protocol TCPConnectionDelegate: AnyObject {
  func connectionDidConnect(_ connection: TCPConnection)
  /// New bytes are in `connection.input`; consume what is complete.
  func connectionDidRead(_ connection: TCPConnection)
  /// The peer closed its sending side; nothing more will be read. The owner closes the connection
  /// when it has nothing left to send.
  func connectionDidReachEOF(_ connection: TCPConnection)
  /// Output fell below the low-water mark after it had been above the high-water mark.
  func connectionDidDrain(_ connection: TCPConnection)
  /// The last call, also from within `close`. `error` is nil for a close asked for by this side.
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?)
}

/// What carries a connection's bytes: the place where TLS goes.
package enum Transport: Sendable {
  case plain
}

/// One TCP connection with an input queue and an output queue. Output is written at the end of the
/// turn, in one system call where possible.
///
/// Reading goes on while `input` holds less than `inputBytesMax`. An owner that leaves it full and
/// consumes later calls `resumeReading` then. Every method may be called from within a callback;
/// after `close` no callback comes but `connectionDidClose`, before `close` returns. The owner
/// holds the connection: when nobody does it is closed without a word (`closeAfterFlush` excepted,
/// which holds it until it is done).
///
/// Unchecked exclusivity of the two queues is sound: one thread uses them, and no access lasts over
/// a call of the delegate.
package final class TCPConnection: PollHandler {
  package struct Options: Sendable {
    package var noDelay = true
    package var inputBytesMax = 1 << 20
    package var outputHighWater = 1 << 20
    package var outputLowWater = 256 << 10
    /// `closeAfterFlush` gives up when the peer has not taken the output by then.
    package var flushNanosecondsMax: UInt64 = 10_000_000_000
    /// How long `closeAfterFlush` waits for the peer's own close, so that no reset overtakes what
    /// was written last.
    package var lingerNanoseconds: UInt64 = 1_000_000_000
    package var transport = Transport.plain
    package init() {}
  }

  private enum Phase {
    case connecting
    case open
    /// Everything is written and the sending side shut; input is thrown away until the peer closes.
    case lingering
    case closed
  }

  package weak var delegate: (any TCPConnectionDelegate)?
  private var heldDelegate: (any TCPConnectionDelegate)?
  package let remoteAddress: SocketAddress
  /// For the owner's use.
  package var tag: UInt64 = 0
  @safe @exclusivity(unchecked) package var input = ByteQueue()
  /// Append here, then call `flushAtTurnEnd`.
  @safe @exclusivity(unchecked) package var output = OutputQueue()
  /// Bounds `input`; may be changed at any time (then call `resumeReading`).
  package var inputBytesMax: Int {
    get { inputMax }
    set { inputMax = newValue }
  }

  private let loop: EventLoop
  private let options: Options
  /// Looked at at every event: private, so that no access is checked at run time.
  private var inputMax: Int
  private var fd: Int32
  private var phase: Phase
  private var registeredInterest: UInt32?
  private var isPaused = false
  private var hasReachedEOF = false
  private var isWriteBlocked = false
  private var isMarkedDirty = false
  private var wasAboveHighWater = false
  private var closesAfterFlush = false
  private var finishesWriting = false
  private var hasShutDown = false
  private var failure: SystemError?
  private var deadline: TimerID?
  /// Itself, while `closeAfterFlush` is under way.
  private var selfReference: TCPConnection?

  /// Reads of one event, so that one fast peer does not starve the others.
  private static let readsPerEventMax = 4

  /// Starts connecting; the delegate hears `connectionDidConnect` or `connectionDidClose`.
  package init(
    connectingTo address: SocketAddress, loop: EventLoop, options: Options,
    delegate: any TCPConnectionDelegate
  ) {
    remoteAddress = address
    self.loop = loop
    self.options = options
    self.delegate = delegate
    inputMax = options.inputBytesMax
    phase = .connecting
    var raw = address.raw
    fd = croost_tcp_socket(raw.ip_length)
    super.init()
    var code = fd
    if fd >= 0 {
      if options.noDelay { _ = croost_set_no_delay(fd) }
      // Sound: the pointer lives for the call.
      code = unsafe croost_connect(fd, &raw)
      if code == -EINPROGRESS { code = 0 }
    }
    if code >= 0 { code = -loop.watch(fd, CROOST_WRITABLE, self) }
    if code >= 0 {
      registeredInterest = CROOST_WRITABLE
    } else {
      // Told at the end of the turn: nobody expects a callback from within an initializer.
      failure = SystemError(operation: "connect to", subject: "\(address)", code: -code)
      flushAtTurnEnd()
    }
  }

  /// Takes over a descriptor that a listener accepted; the delegate is still to be set.
  init(accepted fd: Int32, from address: SocketAddress, loop: EventLoop, options: Options) {
    remoteAddress = address
    self.loop = loop
    self.options = options
    self.fd = fd
    inputMax = options.inputBytesMax
    phase = .open
    super.init()
    if options.noDelay { _ = croost_set_no_delay(fd) }
    let code = loop.watch(fd, CROOST_READABLE, self)
    if code == 0 {
      registeredInterest = CROOST_READABLE
    } else {
      failure = SystemError(operation: "watch", subject: "\(address)", code: code)
      flushAtTurnEnd()
    }
  }

  deinit { releaseDescriptor() }

  package var isClosed: Bool { phase == .closed }
  package var isAboveHighWater: Bool { output.count > options.outputHighWater }

  private var hearer: (any TCPConnectionDelegate)? { heldDelegate ?? delegate }

  // MARK: What the owner asks for

  /// Instead of setting `delegate`, for one that shall live until the connection is closed: the
  /// connection holds it until then. Calling it is cheaper than one that may be gone.
  package func hold(delegate: any TCPConnectionDelegate) { heldDelegate = delegate }

  package func flushAtTurnEnd() {
    guard !isMarkedDirty, phase != .closed else { return }
    isMarkedDirty = true
    loop.markDirty(self)
  }

  /// Has `body` append to `output`, and do nothing else; it is flushed at the end of the turn. Returns
  /// how many bytes came. This and the next two are for busy owners: an access to the queues from
  /// another module is checked at run time all the same.
  package func appendOutput(_ body: (inout OutputQueue) -> Void) -> Int {
    let before = output.count
    body(&output)
    flushAtTurnEnd()
    return output.count - before
  }

  package var hasInput: Bool { !input.isEmpty }

  /// Consumes so many bytes of `input`, or all when there are less.
  package func consumeInput(atMost count: Int) { input.consume(min(count, input.count)) }

  package func pauseReading() {
    isPaused = true
    updateInterest()
  }

  package func resumeReading() {
    isPaused = false
    updateInterest()
  }

  /// Writes out what is queued, then shuts the sending side; reading goes on.
  package func finishWriting() {
    finishesWriting = true
    flushAtTurnEnd()
  }

  package func close() { finish(nil) }

  /// Closes with a reset: the peer sees an error, nothing lingers in the kernel.
  package func reset() {
    if fd >= 0 { _ = croost_set_reset_on_close(fd) }
    finish(nil)
  }

  /// Writes out what is queued, then closes.
  package func closeAfterFlush() {
    guard phase != .closed, !closesAfterFlush else { return }
    closesAfterFlush = true
    selfReference = self
    setDeadline(options.flushNanosecondsMax)
    flushAtTurnEnd()
  }

  private func setDeadline(_ nanoseconds: UInt64) {
    if let deadline { loop.cancel(deadline) }
    deadline = loop.schedule(after: nanoseconds) { [weak self] in self?.finish(nil) }
  }

  // MARK: Readiness

  override func pollReady(_ events: UInt32) {
    guard phase != .connecting else { return finishConnecting() }
    if events & (CROOST_READABLE | CROOST_HANGUP | CROOST_ERROR) != 0, wantsToRead {
      readAvailable()
    }
    guard phase != .closed else { return }
    if events & CROOST_ERROR != 0 {
      let code = -croost_socket_error(fd)
      return finish(error("read from", code == 0 ? ECONNRESET : code))
    }
    if events & CROOST_WRITABLE != 0, isWriteBlocked {
      isWriteBlocked = false
      flushAtTurnEnd()
    }
    if events & CROOST_HANGUP != 0, !wantsToRead, registeredInterest != nil {
      // Level-triggered, and cannot be masked: leave epoll until the owner reads again.
      loop.unwatch(fd)
      registeredInterest = nil
    }
  }

  private func finishConnecting() {
    let code = -croost_socket_error(fd)
    guard code == 0 else { return finish(error("connect to", code)) }
    phase = .open
    updateInterest()
    if !output.isEmpty || closesAfterFlush || finishesWriting { flushAtTurnEnd() }
    hearer?.connectionDidConnect(self)
  }

  private var wantsToRead: Bool {
    switch phase {
    case .open: !hasReachedEOF && !isPaused && input.count < inputMax
    case .lingering: !hasReachedEOF
    case .connecting, .closed: false
    }
  }

  private func updateInterest() {
    guard phase == .open || phase == .lingering, failure == nil else { return }
    let wanted = (wantsToRead ? CROOST_READABLE : 0) | (isWriteBlocked ? CROOST_WRITABLE : 0)
    guard wanted != registeredInterest else { return }
    if registeredInterest != nil {
      loop.changeInterest(fd, wanted)
      registeredInterest = wanted
    } else if wanted != 0 {
      let code = loop.watch(fd, wanted, self)
      registeredInterest = wanted
      if code != 0 { fail(error("watch", code)) }
    }
  }

  // MARK: Reading

  private func readAvailable() {
    var hasRead = false
    var failureCode: Int32 = 0
    reading: for _ in 0..<TCPConnection.readsPerEventMax {
      let isDiscarding = phase == .lingering
      let room = isDiscarding ? EventLoop.scratchBytes : inputMax - input.count
      let wanted = min(room, EventLoop.scratchBytes)
      guard wanted > 0 else { break }
      let count = receive(wanted)
      switch count {
      case 1...:
        if !isDiscarding {
          input.append(loop.scratch[0..<count])
          hasRead = true
        }
        if count < wanted { break reading }
      case 0:
        hasReachedEOF = true
        break reading
      case -Int(EAGAIN):
        break reading
      default:
        failureCode = Int32(truncatingIfNeeded: -count)
        break reading
      }
    }
    if hasRead { hearer?.connectionDidRead(self) }
    guard phase != .closed else { return }
    if failureCode != 0 { return finish(error("read from", failureCode)) }
    if hasReachedEOF {
      if phase == .lingering { return finish(nil) }
      updateInterest()
      hearer?.connectionDidReachEOF(self)
    } else {
      updateInterest()
    }
  }

  /// Bytes received into the loop's scratch buffer, 0 at the end, or a negative errno.
  private func receive(_ wanted: Int) -> Int {
    switch options.transport {
    case .plain:
      Int(
        unsafe loop.scratch.withUnsafeMutableBytes { buffer in
          // Sound: `wanted` is at most the buffer's size.
          unsafe croost_receive(fd, buffer.baseAddress, min(wanted, buffer.count))
        })
    }
  }

  // MARK: Writing

  /// By the loop, at the end of a turn in which `flushAtTurnEnd` was called.
  func flush() { endFlush(beginFlush().send()) }

  /// What is to be sent now. Calls nobody.
  func beginFlush() -> SendJob {
    isMarkedDirty = false
    guard phase == .open, failure == nil else { return .nothing }
    if output.count > options.outputHighWater { wasAboveHighWater = true }
    guard !isWriteBlocked, !hasShutDown else { return .nothing }
    switch options.transport {
    case .plain: return output.front(to: fd)
    }
  }

  /// After what `beginFlush` returned was sent.
  func endFlush(_ result: SendResult) {
    if let failure { return finish(failure) }
    guard phase == .open else { return }
    if result.taken >= 0 {
      output.consume(result.taken)
      if !result.isAll {
        isWriteBlocked = true
      } else if !output.isEmpty, !isWriteBlocked {
        flushAtTurnEnd()
      }
    } else if result.taken == -Int(EAGAIN) {
      isWriteBlocked = true
    } else {
      return failWriting(Int32(truncatingIfNeeded: -result.taken))
    }
    if output.isEmpty, finishesWriting || closesAfterFlush { shutDown() }
    guard phase != .closed else { return }
    updateInterest()
    if wasAboveHighWater, output.count <= options.outputLowWater {
      wasAboveHighWater = false
      loop.requestTurnEnd()
      hearer?.connectionDidDrain(self)
    }
  }

  /// The peer takes nothing any more, but may have said why before: that is read first.
  private func failWriting(_ code: Int32) {
    loop.requestTurnEnd()
    if wantsToRead { readAvailable() }
    if phase != .closed { finish(error("write to", code)) }
  }

  private func shutDown() {
    if !hasShutDown {
      hasShutDown = true
      _ = croost_shutdown_write(fd)
    }
    guard closesAfterFlush else { return }
    if hasReachedEOF { return finish(nil) }
    phase = .lingering
    setDeadline(options.lingerNanoseconds)
  }

  // MARK: The end

  private func error(_ operation: String, _ code: Int32) -> SystemError {
    SystemError(operation: operation, subject: "\(remoteAddress)", code: code)
  }

  /// Ends the connection at the end of the turn.
  private func fail(_ error: SystemError) {
    failure = error
    flushAtTurnEnd()
  }

  private func finish(_ error: SystemError?) {
    guard phase != .closed else { return }
    releaseDescriptor()
    phase = .closed
    if let deadline { loop.cancel(deadline) }
    deadline = nil
    loop.requestTurnEnd()
    let delegate = hearer
    self.delegate = nil
    heldDelegate = nil
    delegate?.connectionDidClose(self, error: error)
    let keptUntilHere = selfReference
    selfReference = nil
    withExtendedLifetime(keptUntilHere) {}
  }

  private func releaseDescriptor() {
    guard fd >= 0 else { return }
    if registeredInterest != nil { loop.unwatch(fd) }
    registeredInterest = nil
    _ = croost_close(fd)
    fd = -1
  }
}
