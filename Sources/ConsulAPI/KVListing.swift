import HTTP
import Registry

/// The JSON of everything below a prefix, made piece by piece: `?recurse` and `?keys` of a large
/// store must neither hold up the loop nor be in memory whole.
///
/// It reads one copy of the registry, so the listing is one state however long the client takes.
final class KVListing {
  enum Form {
    case entries
    /// Cut after the first separator that follows the prefix; empty: not cut.
    case keys(separator: [UInt8])
  }

  /// A piece takes about a millisecond to write.
  static let pieceBytes = 256 << 10

  private let registry: Registry
  private let prefix: Key
  private let form: Form
  private var writer: JSONWriter
  private var start: Key
  private var lastShown: ArraySlice<UInt8>?
  private(set) var count = 0
  private(set) var isComplete = false

  init(_ registry: Registry, _ prefix: Key, _ form: Form, isPretty: Bool) {
    self.registry = registry
    self.prefix = prefix
    self.form = form
    start = prefix
    writer = JSONWriter(pretty: isPretty, reserving: 1024)
    writer.beginArray()
  }

  /// The next piece; together they are one array. Not to be called when it is complete.
  func nextPiece() -> [UInt8] {
    var stopped: Key?
    registry.forEachKV(prefix: prefix, from: start) { entry in
      if writer.bytes.count >= Self.pieceBytes {
        stopped = entry.key
        return false
      }
      write(entry)
      count += 1
      return true
    }
    if let stopped {
      start = stopped
      var piece: [UInt8] = []
      swap(&piece, &writer.bytes)
      writer.bytes.reserveCapacity(piece.count)
      return piece
    }
    isComplete = true
    writer.endArray()
    return writer.finish()
  }

  private func write(_ entry: borrowing KVEntry) {
    guard case .keys(let separator) = form else {
      return writer.kvEntry(entry, withValue: true)
    }
    let bytes = entry.key.bytes
    let shown = bytes[..<Self.cut(bytes, after: prefix.bytes.count, separator)]
    // Keys that are cut alike follow each other.
    if shown == lastShown { return }
    writer.text(Array(shown))
    lastShown = shown
  }

  /// The end of the first separator that follows the prefix; the whole key without one.
  private static func cut(_ key: [UInt8], after start: Int, _ separator: [UInt8]) -> Int {
    guard let first = separator.first else { return key.endIndex }
    var index = start
    while index + separator.count <= key.endIndex {
      if key[index] == first, key[index..<index + separator.count].elementsEqual(separator) {
        return index + separator.count
      }
      index += 1
    }
    return key.endIndex
  }
}

extension ConsulAPI {
  /// Answers, piece by piece when there is more than one.
  func send(
    _ answer: Answer, _ consistency: Consistency, _ options: QueryOptions,
    _ responder: HTTPResponder
  ) {
    var response = response(answer, consistency, options)
    guard let rest = answer.rest else { return responder.respond(response) }
    let first = response.body
    response.body = []
    responder.begin(response)
    stream(first, rest, responder)
  }

  /// One piece per turn, and none while the client has not taken the last one.
  private func stream(_ piece: [UInt8], _ rest: KVListing, _ responder: HTTPResponder) {
    guard responder.isOpen else { return }
    let mayGoOn = responder.write(piece)
    if rest.isComplete { return responder.end() }
    if mayGoOn {
      _ = backend.schedule(after: 0) { [self] in stream(rest.nextPiece(), rest, responder) }
    } else {
      responder.onDrain = { [self] in
        responder.onDrain = nil
        stream(rest.nextPiece(), rest, responder)
      }
    }
  }
}
