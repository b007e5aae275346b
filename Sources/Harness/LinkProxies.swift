import Basics
package import EventLoop
import Synchronization

/// A user-space network between real nodes: one relay in front of each node's peer port, all on one
/// thread of its own. Needs no rights.
///
/// Happy path: every node advertises its relay's port (`ports.peer_advertised`), so whoever dials
/// it comes through here. The relay reads the dialing node's name from its handshake, and so knows
/// for each connection between which two nodes it is: both directions of every pair can be cut,
/// delayed, throttled and corrupted on their own, and connections reset. Failures: what is no
/// handshake is passed on as from nobody, without faults.
///
/// Every method may be called from any thread and takes effect within a few milliseconds.
package final class LinkProxies: Sendable {
  package struct Target: Sendable {
    package var name: String
    package var port: UInt16
    package init(name: String, port: UInt16) {
      self.name = name
      self.port = port
    }
  }

  enum Order: Sendable {
    case faultsChanged
    /// Every connection between the two, whoever dialed it.
    case reset(String, String)
    /// One bit of the next bytes.
    case corrupt(LinkDirection)
    case stop
  }

  /// What the thread and its users share.
  struct Shared: Sendable {
    var faults: [LinkDirection: LinkFault] = [:]
    var mailbox: Mailbox<Order>?
    var ports: [UInt16] = []
    var failure: SystemError?
    var isReady = false
  }

  private final class Box: Sendable {
    let shared = Mutex(Shared())
  }

  private let box = Box()
  private let thread: SystemThread

  /// Listens in front of every target; `ports` are in the same order.
  package init(_ targets: [Target]) throws(SystemError) {
    let box = box
    thread = try SystemThread(name: "link proxies") {
      do throws(SystemError) {
        let loop = try EventLoop()
        let board = RelayBoard(loop: loop) { direction in
          box.shared.withLock { $0.faults[direction] ?? LinkFault() }
        }
        let ports = try board.listen(targets)
        let mailbox = loop.makeMailbox { (orders: [Order]) in
          for order in orders { board.obey(order) }
        }
        box.shared.withLock { shared in
          shared.ports = ports
          shared.mailbox = mailbox
          shared.isReady = true
        }
        loop.run()
      } catch {
        box.shared.withLock { shared in
          shared.failure = error
          shared.isReady = true
        }
      }
    }
    while !box.shared.withLock({ $0.isReady }) { Pause.milliseconds(1) }
    if let failure = box.shared.withLock({ $0.failure }) {
      thread.join()
      throw failure
    }
  }

  package var ports: [UInt16] { box.shared.withLock { $0.ports } }

  package func stop() {
    post(.stop)
    thread.join()
  }

  private func post(_ order: Order) {
    box.shared.withLock { $0.mailbox }?.post(order)
  }

  // MARK: Faults

  package func set(from: String, to: String, _ fault: LinkFault) {
    box.shared.withLock { $0.faults[LinkDirection(from: from, to: to)] = fault }
    post(.faultsChanged)
  }

  package func setBothWays(_ a: String, _ b: String, _ fault: LinkFault) {
    set(from: a, to: b, fault)
    set(from: b, to: a, fault)
  }

  package func isolate(_ name: String, from others: [String]) {
    for other in others where other != name { setBothWays(name, other, .cut) }
  }

  package func healAll() {
    box.shared.withLock { $0.faults = [:] }
    post(.faultsChanged)
  }

  package func reset(_ a: String, _ b: String) { post(.reset(a, b)) }
  package func corrupt(from: String, to: String) {
    post(.corrupt(LinkDirection(from: from, to: to)))
  }
}
