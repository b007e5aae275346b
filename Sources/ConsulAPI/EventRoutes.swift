import HTTP
import Registry

/// `/v1/event/…` (consul-api.md 11). Events are replicated, so every node lists the same ones, in
/// the same order; the filters choose by this node's name and the services of the cluster.
enum Events {
  /// Name and payload together.
  static let bytesMax = 512

  static func list(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    let name = read.query.text("name") ?? ""
    var writer = read.writer(reserving: 1024)
    var newest: UniqueID?
    var services: [ServiceRecord]?
    writer.beginArray()
    for event in registry.events() where name.isEmpty || event.name == name {
      guard isMeant(event, registry, site, &services) else { continue }
      writer.event(event)
      newest = event.id
    }
    writer.endArray()
    // 11.5: not an index of the state but a mark of the newest event.
    var answer = Answer.json(writer)
      .depending(on: .events, index: newest.map { $0.high ^ $0.low } ?? 1)
    answer.blocking = .whileEqual
    return answer
  }

  private static func isMeant(
    _ event: UserEvent, _ registry: Registry, _ site: Site, _ services: inout [ServiceRecord]?
  ) -> Bool {
    if !event.nodeFilter.isEmpty {
      guard let pattern = try? Pattern(parsing: event.nodeFilter), pattern.matches(site.nodeName)
      else { return false }
    }
    guard !event.serviceFilter.isEmpty else { return true }
    guard let pattern = try? Pattern(parsing: event.serviceFilter) else { return false }
    let tagPattern = event.tagFilter.isEmpty ? nil : try? Pattern(parsing: event.tagFilter)
    if !event.tagFilter.isEmpty, tagPattern == nil { return false }
    let all = services ?? registry.agentServices()
    services = all
    return all.contains { service in
      pattern.matches(service.name)
        && (tagPattern.map { tag in service.tags.contains { tag.matches($0) } } ?? true)
    }
  }
}

extension JSONWriter {
  fileprivate mutating func event(_ event: UserEvent) {
    beginObject()
    field("ID", event.id.description)
    field("Name", event.name)
    key("Payload")
    if event.payload.isEmpty { null() } else { base64(event.payload) }
    field("NodeFilter", event.nodeFilter)
    field("ServiceFilter", event.serviceFilter)
    field("TagFilter", event.tagFilter)
    field("Version", 1)
    field("LTime", event.lTime)
    endObject()
  }
}

extension ConsulAPI {
  static func eventFire(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    guard !call.name.isEmpty else { throw .bad("Missing name") }
    var event = UserEvent(
      id: api.makeUniqueID(), name: call.text, payload: Array(call.request.body))
    event.nodeFilter = call.query.text("node") ?? ""
    event.serviceFilter = call.query.text("service") ?? ""
    event.tagFilter = call.query.text("tag") ?? ""
    if !event.tagFilter.isEmpty, event.serviceFilter.isEmpty {
      throw .failed("Cannot provide tag filter without service filter")
    }
    let filters = [
      ("node", event.nodeFilter), ("service", event.serviceFilter), ("tag", event.tagFilter),
    ]
    for (what, filter) in filters where !filter.isEmpty {
      do {
        _ = try Pattern(parsing: filter)
      } catch {
        throw .failed("Invalid \(what) filter: \(error.message)")
      }
    }
    guard event.name.utf8.count + event.payload.count <= Events.bytesMax else {
      throw .failed(
        "1 error occurred:\n\t* user event exceeds configured limit of \(Events.bytesMax) bytes "
          + "before encoding\n\n")
    }
    var writer = call.writer()
    writer.event(event)
    return Proposal(command: .eventFire(event), reply: .body(writer.finish()))
  }
}
