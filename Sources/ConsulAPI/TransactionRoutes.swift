import HTTP
import Node
import Registry

/// `PUT /v1/txn` (consul-api.md 6): reads alone are evaluated here, everything else is one command.
extension ConsulAPI {
  static func transaction(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    try api.checkBodySize(call, isTransaction: true)
    let operations: [ParsedOperation]
    do {
      operations = try TransactionBody.operations(try BodyDecoder.parse(call.request.body))
    } catch {
      throw .bad("Failed to parse body: \(error.message)")
    }
    try api.checkLimits(operations)
    let isReadOnly = !operations.contains(where: \.isWrite)
    let faults = operations.enumerated().compactMap { index, operation in
      operation.fault.map { TransactionError(operation: index, what: $0) }
    }
    if isReadOnly {
      return try api.readTransaction(call, operations.map(\.operation), faults)
    }
    if !faults.isEmpty {
      let answer = api.transactionAnswer(.transaction(.failed(faults)), isPretty: call.isPretty)
      return api.respond(answer, call.responder)
    }
    api.propose(
      Proposal(
        command: .transaction(operations.map(\.operation)),
        reply: .transaction(isPretty: call.isPretty)), call)
  }

  private func checkLimits(_ operations: [ParsedOperation]) throws(Refusal) {
    let most = backend.configuration.transactionOperationsMax
    guard operations.count <= most else {
      throw Refusal(
        status: 413,
        text: "Transaction contains too many operations (\(operations.count) > \(most))")
    }
    let limit = backend.kvMaxValueBytes
    for operation in operations where operation.valueCount > limit {
      throw Refusal(
        status: 413,
        text: "Value for key \(quoted(operation.key)) is too large "
          + "(\(operation.valueCount) > \(limit) bytes)")
    }
  }

  private func readTransaction(
    _ call: Call, _ operations: [TransactionOperation], _ faults: [TransactionError]
  ) throws(Refusal) {
    let options = try options(call.query, call.request, blocks: false)
    barrier(.plain, options, call.context) { [self] failure in
      if let failure { return respond(Answer(failure), call.responder) }
      let outcome: TransactionOutcome =
        faults.isEmpty ? backend.registry.evaluate(operations) : .failed(faults)
      var response = response(transactionBody(outcome, isPretty: call.isPretty, isReadOnly: true))
      appendLeader(to: &response, options)
      call.responder.respond(response)
    }
  }

  func transactionAnswer(_ outcome: Outcome, isPretty: Bool) -> Answer {
    guard case .transaction(let result) = outcome else {
      return .text(500, "The transaction had no result")
    }
    return transactionBody(result, isPretty: isPretty, isReadOnly: false)
  }

  private func transactionBody(
    _ outcome: TransactionOutcome, isPretty: Bool, isReadOnly: Bool
  ) -> Answer {
    var writer = JSONWriter(pretty: isPretty, reserving: 512)
    var status = 200
    writer.beginObject()
    writer.key("Results")
    switch outcome {
    case .committed(let results):
      writer.beginArray()
      for result in results { writer.transactionResult(result, site.datacenter) }
      writer.endArray()
      writer.key("Errors")
      writer.null()
    case .failed(let errors):
      status = 409
      writer.null()
      writer.key("Errors")
      writer.beginArray()
      for error in errors {
        writer.beginObject()
        writer.field("OpIndex", error.operation)
        writer.field("What", error.what)
        writer.endObject()
      }
      writer.endArray()
    }
    if isReadOnly {
      writer.field("Index", 1)
      writer.field("LastContact", 0)
      writer.field("KnownLeader", backend.hasLeader)
      writer.field("ConsistencyLevel", "")
      writer.field("NotModified", false)
      writer.field("Backend", 0)
    }
    writer.endObject()
    return .json(writer, status: status)
  }
}

extension JSONWriter {
  fileprivate mutating func transactionResult(
    _ result: TransactionResult, _ datacenter: String
  ) {
    beginObject()
    switch result {
    case .kv(let entry, let withValue):
      key("KV")
      kvEntry(entry, withValue: withValue)
    case .node(let node):
      key("Node")
      self.node(node, datacenter)
    case .service(let service):
      key("Service")
      nodeService(service)
    case .check(let check):
      key("Check")
      self.check(check)
    }
    endObject()
  }
}
