package import Wire

extension Outcome {
  package func encode(into writer: inout Writer) {
    switch self {
    case .done: writer.u8(0)
    case .flag(let value):
      writer.u8(1)
      writer.flag(value)
    case .refused(let refusal):
      writer.u8(2)
      writer.u16(refusal.status)
      writer.text(refusal.text)
    case .transaction(.committed(let results)):
      writer.u8(3)
      writer.list(results) { $1.encode(into: &$0) }
    case .transaction(.failed(let errors)):
      writer.u8(4)
      writer.list(errors) { writer, error in
        writer.int(error.operation)
        writer.text(error.what)
      }
    }
  }

  package init(from reader: inout Reader) throws(WireError) {
    switch try reader.u8() {
    case 0: self = .done
    case 1: self = .flag(try reader.flag())
    case 2:
      let status = try reader.u16()
      self = .refused(Refusal(status: status, text: try reader.text()))
    case 3:
      self = .transaction(
        .committed(
          try reader.list { (reader) throws(WireError) in try TransactionResult(from: &reader) }))
    case 4:
      self = .transaction(
        .failed(
          try reader.list { (reader) throws(WireError) in
            let operation = try reader.int()
            return TransactionError(operation: operation, what: try reader.text())
          }))
    case let tag: throw .unknownTag(UInt64(tag))
    }
  }
}

extension TransactionResult {
  func encode(into writer: inout Writer) {
    switch self {
    case .kv(let entry, let withValue):
      writer.u8(0)
      entry.encode(into: &writer)
      writer.flag(withValue)
    case .node(let record):
      writer.u8(1)
      record.encode(into: &writer)
    case .service(let record):
      writer.u8(2)
      record.encode(into: &writer)
    case .check(let record):
      writer.u8(3)
      record.encode(into: &writer)
    }
  }

  init(from reader: inout Reader) throws(WireError) {
    switch try reader.u8() {
    case 0:
      let entry = try KVEntry(from: &reader)
      self = .kv(entry, withValue: try reader.flag())
    case 1: self = .node(try NodeRecord(from: &reader))
    case 2: self = .service(try ServiceRecord(from: &reader))
    case 3: self = .check(try CheckRecord(from: &reader))
    case let tag: throw .unknownTag(UInt64(tag))
    }
  }
}
