import Glibc
import Synchronization

/// Ports for servers that tests start: each is handed out once, and was free a moment ago.
///
/// They lie below the range from which the kernel takes the local port of a connection (32768 on,
/// unless it was set otherwise). A port of that range that a test has chosen, and its server not
/// taken yet or given up for a restart, can be taken by any connection of any process.
package enum Ports {
  private static let range: Range<UInt32> = 10_000..<32_768
  /// Processes that test at the same time begin at different places.
  private static let next = Atomic<UInt32>(.random(in: 0..<UInt32(range.count)))

  package static func take(_ count: Int) throws -> [UInt16] {
    try (0..<count).map { _ in try take() }
  }

  private static func take() throws -> UInt16 {
    for _ in range {
      let offset = next.wrappingAdd(1, ordering: .relaxed).oldValue % UInt32(range.count)
      let port = UInt16(range.lowerBound + offset)
      if isFree(port) { return port }
    }
    throw LocalCluster.Failure("no port of \(range) is free on 127.0.0.1")
  }

  private static func isFree(_ port: UInt16) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = unsafe inet_addr("127.0.0.1")
    // Sound: the pointer is used for the call only, and the size is the structure's.
    return unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }
}
