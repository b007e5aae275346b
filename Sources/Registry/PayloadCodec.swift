import Wire

// The bodies of commands that are records of their own. The envelope is in `CommandCodec.swift`.

extension KVSet {
  func encode(into writer: inout Writer) {
    writer.key(key)
    writer.blob(value)
    writer.varint(flags)
    mode.encode(into: &writer)
  }

  init(from reader: inout Reader) throws(WireError) {
    key = try reader.key()
    value = try reader.blob()
    flags = try reader.varint()
    switch try reader.u8() {
    case 0: mode = .plain
    case 1: mode = .cas(try reader.varint())
    case 2: mode = .acquire(try reader.uniqueID())
    case 3: mode = .release(try reader.uniqueID())
    case let tag: throw .unknownTag(UInt64(tag))
    }
  }
}

extension KVSet.Mode {
  fileprivate func encode(into writer: inout Writer) {
    switch self {
    case .plain: writer.u8(0)
    case .cas(let index):
      writer.u8(1)
      writer.varint(index)
    case .acquire(let session):
      writer.u8(2)
      writer.uniqueID(session)
    case .release(let session):
      writer.u8(3)
      writer.uniqueID(session)
    }
  }
}

extension KVSetParts {
  /// As the `KVSet` of these parts.
  func encode(into writer: inout Writer) {
    writer.blob(key)
    writer.blob(value)
    writer.varint(flags)
    mode.encode(into: &writer)
  }
}

extension Registration {
  func encode(into writer: inout Writer) {
    node.encode(into: &writer)
    writer.flag(skipNodeUpdate)
    writer.optional(service) { $1.encode(into: &$0) }
    writer.list(checks) { $1.encode(into: &$0) }
  }

  init(from reader: inout Reader) throws(WireError) {
    self.init(node: try NodeRecord(from: &reader))
    skipNodeUpdate = try reader.flag()
    service = try reader.optional { (reader) throws(WireError) in
      try ServiceRecord(from: &reader)
    }
    checks = try reader.list { (reader) throws(WireError) in try CheckRecord(from: &reader) }
  }
}

extension AgentRegistration {
  func encode(into writer: inout Writer) {
    writer.text(host)
    service.encode(into: &writer)
    writer.list(checks) { $1.encode(into: &$0) }
    writer.flag(replaceExistingChecks)
  }

  init(from reader: inout Reader) throws(WireError) {
    host = try reader.text()
    service = try ServiceRecord(from: &reader)
    checks = try reader.list { (reader) throws(WireError) in try CheckRecord(from: &reader) }
    replaceExistingChecks = try reader.flag()
  }
}

extension CheckUpdate {
  func encode(into writer: inout Writer) {
    writer.text(checkID)
    writer.optional(fromHost) { $0.text($1) }
    writer.optional(node) { $0.text($1) }
    writer.text(status)
    writer.text(output)
  }

  init(from reader: inout Reader) throws(WireError) {
    checkID = try reader.text()
    fromHost = try reader.optional { (reader) throws(WireError) in try reader.text() }
    node = try reader.optional { (reader) throws(WireError) in try reader.text() }
    status = try reader.text()
    output = try reader.text()
  }
}

extension TransactionOperation {
  func encode(into writer: inout Writer) {
    switch self {
    case .kv(let operation):
      writer.u8(0)
      operation.encode(into: &writer)
    case .node(let verb, let record):
      writer.u8(1)
      writer.u8(verb.rawValue)
      record.encode(into: &writer)
    case .service(let verb, let node, let record):
      writer.u8(2)
      writer.u8(verb.rawValue)
      writer.text(node)
      record.encode(into: &writer)
    case .check(let verb, let record):
      writer.u8(3)
      writer.u8(verb.rawValue)
      record.encode(into: &writer)
    case .invalid(let text):
      writer.u8(4)
      writer.text(text)
    }
  }

  init(from reader: inout Reader) throws(WireError) {
    switch try reader.u8() {
    case 0: self = .kv(try KVOperation(from: &reader))
    case 1:
      let verb = try CatalogVerb(from: &reader)
      self = .node(verb: verb, try NodeRecord(from: &reader))
    case 2:
      let verb = try CatalogVerb(from: &reader)
      let node = try reader.text()
      self = .service(verb: verb, node: node, try ServiceRecord(from: &reader))
    case 3:
      let verb = try CatalogVerb(from: &reader)
      self = .check(verb: verb, try CheckRecord(from: &reader))
    case 4: self = .invalid(try reader.text())
    case let tag: throw .unknownTag(UInt64(tag))
    }
  }
}

extension CatalogVerb {
  init(from reader: inout Reader) throws(WireError) {
    let tag = try reader.u8()
    guard let verb = CatalogVerb(rawValue: tag) else { throw .unknownTag(UInt64(tag)) }
    self = verb
  }
}

extension KVOperation {
  func encode(into writer: inout Writer) {
    writer.u8(verb.rawValue)
    writer.key(key)
    writer.blob(value)
    writer.varint(flags)
    writer.varint(index)
    writer.optional(session) { $0.uniqueID($1) }
  }

  init(from reader: inout Reader) throws(WireError) {
    let tag = try reader.u8()
    guard let verb = Verb(rawValue: tag) else { throw .unknownTag(UInt64(tag)) }
    self.verb = verb
    key = try reader.key()
    value = try reader.blob()
    flags = try reader.varint()
    index = try reader.varint()
    session = try reader.optionalID()
  }
}
