/// User events (consul-api.md 11): the last 256, the same on every node.
extension Registry {
  package static var eventsMax: Int { 256 }

  mutating func fire(_ event: UserEvent, _ context: inout ApplyContext) {
    let last = eventsTable.lastKey ?? 0
    // A counter that reached its end stays there: only a decoded snapshot could hold it.
    guard last < .max else { return }
    var new = event
    new.lTime = last + 1
    eventsTable.updateValue(new, forKey: new.lTime)
    if eventsTable.count > Self.eventsMax, let oldest = eventsTable.first {
      eventsTable.removeValue(forKey: oldest.key)
    }
    context.changes.insert(.events)
  }

  /// Oldest first.
  package func events() -> [UserEvent] {
    var result: [UserEvent] = []
    eventsTable.forEach { _, event in
      result.append(event)
      return true
    }
    return result
  }
}
