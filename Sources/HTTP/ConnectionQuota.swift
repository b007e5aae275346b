import EventLoop
internal import Synchronization

/// How many connections there are, and how many each client has: of one server, or of all that
/// share a port.
package final class ConnectionQuota: Sendable {
  enum Verdict {
    case granted, tooMany, tooManyOfClient
  }
  private struct State {
    var count = 0
    /// By `ClientKey`; only looked up, never walked.
    var clients: [[UInt8]: Int] = [:]
  }
  private let state = Mutex(State())

  package init() {}

  func take(_ client: [UInt8], _ limits: HTTPLimits) -> Verdict {
    state.withLock { state in
      guard state.count < limits.connectionsMax else { return .tooMany }
      let own = state.clients[client, default: 0]
      guard own < limits.connectionsPerClientMax else { return .tooManyOfClient }
      state.count += 1
      state.clients[client] = own + 1
      return .granted
    }
  }

  func giveBack(_ client: [UInt8]) {
    state.withLock { state in
      state.count -= 1
      let left = state.clients[client, default: 1] - 1
      state.clients[client] = left > 0 ? left : nil
    }
  }
}

/// What counts as one client: an IPv4 address, or the /64 network of an IPv6 address, since its
/// holder has all of that.
enum ClientKey {
  static func of(_ address: SocketAddress) -> [UInt8] {
    guard address.ip.count == 16 else { return address.ip }
    let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
    if address.ip.starts(with: mapped) { return Array(address.ip[12...]) }
    return Array(address.ip[..<8])
  }
}
