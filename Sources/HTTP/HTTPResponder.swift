/// The place where one request is answered: now or later, exactly once, on the loop's thread.
/// Answers leave in the order of the requests (pipelining); one dropped without an answer is a 500.
///
/// Only the first answer counts; later ones, and those to a client that has gone, are discarded.
package final class HTTPResponder {
  private enum Sink {
    case connection(HTTPConnection, sequence: UInt64)
    case closure((HTTPResponse) -> Void)
  }

  private enum Stage {
    case waiting, streaming, finished
  }

  private let sink: Sink
  private var stage = Stage.waiting
  /// Of a responder made by hand: the answer that `begin` and `write` build up, the closures, and
  /// whether the client went away.
  private var streamed = HTTPResponse(status: 200)
  private var handlers: (onClose: (() -> Void)?, onDrain: (() -> Void)?)
  private var isDisconnected = false

  init(connection: HTTPConnection, sequence: UInt64) {
    sink = .connection(connection, sequence: sequence)
  }

  /// A responder made by hand, for tests of handlers without a socket: `answer` gets the response,
  /// a streamed one when it has ended.
  package init(answer: @escaping (HTTPResponse) -> Void) { sink = .closure(answer) }

  deinit {
    guard stage != .finished else { return }
    let wasStreaming = stage == .streaming
    switch sink {
    case .connection(let connection, let sequence):
      // Half an answer cannot be taken back; the cut connection tells the client.
      if wasStreaming {
        connection.abandon(sequence)
      } else {
        connection.answer(sequence, Self.dropped)
      }
    case .closure(let answer):
      if !isDisconnected { answer(Self.dropped) }
    }
  }

  private static let dropped = HTTPResponse.text(500, "the request was dropped without an answer")

  /// False once the client is gone or the answer is complete; answers are then discarded.
  package var isOpen: Bool {
    guard stage != .finished else { return false }
    switch sink {
    case .connection(let connection, let sequence): return connection.isWaiting(sequence)
    case .closure: return !isDisconnected
    }
  }

  /// Called at most once if the client goes away before the answer (long polls clean up here). A
  /// closure that holds this responder is released with the answer or the connection.
  package var onClose: (() -> Void)? {
    get {
      switch sink {
      case .connection(let connection, let sequence): connection.onClose(sequence)
      case .closure: handlers.onClose
      }
    }
    set {
      switch sink {
      case .connection(let connection, let sequence): connection.setOnClose(sequence, newValue)
      case .closure: handlers.onClose = newValue
      }
    }
  }

  package func respond(_ response: HTTPResponse) {
    guard stage == .waiting else { return }
    stage = .finished
    switch sink {
    case .connection(let connection, let sequence): connection.answer(sequence, response)
    case .closure(let answer): finish(answer, response)
    }
  }

  /// A chunked answer of unknown length: head first, then pieces. False from `write` means that the
  /// client reads too slowly: wait for `onDrain`.
  package func begin(_ head: HTTPResponse) {
    guard stage == .waiting else { return }
    stage = .streaming
    switch sink {
    case .connection(let connection, let sequence): connection.begin(sequence, head)
    case .closure: streamed = head
    }
  }

  package func write(_ bytes: [UInt8]) -> Bool {
    guard stage == .streaming else { return true }
    switch sink {
    case .connection(let connection, let sequence): return connection.write(sequence, bytes)
    case .closure:
      streamed.body.append(contentsOf: bytes)
      return true
    }
  }

  package var onDrain: (() -> Void)? {
    get {
      switch sink {
      case .connection(let connection, let sequence): connection.onDrain(sequence)
      case .closure: handlers.onDrain
      }
    }
    set {
      switch sink {
      case .connection(let connection, let sequence): connection.setOnDrain(sequence, newValue)
      case .closure: handlers.onDrain = newValue
      }
    }
  }

  package func end() {
    guard stage == .streaming else { return }
    stage = .finished
    switch sink {
    case .connection(let connection, let sequence): connection.end(sequence)
    case .closure(let answer): finish(answer, streamed)
    }
  }

  /// Of a responder made by hand: the client goes away.
  package func disconnect() {
    guard case .closure = sink, stage != .finished, !isDisconnected else { return }
    isDisconnected = true
    let onClose = handlers.onClose
    handlers = (nil, nil)
    onClose?()
  }

  private func finish(_ answer: (HTTPResponse) -> Void, _ response: HTTPResponse) {
    handlers = (nil, nil)
    if !isDisconnected { answer(response) }
  }
}
