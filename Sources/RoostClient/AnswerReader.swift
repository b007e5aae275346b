/// Reads one HTTP/1.1 answer from a socket, piece by piece (RFC 9112, sections 4 to 7).
///
/// Happy path: `readHead`, then `nextPiece` until it is nil. The body ends by its length, by its last
/// chunk, or with the connection. What breaks those rules, or a limit, is a failure, never a guess.
struct AnswerReader: ~Copyable {
  struct Failure: Error { let reason: String }

  static let headBytesMax = 64 << 10
  /// A chunk's size and extensions.
  static let chunkLineBytesMax = 1 << 10

  private enum Framing {
    case remaining(Int)
    /// Bytes left in the current chunk; nil: the next size line is due.
    case chunked(Int?)
    case toEnd
    case finished
  }

  private var socket: BlockingSocket
  private var buffer: [UInt8] = []
  /// What of the buffer has been used.
  private var position = 0
  private var framing = Framing.finished

  init(_ socket: consuming BlockingSocket) { self.socket = socket }

  // MARK: Head

  mutating func readHead() throws(Failure) -> Transport.Answer {
    while true {
      var scanned = position
      while true {
        if let end = endOfHead(from: scanned) {
          let answer = try Self.parseHead(buffer[position..<end])
          position = end
          // 1xx answers come before the real one (RFC 9110 15.2).
          if (100...199).contains(answer.status) { break }
          framing = try Self.framing(of: answer)
          return answer
        }
        scanned = max(position, buffer.count - 3)
        guard buffer.count - position < Self.headBytesMax else {
          throw Failure(reason: "the answer's head is too long")
        }
        guard try fill() else {
          let reason = buffer.isEmpty ? "the connection was closed" : "the answer ended early"
          throw Failure(reason: reason)
        }
      }
    }
  }

  private func endOfHead(from start: Int) -> Int? {
    guard buffer.count - start >= 4 else { return nil }
    for i in start...(buffer.count - 4)
    where buffer[i] == 13 && buffer[i + 1] == 10 && buffer[i + 2] == 13 && buffer[i + 3] == 10 {
      return i + 4
    }
    return nil
  }

  private static func parseHead(_ bytes: ArraySlice<UInt8>) throws(Failure) -> Transport.Answer {
    let lines = bytes.split(separator: 10).map {
      String(decoding: $0.last == 13 ? $0.dropLast() : $0, as: UTF8.self)
    }
    let words = lines.first?.split(separator: " ", maxSplits: 2) ?? []
    guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = decimal(words[1]),
      (100...599).contains(status)
    else { throw Failure(reason: "this is not an HTTP server") }
    var headers: [(name: String, value: String)] = []
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = line[line.index(after: colon)...].drop { $0 == " " }
      headers.append((line[..<colon].lowercased(), String(value)))
    }
    return Transport.Answer(status: status, headers: headers, body: [])
  }

  private static func framing(of answer: Transport.Answer) throws(Failure) -> Framing {
    if answer.status == 204 || answer.status == 304 { return .finished }
    if let encoding = answer.header("transfer-encoding") {
      guard encoding.lowercased() == "chunked" else {
        throw Failure(reason: "an unknown transfer encoding: \(encoding)")
      }
      return .chunked(nil)
    }
    guard let text = answer.header("content-length") else { return .toEnd }
    guard let length = decimal(text[...]) else { throw Failure(reason: "a bad Content-Length") }
    return .remaining(length)
  }

  /// Digits only: `Int("+5")` would be 5.
  private static func decimal(_ text: Substring) -> Int? {
    text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
  }

  // MARK: Body

  /// The next bytes of the body; nil at its end.
  mutating func nextPiece() throws(Failure) -> [UInt8]? {
    while true {
      switch framing {
      case .finished, .remaining(0):
        return nil
      case .toEnd:
        if position == buffer.count, try !fill() { return nil }
        return take(.max)
      case .remaining(let left):
        if position == buffer.count { try need(1) }
        let piece = take(left)
        framing = .remaining(left - piece.count)
        return piece
      case .chunked(nil):
        let size = try readChunkSize()
        framing = size == 0 ? .finished : .chunked(size)
      case .chunked(let left?):
        if position == buffer.count { try need(1) }
        let piece = take(left)
        framing = .chunked(left - piece.count)
        if left == piece.count {
          try need(2)
          guard buffer[position] == 13, buffer[position + 1] == 10 else {
            throw Failure(reason: "a bad chunk")
          }
          position += 2
          framing = .chunked(nil)
        }
        return piece
      }
    }
  }

  private mutating func readChunkSize() throws(Failure) -> Int {
    var length = 0
    while true {
      try need(length + 2)
      if buffer[position + length] == 13, buffer[position + length + 1] == 10 { break }
      length += 1
      guard length < Self.chunkLineBytesMax else { throw Failure(reason: "a bad chunk") }
    }
    let digits = buffer[position..<position + length].prefix {
      $0 != UInt8(ascii: ";") && $0 != UInt8(ascii: " ")
    }
    position += length + 2
    // Fifteen hexadecimal digits fit into an Int.
    guard (1...15).contains(digits.count), digits.first != UInt8(ascii: "+"),
      digits.first != UInt8(ascii: "-"),
      let size = Int(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw Failure(reason: "a bad chunk") }
    return size
  }

  private mutating func take(_ limit: Int) -> [UInt8] {
    let end = position + min(limit, buffer.count - position)
    let piece = Array(buffer[position..<end])
    position = end
    return piece
  }

  /// Waits until so many unused bytes are there.
  private mutating func need(_ count: Int) throws(Failure) {
    while buffer.count - position < count {
      guard try fill() else { throw Failure(reason: "the answer ended early") }
    }
  }

  /// False at the end of the connection.
  private mutating func fill() throws(Failure) -> Bool {
    if position == buffer.count {
      buffer.removeAll(keepingCapacity: true)
      position = 0
    }
    do throws(BlockingSocket.Failure) {
      guard let bytes = try socket.receive() else { return false }
      buffer += bytes
      return true
    } catch {
      throw Failure(reason: error.reason)
    }
  }
}
