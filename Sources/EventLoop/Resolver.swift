internal import CRoost

/// Turns host names into addresses without blocking the loop.
///
/// Literal addresses are answered at once, within the call. Names are looked up on the workers
/// (getaddrinfo); how long that may take is the system's affair (resolv.conf), so owners with a
/// deadline keep a timer of their own and ignore a late answer.
package final class Resolver {
  package struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
    package var host: String
    package var text: String
    package init(host: String, text: String) {
      self.host = host
      self.text = text
    }
    package var description: String { "cannot resolve \(host): \(text)" }
  }

  package typealias Answer = Result<[SocketAddress], Failure>

  private struct Found: Sendable {
    var id: UInt64
    var answer: Answer
  }

  private let workers: Workers
  private let pending: Pending
  private let mailbox: Mailbox<Found>

  /// Names looked up at a time; more fail at once.
  private static let pendingMax = 1024
  private static let addressesMax = 16

  package init(loop: EventLoop, workers: Workers) {
    self.workers = workers
    let pending = Pending()
    self.pending = pending
    mailbox = loop.makeMailbox { found in
      for one in found { pending.waiting.removeValue(forKey: one.id)?(one.answer) }
    }
  }

  package func resolve(host: String, port: UInt16, done: @escaping (Answer) -> Void) {
    if let literal = SocketAddress(host: host, port: port) { return done(.success([literal])) }
    guard !host.isEmpty, host.utf8.count <= 255, !host.utf8.contains(0) else {
      return done(.failure(Failure(host: host, text: "not a host name")))
    }
    let id = pending.nextID
    let mailbox = mailbox
    guard pending.waiting.count < Resolver.pendingMax,
      workers.run({
        mailbox.post(Found(id: id, answer: Resolver.lookUp(host: host, port: port)))
      })
    else { return done(.failure(Failure(host: host, text: "too many lookups under way"))) }
    pending.nextID += 1
    pending.waiting[id] = done
  }

  private static func lookUp(host: String, port: UInt16) -> Answer {
    var found = [croost_address](repeating: croost_address(), count: addressesMax)
    // Sound: C fills in at most `addressesMax`; the text ends with a zero.
    let count = unsafe host.withCString { text in
      unsafe croost_resolve(text, &found, Int32(addressesMax))
    }
    guard count > 0 else {
      // Sound: a constant text of the C library.
      let text = unsafe croost_resolve_text(count).map { unsafe String(cString: $0) }
      return .failure(Failure(host: host, text: text ?? "not found"))
    }
    return .success(
      found.prefix(Int(count)).map { raw in
        SocketAddress(ip: SocketAddress(raw).ip, port: port)
      })
  }

  /// Who waits for which lookup; found by key only.
  private final class Pending {
    var waiting: [UInt64: (Answer) -> Void] = [:]
    var nextID: UInt64 = 1
  }
}
