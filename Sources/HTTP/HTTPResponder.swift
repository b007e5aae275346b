/// The place where one request is answered: now or later, exactly once, on the loop's thread.
/// Answers leave in the order of the requests (pipelining); one dropped without an answer is a 500.
///
/// Only the first answer counts; later ones, and those to a client that has gone, are discarded.
package final class HTTPResponder {
  private enum Sink {
    case connection(HTTPConnection, sequence: UInt64)
    case closure(Handmade)
  }

  /// A responder made by hand: where the answer goes, what `begin` and `write` have built up, the
  /// closures, and whether the client went away. Apart, since each request pays for a responder.
  private final class Handmade {
    let answer: (HTTPResponse) -> Void
    var streamed = HTTPResponse(status: 200)
    var onClose: (() -> Void)?
    var onDrain: (() -> Void)?
    var isDisconnected = false

    init(_ answer: @escaping (HTTPResponse) -> Void) { self.answer = answer }

    func finish(_ response: HTTPResponse) {
      onClose = nil
      onDrain = nil
      if !isDisconnected { answer(response) }
    }
  }

  private enum Stage {
    case waiting, streaming, finished
  }

  private let sink: Sink
  private var stage = Stage.waiting

  init(connection: HTTPConnection, sequence: UInt64) {
    sink = .connection(connection, sequence: sequence)
  }

  /// A responder made by hand, for tests of handlers without a socket: `answer` gets the response,
  /// a streamed one when it has ended.
  package init(answer: @escaping (HTTPResponse) -> Void) {
    sink = .closure(Handmade(answer))
  }

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
    case .closure(let handmade):
      if !handmade.isDisconnected { handmade.answer(Self.dropped) }
    }
  }

  private static let dropped = HTTPResponse.text(500, "the request was dropped without an answer")

  /// False once the client is gone or the answer is complete; answers are then discarded.
  package var isOpen: Bool {
    guard stage != .finished else { return false }
    switch sink {
    case .connection(let connection, let sequence): return connection.isWaiting(sequence)
    case .closure(let handmade): return !handmade.isDisconnected
    }
  }

  /// Called at most once if the client goes away before the answer (long polls clean up here). A
  /// closure that holds this responder is released with the answer or the connection.
  package var onClose: (() -> Void)? {
    get {
      switch sink {
      case .connection(let connection, let sequence): connection.onClose(sequence)
      case .closure(let handmade): handmade.onClose
      }
    }
    set {
      switch sink {
      case .connection(let connection, let sequence): connection.setOnClose(sequence, newValue)
      case .closure(let handmade): handmade.onClose = newValue
      }
    }
  }

  package func respond(_ response: HTTPResponse) {
    guard stage == .waiting else { return }
    stage = .finished
    switch sink {
    case .connection(let connection, let sequence): connection.answer(sequence, response)
    case .closure(let handmade): handmade.finish(response)
    }
  }

  /// A chunked answer of unknown length: head first, then pieces. False from `write` means that the
  /// client reads too slowly: wait for `onDrain`.
  package func begin(_ head: HTTPResponse) {
    guard stage == .waiting else { return }
    stage = .streaming
    switch sink {
    case .connection(let connection, let sequence): connection.begin(sequence, head)
    case .closure(let handmade): handmade.streamed = head
    }
  }

  package func write(_ bytes: [UInt8]) -> Bool {
    guard stage == .streaming else { return true }
    switch sink {
    case .connection(let connection, let sequence): return connection.write(sequence, bytes)
    case .closure(let handmade):
      handmade.streamed.body.append(contentsOf: bytes)
      return true
    }
  }

  package var onDrain: (() -> Void)? {
    get {
      switch sink {
      case .connection(let connection, let sequence): connection.onDrain(sequence)
      case .closure(let handmade): handmade.onDrain
      }
    }
    set {
      switch sink {
      case .connection(let connection, let sequence): connection.setOnDrain(sequence, newValue)
      case .closure(let handmade): handmade.onDrain = newValue
      }
    }
  }

  package func end() {
    guard stage == .streaming else { return }
    stage = .finished
    switch sink {
    case .connection(let connection, let sequence): connection.end(sequence)
    case .closure(let handmade): handmade.finish(handmade.streamed)
    }
  }

  /// Of a responder made by hand: what `write` was given so far.
  package var streamedSoFar: [UInt8] {
    guard case .closure(let handmade) = sink else { return [] }
    return handmade.streamed.body
  }

  /// Of a responder made by hand: the client goes away.
  package func disconnect() {
    guard case .closure(let handmade) = sink, stage != .finished, !handmade.isDisconnected else {
      return
    }
    handmade.isDisconnected = true
    let onClose = handmade.onClose
    handmade.onClose = nil
    handmade.onDrain = nil
    onClose?()
  }
}
