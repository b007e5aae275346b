/// Prepared queries (consul-api.md 16): stored and found here, run by the API.
extension Registry {
  mutating func setQuery(
    _ query: PreparedQuery, isNew: Bool, _ context: inout ApplyContext
  ) throws(Refusal) {
    let old = queriesTable[query.id]
    if isNew, old != nil {
      throw Self.queryRefusal("query '\(query.id)' exists already")
    }
    guard isNew || old != nil else { throw Self.unknownQuery(query.id) }
    let name = Key(folding: query.name)
    if !query.name.isEmpty || query.isTemplate {
      if let owner = queriesByName[name], owner != query.id {
        throw Self.queryRefusal(
          query.name.isEmpty
            ? "a query template with an empty name already exists"
            : "name '\(query.name)' aliases an existing query name")
      }
    }
    if let id = UniqueID(parsing: query.name), queriesTable.contains(id) {
      throw Self.queryRefusal("name '\(query.name)' aliases an existing query ID")
    }
    if let session = query.session, !sessionsTable.contains(session) {
      throw Self.queryRefusal("invalid session")
    }
    var new = query
    new.createIndex = old?.createIndex ?? context.index
    new.modifyIndex = context.index
    if let old { unindexQuery(old) }
    insertQuery(new)
    queriesChanged(&context)
  }

  private static func queryRefusal(_ text: String) -> Refusal {
    Refusal(status: 500, text: "raft apply failed: " + text)
  }

  private static func unknownQuery(_ id: UniqueID) -> Refusal {
    Refusal(status: 500, text: "Cannot modify non-existent prepared query: '\(id)'")
  }

  mutating func deleteQuery(_ id: UniqueID, _ context: inout ApplyContext) throws(Refusal) {
    guard let old = queriesTable.removeValue(forKey: id) else { throw Self.unknownQuery(id) }
    unindexQuery(old)
    queriesChanged(&context)
  }

  /// What was bound to the session ends with it.
  mutating func deleteQueries(of session: UniqueID, _ context: inout ApplyContext) {
    guard !queriesBySession.isEmpty else { return }
    let bonds = queriesBySession.keys(from: Pair(session.key, .empty)) { $0.first == session.key }
    for bond in bonds {
      guard let old = queriesTable.removeValue(forKey: UniqueID(key: bond.second)) else { continue }
      unindexQuery(old)
      queriesChanged(&context)
    }
  }

  private mutating func queriesChanged(_ context: inout ApplyContext) {
    clusterIndexes.queries = context.index
    context.changes.insert(.queries)
  }

  /// The record and the lookups made of it.
  mutating func insertQuery(_ query: PreparedQuery) {
    queriesTable.updateValue(query, forKey: query.id)
    if !query.name.isEmpty || query.isTemplate {
      queriesByName.updateValue(query.id, forKey: Key(folding: query.name))
    }
    if let session = query.session {
      queriesBySession.updateValue(Present(), forKey: Pair(session.key, query.id.key))
    }
  }

  private mutating func unindexQuery(_ query: PreparedQuery) {
    if !query.name.isEmpty || query.isTemplate {
      queriesByName.removeValue(forKey: Key(folding: query.name))
    }
    if let session = query.session {
      queriesBySession.removeValue(forKey: Pair(session.key, query.id.key))
    }
  }

  // MARK: Reading

  package func query(_ id: UniqueID) -> PreparedQuery? { queriesTable[id] }

  package func queries() -> [PreparedQuery] {
    var result: [PreparedQuery] = []
    queriesTable.forEach { _, query in
      result.append(query)
      return true
    }
    return result
  }

  /// By id, by name, or the template whose name is the longest prefix of the name.
  package func query(idOrName text: String) -> PreparedQuery? {
    if let id = UniqueID(parsing: text), let query = queriesTable[id] { return query }
    let name = Key(folding: text)
    if !text.isEmpty, let id = queriesByName[name] { return queriesTable[id] }
    for length in stride(from: name.bytes.count, through: 0, by: -1) {
      guard let id = queriesByName[Key(Array(name.bytes[..<length]))],
        let query = queriesTable[id], query.isTemplate
      else { continue }
      return query
    }
    return nil
  }

  package var queriesIndex: UInt64 { max(1, clusterIndexes.queries) }
}
