package import EventLoop
package import HTTP
package import Node
internal import Synchronization

/// HTTP on threads of its own (`io_threads`): the node's loop listens and hands each connection to
/// the next of them, in turn; each has its own loop, server and API over an `IOBackend`.
///
/// Thread rule: this object belongs to the node's loop. What runs on the threads is made here, whole,
/// and given away before they start.
package final class HTTPThreads {
  /// For a loop that does not say that it drains.
  private static let drainBeginNanoseconds: UInt64 = 250_000_000

  package let localAddress: SocketAddress
  package var onLeave: (() -> Void)?
  package var onReload: (() -> Void)?

  private let loop: EventLoop
  private let listener: TCPListener
  private var lanes: [Lane] = []
  private var next = 0
  private var draining = 0
  private var drained = 0
  private var onBegun: (() -> Void)?
  private var onDrained: (() -> Void)?

  private struct Lane {
    let control: Mailbox<HTTPThread.Control>
    let thread: SystemThread
  }

  /// Listens at once; what connects is served as soon as it is handed over.
  package init(
    node: Node, address: SocketAddress, count: Int, limits: HTTPLimits = HTTPLimits()
  ) throws(SystemError) {
    loop = node.loop
    let box = Box()
    listener = try TCPListener(address: address, loop: node.loop) { box.threads?.handOver($0) }
    localAddress = listener.localAddress
    box.threads = self
    let quota = ConnectionQuota()
    let links = node.openIOLoops(count) { box.threads?.receive($0) }
    for (number, link) in links.enumerated() {
      do throws(SystemError) {
        lanes.append(
          try Self.startLane(number, link, localAddress, quota, limits, count: count))
      } catch {
        end()
        throw error
      }
    }
  }

  private final class Box {
    weak var threads: HTTPThreads?
  }

  private static func startLane(
    _ number: Int, _ link: IOLink, _ address: SocketAddress, _ quota: ConnectionQuota,
    _ limits: HTTPLimits, count: Int
  ) throws(SystemError) -> Lane {
    let thread = HTTPThread(
      link, loop: try EventLoop(), address, quota, limits, sharedBy: count)
    let control = thread.control
    let handover = Handover(thread)
    return Lane(
      control: control,
      thread: try SystemThread(name: "io \(number + 1)") { handover.take()?.run() })
  }

  private func handOver(_ socket: AcceptedSocket) {
    guard !lanes.isEmpty else { return }
    next = (next + 1) % lanes.count
    lanes[next].control.post(.connection(socket))
  }

  private func receive(_ notice: IONotice) {
    switch notice {
    case .leave: onLeave?()
    case .reload: onReload?()
    case .draining:
      draining += 1
      if draining == lanes.count { begun() }
    case .drained:
      drained += 1
      guard drained == lanes.count else { return }
      let done = onDrained
      onDrained = nil
      done?()
    }
  }

  /// As `HTTPServer.drain`, on all loops.
  /// - Parameter begun: every request that was read has been handed to the node, which may stop
  ///   now and still answer it.
  package func drain(
    graceNanoseconds: UInt64, begun: @escaping () -> Void, done: @escaping () -> Void
  ) {
    listener.close()
    onBegun = begun
    onDrained = done
    for lane in lanes { lane.control.post(.drain(graceNanoseconds: graceNanoseconds)) }
    loop.schedule(after: Self.drainBeginNanoseconds) { [weak self] in self?.begun() }
  }

  private func begun() {
    let body = onBegun
    onBegun = nil
    body?()
  }

  /// Ends the threads and waits for that: what is under way is cut off.
  package func end() {
    listener.close()
    for lane in lanes { lane.control.post(.end) }
    for lane in lanes { lane.thread.join() }
    lanes = []
  }
}

/// What lives on one of the threads.
private final class HTTPThread {
  enum Control: Sendable {
    case connection(AcceptedSocket)
    case drain(graceNanoseconds: UInt64)
    case end
  }

  let control: Mailbox<Control>
  private let loop: EventLoop
  private let backend: IOBackend
  private let api: ConsulAPI<IOBackend>
  private let server: HTTPServer

  init(
    _ link: IOLink, loop: EventLoop, _ address: SocketAddress, _ quota: ConnectionQuota,
    _ limits: HTTPLimits, sharedBy count: Int
  ) {
    self.loop = loop
    backend = IOBackend(link, loop: loop)
    api = ConsulAPI.make(backend, sharedBy: count)
    server = api.serve(for: address, quota, limits: limits)
    let box = Box()
    control = loop.makeMailbox { (messages: [Control]) in
      for message in messages { box.thread?.obey(message) }
    }
    box.thread = self
  }

  private final class Box {
    weak var thread: HTTPThread?
  }

  func run() {
    loop.run()
    server.close()
  }

  private func obey(_ message: Control) {
    switch message {
    case .connection(let socket): server.accept(socket)
    case .drain(let grace):
      backend.notify(.draining)
      server.drain(graceNanoseconds: grace) { [unowned self] in backend.notify(.drained) }
    case .end: loop.stop()
    }
  }
}

/// Gives a value that is not `Sendable` to another thread, once and for good.
private final class Handover<Value>: Sendable {
  private let cell: Mutex<Value?>

  init(_ value: consuming sending Value) { cell = Mutex(value) }

  func take() -> sending Value? {
    cell.withLock { value in
      let taken = value.take()
      return taken
    }
  }
}
