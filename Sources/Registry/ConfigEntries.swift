/// Config entries and autopilot's settings: kept, compared and shown (consul-api.md 13, 17).
extension Registry {
  mutating func setConfigEntry(
    _ entry: ConfigEntry, cas: UInt64?, _ context: inout ApplyContext
  ) -> Bool {
    let key = Pair(Key(entry.kind), Key(entry.name))
    let old = configEntriesTable[key]
    if let cas, cas != old?.modifyIndex ?? 0 { return false }
    if let old, old.fieldsJSON == entry.fieldsJSON { return true }
    var new = entry
    new.createIndex = old?.createIndex ?? context.index
    new.modifyIndex = context.index
    configEntriesTable.updateValue(new, forKey: key)
    configEntriesChanged(&context)
    return true
  }

  /// False only when `cas` does not fit; what is not there is deleted already.
  mutating func deleteConfigEntry(
    kind: String, name: String, cas: UInt64?, _ context: inout ApplyContext
  ) -> Bool {
    let key = Pair(Key(kind), Key(name))
    guard let old = configEntriesTable[key] else { return cas == nil }
    if let cas, cas != old.modifyIndex { return false }
    configEntriesTable.removeValue(forKey: key)
    configEntriesChanged(&context)
    return true
  }

  private mutating func configEntriesChanged(_ context: inout ApplyContext) {
    clusterIndexes.configEntries = context.index
    context.changes.insert(.configEntries)
  }

  mutating func setAutopilot(
    _ settings: AutopilotSettings, cas: UInt64?, _ context: inout ApplyContext
  ) -> Bool {
    // Settings that were never stored are shown with index 1.
    if let cas, cas != autopilot?.modifyIndex ?? 1 { return false }
    var new = settings
    new.createIndex = autopilot?.createIndex ?? context.index
    new.modifyIndex = context.index
    autopilot = new
    return true
  }

  // MARK: Reading

  package func configEntry(kind: String, name: String) -> ConfigEntry? {
    configEntriesTable[Pair(Key(kind), Key(name))]
  }

  /// In the order of their names.
  package func configEntries(ofKind kind: String) -> [ConfigEntry] {
    var result: [ConfigEntry] = []
    configEntriesTable.forEach(first: Key(kind)) { _, entry in
      result.append(entry)
      return true
    }
    return result
  }

  package var configEntriesIndex: UInt64 { max(1, clusterIndexes.configEntries) }
}
