import HTTP
import Node
import Registry

/// `GET /v1/agent/monitor?loglevel=` (consul-api.md 8.15): the log of this node as it is written.
/// A client that reads too slowly misses lines, and is told how many.
final class LogMonitor<B: Backend> {
  private let api: ConsulAPI<B>
  private let responder: HTTPResponder
  private var tap: UInt64?
  private var listener: UInt64?
  private var isFull = false
  private var dropped = 0

  init(_ api: ConsulAPI<B>, _ responder: HTTPResponder) {
    self.api = api
    self.responder = responder
  }

  func start(_ level: NodeConfiguration.LogLevel) {
    api.monitors += 1
    responder.begin(api.response(Answer(contentType: Answer.textType)))
    let (listener, post) = api.background.listen { [self] line in
      if let line = line as? String { take(line) }
    }
    self.listener = listener
    // Lines may come from any thread; they are written on the loop's.
    tap = api.backend.logger.control.addTap(level) { line in post(line) }
    responder.onClose = { [self] in end() }
  }

  private func take(_ line: String) {
    guard responder.isOpen else { return end() }
    guard !isFull else {
      dropped += 1
      return
    }
    write(line)
  }

  private func write(_ line: String) {
    guard !responder.write(Array((line + "\n").utf8)) else { return }
    isFull = true
    responder.onDrain = { [self] in
      responder.onDrain = nil
      isFull = false
      guard dropped > 0 else { return }
      let text = "(\(dropped) lines were left out: they are read too slowly)"
      dropped = 0
      write(text)
    }
  }

  private func end() {
    guard let tap, let listener else { return }
    self.tap = nil
    api.monitors -= 1
    api.backend.logger.control.removeTap(tap)
    api.background.forget(listener)
    responder.onClose = nil
    responder.onDrain = nil
  }
}

extension ConsulAPI {
  static func monitor(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    let name = call.query.text("loglevel") ?? ""
    let level: NodeConfiguration.LogLevel
    switch foldedLevel(name) {
    case "", "info": level = .info
    case "trace", "debug": level = .debug
    case "warn", "warning": level = .warning
    case "err", "error": level = .error
    default: throw .bad("Bad request: Unknown log level: \(name)")
    }
    guard api.monitors < api.limits.monitorsMax else {
      return api.respond(
        Answer(RequestFailure.overloaded("too many monitors")), call.responder)
    }
    LogMonitor(api, call.responder).start(level)
  }

  private static func foldedLevel(_ name: String) -> String { name.lowercased() }
}
