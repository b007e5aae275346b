import Wire

/// How the records of the tables are written, in commands, outcomes and snapshots alike. Fields
/// in order, without tags: the version byte around them says which fields there are.
extension Writer {
  mutating func list<T>(_ items: [T], _ encode: (inout Writer, T) -> Void) {
    varint(UInt64(items.count))
    for item in items { encode(&self, item) }
  }

  mutating func texts(_ items: [String]) { list(items) { $0.text($1) } }

  mutating func optional<T>(_ value: T?, _ encode: (inout Writer, T) -> Void) {
    flag(value != nil)
    if let value { encode(&self, value) }
  }

  mutating func uniqueID(_ id: UniqueID) {
    u64(id.high)
    u64(id.low)
  }

  mutating func key(_ key: Key) { blob(key.bytes) }
  mutating func int(_ value: Int) { signed(Int64(value)) }

  mutating func stringMap(_ map: StringMap) {
    list(map.pairs) { writer, pair in
      writer.text(pair.name)
      writer.text(pair.value)
    }
  }
}

extension Reader {
  /// Each item takes at least one byte, so a count never exceeds what is left.
  mutating func list<T>(
    _ decode: (inout Reader) throws(WireError) -> T
  ) throws(WireError) -> [T] {
    let number = try count()
    var items: [T] = []
    // A count that lies must not reserve memory for more than a plausible list.
    items.reserveCapacity(min(number, 64))
    for _ in 0..<number { items.append(try decode(&self)) }
    return items
  }

  mutating func texts() throws(WireError) -> [String] {
    try list { (reader) throws(WireError) in try reader.text() }
  }

  mutating func optional<T>(
    _ decode: (inout Reader) throws(WireError) -> T
  ) throws(WireError) -> T? {
    try flag() ? try decode(&self) : nil
  }

  mutating func uniqueID() throws(WireError) -> UniqueID {
    let high = try u64()
    return UniqueID(high: high, low: try u64())
  }

  mutating func optionalID() throws(WireError) -> UniqueID? {
    try optional { (reader) throws(WireError) in try reader.uniqueID() }
  }

  mutating func key() throws(WireError) -> Key { Key(try blob()) }

  mutating func int() throws(WireError) -> Int {
    guard let value = Int(exactly: try signed()) else { throw .tooLong }
    return value
  }

  mutating func stringMap() throws(WireError) -> StringMap {
    StringMap(
      try list { (reader) throws(WireError) in
        let name = try reader.text()
        return StringPair(name, try reader.text())
      })
  }

  mutating func optionalStringMap() throws(WireError) -> StringMap? {
    try optional { (reader) throws(WireError) in try reader.stringMap() }
  }

  mutating func origin() throws(WireError) -> Origin {
    let tag = try u8()
    guard let origin = Origin(rawValue: tag) else { throw .unknownTag(UInt64(tag)) }
    return origin
  }
}

extension KVEntry {
  func encode(into writer: inout Writer) {
    writer.key(key)
    writer.blob(value)
    writer.varint(flags)
    writer.varint(createIndex)
    writer.varint(modifyIndex)
    writer.varint(lockIndex)
    writer.optional(session) { $0.uniqueID($1) }
  }

  init(from reader: inout Reader) throws(WireError) {
    key = try reader.key()
    value = try reader.blob()
    flags = try reader.varint()
    createIndex = try reader.varint()
    modifyIndex = try reader.varint()
    lockIndex = try reader.varint()
    session = try reader.optionalID()
  }
}

extension NodeRecord {
  func encode(into writer: inout Writer) {
    writer.text(name)
    writer.text(address)
    writer.text(id)
    writer.optional(taggedAddresses) { $0.stringMap($1) }
    writer.optional(meta) { $0.stringMap($1) }
    writer.flag(isHost)
    writer.varint(createIndex)
    writer.varint(modifyIndex)
  }

  init(from reader: inout Reader) throws(WireError) {
    let name = try reader.text()
    self.init(name: name, address: try reader.text())
    id = try reader.text()
    taggedAddresses = try reader.optionalStringMap()
    meta = try reader.optionalStringMap()
    isHost = try reader.flag()
    createIndex = try reader.varint()
    modifyIndex = try reader.varint()
  }
}

extension NamedServiceAddress {
  func encode(into writer: inout Writer) {
    writer.text(name)
    writer.text(value.address)
    writer.int(value.port)
  }

  init(from reader: inout Reader) throws(WireError) {
    name = try reader.text()
    let address = try reader.text()
    value = ServiceAddress(address: address, port: try reader.int())
  }
}

extension ServiceRecord {
  func encode(into writer: inout Writer) {
    writer.text(node)
    writer.text(id)
    writer.text(name)
    writer.text(kind)
    writer.texts(tags)
    writer.text(address)
    writer.optional(taggedAddresses) { writer, list in
      writer.list(list) { $1.encode(into: &$0) }
    }
    writer.optional(meta) { $0.stringMap($1) }
    writer.int(port)
    writer.text(socketPath)
    writer.int(weightPassing)
    writer.int(weightWarning)
    writer.flag(enableTagOverride)
    writer.blob(proxyJSON)
    writer.blob(connectJSON)
    writer.u8(origin.rawValue)
    writer.varint(createIndex)
    writer.varint(modifyIndex)
  }

  init(from reader: inout Reader) throws(WireError) {
    let node = try reader.text()
    let id = try reader.text()
    self.init(node: node, id: id, name: try reader.text())
    kind = try reader.text()
    tags = try reader.texts()
    address = try reader.text()
    taggedAddresses = try reader.optional { (reader) throws(WireError) in
      try reader.list { (reader) throws(WireError) in try NamedServiceAddress(from: &reader) }
    }
    meta = try reader.optionalStringMap()
    port = try reader.int()
    socketPath = try reader.text()
    weightPassing = try reader.int()
    weightWarning = try reader.int()
    enableTagOverride = try reader.flag()
    proxyJSON = try reader.blob()
    connectJSON = try reader.blob()
    origin = try reader.origin()
    createIndex = try reader.varint()
    modifyIndex = try reader.varint()
  }
}

extension SessionRecord {
  func encode(into writer: inout Writer) {
    writer.uniqueID(id)
    writer.text(node)
    writer.text(name)
    writer.signed(lockDelay)
    writer.u8(behavior.rawValue)
    writer.text(ttl)
    writer.signed(ttlNanoseconds)
    writer.texts(nodeChecks)
    writer.optional(serviceChecks) { $0.texts($1) }
    writer.varint(createIndex)
    writer.varint(modifyIndex)
  }

  init(from reader: inout Reader) throws(WireError) {
    let id = try reader.uniqueID()
    self.init(id: id, node: try reader.text())
    name = try reader.text()
    lockDelay = try reader.signed()
    let tag = try reader.u8()
    guard let behavior = SessionBehavior(rawValue: tag) else { throw .unknownTag(UInt64(tag)) }
    self.behavior = behavior
    ttl = try reader.text()
    ttlNanoseconds = try reader.signed()
    nodeChecks = try reader.texts()
    serviceChecks = try reader.optional { (reader) throws(WireError) in try reader.texts() }
    createIndex = try reader.varint()
    modifyIndex = try reader.varint()
  }
}
