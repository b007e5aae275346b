import HTTP
import Registry

/// One parsed operation of `/v1/txn`.
struct ParsedOperation {
  var operation: TransactionOperation
  var isWrite: Bool
  /// Found before the log is asked (6.4): such faults are reported alone.
  var fault: String?
  /// Size of a KV value, for the limit on values.
  var key = ""
  var valueCount = 0
}

/// The body of `/v1/txn` (consul-api.md 6).
enum TransactionBody {
  static func operations(_ body: JSONValue) throws(DecodeError) -> [ParsedOperation] {
    var operations: [ParsedOperation] = []
    switch body {
    case .null: break
    case .array(let items):
      for item in items {
        if let operation = try operation(item) { operations.append(operation) }
      }
    default:
      throw DecodeError(
        message: "json: cannot unmarshal \(BodyDecoder.kind(body)) into Go value of type api.TxnOps"
      )
    }
    return operations
  }

  /// The first of KV, Node, Service, Check; nil when there is none.
  private static func operation(_ item: JSONValue) throws(DecodeError) -> ParsedOperation? {
    var kv: ParsedOperation?
    var node: ParsedOperation?
    var service: ParsedOperation?
    var check: ParsedOperation?
    try BodyDecoder.object(item, "api.TxnOp") { name, field throws(DecodeError) in
      switch name {
      case "kv": if !field.isNull { kv = try kvOperation(field.value) }
      case "node": if !field.isNull { node = try nodeOperation(field.value) }
      case "service": if !field.isNull { service = try serviceOperation(field.value) }
      case "check": if !field.isNull { check = try checkOperation(field.value) }
      default: return false
      }
      return true
    }
    return kv ?? node ?? service ?? check
  }

  // MARK: KV

  private static func kvVerb(_ verb: String) -> KVOperation.Verb? {
    switch verb {
    case "set": .set
    case "cas": .cas
    case "lock": .lock
    case "unlock": .unlock
    case "get": .get
    case "get-or-empty": .getOrEmpty
    case "get-tree": .getTree
    case "check-index": .checkIndex
    case "check-session": .checkSession
    case "check-not-exists": .checkNotExists
    case "delete": .delete
    case "delete-tree": .deleteTree
    case "delete-cas": .deleteCAS
    default: nil
    }
  }

  private static func isWrite(_ verb: KVOperation.Verb) -> Bool {
    switch verb {
    case .set, .cas, .lock, .unlock, .delete, .deleteTree, .deleteCAS: true
    case .get, .getOrEmpty, .getTree, .checkIndex, .checkSession, .checkNotExists: false
    }
  }

  private static func kvOperation(_ value: JSONValue) throws(DecodeError) -> ParsedOperation {
    var verb = ""
    var key = ""
    var session = ""
    var operation = KVOperation(verb: .get, key: Key(""))
    try BodyDecoder.object(value, "api.KVTxnOp") { name, field throws(DecodeError) in
      switch name {
      case "verb": try field.read(&verb)
      case "key": try field.read(&key)
      case "value": try field.readBytes(&operation.value)
      case "flags": try field.read(&operation.flags)
      case "index": try field.read(&operation.index)
      case "session": try field.read(&session)
      case "namespace", "partition": break
      default: return false
      }
      return true
    }
    operation.key = Key(key)
    operation.session = UniqueID(parsing: session)
    guard let known = kvVerb(verb) else {
      // Counted among the reads, as Consul does.
      return ParsedOperation(
        operation: .invalid("unknown KV verb \(quoted(verb))"), isWrite: false,
        fault: key.isEmpty ? "Must provide key" : nil)
    }
    operation.verb = known
    var parsed = ParsedOperation(operation: .kv(operation), isWrite: isWrite(known))
    parsed.key = key
    parsed.valueCount = operation.value.count
    if key.isEmpty && known != .deleteTree { parsed.fault = "Must provide key" }
    if !session.isEmpty && operation.session == nil,
      let text = foreignSession(known, key: key, session)
    {
      parsed.operation = .invalid(text)
    }
    return parsed
  }

  /// A session that is no UUID belongs to nobody: the error each verb has for that.
  private static func foreignSession(
    _ verb: KVOperation.Verb, key: String, _ session: String
  ) -> String? {
    switch verb {
    case .lock:
      do {
        _ = try Sessions.parse(session)
        return "invalid session \(quoted(session))"
      } catch {
        return error.message
      }
    case .unlock:
      return "failed to unlock key \"\(key)\", lock isn't held, or is held by another session"
    case .checkSession:
      return "failed session check for key \"\(key)\", current session \"\" != \"\(session)\""
    default: return nil
    }
  }

  // MARK: Catalog

  private static func catalogVerb(_ verb: String) -> CatalogVerb? {
    switch verb {
    case "set": .set
    case "cas": .cas
    case "get": .get
    case "delete": .delete
    case "delete-cas": .deleteCAS
    default: nil
    }
  }

  private static func catalogOperation(
    _ verb: String, _ kind: String, fault: String?,
    _ make: (CatalogVerb) -> TransactionOperation
  ) -> ParsedOperation {
    guard let known = catalogVerb(verb) else {
      return ParsedOperation(
        operation: .invalid("unknown \(kind) verb \(quoted(verb))"), isWrite: true, fault: fault)
    }
    return ParsedOperation(operation: make(known), isWrite: known != .get, fault: fault)
  }

  private static func nodeOperation(_ value: JSONValue) throws(DecodeError) -> ParsedOperation {
    var verb = ""
    var node = NodeRecord(name: "", address: "")
    try BodyDecoder.object(value, "api.NodeTxnOp") { name, field throws(DecodeError) in
      switch name {
      case "verb": try field.read(&verb)
      case "node": node = try CatalogBody.node(field.value)
      default: return false
      }
      return true
    }
    return catalogOperation(verb, "Node", fault: CatalogRules.nodeFault(node)) { known in
      .node(verb: known, node)
    }
  }

  private static func serviceOperation(_ value: JSONValue) throws(DecodeError) -> ParsedOperation {
    var verb = ""
    var node = ""
    var service = ServiceRecord(node: "", id: "", name: "")
    try BodyDecoder.object(value, "api.ServiceTxnOp") { name, field throws(DecodeError) in
      switch name {
      case "verb": try field.read(&verb)
      case "node": try field.read(&node)
      case "service": service = try CatalogBody.service(field.value)
      default: return false
      }
      return true
    }
    service.node = node
    let fault = verb == "get" ? nil : CatalogRules.serviceFault(service)
    return catalogOperation(verb, "Service", fault: fault) { known in
      .service(verb: known, node: node, service)
    }
  }

  private static func checkOperation(_ value: JSONValue) throws(DecodeError) -> ParsedOperation {
    var verb = ""
    var check = CheckRecord(node: "", id: "", name: "")
    try BodyDecoder.object(value, "api.CheckTxnOp") { name, field throws(DecodeError) in
      switch name {
      case "verb": try field.read(&verb)
      case "check": check = try CatalogBody.check(field.value)
      default: return false
      }
      return true
    }
    return catalogOperation(verb, "Check", fault: nil) { known in .check(verb: known, check) }
  }
}
