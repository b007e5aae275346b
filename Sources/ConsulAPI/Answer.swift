import HTTP
import Node
import Registry

/// What a handler found out: status, body, and for reads what the answer depends on.
struct Answer {
  var status: Int
  var contentType: StaticString?
  var body: [UInt8]
  /// `X-Consul-Index`; 0 is sent as 1.
  var index: UInt64
  /// What a blocking query has to watch. Most reads depend on one thing.
  var topic: Topic?
  /// When a query that has seen this index waits.
  var blocking = Blocking.whileNotAbove
  /// `X-Consul-Knownleader` says false whatever is known. Consul answers blocking queries of
  /// health/service from an event stream that knows no leader, and clients have learned so.
  var deniesLeader = false
  private var rare: Box?

  /// What few answers have. In a box, so that the others are moved and destroyed without it.
  private struct Rare {
    var hash: UInt64?
    var moreTopics: [Topic] = []
    var headers: [(name: StaticString, value: HTTPResponse.HeaderValue)] = []
    var rest: KVListing?
  }

  /// Never changed, since copies share it.
  private final class Box {
    let rare: Rare
    init(_ rare: Rare) { self.rare = rare }
  }

  private func changed(_ change: (inout Rare) -> Void) -> Box {
    var values = rare?.rare ?? Rare()
    change(&values)
    return Box(values)
  }

  /// Hash of the content, for endpoints that block on a hash instead of an index.
  var hash: UInt64? {
    get { rare?.rare.hash }
    set { rare = changed { $0.hash = newValue } }
  }
  var moreTopics: [Topic] {
    get { rare?.rare.moreTopics ?? [] }
    set { rare = changed { $0.moreTopics = newValue } }
  }
  var headers: [(name: StaticString, value: HTTPResponse.HeaderValue)] {
    get { rare?.rare.headers ?? [] }
    set { rare = changed { $0.headers = newValue } }
  }
  /// What follows `body` when the answer has more than one piece.
  var rest: KVListing? {
    get { rare?.rare.rest }
    set { rare = changed { $0.rest = newValue } }
  }

  enum Blocking {
    case whileNotAbove
    /// The index is a mark that may go anywhere (11.5).
    case whileEqual
    case never
  }

  var topics: [Topic] { (topic.map { [$0] } ?? []) + moreTopics }

  static let jsonType: StaticString = "application/json"
  static let textType: StaticString = "text/plain; charset=utf-8"

  static var empty: Answer { Answer() }
  private static let trueBytes = Array("true".utf8)
  private static let falseBytes = Array("false".utf8)
  static var truth: Answer { Answer(contentType: jsonType, body: trueBytes) }
  static var untruth: Answer { Answer(contentType: jsonType, body: falseBytes) }

  static func json(_ writer: consuming JSONWriter, status: Int = 200) -> Answer {
    Answer(status: status, contentType: jsonType, body: writer.finish())
  }

  static func text(_ status: Int, _ text: String) -> Answer {
    Answer(status: status, contentType: textType, body: Array(text.utf8))
  }

  /// `404 empty`.
  static var notFound: Answer { Answer(status: 404) }

  init(
    status: Int = 200, contentType: StaticString? = nil, body: [UInt8] = [], index: UInt64 = 0,
    topic: Topic? = nil
  ) {
    self.index = index
    self.topic = topic
    self.status = status
    self.contentType = contentType
    self.body = body
  }

  init(_ refusal: Refusal) {
    self = .text(Int(refusal.status), refusal.text)
  }

  /// The one place where failures get their status and text (design.md 2; consul-api.md 3.6).
  init(_ failure: RequestFailure) {
    switch failure {
    case .noLeader: self = .text(500, "No cluster leader")
    case .outcomeUnknown(let reason):
      self = .text(
        500,
        "The outcome is unknown: \(reason). The write may have been applied or may yet be; "
          + "read before trying again, or retry with the same X-Roost-Request-Id.")
    case .overloaded(let reason):
      // 503 and not Consul's 429: 429 blames the client, and libraries treat 503 with
      // Retry-After as what it is, a server that is busy for the moment.
      self = .text(503, "Too much is under way, nothing was done: \(reason)")
      headers = [("Retry-After", .fixed("1"))]
    case .diskFull:
      self = .text(507, "The leader's disk is full: nothing was written. Free space on it.")
    case .refused(let refusal): self.init(refusal)
    case .stopping:
      self = .text(503, "This node is shutting down")
      headers = [("Retry-After", .fixed("1"))]
    }
  }

  init(_ fault: DecodeError) {
    self = .text(400, "Request decode failed: \(fault.message)")
  }
}

extension Refusal {
  /// Bad input found by the HTTP layer.
  static func bad(_ text: String) -> Refusal { Refusal(status: 400, text: text) }
  /// What Consul's RPC layer refuses, many user errors among it.
  static func failed(_ text: String) -> Refusal { Refusal(status: 500, text: text) }
}
