internal import Glibc

/// A connected TCP socket with deadlines, closed when it goes out of scope.
///
/// Happy path: `init` connects, `send` sends all, `receive` waits for what comes. Failures carry the
/// system's reason as text.
struct BlockingSocket: ~Copyable {
  struct Failure: Error { let reason: String }

  private static let receiveBytes = 64 << 10
  private let descriptor: Int32
  private let readSeconds: Int
  private var chunk = [UInt8](repeating: 0, count: receiveBytes)

  /// Tries every address that the name has.
  ///
  /// - Parameter readSeconds: how long to wait for the next piece.
  init(host: String, port: UInt16, connectSeconds: Int, readSeconds: Int) throws(Failure) {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let code = unsafe getaddrinfo(host, String(port), &hints, &list)
    guard code == 0 else { throw Failure(reason: "cannot resolve \(host)") }
    // Sound: the list lives until freeaddrinfo, and is only read.
    defer { unsafe freeaddrinfo(list) }
    var reason = "no address"
    var next = unsafe list
    while let info = unsafe next {
      unsafe next = info.pointee.ai_next
      let descriptor = unsafe socket(
        info.pointee.ai_family, info.pointee.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
      guard descriptor >= 0 else { continue }
      Self.setTimeout(SO_SNDTIMEO, connectSeconds, descriptor)
      if unsafe Glibc.connect(descriptor, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0 {
        Self.setTimeout(SO_RCVTIMEO, readSeconds, descriptor)
        self.descriptor = descriptor
        self.readSeconds = readSeconds
        return
      }
      reason = errno == EINPROGRESS ? "timed out" : Self.errorText()
      Glibc.close(descriptor)
    }
    throw Failure(reason: reason)
  }

  deinit { Glibc.close(descriptor) }

  private static func setTimeout(_ option: Int32, _ seconds: Int, _ descriptor: Int32) {
    var time = timeval(tv_sec: seconds, tv_usec: 0)
    // Sound: the pointer is valid for the call.
    unsafe setsockopt(
      descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
  }

  func send(_ bytes: [UInt8]) throws(Failure) {
    var sent = 0
    while sent < bytes.count {
      // Sound: the pointer is valid for the call, and the range is inside the array, which is not
      // empty here.
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(
          descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw Failure(reason: Self.errorText()) }
      sent += count
    }
  }

  /// What has arrived; nil at the end of the connection.
  mutating func receive() throws(Failure) -> ArraySlice<UInt8>? {
    while true {
      // Sound: the pointer is valid for the call, and the count is that of the array.
      let count = unsafe chunk.withUnsafeMutableBytes {
        unsafe recv(descriptor, $0.baseAddress, $0.count, 0)
      }
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EAGAIN {
        throw Failure(reason: "no answer within \(readSeconds) s")
      }
      guard count >= 0 else { throw Failure(reason: Self.errorText()) }
      return count == 0 ? nil : chunk[..<count]
    }
  }

  private static func errorText() -> String {
    // Sound: the text is copied at once.
    unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error"
  }
}
