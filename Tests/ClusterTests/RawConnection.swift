import Foundation
import Harness
import Glibc

/// A blocking TCP connection to a node, for bytes that no proper client would send.
final class RawConnection {
  struct Answer {
    var status: Int
    var head: String
    var body: [UInt8]
  }

  private let descriptor: Int32
  /// What came after the last answer.
  private var unread: [UInt8] = []

  init(port: UInt16, readSeconds: Int = 10) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = unsafe inet_addr("127.0.0.1")
    address.sin_port = port.bigEndian
    var time = timeval(tv_sec: readSeconds, tv_usec: 0)
    unsafe setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    let code = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard code == 0 else { throw LocalCluster.Failure("cannot connect to port \(port)") }
  }

  deinit { close(descriptor) }

  func send(_ bytes: [UInt8]) {
    _ = unsafe bytes.withUnsafeBytes {
      unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
    }
  }

  /// Up to `count` bytes of what comes next; empty at the end or after the time limit.
  func receive(_ count: Int = 64 << 10) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: count)
    let size = unsafe buffer.withUnsafeMutableBytes {
      unsafe recv(descriptor, $0.baseAddress, $0.count, 0)
    }
    return Array(buffer.prefix(max(0, size)))
  }

  func request(_ method: String, _ target: String, headers: String, body: [UInt8]) {
    let head = "\(method) \(target) HTTP/1.1\r\nHost: x\r\n\(headers)"
    send(Array("\(head)Content-Length: \(body.count)\r\n\r\n".utf8) + body)
  }

  func exchange(_ method: String, _ target: String, body: [UInt8] = []) throws -> Answer {
    send(
      Array("\(method) \(target) HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.count)\r\n\r\n".utf8)
        + body)
    return try answer()
  }

  /// The next answer, which has a Content-Length.
  func answer() throws -> Answer {
    var bytes = unread
    unread = []
    while true {
      let text = String(decoding: bytes, as: UTF8.self)
      if let end = text.range(of: "\r\n\r\n") {
        let head = String(text[..<end.lowerBound])
        let length =
          head.lowercased().split(separator: "\r\n")
          .first { $0.hasPrefix("content-length:") }
          .flatMap { Int($0.dropFirst(15).drop { $0 == " " }) } ?? 0
        let headBytes = head.utf8.count + 4
        if bytes.count >= headBytes + length {
          unread = Array(bytes[(headBytes + length)...])
          let status = Int(head.split(separator: " ").dropFirst().first ?? "") ?? 0
          return Answer(
            status: status, head: head, body: Array(bytes[headBytes..<headBytes + length]))
        }
      }
      let more = receive()
      guard !more.isEmpty else {
        throw LocalCluster.Failure("no whole answer: \(text.prefix(200))")
      }
      bytes += more
    }
  }
}
