import HTTP
import Registry

/// `/v1/kv/KEY` (consul-api.md 5). The hot paths of the whole API are here: a GET or PUT without a
/// query allocates the key, the answer and little else.
enum KV {
  static func checkGet(_ read: Read) throws(Refusal) {
    guard read.name.isEmpty else { return }
    if read.query.has("keys") || read.query.has("recurse") { return }
    throw .bad("Missing key name")
  }

  static func get(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    if !read.query.isEmpty {
      if read.query.has("keys") { return keys(read, registry) }
      if read.query.has("recurse") { return tree(read, registry) }
    }
    let key = Key(read.name)
    guard let entry = registry.kv(key) else {
      return Answer(status: 404, index: registry.kvIndex(key), topic: .key(key))
    }
    if read.query.has("raw") { return raw(entry) }
    return Answer(
      contentType: Answer.jsonType, body: json(entry, read), index: entry.modifyIndex,
      topic: .key(key))
  }

  private static func raw(_ entry: KVEntry) -> Answer {
    var answer = Answer(
      contentType: "text/plain", body: entry.value, index: entry.modifyIndex,
      topic: .key(entry.key))
    answer.headers = [
      ("X-Content-Type-Options", .fixed("nosniff")),
      ("Content-Security-Policy", .fixed("sandbox")),
    ]
    return answer
  }

  private static func json(_ entry: KVEntry, _ read: Read) -> [UInt8] {
    // Base64 takes four bytes for three; the names and numbers fit into the rest.
    var writer = read.writer(
      reserving: 160 + entry.key.bytes.count + entry.value.count * 4 / 3)
    writer.beginArray()
    writer.kvEntry(entry, withValue: true)
    writer.endArray()
    return writer.finish()
  }

  private static func tree(_ read: Read, _ registry: Registry) -> Answer {
    list(read, registry, .entries, isFoundWhenEmpty: false)
  }

  private static func keys(_ read: Read, _ registry: Registry) -> Answer {
    let separator = Array(read.query.bytes("separator") ?? read.query.bytes("seperator") ?? [])
    // 5.2: an empty store still has an empty list of keys, an empty prefix is not there.
    return list(
      read, registry, .keys(separator: separator), isFoundWhenEmpty: read.name.isEmpty)
  }

  private static func list(
    _ read: Read, _ registry: Registry, _ form: KVListing.Form, isFoundWhenEmpty: Bool
  ) -> Answer {
    let prefix = Key(read.name)
    let listing = KVListing(registry, prefix, form, isPretty: read.options.isPretty)
    let first = listing.nextPiece()
    let isFound = listing.count > 0 || isFoundWhenEmpty
    var answer = isFound ? Answer(contentType: Answer.jsonType, body: first) : .notFound
    if !listing.isComplete { answer.rest = listing }
    answer.index = registry.kvPrefixIndex(prefix)
    answer.topic = .prefix(prefix)
    return answer
  }
}

extension JSONWriter {
  /// 5.1: `Session` only while locked, an empty value is null.
  mutating func kvEntry(_ entry: borrowing KVEntry, withValue: Bool) {
    beginObject()
    field("LockIndex", entry.lockIndex)
    key("Key")
    text(entry.key.bytes)
    field("Flags", entry.flags)
    key("Value")
    if withValue && !entry.value.isEmpty { base64(entry.value) } else { null() }
    if let session = entry.session {
      key("Session")
      value(session.description)
    }
    field("CreateIndex", entry.createIndex)
    field("ModifyIndex", entry.modifyIndex)
    endObject()
  }
}

extension ConsulAPI {
  static func kvPut(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    guard !call.name.isEmpty else { throw .bad("Missing key name") }
    try api.checkBodySize(call, isTransaction: false)
    var set = KVSetParts(key: call.name, value: call.request.body)
    if !call.query.isEmpty {
      try conflict(call.query, among: ["cas", "acquire", "release"])
      if let flags = call.query.bytes("flags") { set.flags = try UInt64(goParsing: flags) }
      guard let mode = try kvMode(call.query) else {
        // Released by a session that cannot exist: nobody holds the lock under that name.
        return api.respond(.untruth, call.responder)
      }
      set.mode = mode
    }
    let responder = call.responder
    api.backend.propose(set, call.context) { result in
      switch result {
      case .success(.flag(true)): responder.respond(api.truth)
      case .success(let outcome): api.respond(api.answer(.flag, outcome), responder)
      case .failure(let failure): api.respond(Answer(failure), responder)
      }
    }
  }

  /// Nil: a release that cannot succeed.
  private static func kvMode(_ query: QueryParameters) throws(Refusal) -> KVSet.Mode? {
    if let index = query.bytes("cas") { return .cas(try UInt64(goParsing: index)) }
    if let session = query.text("acquire") {
      guard !session.isEmpty else { throw .failed("raft apply failed: missing session") }
      let id: UniqueID
      do {
        id = try Sessions.parse(session)
      } catch {
        throw .failed("raft apply failed: \(error.message)")
      }
      guard id != LookupID.nobody else {
        throw .failed("raft apply failed: invalid session \(quoted(session))")
      }
      return .acquire(id)
    }
    if let session = query.text("release") {
      guard !session.isEmpty else { throw .failed("raft apply failed: missing session") }
      return UniqueID(parsing: session).map { id in .release(id) }
    }
    return .plain
  }

  static func kvDelete(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    let key = Key(Array(call.name))
    if call.query.has("recurse") {
      try conflict(call.query, among: ["recurse", "cas"])
      return Proposal(command: .kvDeleteTree(prefix: key), reply: .truth)
    }
    guard !call.name.isEmpty else { throw .bad("Missing key name") }
    let cas = try call.query.bytes("cas").map { bytes throws(Refusal) in
      try UInt64(goParsing: bytes)
    }
    return Proposal(command: .kvDelete(key: key, cas: cas), reply: .flag)
  }

  /// Two parameters that exclude each other: 400 with the whole query as Go encodes it, sorted.
  private static func conflict(
    _ query: QueryParameters, among names: [StaticString]
  ) throws(Refusal) {
    guard names.filter({ query.has($0) }).count > 1 else { return }
    let sorted = query.parameters.enumerated().sorted { a, b in
      a.element.name == b.element.name
        ? a.offset < b.offset : a.element.name.lexicographicallyPrecedes(b.element.name)
    }
    let text = sorted.map { queryEscaped($0.element.name) + "=" + queryEscaped($0.element.value) }
    throw .bad("Conflicting flags: " + text.joined(separator: "&"))
  }

  private static func queryEscaped(_ bytes: [UInt8]) -> String {
    var text = ""
    for byte in bytes {
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E:
        text.unicodeScalars.append(Unicode.Scalar(byte))
      case 0x20: text += "+"
      default:
        let hex = String(byte, radix: 16, uppercase: true)
        text += hex.count == 1 ? "%0" + hex : "%" + hex
      }
    }
    return text
  }
}
