import HTTP
import Node
import Registry

/// `/v1/snapshot` (consul-api.md 14).
extension ConsulAPI {
  /// Sends the state as it is now, or as this node has it when `stale`.
  static func snapshotSave(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    let options = try api.options(call.query, call.request, blocks: false)
    let responder = call.responder
    if options.mode != .stale, !api.backend.hasLeader {
      return api.respond(Answer(RequestFailure.noLeader), responder)
    }
    guard api.archivesUnderWay < api.limits.archivesMax else {
      return api.respond(
        Answer(RequestFailure.overloaded("other snapshots are being sent")), responder)
    }
    api.archivesUnderWay += 1
    api.barrier(.indexed, options, call.context) { failure in
      if let failure {
        api.archivesUnderWay -= 1
        return api.respond(Answer(failure), responder)
      }
      ArchiveSender(api, responder, options).start()
    }
  }

  /// Puts the state of an archive in place of the present one.
  static func snapshotRestore(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    if call.query.has("stale") { throw .failed("stale not allowed for restore") }
    guard !api.isRestoring else {
      return api.respond(
        Answer(RequestFailure.overloaded("another restore is under way")), call.responder)
    }
    api.isRestoring = true
    Restoration(api, call).start()
  }
}

/// One archive on its way to a client: made by a worker, a piece at a time, and the next one only
/// when the client has taken the last.
private final class ArchiveSender<B: Backend> {
  private let api: ConsulAPI<B>
  private let responder: HTTPResponder
  private let options: QueryOptions
  private let registry: Registry

  init(_ api: ConsulAPI<B>, _ responder: HTTPResponder, _ options: QueryOptions) {
    self.api = api
    self.responder = responder
    self.options = options
    registry = api.backend.registry
  }

  func start() {
    let status = api.backend.status
    let origin = ArchiveOrigin(
      index: registry.stateIndex, term: status.term,
      milliseconds: api.backend.wallClock / 1_000_000,
      servers: status.members.map { (id: B.uuid(of: $0.id), address: $0.peerAddress) })
    let registry = registry
    let isRunning = api.background.run({ ArchiveWriter(registry, origin) }) { [self] writer in
      var answer = Answer(contentType: "application/x-gzip")
      answer.index = registry.stateIndex
      responder.begin(api.response(answer, .indexed, options))
      makeNext(writer)
    }
    if !isRunning {
      api.archivesUnderWay -= 1
      api.respond(Answer(RequestFailure.overloaded("the workers are busy")), responder)
    }
  }

  private struct Step: Sendable {
    var piece: [UInt8]?
    var writer: ArchiveWriter
  }

  private func makeNext(_ writer: ArchiveWriter) {
    guard responder.isOpen else { return end() }
    let isRunning = api.background.run({
      var writer = writer
      let piece = writer.next()
      return Step(piece: piece, writer: writer)
    }) { [self] step in send(step) }
    // Dropped in the middle: the connection is cut, which tells the client.
    if !isRunning { end() }
  }

  private func send(_ step: Step) {
    guard let piece = step.piece else {
      responder.end()
      return end()
    }
    guard responder.isOpen else { return end() }
    if responder.write(piece) { return makeNext(step.writer) }
    responder.onDrain = { [self] in
      responder.onDrain = nil
      responder.onClose = nil
      makeNext(step.writer)
    }
    responder.onClose = { [self] in end() }
  }

  private func end() { api.archivesUnderWay -= 1 }
}

/// One archive on its way into the state.
///
/// Happy path: a worker verifies everything; then the state goes through the log in pieces, one
/// after the other (`StagedRestore`), and one last command puts it in place, on all nodes alike.
/// Failures: before that last command nothing has changed, and what was staged is dropped. Every
/// command has a request id, so it is sent again when its outcome is unknown.
private final class Restoration<B: Backend> {
  private let api: ConsulAPI<B>
  private let responder: HTTPResponder
  private let archive: ArraySlice<UInt8>
  private let id: UniqueID
  private var context: RequestContext
  private var verified = ArchiveReader.Verified(bytes: 0, checksum: 0)
  private var sent: UInt64 = 0
  /// Commands are tried again until then.
  private var retryUntil: UInt64 = 0

  init(_ api: ConsulAPI<B>, _ call: Call) {
    self.api = api
    responder = call.responder
    archive = call.request.body
    context = call.context
    id = api.makeUniqueID()
  }

  func start() {
    let archive = archive
    let options = api.backend.registry.options
    run({ () -> Result<ArchiveReader.Verified, ArchiveFault> in
      do throws(ArchiveFault) {
        return .success(try ArchiveReader.verify(archive, options: options))
      } catch {
        return .failure(error)
      }
    }) { [self] result in
      switch result {
      case .failure(let fault): finish(.text(500, fault.message))
      case .success(let verified):
        self.verified = verified
        open()
      }
    }
  }

  private func run<R: Sendable>(
    _ job: @escaping @Sendable () -> R, then done: @escaping (R) -> Void
  ) {
    if !api.background.run(job, then: done) {
      abort(Answer(RequestFailure.overloaded("the workers are busy")))
    }
  }

  private struct Step: Sendable {
    var result: Result<[UInt8]?, ArchiveFault>
    var reader: StateReader
  }

  private func open() {
    do throws(ArchiveFault) {
      makeNext(try StateReader(archive))
    } catch {
      finish(.text(500, error.message))
    }
  }

  private func makeNext(_ reader: StateReader) {
    run({
      var reader = reader
      do throws(ArchiveFault) {
        let chunk = try reader.next()
        return Step(result: .success(chunk), reader: reader)
      } catch {
        return Step(result: .failure(error), reader: reader)
      }
    }) { [self] (step: Step) in
      guard responder.isOpen else { return abort(.empty) }
      switch step.result {
      case .failure(let fault): abort(.text(500, fault.message))
      case .success(nil): commit()
      case .success(let chunk?):
        let command = Command.restoreChunk(RestoreChunk(id: id, offset: sent, bytes: chunk))
        propose(command) { [self] in
          sent += UInt64(chunk.count)
          makeNext(step.reader)
        }
      }
    }
  }

  private func commit() {
    let command = Command.restoreCommit(
      id: id, bytes: verified.bytes, checksum: verified.checksum)
    propose(command) { [self] in finish(.empty) }
  }

  private func propose(_ command: Command, then done: @escaping () -> Void) {
    context.requestID = api.makeUniqueID()
    retryUntil = api.backend.now &+ api.limits.restoreRetryNanoseconds
    attempt(command, done)
  }

  private func attempt(_ command: Command, _ done: @escaping () -> Void) {
    api.backend.propose(command, context) { [self] result in
      switch result {
      case .success(.refused(let refusal)): abort(Answer(refusal))
      case .success: done()
      case .failure(let failure):
        guard failure.mayPass, api.backend.now < retryUntil else { return abort(Answer(failure)) }
        _ = api.backend.schedule(after: api.limits.restorePauseNanoseconds) { [self] in
          attempt(command, done)
        }
      }
    }
  }

  /// Drops what was staged; if that does not get through either, it is dropped after a minute.
  private func abort(_ answer: Answer) {
    context.requestID = nil
    if sent > 0 { api.backend.propose(.restoreAbort(id), context) { _ in } }
    finish(answer)
  }

  private func finish(_ answer: Answer) {
    api.isRestoring = false
    api.respond(answer, responder)
  }
}

extension RequestFailure {
  /// Worth another try of a command with a request id.
  fileprivate var mayPass: Bool {
    switch self {
    case .noLeader, .outcomeUnknown, .overloaded: true
    case .diskFull, .refused, .stopping: false
    }
  }
}
