/// One HTTP/1.1 exchange on a connection of its own: all that a command line needs.
///
/// Happy path: connect, send, read the head, read the body. Failures say whether anything was sent.
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

  /// An answer above this is refused; snapshots are the largest ones.
  static let bodyBytesMax = 4 << 30

  let host: String
  let port: UInt16
  var connectSeconds = 3
  /// For the answer, and then between two pieces of it.
  var readSeconds = 30

  func exchange(
    method: String, target: String, headers: [(String, String)], body: [UInt8]
  ) throws(Failure) -> Answer {
    var reader = try open(method: method, target: target, headers: headers, body: body)
    do throws(AnswerReader.Failure) {
      var answer = try reader.readHead()
      while let piece = try reader.nextPiece() {
        guard answer.body.count + piece.count <= Self.bodyBytesMax else {
          throw AnswerReader.Failure(reason: "the answer is too large")
        }
        answer.body += piece
      }
      return answer
    } catch {
      throw .noAnswer(error.reason)
    }
  }

  /// Hands over the body of a 200 as it comes, until it ends or `piece` returns false. The answer
  /// has a body only if its status is another one.
  func stream(
    target: String, headers: [(String, String)], piece: ([UInt8]) -> Bool
  ) throws(Failure) -> Answer {
    var reader = try open(method: "GET", target: target, headers: headers, body: [])
    do throws(AnswerReader.Failure) {
      var answer = try reader.readHead()
      while let bytes = try reader.nextPiece() {
        if answer.status == 200 {
          if !piece(bytes) { break }
        } else if answer.body.count < AnswerReader.headBytesMax {
          answer.body += bytes
        }
      }
      return answer
    } catch {
      throw .noAnswer(error.reason)
    }
  }

  private func open(
    method: String, target: String, headers: [(String, String)], body: [UInt8]
  ) throws(Failure) -> AnswerReader {
    let name = host.contains(":") ? "[\(host)]" : host
    var head = "\(method) \(target) HTTP/1.1\r\nHost: \(name):\(port)\r\nConnection: close\r\n"
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    if !body.isEmpty || method == "PUT" || method == "POST" {
      head += "Content-Length: \(body.count)\r\n"
    }
    let socket: BlockingSocket
    do throws(BlockingSocket.Failure) {
      socket = try BlockingSocket(
        host: host, port: port, connectSeconds: connectSeconds, readSeconds: readSeconds)
    } catch {
      throw .notSent(error.reason)
    }
    do throws(BlockingSocket.Failure) {
      try socket.send(Array((head + "\r\n").utf8) + body)
    } catch {
      throw .noAnswer(error.reason)
    }
    return AnswerReader(socket)
  }
}
