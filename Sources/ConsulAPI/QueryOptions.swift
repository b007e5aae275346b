import HTTP
import Registry

/// How a read is to be answered (consul-api.md 3 and 4).
struct QueryOptions: Equatable {
  enum Mode: Equatable {
    /// `default` and `consistent` are the same here: linearizable. Only the header differs.
    case leader, consistent, stale

    /// The header line that names it.
    var line: StaticString {
      switch self {
      case .leader: "X-Consul-Effective-Consistency: leader\r\n"
      case .consistent: "X-Consul-Effective-Consistency: consistent\r\n"
      case .stale: "X-Consul-Effective-Consistency: stale\r\n"
      }
    }
  }

  var mode = Mode.leader
  /// Blocks until the result's index is above it; 0 does not block.
  var index: UInt64 = 0
  /// Nanoseconds, jitter not included.
  var wait: UInt64 = 0
  /// A stale answer must not be older, in milliseconds; otherwise it is asked of the leader.
  var maxStaleMilliseconds: UInt64?
  var isCached = false
  var isPretty = false

  init() {}

  /// Consistency flags, and for endpoints with an index `index` and `wait`.
  init(
    _ query: QueryParameters, blocks: Bool, limits: APILimits, cacheControl: ArraySlice<UInt8>?
  ) throws(Refusal) {
    guard !query.isEmpty else { return }
    isPretty = query.has("pretty")
    try parseConsistency(query)
    isCached = query.has("cached")
    if isCached, let cacheControl { try Self.checkCacheControl(cacheControl) }
    if blocks {
      try parseWait(query, limits)
    } else if query.has("hash") {
      wait = try Self.wait(query, limits)
    }
  }

  private mutating func parseConsistency(_ query: QueryParameters) throws(Refusal) {
    let isConsistent = query.has("consistent")
    if query.has("stale") { mode = .stale }
    if let text = query.text("max_stale"), !text.isEmpty {
      guard let limit = try? GoDuration.parse(text), limit >= 0 else {
        throw .bad("Invalid max_stale value \(quoted(text))")
      }
      maxStaleMilliseconds = UInt64(limit) / 1_000_000
      if limit > 0 { mode = .stale }
    }
    guard isConsistent else { return }
    if mode == .stale {
      throw .bad("Cannot specify ?stale with ?consistent, conflicting semantics.")
    }
    if query.has("cached") {
      throw .bad("Cannot specify ?cached with ?consistent, conflicting semantics.")
    }
    mode = .consistent
  }

  /// Nothing is cached, so what is asked of the cache is only checked (3.5).
  private static func checkCacheControl(_ header: ArraySlice<UInt8>) throws(Refusal) {
    for directive in header.split(separator: 0x2C) {
      let text = directive.drop { byte in byte == 0x20 }
      guard let mark = text.firstIndex(of: 0x3D) else { continue }
      let name = foldedName(String(decoding: text[..<mark], as: UTF8.self))
      guard name == "max-age" || name == "stale-if-error" else { continue }
      guard UInt64(decimal: text[(mark + 1)...]) != nil else {
        throw .bad("Invalid Cache-Control header.")
      }
    }
  }

  private mutating func parseWait(_ query: QueryParameters, _ limits: APILimits) throws(Refusal) {
    wait = try Self.wait(query, limits)
    guard let text = query.bytes("index"), !text.isEmpty else { return }
    guard let number = UInt64(decimal: text) else { throw .bad("Invalid index") }
    index = number
  }

  /// `?wait=` in nanoseconds, within the limits.
  static func wait(_ query: QueryParameters, _ limits: APILimits) throws(Refusal) -> UInt64 {
    guard let text = query.text("wait"), !text.isEmpty else { return limits.waitNanosecondsDefault }
    guard let given = try? GoDuration.parse(text) else { throw .bad("Invalid wait time") }
    // As in Consul a wait that is not positive means the default.
    if given <= 0 { return limits.waitNanosecondsDefault }
    return min(UInt64(given), limits.waitNanosecondsMax)
  }
}

extension UInt64 {
  /// Digits only: no sign, no blanks. Nil when there is anything else, or too much.
  init?(decimal bytes: some Collection<UInt8>) {
    guard !bytes.isEmpty else { return nil }
    var number: UInt64 = 0
    for byte in bytes {
      guard byte >= 0x30, byte <= 0x39 else { return nil }
      let (scaled, overflow) = number.multipliedReportingOverflow(by: 10)
      let (sum, carry) = scaled.addingReportingOverflow(UInt64(byte - 0x30))
      guard !overflow && !carry else { return nil }
      number = sum
    }
    self = number
  }

  /// A query number with the words of Go's `strconv.ParseUint`.
  init(goParsing bytes: ArraySlice<UInt8>) throws(Refusal) {
    if let number = UInt64(decimal: bytes) {
      self = number
      return
    }
    let quoted = quoted(String(decoding: bytes, as: UTF8.self))
    let areDigits = !bytes.isEmpty && bytes.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
    let reason = areDigits ? "value out of range" : "invalid syntax"
    throw .failed("strconv.ParseUint: parsing \(quoted): \(reason)")
  }
}

extension QueryParameters {
  /// Go's `strconv.ParseBool`; nil when it is none of its words.
  static func boolean(_ text: String) -> Bool? {
    switch text {
    case "1", "t", "T", "true", "TRUE", "True": true
    case "0", "f", "F", "false", "FALSE", "False": false
    default: nil
    }
  }
}
