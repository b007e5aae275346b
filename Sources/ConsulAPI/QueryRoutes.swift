import HTTP
import Registry

/// `/v1/query…` (consul-api.md 16): storing, showing and removing prepared queries. Running them is
/// in `QueryExecution.swift`.
enum Queries {
  static func parseID(_ text: String) throws(Refusal) -> UniqueID {
    do {
      return try LookupID.parse(text)
    } catch {
      throw .failed("failed prepared query lookup: \(error.message)")
    }
  }

  static func all(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    var writer = read.writer(reserving: 1024)
    writer.beginArray()
    for query in registry.queries() { writer.query(query) }
    writer.endArray()
    return .json(writer).depending(on: .queries, index: registry.queriesIndex)
  }

  /// What follows `/v1/query/`.
  static func one(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    let name = read.text
    if name.hasSuffix("/execute") {
      return try execute(String(name.dropLast(8)), read, registry, site)
    }
    if name.hasSuffix("/explain") {
      return try explain(String(name.dropLast(8)), read, registry, site)
    }
    guard let query = registry.query(try parseID(name)) else {
      return Answer.text(404, "Query not found")
        .depending(on: .queries, index: registry.queriesIndex)
    }
    var writer = read.writer(reserving: 512)
    writer.beginArray()
    writer.query(query)
    writer.endArray()
    return .json(writer).depending(on: .queries, index: registry.queriesIndex)
  }

  static func check(_ read: Read) throws(Refusal) {
    if let limit = read.query.text("limit"), !limit.isEmpty, Int(limit) == nil {
      throw .bad("strconv.Atoi: parsing \(quoted(limit)): invalid syntax")
    }
  }

  // MARK: Bodies

  static func parse(
    _ body: ArraySlice<UInt8>, id: UniqueID
  ) throws(DecodeError) -> (query: PreparedQuery, session: String, givenID: String) {
    var query = PreparedQuery(id: id)
    var session = ""
    var givenID = ""
    var ignored: UInt64 = 0
    try BodyDecoder.object(try BodyDecoder.parse(body), "structs.PreparedQuery") {
      name, field throws(DecodeError) in
      switch name {
      case "id": try field.read(&givenID)
      case "name": try field.read(&query.name)
      case "session": try field.read(&session)
      case "token": try field.read(&query.token)
      case "template": try readTemplate(field, &query)
      case "service": try readService(field, &query)
      case "dns":
        try field.object("structs.QueryDNSOptions") { name, field throws(DecodeError) in
          guard name == "ttl" else { return false }
          try field.read(&query.dnsTTL)
          return true
        }
      case "createindex", "modifyindex": try field.read(&ignored)
      default: return false
      }
      return true
    }
    return (query, session, givenID)
  }

  private static func readTemplate(
    _ field: BodyField, _ query: inout PreparedQuery
  ) throws(DecodeError) {
    try field.object("structs.QueryTemplateOptions") { name, field throws(DecodeError) in
      switch name {
      case "type": try field.read(&query.templateType)
      case "regexp": try field.read(&query.templateRegexp)
      case "removeemptytags": try field.read(&query.removeEmptyTags)
      default: return false
      }
      return true
    }
  }

  private static func readService(
    _ field: BodyField, _ query: inout PreparedQuery
  ) throws(DecodeError) {
    try field.object("structs.ServiceQuery") { name, field throws(DecodeError) in
      switch name {
      case "service": try field.read(&query.service)
      case "failover": try readFailover(field, &query)
      case "onlypassing": try field.read(&query.onlyPassing)
      case "ignorecheckids": try readList(field, &query.ignoreCheckIDs)
      case "near": try field.read(&query.near)
      case "tags": try readList(field, &query.tags)
      case "nodemeta": try field.read(&query.nodeMeta)
      case "servicemeta": try field.read(&query.serviceMeta)
      case "connect": try field.read(&query.connect)
      default: return false
      }
      return true
    }
  }

  private static func readFailover(
    _ field: BodyField, _ query: inout PreparedQuery
  ) throws(DecodeError) {
    try field.object("structs.QueryDatacenterOptions") { name, field throws(DecodeError) in
      switch name {
      case "nearestn":
        var number = 0
        try field.read(&number)
        query.nearestN = Int64(number)
      case "datacenters": try readList(field, &query.datacenters)
      case "targets": _ = try field.items("[]structs.QueryFailoverTarget")
      default: return false
      }
      return true
    }
  }

  private static func readList(
    _ field: BodyField, _ target: inout [String]?
  ) throws(DecodeError) {
    guard !field.isNull else { return }
    var items: [String] = []
    try field.read(&items)
    target = items
  }

  // MARK: What a query must be

  static func validate(_ query: PreparedQuery) throws(Refusal) {
    func invalid(_ what: String) -> Refusal { .failed("Invalid prepared query: \(what)") }
    if query.name.isEmpty, !query.isTemplate, query.session == nil {
      throw invalid("Must be bound to a session")
    }
    if query.token == "<hidden>" {
      throw invalid(
        "Bad Token '<hidden>', it looks like a query definition with a redacted token was submitted"
      )
    }
    if query.service.isEmpty { throw invalid("Must provide a Service name to query") }
    if query.nearestN < 0 { throw invalid("Bad NearestN '\(query.nearestN)', must be >= 0") }
    if !query.dnsTTL.isEmpty {
      let ttl: Int64
      do {
        ttl = try GoDuration.parse(query.dnsTTL)
      } catch {
        throw invalid("Bad DNS TTL '\(query.dnsTTL)': \(error.message)")
      }
      if ttl < 0 { throw invalid("DNS TTL '\(query.dnsTTL)', must be >=0") }
    }
    guard query.isTemplate else { return }
    do throws(QueryTemplate.Fault) {
      try QueryTemplate.check(query)
    } catch {
      throw .failed("raft apply failed: \(error.message)")
    }
  }
}

extension ConsulAPI {
  static func queryCreate(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    let (query, givenID) = try readQuery(call, id: api.makeUniqueID())
    guard givenID.isEmpty else {
      throw .failed("ID must be empty when creating a new prepared query")
    }
    var writer = call.writer(reserving: 64)
    writer.beginObject()
    writer.field("ID", query.id.description)
    writer.endObject()
    return Proposal(command: .querySet(query, isNew: true), reply: .body(writer.finish()))
  }

  static func queryUpdate(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    let query = try readQuery(call, id: try queryID(call)).query
    return Proposal(command: .querySet(query, isNew: false), reply: .empty)
  }

  static func queryDelete(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    Proposal(command: .queryDelete(try queryID(call)), reply: .empty)
  }

  private static func queryID(_ call: Call) throws(Refusal) -> UniqueID {
    try Queries.parseID(call.text)
  }

  private static func readQuery(
    _ call: Call, id: UniqueID
  ) throws(Refusal) -> (query: PreparedQuery, givenID: String) {
    var parsed: (query: PreparedQuery, session: String, givenID: String)
    do throws(DecodeError) {
      parsed = try Queries.parse(call.request.body, id: id)
    } catch {
      throw Refusal(error)
    }
    if !parsed.session.isEmpty {
      do {
        parsed.query.session = try Sessions.parse(parsed.session)
      } catch {
        throw .failed("raft apply failed: \(error.message)")
      }
    }
    try Queries.validate(parsed.query)
    return (parsed.query, parsed.givenID)
  }
}

extension JSONWriter {
  /// Token as without ACLs: shown as it is, since everybody may manage.
  mutating func query(_ query: PreparedQuery) {
    beginObject()
    field("ID", query.id.description)
    field("Name", query.name)
    field("Session", query.session?.description ?? "")
    field("Token", query.token)
    key("Template")
    beginObject()
    field("Type", query.templateType)
    field("Regexp", query.templateRegexp)
    field("RemoveEmptyTags", query.removeEmptyTags)
    endObject()
    key("Service")
    beginObject()
    field("Service", query.service)
    key("Failover")
    beginObject()
    field("NearestN", Int(query.nearestN))
    key("Datacenters")
    stringsOrNull(query.datacenters)
    endObject()
    field("OnlyPassing", query.onlyPassing)
    key("IgnoreCheckIDs")
    stringsOrNull(query.ignoreCheckIDs)
    field("Near", query.near)
    key("Tags")
    stringsOrNull(query.tags)
    key("NodeMeta")
    map(query.nodeMeta)
    key("ServiceMeta")
    map(query.serviceMeta)
    field("Connect", query.connect)
    endObject()
    key("DNS")
    beginObject()
    field("TTL", query.dnsTTL)
    endObject()
    indexes(create: query.createIndex, modify: query.modifyIndex)
    endObject()
  }

  private mutating func stringsOrNull(_ texts: [String]?) {
    if let texts { strings(texts) } else { null() }
  }
}
