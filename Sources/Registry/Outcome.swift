/// What the proposer gets. Encodable: it travels to the node that forwarded the command, and the
/// request-id table keeps it.
package enum Outcome: Equatable, Sendable {
  case done
  /// KV set, cas, acquire, release, delete.
  case flag(Bool)
  /// Refused by the state machine; the text is Consul's.
  case refused(Refusal)
  case transaction(TransactionOutcome)
}

package struct Refusal: Error, Equatable, Sendable {
  /// HTTP status it is answered with.
  package var status: UInt16
  package var text: String
  package init(status: UInt16, text: String) {
    self.status = status
    self.text = text
  }
}

package enum TransactionOutcome: Equatable, Sendable {
  case committed([TransactionResult])
  case failed([TransactionError])
}

package enum TransactionResult: Equatable, Sendable {
  /// `withValue` false: the value is not shown (all verbs but get and get-tree).
  case kv(KVEntry, withValue: Bool)
  case node(NodeRecord)
  case service(ServiceRecord)
  case check(CheckRecord)
}

package struct TransactionError: Equatable, Sendable {
  package var operation: Int
  package var what: String
  package init(operation: Int, what: String) {
    self.operation = operation
    self.what = what
  }
}
