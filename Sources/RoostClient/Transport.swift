internal import Glibc

/// One HTTP/1.1 exchange on a blocking socket with deadlines: all that a command line needs.
///
/// Happy path: connect, send, read the head, read the body by Content-Length, by chunks, or to the
/// end of the connection. Failures say whether anything was sent.
struct Transport {
  struct Answer {
    var status: Int
    /// Names in lower case.
    var headers: [(name: String, value: String)]
    var body: [UInt8]

    func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
  }

  enum Failure: Error {
    /// Nothing was sent: another address may be tried.
    case notSent(String)
    case noAnswer(String)
  }

  let host: String
  let port: UInt16
  /// For the connect, and between two reads of the answer.
  var connectSeconds = 3
  var readSeconds = 30

  func exchange(
    method: String, target: String, headers: [(String, String)], body: [UInt8]
  ) throws(Failure) -> Answer {
    let descriptor = try connect()
    defer { Glibc.close(descriptor) }
    var head = "\(method) \(target) HTTP/1.1\r\nHost: \(host):\(port)\r\nConnection: close\r\n"
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    if !body.isEmpty || method == "PUT" || method == "POST" {
      head += "Content-Length: \(body.count)\r\n"
    }
    try send(Array((head + "\r\n").utf8) + body, to: descriptor)
    return try readAnswer(from: descriptor)
  }

  // MARK: Socket

  private func connect() throws(Failure) -> Int32 {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let code = unsafe getaddrinfo(host, String(port), &hints, &list)
    guard code == 0 else { throw .notSent("cannot resolve \(host)") }
    // Sound: the list lives until freeaddrinfo, and is only read.
    defer { unsafe freeaddrinfo(list) }
    var reason = "no address"
    var next = unsafe list
    while let info = unsafe next {
      unsafe next = info.pointee.ai_next
      let descriptor = unsafe socket(
        info.pointee.ai_family, info.pointee.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
      guard descriptor >= 0 else { continue }
      setTimeout(SO_SNDTIMEO, connectSeconds, descriptor)
      if unsafe Glibc.connect(descriptor, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0 {
        setTimeout(SO_RCVTIMEO, readSeconds, descriptor)
        return descriptor
      }
      reason = errno == EINPROGRESS ? "timed out" : Self.errorText()
      Glibc.close(descriptor)
    }
    throw .notSent(reason)
  }

  private func setTimeout(_ option: Int32, _ seconds: Int, _ descriptor: Int32) {
    var time = timeval(tv_sec: seconds, tv_usec: 0)
    unsafe setsockopt(
      descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
  }

  private func send(_ bytes: [UInt8], to descriptor: Int32) throws(Failure) {
    var sent = 0
    while sent < bytes.count {
      // Sound: the pointer is valid for the call, and the range is inside the array.
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(
          descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw .noAnswer(Self.errorText()) }
      sent += count
    }
  }

  /// Appends what arrives; false at the end of the connection.
  private func receive(from descriptor: Int32, into buffer: inout [UInt8]) throws(Failure) -> Bool {
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = unsafe chunk.withUnsafeMutableBytes {
        unsafe recv(descriptor, $0.baseAddress, $0.count, 0)
      }
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EAGAIN { throw .noAnswer("timed out after \(readSeconds) s") }
      guard count >= 0 else { throw .noAnswer(Self.errorText()) }
      buffer += chunk[..<count]
      return count > 0
    }
  }

  private static func errorText() -> String {
    unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error"
  }

  // MARK: Answer

  private func readAnswer(from descriptor: Int32) throws(Failure) -> Answer {
    var buffer: [UInt8] = []
    var headEnd = 0
    while true {
      if let end = Self.endOfHead(buffer) {
        headEnd = end
        break
      }
      guard buffer.count < 64 << 10 else { throw .noAnswer("the answer's head is too long") }
      guard try receive(from: descriptor, into: &buffer) else {
        throw .noAnswer("the connection was closed")
      }
    }
    var answer = try Self.parseHead(buffer[..<headEnd])
    var rest = Array(buffer[headEnd...])
    if answer.header("transfer-encoding")?.lowercased() == "chunked" {
      answer.body = try readChunks(&rest, descriptor)
    } else if let length = answer.header("content-length").flatMap(Int.init) {
      while rest.count < length {
        guard try receive(from: descriptor, into: &rest) else {
          throw .noAnswer("the answer ended early")
        }
      }
      answer.body = Array(rest.prefix(length))
    } else {
      while try receive(from: descriptor, into: &rest) {}
      answer.body = rest
    }
    return answer
  }

  private func readChunks(_ buffer: inout [UInt8], _ descriptor: Int32) throws(Failure) -> [UInt8] {
    var body: [UInt8] = []
    var position = 0
    func need(_ end: Int) throws(Failure) {
      while buffer.count < end {
        guard try receive(from: descriptor, into: &buffer) else {
          throw .noAnswer("the answer ended early")
        }
      }
    }
    while true {
      var lineEnd = position
      while true {
        try need(lineEnd + 2)
        if buffer[lineEnd] == 13, buffer[lineEnd + 1] == 10 { break }
        lineEnd += 1
      }
      let digits = buffer[position..<lineEnd].prefix { $0 != UInt8(ascii: ";") }
      guard let size = Int(String(decoding: digits, as: UTF8.self), radix: 16), size >= 0,
        size < 1 << 40
      else { throw .noAnswer("a bad chunk") }
      position = lineEnd + 2
      if size == 0 { return body }
      try need(position + size + 2)
      body += buffer[position..<position + size]
      position += size + 2
    }
  }

  private static func endOfHead(_ bytes: [UInt8]) -> Int? {
    guard bytes.count >= 4 else { return nil }
    for i in 0...(bytes.count - 4)
    where bytes[i] == 13 && bytes[i + 1] == 10 && bytes[i + 2] == 13 && bytes[i + 3] == 10 {
      return i + 4
    }
    return nil
  }

  private static func parseHead(_ bytes: ArraySlice<UInt8>) throws(Failure) -> Answer {
    let lines = bytes.split(separator: 10).map {
      String(decoding: $0.last == 13 ? $0.dropLast() : $0, as: UTF8.self)
    }
    let words = lines.first?.split(separator: " ", maxSplits: 2) ?? []
    guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
      throw .noAnswer("this is not an HTTP server")
    }
    var headers: [(name: String, value: String)] = []
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = line[line.index(after: colon)...].drop { $0 == " " }
      headers.append((line[..<colon].lowercased(), String(value)))
    }
    return Answer(status: status, headers: headers, body: [])
  }
}
