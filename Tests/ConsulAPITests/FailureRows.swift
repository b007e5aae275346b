@testable import Node
import Registry

/// A failure of the cluster and how it is answered.
struct RequestFailureRow {
  let failure: RequestFailure
  let status: Int
  let text: String

  static let all = [
    RequestFailureRow(failure: .noLeader, status: 500, text: "No cluster leader"),
    RequestFailureRow(
      failure: .outcomeUnknown("the leader changed"), status: 500,
      text: "The outcome is unknown: the leader changed"),
    RequestFailureRow(failure: .overloaded("proposals"), status: 503, text: "proposals"),
    RequestFailureRow(failure: .diskFull, status: 507, text: "disk is full"),
    RequestFailureRow(
      failure: .refused(Refusal(status: 418, text: "no")), status: 418, text: "no"),
    RequestFailureRow(failure: .stopping, status: 503, text: "shutting down"),
  ]
}
