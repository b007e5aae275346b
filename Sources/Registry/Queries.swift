/// Reading the catalog. Names match without case; lists are in the order of the folded names.
/// Indexes are those of X-Consul-Index, never 0 (consul-api.md 4.6).
extension Registry {
  package func nodes() -> [NodeRecord] {
    var result: [NodeRecord] = []
    result.reserveCapacity(nodesTable.count)
    nodesTable.forEach { _, record in
      result.append(record)
      return true
    }
    return result
  }

  package func node(named name: String) -> NodeRecord? { nodesTable[Key(folding: name)] }

  /// By full id, or by a unique prefix of an even number of hex digits.
  package func node(id prefix: String) -> NodeRecord? {
    let digits = Key(nodeID: prefix)
    guard !digits.bytes.isEmpty, digits.bytes.count.isMultiple(of: 2) else { return nil }
    var names: [Key] = []
    nodeIDs.forEach(from: digits) { id, name in
      guard id.hasPrefix(digits) else { return false }
      names.append(name)
      return names.count < 2
    }
    return names.count == 1 ? nodesTable[names[0]] : nil
  }

  package var nodesIndex: UInt64 { max(1, indexes.nodes) }

  /// Unknown nodes report 1.
  package func nodeIndex(_ name: String) -> UInt64 { nodeIndexes[Key(folding: name)] ?? 1 }

  /// Every service name with the union of its instances' tags, in the order first seen.
  package func services() -> [(name: String, tags: [String])] {
    var result: [(name: String, tags: [String])] = []
    var current: Key?
    // Only asked whether a tag was seen; the order is that of the instances.
    var seen: Set<String> = []
    servicesByName.forEach { key, _ in
      guard let record = servicesTable[Pair(key.second, key.third)] else { return true }
      if key.first != current {
        current = key.first
        seen.removeAll(keepingCapacity: true)
        result.append((name: record.name, tags: []))
      }
      for tag in record.tags where seen.insert(tag).inserted {
        result[result.count - 1].tags.append(tag)
      }
      return true
    }
    return result
  }

  package var servicesIndex: UInt64 { max(1, indexes.services, indexes.nodes) }

  package func services(onNode name: String) -> [ServiceRecord] {
    services(onFolded: Key(folding: name))
  }

  func services(onFolded node: Key) -> [ServiceRecord] {
    var result: [ServiceRecord] = []
    servicesTable.forEach(first: node) { _, record in
      result.append(record)
      return true
    }
    return result
  }

  package func service(onNode name: String, id: String) -> ServiceRecord? {
    servicesTable[Pair(Key(folding: name), Key(folding: id))]
  }

  /// By node name, then service id.
  package func instances(ofService name: String) -> [ServiceRecord] {
    var result: [ServiceRecord] = []
    servicesByName.forEach(first: Key(folding: name)) { key in
      if let record = servicesTable[Pair(key.second, key.third)] { result.append(record) }
      return true
    }
    return result
  }

  /// A service without instances reports the last time any service vanished.
  package func serviceIndex(_ name: String) -> UInt64 {
    max(1, serviceIndexes[Key(folding: name)] ?? indexes.lastExtinction)
  }

  package var serviceInstanceCount: Int { servicesTable.count }

  // MARK: Checks

  package func checks(onNode name: String) -> [CheckRecord] {
    checks(onFolded: Key(folding: name))
  }

  func checks(onFolded node: Key) -> [CheckRecord] {
    var result: [CheckRecord] = []
    checksTable.forEach(first: node) { _, record in
      result.append(record)
      return true
    }
    return result
  }

  /// Checks attached to instances of that service.
  package func checks(ofService name: String) -> [CheckRecord] {
    var result: [CheckRecord] = []
    servicesByName.forEach(first: Key(folding: name)) { key in
      result.append(contentsOf: checks(onFolded: key.second, serviceID: key.third))
      return true
    }
    return result
  }

  /// Checks of one instance, without those of its node.
  package func checks(onNode name: String, serviceID: String) -> [CheckRecord] {
    guard !serviceID.isEmpty else { return [] }
    return checks(onFolded: Key(folding: name), serviceID: Key(folding: serviceID))
  }

  func checks(onFolded node: Key, serviceID: Key) -> [CheckRecord] {
    var result: [CheckRecord] = []
    checksByService.forEach(first: node, second: serviceID) { key in
      if let record = checksTable[Pair(key.first, key.third)] { result.append(record) }
      return true
    }
    return result
  }

  package func nodeLevelChecks(onNode name: String) -> [CheckRecord] {
    checks(onFolded: Key(folding: name), serviceID: .empty)
  }

  /// Nil: every check.
  package func checks(withStatus status: String?) -> [CheckRecord] {
    var result: [CheckRecord] = []
    checksTable.forEach { _, record in
      if status == nil || record.status == status { result.append(record) }
      return true
    }
    return result
  }

  package var checksIndex: UInt64 { max(1, indexes.checks) }
}
