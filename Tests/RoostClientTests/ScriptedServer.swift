import Foundation
import Glibc
import Synchronization

/// A blocking HTTP server for tests that answers the nth connection with the nth script, byte for
/// byte, and remembers what it was asked.
///
/// Its thread alone owns the sockets, and ends after the last script: a descriptor that another
/// thread closed could be another server's by then.
final class ScriptedServer: Sendable {
  enum Step: Sendable {
    case send(String)
    case sendBytes([UInt8])
    /// Lets the client wait for ever.
    case hang
  }

  /// What the thread and the owner share.
  private final class State: Sendable {
    let requests = Mutex<[String]>([])
  }

  let port: UInt16
  var address: String { "127.0.0.1:\(port)" }
  private let state = State()

  /// The requests so far: head and body.
  var requests: [String] { state.requests.withLock { $0 } }
  /// "GET /path" of each.
  var targets: [String] {
    requests.map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
  }

  init(_ scripts: [Step]...) {
    let (descriptor, port) = boundSocket()
    listen(descriptor, 16)
    self.port = port
    let state = state
    Thread.detachNewThread {
      for script in scripts {
        let connection = accept(descriptor, nil, nil)
        guard connection >= 0 else { return }
        Self.play(script, connection, state)
      }
      close(descriptor)
    }
  }

  private static func play(_ script: [Step], _ connection: Int32, _ state: State) {
    let request = readRequest(connection)
    state.requests.withLock { $0.append(request) }
    for step in script {
      switch step {
      case .send(let text): write(Array(text.utf8), connection)
      case .sendBytes(let bytes): write(bytes, connection)
      case .hang:
        return
      }
    }
    close(connection)
  }

  private static func readRequest(_ connection: Int32) -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let text = String(decoding: bytes, as: UTF8.self)
      if let end = text.range(of: "\r\n\r\n") {
        let length = text.range(of: "Content-Length: ").flatMap {
          Int(text[$0.upperBound...].prefix { $0.isNumber })
        }
        if text[end.upperBound...].utf8.count >= length ?? 0 { return text }
      }
      let count = unsafe recv(connection, &chunk, chunk.count, 0)
      guard count > 0 else { return text }
      bytes += chunk[..<count]
    }
  }

  private static func write(_ bytes: [UInt8], _ connection: Int32) {
    _ = unsafe Glibc.send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  }
}

/// A whole answer with a length.
func answer(_ body: String, status: Int = 200, headers: String = "") -> [ScriptedServer.Step] {
  [
    .send(
      "HTTP/1.1 \(status) X\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
  ]
}

/// Runs blocking code on a thread of its own, so that it does not take one of the test pool's.
func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
  }
}

/// A port that nobody listens on. It stays bound, or another test's server might get it.
let closedPort = boundSocket().port

/// A TCP socket on a port of the kernel's choice.
private func boundSocket() -> (descriptor: Int32, port: UInt16) {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_addr.s_addr = unsafe inet_addr("127.0.0.1")
  var size = socklen_t(MemoryLayout<sockaddr_in>.size)
  // Sound: the pointers are valid for the calls.
  unsafe withUnsafeMutablePointer(to: &address) { pointer in
    unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      _ = unsafe bind(descriptor, $0, size)
      _ = unsafe getsockname(descriptor, $0, &size)
    }
  }
  return (descriptor, UInt16(bigEndian: address.sin_port))
}
