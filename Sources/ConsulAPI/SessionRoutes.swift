import HTTP
import Node
import Registry

/// `GET /v1/session/…` (consul-api.md 10).
enum Sessions {
  static func parse(_ id: String) throws(LookupID.Fault) -> UniqueID {
    do {
      return try LookupID.parse(id)
    } catch {
      throw LookupID.Fault(message: "failed session lookup: \(error.message)")
    }
  }

  static func checkInfo(_ read: Read) throws(Refusal) {
    if read.name.isEmpty { throw .bad("Missing session") }
    do {
      _ = try parse(read.text)
    } catch {
      throw .failed(error.message)
    }
  }

  static func info(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    let found = UniqueID(parsing: read.text).flatMap { id in registry.session(id) }
    return list(found.map { [$0] } ?? [], read, registry)
  }

  static func all(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    list(registry.sessions(), read, registry)
  }

  static func ofNode(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    list(registry.sessions(onNode: read.text), read, registry)
  }

  private static func list(
    _ sessions: [SessionRecord], _ read: Read, _ registry: Registry
  ) -> Answer {
    var writer = read.writer(reserving: 64 + sessions.count * 256)
    writer.beginArray()
    for session in sessions { writer.session(session) }
    writer.endArray()
    return .json(writer).depending(on: .sessions, index: registry.sessionsIndex)
  }
}

/// `PUT /v1/session/…`.
extension ConsulAPI {
  static func sessionCreate(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    var session = SessionRecord(id: api.makeUniqueID(), node: api.site.nodeName)
    session.nodeChecks = ["serfHealth"]
    var behavior = ""
    if !call.request.body.isEmpty {
      do {
        let body = try BodyDecoder.parse(call.request.body)
        try readSession(body, &session, &behavior)
      } catch {
        throw Refusal(error)
      }
    }
    try finish(&session, behavior, ttlMin: api.backend.configuration.sessionTTLMillisecondsMin)
    var writer = call.writer(reserving: 64)
    writer.beginObject()
    writer.field("ID", session.id.description)
    writer.endObject()
    return Proposal(command: .sessionCreate(session), reply: .body(writer.finish()))
  }

  private static func readSession(
    _ body: JSONValue, _ session: inout SessionRecord, _ behavior: inout String
  ) throws(DecodeError) {
    try BodyDecoder.object(body, "structs.Session", ignoringUnknown: true) {
      name, field throws(DecodeError) in
      switch name {
      case "name": try field.read(&session.name)
      case "node": try field.read(&session.node)
      case "lockdelay": try readLockDelay(field, &session.lockDelay)
      case "behavior": try field.read(&behavior)
      case "ttl": try field.read(&session.ttl)
      case "checks", "nodechecks": try field.read(&session.nodeChecks)
      case "servicechecks":
        guard !field.isNull else { break }
        var ids: [String] = []
        for item in try field.items("[]structs.ServiceCheck") {
          try BodyDecoder.object(item, "structs.ServiceCheck", ignoringUnknown: true) {
            name, field throws(DecodeError) in
            var id = ""
            if name == "id" {
              try field.read(&id)
              ids.append(id)
            }
            return true
          }
        }
        session.serviceChecks = ids
      default: return false
      }
      return true
    }
  }

  /// Small numbers are seconds, others nanoseconds: so do old clients mean them.
  private static func readLockDelay(
    _ field: BodyField, _ delay: inout Int64
  ) throws(DecodeError) {
    try field.readDuration(&delay)
    if case .number = field.value, (0..<1000).contains(delay) { delay *= 1_000_000_000 }
  }

  private static func finish(
    _ session: inout SessionRecord, _ behavior: String, ttlMin: UInt64
  ) throws(Refusal) {
    if session.node.isEmpty { throw .failed("Must provide Node") }
    switch behavior {
    case "", "release": session.behavior = .release
    case "delete": session.behavior = .delete
    default: throw .failed("Invalid Behavior setting '\(behavior)'")
    }
    guard !session.ttl.isEmpty else { return }
    let ttl: Int64
    do {
      ttl = try GoDuration.parse(session.ttl)
    } catch {
      throw .failed("Session TTL '\(session.ttl)' invalid: \(error.message)")
    }
    let least = Int64(clamping: ttlMin) &* 1_000_000
    let most: Int64 = 86_400_000_000_000
    guard ttl == 0 || ttl >= least && ttl <= most else {
      let range = "[\(GoDuration.format(least))=\(GoDuration.format(most))]"
      throw .failed("Invalid Session TTL '\(ttl)', must be between \(range)")
    }
    session.ttlNanoseconds = ttl
  }

  static func sessionDestroy(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    guard !call.name.isEmpty else { throw .bad("Missing session") }
    do {
      return Proposal(command: .sessionDestroy(try Sessions.parse(call.text)), reply: .truth)
    } catch {
      throw .failed("apply failed: \(error.message)")
    }
  }

  static func sessionRenew(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    guard !call.name.isEmpty else { throw .bad("Missing session") }
    let id: UniqueID
    do {
      id = try Sessions.parse(call.text)
    } catch {
      throw .failed(error.message)
    }
    var writer = call.writer()
    let responder = call.responder
    api.backend.renewSession(id, call.context) { result in
      switch result {
      case .success(let session?):
        writer.beginArray()
        writer.session(session)
        writer.endArray()
        api.respond(.json(writer), responder)
      case .success(nil):
        api.respond(.text(404, "Session id '\(call.text)' not found"), responder)
      case .failure(let failure): api.respond(Answer(failure), responder)
      }
    }
  }
}
